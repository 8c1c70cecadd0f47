"""The report as a page: everything is in it, names are only names, and it asks nobody for anything."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import orjson
import pytest
from plotly.offline import get_plotlyjs
from support.reports import made_report

from streamrnn.evaluation.figures import EXTREMES
from streamrnn.evaluation.report.page import MOST_SERIES, _embedded, page
from streamrnn.settings import Settings, describe

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"


class Elements(HTMLParser):
    """What a browser makes of a page: elements with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "input", "br", "img"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It is over, and whatever is still open inside."""
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Note its text."""
        if self._open:
            self.text[self._open[-1]] = self.text.get(self._open[-1], "") + data


def data(text: str) -> dict[str, object]:
    """What the charts read."""
    (embedded,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    read: dict[str, object] = orjson.loads(embedded)
    return read


@pytest.fixture(scope="module")
def report() -> str:
    """A report on two files, in one of which things are named to do harm."""
    configuration = describe(
        Settings.model_validate(
            {
                "kafka": {
                    "security_protocol": "SASL_SSL",
                    "sasl_mechanism": "PLAIN",
                    "sasl_username": "u",
                    "sasl_password": "hunter2",
                }
            }
        )
    )
    files = [(f"{EVIL}.csv", [f"{EVIL}/{EVIL}", "pump/rpm"]), ("b.csv", [f"b/{i}" for i in range(3)])]
    return made_report(files, 200, configuration=configuration)


def test_names_are_only_names(report: str) -> None:
    """Whatever a series or a file is called, it brings no element and no attribute, and is read as it is."""
    elements = Elements(report)
    assert [tag for tag, _ in elements.found].count("script") == 3
    assert not any(tag == "img" or any(name.startswith("on") for name in given) for tag, given in elements.found)
    assert f"{EVIL}/{EVIL}" in elements.text["h4"]
    assert f"{EVIL}.csv" in elements.text["th"]
    assert EVIL not in report.replace(get_plotlyjs(), "")
    assert "49" not in elements.text["h4"]


def test_no_text_ends_the_script_that_holds_it() -> None:
    """What is embedded has no beginning of an element in it, and reads as what it was."""
    assert "<" not in _embedded([EVIL])
    assert orjson.loads(_embedded([EVIL])) == [EVIL]


def test_nothing_is_fetched(report: str) -> None:
    """No element names another host or file, and the page forbids itself every request."""
    elements = Elements(report)
    for tag, given in elements.found:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        assert "src" not in given
        assert (given.get("href") or "#").startswith("#")
    (policy,) = [
        given["content"] for _, given in elements.found if given.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
    assert "@import" not in elements.text["style"]
    assert "url(" not in elements.text["style"]


def test_it_says_how_it_was_made(report: str) -> None:
    """The configuration in force, secrets masked; versions; each file's counts, time and state."""
    elements = Elements(report)
    assert "sasl_password: '**********'" in elements.text["pre"]
    assert "hunter2" not in report
    assert "9.9 TEST" in elements.text["td"]
    assert "30.0 KB" in elements.text["td"]
    assert "400" in elements.text["td"]  # records a second


def test_numbers_of_the_charts_are_those_of_the_records(report: str) -> None:
    """What is packed for a chart is unpacked as the values, forecasts and marks of the series."""
    series = data(report)["series"]
    assert isinstance(series, list)
    assert len(series) == 5
    for each in series:
        times = np.frombuffer(base64.b64decode(each["times"]["data"]), "<f8")
        assert times.tolist() == [60_000.0 * row for row in range(200)]
        values = np.frombuffer(base64.b64decode(each["values"]["data"]), "<" + each["values"]["kind"])
        wave = 10 * np.sin(2 * np.pi * np.arange(200) / 60)
        median = np.frombuffer(base64.b64decode(each["quantiles"][2][-1]["data"]), "<f4")
        assert np.abs(values - wave).mean() < 1.2
        assert np.isnan(median[:24]).all()
        assert np.abs(median[24:] - wave[24:]).mean() < 0.7
        assert each["anomalies"] == [90, 187]
        assert each["alarms"] == [151 * 60_000]
        assert len(each["errors"][0][0]) == len(each["bins"]) == 10


def test_the_median_is_drawn_and_two_intervals(report: str) -> None:
    """Named by the share of truths that they are for."""
    assert data(report)["intervals"] == ["90%", "80%"]
    assert data(report)["horizons"] == [1, 12, 24]


def test_many_series_are_few_lines() -> None:
    """Of more series than have a line each, only the best and the worst are listed and drawn: it stays small."""
    names = [f"k{number}/x" for number in range(MOST_SERIES + 1)]
    report = made_report([("a.csv", names)], 60)
    elements = Elements(report)
    assert len(re.findall(r"k\d+/x", elements.text["th"])) == 2 * EXTREMES
    assert len(data(report)["series"]) == 2 * EXTREMES  # type: ignore[arg-type]
    assert len(report) - len(get_plotlyjs()) < 400_000
    together = data(report)["together"]
    assert isinstance(together, dict)
    assert sum(together["histogram"][0]) == MOST_SERIES + 1


def test_series_of_one_name_in_two_files_are_two() -> None:
    """Each is drawn from the records of its own file, and the lines say which file is meant."""
    report = made_report([("a.jsonl", ["k/x"]), ("b.jsonl", ["k/x"])], 100)
    first, second = data(report)["series"]  # type: ignore[misc]
    assert first["values"] != second["values"]
    assert "a.jsonl: k" in Elements(report).text["th"]


def test_a_report_without_a_forecast_says_so() -> None:
    """Where no record could be used, there is a page all the same."""
    nothing = {"horizons": (1,), "quantiles": (0.5,), "configuration": "", "drift": False, "versions": {}}
    assert "no record of these files could be forecast" in page([], [], **nothing)  # type: ignore[arg-type]
