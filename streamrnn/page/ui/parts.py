"""The parts of the page: each creates its elements once, then updates what changed. Text is never parsed as HTML."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from streamrnn.page.data.store import Store
from streamrnn.page.ui import chart, formatting

ROWS = 12
"""Series in the list at a time."""
NEUTRAL = 0.005
"""Skills within this of 0 are coloured neither good nor bad."""


def text_element(tag: str, classes: str = "", text: str = "") -> TextElement:
    """Return an element with text."""
    return TextElement(tag=tag, text=text).classes(classes)


def container(tag: str = "div", classes: str = "") -> ui.element:
    """Return an element for other elements."""
    return ui.element(tag).classes(classes)


def button(label: str, on_click: Callable[[], None] | None = None, script: str = "") -> TextElement:
    """Return a button that calls a function on the server, or runs a script in the browser."""
    element = text_element("button", "button", label).props("type=button")
    if on_click is not None:
        element.on("click", lambda _: on_click(), args=[])
    if script:
        element.on("click", js_handler=script)
    return element


def set_text(element: TextElement, text: str) -> None:
    """Set the text of an element if it changed."""
    if element.text != text:
        element.set_text(text)


def set_visible(element: ui.element, *, visible: bool) -> None:
    """Show or hide an element."""
    if visible == ("hidden" in element.classes):
        element.classes(remove="hidden") if visible else element.classes(add="hidden")


def set_skill(element: TextElement, skill: float | None) -> None:
    """Show a skill, coloured by whether it is good."""
    set_text(element, formatting.percent(skill))
    value = 0.0 if skill is None or np.isnan(skill) else skill
    color = "good" if value > NEUTRAL else "bad" if value < -NEUTRAL else "none"
    if color not in element.classes:
        element.classes(remove="good bad none", add=color)


def set_pressed(buttons: Sequence[TextElement], chosen: int) -> None:
    """Mark one of several buttons as chosen."""
    for number, element in enumerate(buttons):
        _set_property(element, "aria-pressed", str(number == chosen).lower())


def _set_property(element: ui.element, name: str, value: Any) -> None:
    if element.props.get(name) != value:
        element.props[name] = value


class Tiles:
    """The figures of the whole daemon."""

    def __init__(self, store: Store) -> None:
        self._store = store
        names = {
            "rate": "Records per second",
            "lag": "Records waiting",
            "series": "Series",
            "skill": "Median skill",
            "coverage": _outermost(store, "Coverage of {}%", "Coverage"),
            "dead": "Dead letters",
        }
        self._numbers: dict[str, TextElement] = {}
        with container("section", "tiles").props('aria-label="The daemon"'):
            for key, name in names.items():
                with container(classes="tile"):
                    text_element("div", "name", name)
                    self._numbers[key] = text_element("div", "number")
        self.update()

    def update(self) -> None:
        """Show the current data."""
        traffic, rate, tasks = self._store.traffic, self._store.traffic.rate(), self._store.traffic.tasks()
        skill, coverage = self._store.cache.get("median", self._store.median_scores)
        texts = {
            "rate": f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}",
            "lag": f"{sum(task.lag for task in tasks):,}" if tasks else formatting.NOTHING,
            "series": f"{self._store.history.slots.occupied:,}",
            "skill": formatting.percent(skill),
            "coverage": formatting.percent(coverage),
            "dead": f"{traffic.dead_letters:,}",
        }
        for key, text in texts.items():
            set_text(self._numbers[key], text)


class SeriesList:
    """The list of series, by name, worst or best first, with a search.

    `select` is called with a chosen slot; `link` returns the address of a slot.
    """

    def __init__(self, store: Store, select: Callable[[int], None], link: Callable[[int], str]) -> None:
        self._store, self._select, self._link = store, select, link
        self._sort, self._search = "name", ""
        self._chosen: int | None = None
        self._slots: list[int] = []
        with container("aside", "card").props('aria-label="Series"'):
            search = ui.input(placeholder="Search series").props(
                'outlined dense clearable debounce=200 type=search aria-label="Search series"'
            )
            search.classes("search w-full").on_value_change(lambda event: self._set_search(event.value or ""))
            with container(classes="choices"):
                self._sorts = {
                    sort: button(label, partial(self._set_sort, sort))
                    for sort, label in {"name": "All", "worst": "Worst", "best": "Best"}.items()
                }
            with container("nav", "list").props('aria-label="Series"'):
                self._rows = [self._build_row(number) for number in range(ROWS)]
            self._note = text_element("div", "foot")

    def _build_row(self, number: int) -> tuple[ui.element, TextElement, TextElement]:
        row = container("a")
        # a plain click stays on the page; one that opens another tab follows the link
        with row.on("click.prevent", lambda _: self._click(number), args=[]):
            return row, text_element("span", "series"), text_element("span", "number")

    def _click(self, number: int) -> None:
        if number < len(self._slots):  # a browser may send an outdated or invalid number
            self._select(self._slots[number])

    def _set_search(self, search: str) -> None:
        self._search = search
        self.update(self._chosen)

    def _set_sort(self, sort: str) -> None:
        self._sort = sort
        self.update(self._chosen)

    def update(self, chosen: int | None) -> None:
        """Show the current data; `chosen` is the slot of the series in the panel."""
        self._chosen = chosen
        query = (self._search, self._sort, ROWS)
        total, slots = self._store.cache.get(query, lambda: self._store.search(*query))
        self._slots = [slot for slot in slots if self._store.history.slots.series[slot] is not None]
        set_pressed(list(self._sorts.values()), list(self._sorts).index(self._sort))
        for number, (row, name, skill) in enumerate(self._rows):
            set_visible(row, visible=number < len(self._slots))
            if number < len(self._slots):
                slot = self._slots[number]
                summary = self._store.summary(slot)
                set_text(name, summary.series)
                set_skill(skill, summary.skill)
                _set_property(row, "href", self._link(slot))
                _set_property(row, "title", summary.series)
                _set_property(row, "aria-current", str(slot == chosen).lower())
        set_text(self._note, self._note_on(total))

    def _note_on(self, total: int) -> str:
        more = total - len(self._slots)
        if more:
            return f"and {more:,} more; search to find them"
        if total:
            return "Skill: how much smaller the error is than that of persistence."
        if self._search:
            return "No series name contains this text."
        if self._sort == "name":
            return "No series yet."
        return "No series has been scored yet; scoring needs about thirty matured forecasts."


class SeriesPanel:
    """One series: its chart, and a table of its current forecasts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._drawn: tuple[int, int, int] | None = None
        with container(classes="legend").props("aria-hidden=true"):
            for color, name in ((chart.OBSERVED, "observed"), (chart.FORECAST, "forecast (median)")):
                with container("span"):
                    container("i").style(f"background:{color}")
                    text_element("span", "", name)
            for number, (_, _, percent) in enumerate(chart.bands(store.history.levels)):
                with container("span"):
                    container("i", "band").style(f"opacity:{0.17 * (number + 1):.2f}")
                    text_element("span", "", f"{percent}% interval")
            with container("span"):
                container("i", "ring")
                text_element("span", "", "anomaly")
        self._chart = ui.echart({}).classes("chart").props("role=img")
        self._cells = self._build_table()

    def _build_table(self) -> list[list[TextElement]]:
        interval = _outermost(self._store, "{}% interval", "Interval")
        heads = (("Forecast", ""), ("Median", ""), (interval, ""), ("Skill", ""), ("Coverage", "wide"))
        cells = []
        with container("table", "table"):
            with container("thead"), container("tr"):
                for head, classes in heads:
                    text_element("th", classes, head).props("scope=col")
            with container("tbody"):
                for horizon in self._store.history.horizons:
                    with container("tr"):
                        text_element("td", "", formatting.quantified(horizon, "step"))
                        cells.append([text_element("td", f"number {classes}") for _, classes in heads[1:]])
        return cells

    def update(self, slot: int, horizon: int, name: str) -> None:
        """Show the series in a slot, and the horizon with this index."""
        history = self._store.history
        drawn = (slot, horizon, int(history.count[slot]))
        if drawn == self._drawn:
            return
        self._drawn = drawn
        present = history.present(slot)
        if not self._chart.options:  # ECharts cannot draw options without data
            self._chart.options.update(chart.chart_options(history.levels))
        chart.fill_chart(self._chart.options, chart.chart_columns(history, slot, horizon), present.time)
        steps = formatting.quantified(history.horizons[horizon], "step")
        _set_property(self._chart, "aria-label", f"{name}: observed values, and forecasts made {steps} before")
        self._chart.update()
        skill, coverage = history.scores.skill(slot), history.scores.coverage(slot)
        for k, (median, interval, skill_cell, coverage_cell) in enumerate(self._cells):
            set_text(median, formatting.quantity(float(present.quantiles[k, history.median])))
            low, high = present.quantiles[k, [0, -1]].tolist()
            set_text(interval, f"{formatting.quantity(low, high)} … {formatting.quantity(high, low)}")
            set_skill(skill_cell, float(skill[k]))
            set_text(coverage_cell, formatting.percent(float(coverage[k])))


