"""The report in a browser: no errors, no requests, working controls, and printing."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from support.chromium import chromium, keep
from support.process import until
from support.reports import HOLE, WIDTH, made_report

SERIES = ["pump-0/<b>rpm", "pump-1/x", "pump-1/y", "pump-2/&lt;", "pump-3/\"'"]
PATIENCE = 120_000  # ms
A4_PIXELS = 690
"""Width of the paper without margins, as in the style sheet."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a report on two files with series long enough to be thinned."""
    path = tmp_path_factory.mktemp("report") / "r.html"
    path.write_text(made_report([("a.csv", SERIES[:3]), ("b.csv", SERIES[3:])], 1700), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start one browser for all tests of this module."""
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Open the page with the test's options; afterwards assert that it logged no error and made no request."""
    context = browser.new_context(**getattr(request, "param", {}))
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    errors: list[str] = []
    requested: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda each: requested.append(each.url))
    page.goto(report.as_uri())
    yield page
    keep(page)
    context.close()
    assert errors == []
    assert [url for url in requested if not url.startswith(("blob:", "data:"))] == [report.as_uri()]


def chart(page: Any, number: int) -> Any:
    """Return the chart of a series once it is drawn."""
    element = page.locator(f'[data-series="{number}"]')
    element.scroll_into_view_if_needed()
    element.locator(".main-svg").first.wait_for()
    return element


def visible_range(element: Any) -> list[float]:
    """Return the visible range of the time axis, ms."""
    found: list[float] = element.evaluate("e => e._fullLayout.xaxis._rl")
    return found


@pytest.mark.long
def test_every_chart_is_drawn_when_scrolled_to(opened: Any) -> None:
    """There are four charts of all series and one per series; names are displayed unchanged."""
    for number in range(opened.locator(".chart").count()):
        element = opened.locator(".chart").nth(number)
        element.scroll_into_view_if_needed()
        element.locator(".main-svg").first.wait_for()
        element.locator("path.js-line, .point").first.wait_for(state="attached")
    assert opened.locator(".chart").count() == 4 + len(SERIES)
    assert sorted(opened.locator("h4").all_inner_texts()) == SERIES
    assert opened.locator("fieldset input").count() == 3


def test_the_horizon_can_be_chosen(opened: Any) -> None:
    """Another horizon, chosen by mouse or keyboard, shows the forecasts made that many steps before."""
    element = chart(opened, 0)
    median = "e => Array.from(e.data.find((trace) => trace.name === 'median').y)"
    first = element.evaluate(median)
    opened.locator("fieldset input").nth(2).check()
    until(lambda: element.evaluate(median) != first, "the far horizon")
    far = element.evaluate(median)
    opened.keyboard.press("ArrowUp")
    expect(opened.locator("fieldset input").nth(1)).to_be_checked()
    until(lambda: element.evaluate(median) not in (first, far), "the horizon between")


@pytest.mark.long
def test_a_series_can_be_zoomed_by_keyboard_and_by_buttons(opened: Any) -> None:
    """The last 200 rows are shown initially; keys and buttons zoom and move."""
    element = chart(opened, 1)
    start, end = visible_range(element)
    assert end - start == (199 + WIDTH) * 60_000
    element.focus()
    opened.keyboard.press("0")
    until(lambda: visible_range(element) != [start, end], "everything")
    whole = visible_range(element)
    assert whole[1] == end == (1699 + WIDTH) * 60_000
    assert whole[0] < 60 * 60_000
    opened.keyboard.press("+")
    until(lambda: visible_range(element) != whole, "a part")
    inside = visible_range(element)
    assert whole[0] < inside[0] < inside[1] < whole[1]
    opened.keyboard.press("ArrowLeft")
    until(lambda: visible_range(element)[0] < inside[0], "what was before")
    buttons = opened.locator(".card").nth(1).locator("button")
    buttons.filter(has_text="Last 200").click()
    until(lambda: visible_range(element) == [start, end], "the last rows")
    box = element.bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 3, box["y"] + 60)
    opened.mouse.down()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60, steps=4)
    opened.mouse.up()
    opened.wait_for_function(
        "([e, least]) => e._fullLayout.xaxis._rl[0] > least", arg=[element.element_handle(), start]
    )
    assert visible_range(element)[1] < end


