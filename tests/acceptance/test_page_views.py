"""What the live page shows in a browser: fan, session, zoom, events, measures, honest states, explanations, CSV."""

import csv
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import axe_playwright_python
import orjson
import pytest
from playwright.sync_api import Browser, Page, expect
from support.chromium import chromium as started
from support.pages import HORIZONS, MINUTE, TASK, report, wave
from support.process import until
from support.shown_page import ODD, PATIENCE, START, Shown, drawn, options, source, visit

from streamrnn.page.data.workers import WorkerState
from streamrnn.records import DeadLetter, StepReport

pytestmark = pytest.mark.timeout(300)

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
PUMP = "/?series=pump-0%2Frpm"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Yield a browser."""
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    """Yield a page that has more observations of a few series than it stores singly, and an event of each kind."""
    with closing(Shown(history=60)) as made:
        made.serves()
        made.send(300)
        made.feed.stepped(events("drift_begins", "crossing_expected", step=295))
        letters = StepReport(TASK, records=7, dead_letters=Counter(missing_key=7))
        letters.last_dead_letter = DeadLetter(812, "missing_key", "")
        letters.rejected = {"missing_key": b'{"host": "secret", "load": [1]}'}
        made.feed.stepped(letters)
        until(lambda: made.get("/status")[1]["dead_letters"] == 7, "all messages", PATIENCE)
        yield made


def events(*kinds: str, step: int) -> StepReport:
    """Return a report of events of pump-0."""
    crossing = {"level": 90.0, "direction": "above", "horizon": 3, "target_time": 0, "probability": 0.8}
    documents: list[dict[str, Any]] = [
        {"series": "pump-0/rpm", "time": START + step * MINUTE, "event": kind, "value": 1.5} for kind in kinds
    ]
    documents[-1]["crossing"] = crossing
    made = StepReport(TASK, events=Counter(kinds))
    made.written_events = [orjson.dumps(document) for document in documents]
    return made


def test_the_fan_shows_the_latest_forecast_of_every_horizon(shown: Shown, chromium: Browser) -> None:
    """The fan begins at the last observation and has the published quantiles at their target times."""
    with visit(chromium, shown.url + PUMP) as page:
        before = drawn(page)
        page.get_by_role("button", name="Fan").click()
        expect(page.get_by_role("button", name="Fan")).to_have_attribute("aria-pressed", "true")
        page.wait_for_url("**horizon=fan")
        page.wait_for_function("before => document.querySelector('.chart canvas').toDataURL() !== before", arg=before)
        latest, count = shown.get("/series/pump-0/rpm/forecast")[1], len(HORIZONS)
        until(lambda: source(page)["time"][-count:] == latest["target_time"], "the fan", PATIENCE)
        found = source(page)
        assert found["median"][-count:] == pytest.approx(latest["quantiles"]["0.5"], rel=1e-4)
        highs = [low + width for low, width in zip(found["low 80"], found["width 80"], strict=True) if low is not None]
        assert highs[-count:] == pytest.approx(latest["quantiles"]["0.9"], rel=1e-4)
        for column in ("median", "observed"):
            assert found[column][-count - 1] == pytest.approx(latest["value"], rel=1e-5)
        assert [value for value in found["median"][: -count - 1] if value is not None] == []
    with visit(chromium, f"{shown.url}{PUMP}&horizon=fan", width=390) as page:
        drawn(page)
        expect(page.get_by_role("button", name="Fan")).to_have_attribute("aria-pressed", "true")


@pytest.mark.long
def test_the_session_is_drawn_before_the_latest_observations(shown: Shown, chromium: Browser) -> None:
    """The range begins with the first observation of the session, and the part that is stored singly is unchanged."""
    with visit(chromium, f"{shown.url}{PUMP}&horizon=3") as page:
        drawn(page)
        latest = source(page)
        page.get_by_role("button", name="Session").click()
        page.wait_for_url("**range=session*")
        until(lambda: source(page)["time"][0] == START + MINUTE, "the session", PATIENCE)
        found, session = source(page), shown.get("/series/pump-0/rpm/session")[1]
        assert found["observed"][-len(latest["time"]) :] == latest["observed"]
        spans = [number for number, span in enumerate(found["span"]) if span is not None]
        assert spans == list(range(len(spans)))
        assert found["lowest"][: len(spans)] == pytest.approx(session["lowest"][: len(spans)], rel=1e-4, abs=1e-5)
        assert found["time"] == sorted(found["time"])


def zoom(page: Page) -> list[float]:
    """Return the shown part of the chart, percent."""
    return [options(page)["dataZoom"][0][end] for end in ("start", "end")]


@pytest.mark.long
def test_the_zoom_survives_new_observations(shown: Shown, chromium: Browser) -> None:
    """Buttons change the shown part, which stays as chosen while the chart is updated."""
    with visit(chromium, shown.url + PUMP) as page:
        drawn(page)
        page.get_by_role("button", name="Zoom in").click()
        page.get_by_role("button", name="Zoom in").press("Enter")
        until(lambda: zoom(page) == [75, 100], "the zoom", PATIENCE)
        last = page.locator("h1 + div").inner_text()
        shown.send(2)
        expect(page.locator("h1 + div")).not_to_have_text(last)
        until(lambda: source(page)["time"][-1] > START + (shown.step + HORIZONS[1] - 1) * MINUTE, "the data", PATIENCE)
        assert zoom(page) == [75, 100]
        page.get_by_role("button", name="Show all").click()
        until(lambda: zoom(page) == [0, 100], "everything", PATIENCE)


def test_the_history_is_downloaded_as_csv(shown: Shown, chromium: Browser) -> None:
    """The file has the observations that the API returns, then the latest forecasts; the session has its own file."""
    with visit(chromium, f"{shown.url}/?series={ODD.replace('&', '%26')}") as page:
        drawn(page)
        with page.expect_download() as made:
            page.get_by_role("link", name="Download CSV").click()
        assert made.value.suggested_filename == "img_src_x_onerror_alert_1_rpm-history.csv"
        with made.value.path().open(newline="") as file:
            rows = list(csv.DictReader(file))
        past = shown.get(f"/series/{ODD.replace('/', '%2F').replace(' ', '%20')}/history")[1]
        observed = [row for row in rows if row["value"]]
        assert [float(row["value"]) for row in observed] == past["value"]
        ahead = [float(row["3_ahead_0.9"]) if row["3_ahead_0.9"] else None for row in observed]
        assert ahead == past["forecasts"][1]["quantiles"]["0.9"]
        assert len(rows) == len(observed) + len(HORIZONS)
        page.get_by_role("button", name="Session").click()
        expect(page.get_by_role("link", name="Download CSV")).to_have_attribute("href", re.compile("session.csv"))
        with page.expect_download() as made:
            page.get_by_role("link", name="Download CSV").click()
        assert made.value.path().read_text().startswith("time,lowest,highest,last,anomaly_score")


def test_events_are_listed_and_marked_on_the_curve(shown: Shown, chromium: Browser) -> None:
    """The latest event is first; a click shows its series, whose curve has a ring or a mark at the time of each."""
    with visit(chromium, f"{shown.url}/?series=pump-1%2Frpm&horizon=1") as page:
        drawn(page)
        rows = page.locator(".events li:not(.hidden)")
        expect(rows.nth(0)).to_contain_text("Crossing expected")
        expect(rows.nth(0)).to_contain_text("above 90.00, probability 80%")
        expect(rows.nth(1)).to_contain_text("Drift begins")
        expect(rows.nth(2)).to_contain_text("Anomaly")
        rows.nth(1).get_by_role("link").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("pump-0/rpm")
        marked: Any = lambda: [  # noqa: E731
            (line["xAxis"], line["label"]["formatter"])
            for each in options(page)["series"]
            for line in each.get("markLine", {}).get("data", [])
        ]
        until(lambda: (START + 295 * MINUTE, "Drift begins, Crossing expected") in marked(), "the mark", PATIENCE)
        past = shown.get("/series/pump-0/rpm/history")[1]
        expected = [t for t, s in zip(past["time"], past["anomaly_score"], strict=True) if s >= 1]
        assert expected

        def rings() -> list[int]:
            found = source(page)
            return [t for t, value in zip(found["time"], found["anomaly"], strict=True) if value is not None]

        until(lambda: rings() == expected, "the rings", PATIENCE)
        page.get_by_role("button", name="This series").click()
        expect(rows.filter(has_not_text="pump-0/rpm")).to_have_count(0)
        expect(rows.nth(0)).to_contain_text("Crossing expected")


def test_explanations_are_shown_on_demand(shown: Shown, chromium: Browser) -> None:
    """Members in the order of their weights at the chosen horizon, seasons, causes, and since when it drifts."""
    with visit(chromium, f"{shown.url}{PUMP}&horizon=1") as page:
        drawn(page)
        expect(page.locator(".explain")).to_be_hidden()
        page.get_by_role("button", name="Explain").click()
        members = page.locator(".member:not(.hidden)")
        expect(members.nth(0)).to_have_text(re.compile(r"Recurrent network\s*70\.0%"))
        expect(members.nth(1)).to_have_text(re.compile(r"The same phase of the short season\s*30\.0%"))
        panel = page.locator(".explain")
        expect(panel).to_contain_text("1 d, found in the values; forecasts by it alone are 42% better than persistence")
        expect(panel).to_contain_text("The latest changes are 1.800 times as large as usual")
        expect(panel).to_contain_text("Drifting for 5 observations")
        page.get_by_role("button", name="3", exact=True).click()
        expect(members.nth(0)).to_have_text(re.compile(r"60\.0%"))
    assert shown.get("/series/pump-0/rpm/explain")[1]["causes"] == [{"cause": "volatile", "amount": 1.8}]


def test_dead_letters_have_a_reason_and_an_example(shown: Shown, chromium: Browser) -> None:
    """The example is masked, and stands with its position."""
    with visit(chromium, f"{shown.url}/") as page:
        letters = page.get_by_role("region", name="Dead letters")
        expect(letters).to_contain_text("missing_key")
        expect(letters).to_contain_text("last at offset 812 of sensors/0")
        expect(letters.locator("code.example").first).to_have_text('{"host": "…", "load": ["…"]}')
        assert "secret" not in page.content()


def test_honest_states(chromium: Browser) -> None:
    """An empty page says what is missing, a silent daemon and a lost connection are said, and a stale series is."""
    with closing(Shown(history=60)) as made:
        made.serves()
        made.state = WorkerState(unready="no partition is assigned", compiling=True)
        with visit(chromium, f"{made.url}/") as page:
            expect(page.locator(".empty")).to_contain_text("Still compiling")
            expect(page.locator(".state")).to_have_text("compiling")
            made.state = WorkerState(unready="input topics that do not exist: sensors")
            expect(page.locator(".empty")).to_contain_text("Input topics that do not exist: sensors.")
            expect(page.locator(".notice")).to_be_hidden()  # the empty panel has the same words
            made.state = WorkerState()
            expect(page.locator(".empty")).to_contain_text("No records yet")
            made.feed.stepped(StepReport(TASK, records=12, dead_letters=Counter(not_json=12)))
            expect(page.locator(".empty")).to_contain_text("All records were refused")
            expect(page.locator(".empty")).to_contain_text("12 records from sensors, none usable: not_json")
            made.send(3)
            expect(page.locator(".unscored")).to_contain_text("known once 30 forecasts can be compared")
            made.state = WorkerState(unready="not restored yet: sensors/1")
            expect(page.locator(".notice")).to_have_text("Not all records are processed: not restored yet: sensors/1.")
            made.state = WorkerState()
            made.send(60, names=("pump-0/rpm",))
            # by the element, not by its place: the list may be sorted again before the mouse is there
            page.get_by_role("link", name="pump-1/rpm", exact=True).first.evaluate("link => link.click()")
            expect(page.locator(".stale")).to_have_text(re.compile(r"Stale: no observation for 1 h of event time"))
            expect(page.locator(".events li").first).to_contain_text("Silent")
            page.get_by_role("link", name="pump-0/rpm", exact=True).first.evaluate("link => link.click()")
            expect(page.locator(".unscored")).to_be_hidden()
            made.feed.close()
            expect(page.locator(".state")).to_have_text("the daemon does not answer")
            expect(page.locator(".notice")).to_contain_text("what is shown is old")


@pytest.mark.long
def test_a_lost_connection_is_said(chromium: Browser) -> None:
    """A browser whose page's process is gone says so instead of `live`, and goes on by itself."""
    with closing(Shown()) as made:
        made.serves()
        made.send(5)
        with closing(chromium.new_page()) as page:
            page.goto(f"{made.url}/")
            drawn(page)
            expect(page.locator(".lost")).to_be_hidden()
            child = made.process._child.process
            assert child is not None
            child.kill()
            expect(page.locator(".lost")).to_have_text(re.compile(r"disconnected since \d\d:\d\d:\d\d"))
            expect(page.locator(".lost")).to_be_visible()
            expect(page.locator(".state")).to_be_hidden()
            expect(page.locator(".state")).to_be_visible(timeout=PATIENCE * 1000)