class Footer:
    """The limits of what the page shows, and links to the API."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with container("footer", "foot"):
            self._limits = text_element("div")
            with container("div"):
                text_element("span", "", "As JSON: ")
                for target, name in (("/series", "series"), ("/status", "status"), ("/openapi.json", "description")):
                    text_element("a", "", name).props(f"href={target}")
                    text_element("span", "", " ")
        self.update()

    def update(self) -> None:
        """Show the current data."""
        slots, traffic = self._store.history.slots, self._store.traffic
        last, lost = (
            formatting.quantified(number, "observation") for number in (self._store.history.history, traffic.lost)
        )
        parts = [f"Stores the last {last} of up to {formatting.quantified(slots.capacity, 'series', 'series')}."]
        if slots.excluded:
            parts.append(f"{formatting.quantified(slots.excluded, 'series', 'series')} left out (page.memory).")
        if slots.evicted:
            parts.append(f"{slots.evicted:,} displaced after a silence.")
        if traffic.lost:
            parts.append(f"{lost} not shown: they came faster than the page could process them.")
        set_text(self._limits, " ".join(parts))


def _outermost(store: Store, template: str, default: str) -> str:
    """Return the template with the percentage of the outermost interval, or the default if there is no interval."""
    bands = chart.bands(store.history.levels)
    return template.format(bands[0][2]) if bands else default