@pytest.mark.long
def test_a_hole_in_time_is_not_connected(opened: Any) -> None:
    """A long gap in the observations interrupts lines and intervals; thinned rows are still connected."""
    element = chart(opened, 0)
    before, after = (HOLE - 1) * 60_000, (HOLE + WIDTH) * 60_000
    for name in ("observed", "median"):
        times = element.evaluate("(e, name) => Array.from(e.data.find((trace) => trace.name === name).x)", name)
        assert times[times.index(before) + 1] is None
        assert times.index(after) == times.index(before) + 2
        assert times.count(None) == 2  # the other one is at the end
    band = element.evaluate("e => Array.from(e.data[0].x)")
    assert band.count(None) == 2
    assert all(time <= before for time in band[: band.index(None)])


@pytest.mark.long
def test_anomalies_and_alarms_are_marked(opened: Any) -> None:
    """Each anomaly has a ring around its value, each drift alarm a line at its time."""
    element = chart(opened, 0)
    rings = element.evaluate(
        "e => { const t = e.data.find((t) => t.name === 'anomaly'); return [t.x, t.y].map((a) => [...a]); }"
    )
    observed = element.evaluate(
        "e => { const t = e.data.find((t) => t.name === 'observed'); return [t.x, t.y].map((a) => [...a]); }"
    )
    values = dict(zip(*observed, strict=True))
    assert len(rings[0]) == 17
    assert all(values[time] == value for time, value in zip(*rings, strict=True))
    assert element.evaluate("e => e.layout.shapes.map((each) => each.x0)") == [
        60_000 * (row + WIDTH * (row >= HOLE)) for row in range(151, 1700, 200)
    ]


@pytest.mark.long
def test_the_fields_of_a_key_can_be_expanded(opened: Any) -> None:
    """A button with the key's name expands and collapses the lines of its fields."""
    fields, button = opened.locator("tr.field"), opened.get_by_role("button", name="Fields of pump-1", exact=True)
    assert [fields.nth(number).is_visible() for number in range(fields.count())] == [False, False]
    assert button.get_attribute("aria-expanded") == "false"
    button.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    assert [fields.nth(number).is_visible() for number in range(fields.count())] == [True, True]
    assert fields.locator("th").all_inner_texts() == ["x", "y"]


@pytest.mark.parametrize(
    "opened", [{"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}], indirect=True
)
def test_it_fits_a_phone(opened: Any) -> None:
    """At 390 pixels only tables, which scroll in boxes of their own, are wider than the screen."""
    chart(opened, len(SERIES) - 1)
    assert opened.evaluate("document.documentElement.scrollWidth") == 390
    for element in opened.locator(".chart").all():
        assert element.bounding_box()["width"] <= 390
    opened.locator("#theme").tap()
    assert opened.evaluate("document.documentElement.dataset.theme") == "dark"


def ink(element: Any) -> int:
    """Return the brightness of a chart's text, 0 to 255."""
    fill = element.evaluate("e => getComputedStyle(e.querySelector('.xtick text')).fill")
    return int(re.findall(r"\d+", fill)[0])


@pytest.mark.long
@pytest.mark.parametrize("opened", [{"color_scheme": "dark"}], indirect=True)
def test_the_theme_follows_the_screen_and_is_light_on_paper(opened: Any, tmp_path: Path) -> None:
    """Printing draws every chart at the width of the paper in dark ink, and restores the theme afterwards."""
    element = chart(opened, 0)
    assert ink(element) > 120
    opened.evaluate(
        """() => addEventListener("beforeprint", () => {
            window.printed = [...document.querySelectorAll(".chart")].map((chart) => ({
                drawn: chart.querySelectorAll(".main-svg").length, width: chart._fullLayout?.width,
                ink: getComputedStyle(chart.querySelector(".xtick text")).fill }));
        })"""
    )
    path = tmp_path / "r.pdf"
    opened.pdf(path=path, prefer_css_page_size=True)
    printed = opened.evaluate("window.printed")
    assert len(printed) == 4 + len(SERIES)
    for each in printed:
        assert each["drawn"]
        assert A4_PIXELS / 3 < each["width"] <= A4_PIXELS
        assert int(re.findall(r"\d+", each["ink"])[0]) < 120
    assert path.read_bytes().startswith(b"%PDF")
    assert opened.evaluate("document.documentElement.dataset.theme") == "dark"
    assert ink(element) > 120