@pytest.mark.parametrize("count", [1_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_many_series_are_sorted_and_paged(chromium: Browser, count: int) -> None:
    """Any of them is found by its name, by page, or by its measure, each within seconds."""
    names = [f"pump-{number:06}/rpm" for number in range(count)]
    with closing(Shown(history=5, memory=4 << 30)) as made:
        made.serves()
        for first in range(0, count, 10_000):  # fewer than may wait
            rows = range(first, min(first + 10_000, count))
            observed = wave(rows, 1, names=names[rows.start : rows.stop])
            observed.anomaly[:] = [2.5 if row == 777 else 0.0 for row in rows]
            made.feed.stepped(report(observed))
            until(lambda last=rows.stop: made.get("/status")[1]["series"] == last, "the series", PATIENCE)
        with visit(chromium, f"{made.url}/") as page:
            rows = page.locator(".list a:not(.hidden)")
            expect(page.get_by_text(f"1–12 of {count:,}")).to_be_visible()  # noqa: RUF001
            begun = time.monotonic()
            page.get_by_role("button", name="Next").click()
            expect(rows.nth(0)).to_contain_text("pump-000012/rpm")
            page.get_by_role("button", name="Anomalous").click()
            expect(rows.nth(0)).to_contain_text("pump-000777/rpm")
            expect(rows.nth(0)).to_contain_text("2.500")
            page.get_by_role("button", name="All", exact=True).first.click()
            page.get_by_label("Search series").fill("PUMP-00099")
            expect(page.get_by_text(f"1–12 of {count:,}")).to_be_hidden()  # noqa: RUF001
            expect(rows).to_have_count(10)
            assert time.monotonic() - begun < 20
        total = made.get(f"/series?sort=silence&offset={count - 2}&limit=5")[1]
        assert (total["total"], len(total["series"])) == (count, 2)


@pytest.mark.long
def test_long_names_are_whole(chromium: Browser) -> None:
    """A long name is wrapped rather than cut, and no part of the page becomes wider."""
    long = "plant-" + "x" * 150 + "/temperature"
    with closing(Shown()) as made:
        made.serves()
        made.send(3, names=(long, "a/b"))
        with visit(chromium, f"{made.url}/?series=a%2Fb", width=390) as page:
            link = page.get_by_role("link", name=long).first
            link.focus()
            name = link.locator(".series")
            assert name.evaluate("element => element.scrollHeight <= element.clientHeight + 1")
            assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_phone_shows_the_chart_first(shown: Shown, chromium: Browser) -> None:
    """The chart is on the first screen, before list, events and figures."""
    with visit(chromium, shown.url + PUMP, width=390) as page:
        drawn(page)
        tops = [page.locator(each).first.bounding_box() for each in (".chart", ".list", ".events", ".tiles")]
        heights = [box["y"] for box in tops if box is not None]
        assert heights == sorted(heights)
        assert tops[0] is not None
        assert tops[0]["y"] + tops[0]["height"] < 850


def serious(page: Page) -> list[tuple[str, list[str]]]:
    """Return the serious findings of axe-core, with their elements."""
    page.add_script_tag(path=AXE)
    found = page.evaluate("() => axe.run({resultTypes: ['violations']})")["violations"]
    return [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1440, "dark"),
        *(pytest.param(*each, marks=pytest.mark.long) for each in [(390, "light"), (390, "dark"), (1440, "light")]),
    ],
)
def test_the_page_is_accessible(shown: Shown, chromium: Browser, width: int, scheme: str) -> None:
    """axe-core has no serious finding with everything open."""
    with visit(chromium, f"{shown.url}{PUMP}&horizon=fan", width=width, scheme=scheme) as page:
        drawn(page)
        page.get_by_role("button", name="Explain").click()
        expect(page.locator(".member:not(.hidden)").first).to_be_visible()
        assert serious(page) == []
