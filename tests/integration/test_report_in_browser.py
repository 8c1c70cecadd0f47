"""The report in a real browser: nothing is wrong, nothing is fetched, everything answers, and it can be printed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.chromium import chromium, keep
from support.reports import HOLE, WIDTH, made_report

SERIES = ["pump-0/<b>rpm", "pump-1/x", "pump-1/y", "pump-2/&lt;", "pump-3/\"'"]
PATIENCE = 120_000  # ms
A4_PIXELS = 690
"""A page's width less its margins, as the style has it."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on two files, long enough for its series to be thinned."""
    path = tmp_path_factory.mktemp("report") / "r.html"
    path.write_text(made_report([("a.csv", SERIES[:3]), ("b.csv", SERIES[3:])], 1700), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for all tests here."""
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, opened with the options that the test asks for; complaints and requests are looked at in the end."""
    context = browser.new_context(**getattr(request, "param", {}))
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda each: asked.append(each.url))
    page.goto(report.as_uri())
    yield page
    keep(page)
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("blob:", "data:"))] == [report.as_uri()]


def chart(page: Any, number: int) -> Any:
    """The chart of a series, drawn."""
    element = page.locator(f'[data-series="{number}"]')
    element.scroll_into_view_if_needed()
    element.locator(".main-svg").first.wait_for()
    return element


def seen(element: Any) -> list[float]:
    """The part of the time axis that is seen, ms."""
    found: list[float] = element.evaluate("e => e._fullLayout.xaxis._rl")
    return found


def test_every_chart_is_drawn_when_it_is_reached(opened: Any) -> None:
    """Four charts of all series, one of each series; names are shown as they are."""
    for number in range(opened.locator(".chart").count()):
        element = opened.locator(".chart").nth(number)
        element.scroll_into_view_if_needed()
        element.locator(".main-svg").first.wait_for()
        assert element.locator("path.js-line").count() >= 1 or element.locator(".point").count() >= 1
    assert opened.locator(".chart").count() == 4 + len(SERIES)
    assert sorted(opened.locator("h4").all_inner_texts()) == SERIES
    assert opened.locator("fieldset input").count() == 3


def test_the_horizon_can_be_chosen(opened: Any) -> None:
    """Another horizon draws what had been forecast that long before, by mouse and by keyboard."""
    element = chart(opened, 0)
    median = "e => Array.from(e.data.find((trace) => trace.name === 'median').y)"
    first = element.evaluate(median)
    opened.locator("fieldset input").nth(2).check()
    far = element.evaluate(median)
    assert far != first
    opened.keyboard.press("ArrowUp")
    assert opened.locator("fieldset input").nth(1).is_checked()
    assert element.evaluate(median) not in (first, far)


def test_a_series_can_be_zoomed_by_keyboard_and_by_buttons(opened: Any) -> None:
    """The last rows are seen at first; keys and buttons show more, less, earlier and later ones."""
    element = chart(opened, 1)
    start, end = seen(element)
    assert end - start == (199 + WIDTH) * 60_000
    element.focus()
    opened.keyboard.press("0")
    whole = seen(element)
    assert whole[1] == end == (1699 + WIDTH) * 60_000
    assert whole[0] < 60 * 60_000
    opened.keyboard.press("+")
    inside = seen(element)
    assert whole[0] < inside[0] < inside[1] < whole[1]
    opened.keyboard.press("ArrowLeft")
    assert seen(element)[0] < inside[0]
    buttons = opened.locator(".card").nth(1).locator("button")
    buttons.filter(has_text="Last 200").click()
    assert seen(element) == [start, end]
    box = element.bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 3, box["y"] + 60)
    opened.mouse.down()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60, steps=4)
    opened.mouse.up()
    opened.wait_for_function(
        "([e, least]) => e._fullLayout.xaxis._rl[0] > least", arg=[element.element_handle(), start]
    )
    assert seen(element)[1] < end


def test_a_hole_in_time_is_not_bridged(opened: Any) -> None:
    """Where nothing was observed for long, there is no line and no band; thinned rows are connected all the same."""
    element = chart(opened, 0)
    before, after = (HOLE - 1) * 60_000, (HOLE + WIDTH) * 60_000
    for name in ("truth", "median"):
        times = element.evaluate("(e, name) => Array.from(e.data.find((trace) => trace.name === name).x)", name)
        assert times[times.index(before) + 1] is None
        assert times.index(after) == times.index(before) + 2
        assert times.count(None) == 2  # the other one is at the end
    band = element.evaluate("e => Array.from(e.data[0].x)")
    assert band.count(None) == 2
    assert all(time <= before for time in band[: band.index(None)])


def test_anomalies_and_alarms_are_marked(opened: Any) -> None:
    """Each anomaly has a ring around its value, each alarm of drift a line at its time."""
    element = chart(opened, 0)
    rings = element.evaluate(
        "e => { const t = e.data.find((t) => t.name === 'anomaly'); return [t.x, t.y].map((a) => [...a]); }"
    )
    truth = element.evaluate(
        "e => { const t = e.data.find((t) => t.name === 'truth'); return [t.x, t.y].map((a) => [...a]); }"
    )
    values = dict(zip(*truth, strict=True))
    assert len(rings[0]) == 17
    assert all(values[time] == value for time, value in zip(*rings, strict=True))
    assert element.evaluate("e => e.layout.shapes.map((each) => each.x0)") == [
        60_000 * (row + WIDTH * (row >= HOLE)) for row in range(151, 1700, 200)
    ]


def test_fields_are_shown_on_demand(opened: Any) -> None:
    """The fields of a key have lines that open and close, and the button says whose they are."""
    fields, button = opened.locator("tr.field"), opened.get_by_role("button", name="Fields of pump-1", exact=True)
    assert [fields.nth(number).is_visible() for number in range(fields.count())] == [False, False]
    assert button.get_attribute("aria-expanded") == "false"
    button.press("Enter")
    assert [fields.nth(number).is_visible() for number in range(fields.count())] == [True, True]
    assert fields.locator("th").all_inner_texts() == ["x", "y"]
    assert button.get_attribute("aria-expanded") == "true"


@pytest.mark.parametrize(
    "opened", [{"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}], indirect=True
)
def test_it_fits_a_phone(opened: Any) -> None:
    """At 390 pixels nothing but tables, each in a box of its own, is wider than the screen."""
    chart(opened, len(SERIES) - 1)
    assert opened.evaluate("document.documentElement.scrollWidth") == 390
    for element in opened.locator(".chart").all():
        assert element.bounding_box()["width"] <= 390
    opened.locator("#theme").tap()
    assert opened.evaluate("document.documentElement.dataset.theme") == "dark"


def ink(element: Any) -> int:
    """How light the text of a chart is, 0 to 255."""
    fill = element.evaluate("e => getComputedStyle(e.querySelector('.xtick text')).fill")
    return int(re.findall(r"\d+", fill)[0])


@pytest.mark.parametrize("opened", [{"color_scheme": "dark"}], indirect=True)
def test_it_is_dark_where_the_screen_is_and_white_on_paper(opened: Any, tmp_path: Path) -> None:
    """Printing draws every chart, at the width of the page and in dark ink, and puts the screen back afterwards."""
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
