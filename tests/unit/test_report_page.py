"""The HTML report: self-contained, with escaped names, and without requests."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import orjson
import pytest
from plotly.offline import get_plotlyjs
from support.reports import made_report

from streamrnn.evaluation.figures import MAX_EXTREMES
from streamrnn.evaluation.report.page import MAX_LINES, _embedded, render_report
from streamrnn.settings import Settings, to_yaml

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"


class Elements(HTMLParser):
    """Elements of a page with their attributes, and the text of each kind of element, as a browser parses it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Store an element."""
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "input", "br", "img"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element and those inside it."""
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Store the text of the innermost element."""
        if self._open:
            self.text[self._open[-1]] = self.text.get(self._open[-1], "") + data


def data(text: str) -> dict[str, object]:
    """Return the data of the charts."""
    (embedded,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    read: dict[str, object] = orjson.loads(embedded)
    return read


@pytest.fixture(scope="module")
def report() -> str:
    """Return a report on two files, one of which has names that attempt script injection."""
    configuration = to_yaml(
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


def test_names_are_escaped(report: str) -> None:
    """A name of a series or file adds no element or attribute, and is displayed unchanged."""
    elements = Elements(report)
    assert [tag for tag, _ in elements.found].count("script") == 3
    assert not any(tag == "img" or any(name.startswith("on") for name in given) for tag, given in elements.found)
    assert f"{EVIL}/{EVIL}" in elements.text["h4"]
    assert f"{EVIL}.csv" in elements.text["th"]
    assert EVIL not in report.replace(get_plotlyjs(), "")
    assert "49" not in elements.text["h4"]


def test_embedded_json_cannot_end_its_script() -> None:
    """Embedded JSON contains no `<` and parses to the original."""
    assert "<" not in _embedded([EVIL])
    assert orjson.loads(_embedded([EVIL])) == [EVIL]


def test_nothing_is_fetched(report: str) -> None:
    """No element refers to another host or file, and the content security policy forbids requests."""
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


def test_it_documents_the_run(report: str) -> None:
    """It has the effective configuration with masked secrets, versions, and counts, time and state of each file."""
    elements = Elements(report)
    assert "sasl_password: '**********'" in elements.text["pre"]
    assert "hunter2" not in report
    assert "9.9 TEST" in elements.text["td"]
    assert "30.0 KB" in elements.text["td"]
    assert "400" in elements.text["td"]  # records a second


def test_chart_data_are_those_of_the_records(report: str) -> None:
    """Encoded chart data decode to the values, forecasts and markers of the series."""
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
    """Intervals are labelled by their nominal coverage."""
    assert data(report)["intervals"] == ["90%", "80%"]
    assert data(report)["horizons"] == [1, 12, 24]


def test_with_many_series_only_extremes_are_listed() -> None:
    """With more than MAX_LINES series only the best and the worst are listed and drawn, so the page stays small."""
    names = [f"k{number}/x" for number in range(MAX_LINES + 1)]
    report = made_report([("a.csv", names)], 60)
    elements = Elements(report)
    assert len(re.findall(r"k\d+/x", elements.text["th"])) == 2 * MAX_EXTREMES
    assert len(data(report)["series"]) == 2 * MAX_EXTREMES  # type: ignore[arg-type]
    assert len(report) - len(get_plotlyjs()) < 400_000
    together = data(report)["together"]
    assert isinstance(together, dict)
    assert sum(together["histogram"][0]) == MAX_LINES + 1


def test_series_of_one_name_in_two_files_are_separate() -> None:
    """Each is drawn from the records of its own file, and the lines name the file."""
    report = made_report([("a.jsonl", ["k/x"]), ("b.jsonl", ["k/x"])], 100)
    first, second = data(report)["series"]  # type: ignore[misc]
    assert first["values"] != second["values"]
    assert "a.jsonl: k" in Elements(report).text["th"]


def test_a_report_without_a_forecast_says_so() -> None:
    """The page says so if no record could be used."""
    nothing = {"horizons": (1,), "quantiles": (0.5,), "configuration": "", "drift": False, "versions": {}}
    assert "No record of these files could be forecast" in render_report([], [], **nothing)  # type: ignore[arg-type]
