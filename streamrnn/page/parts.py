"""The parts of the page: each makes its elements once, and changes only what has changed. What is text stays text."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from streamrnn.page import chart, formatting
from streamrnn.page.store import Store

ROWS = 12
"""Series in the list at once."""
NEITHER = 0.005
"""Shares within this of 0 count as neither good nor bad."""


def text(tag: str, classes: str = "", words: str = "") -> TextElement:
    """An element that holds text."""
    return TextElement(tag=tag, text=words).classes(classes)


def box(tag: str = "div", classes: str = "") -> ui.element:
    """An element that holds others."""
    return ui.element(tag).classes(classes)


def button(words: str, on_click: Callable[[], None] | None = None, script: str = "") -> TextElement:
    """A button that tells the server, or runs a script in the browser."""
    made = text("button", "button", words).props("type=button")
    if on_click is not None:
        made.on("click", lambda _: on_click(), args=[])
    if script:
        made.on("click", js_handler=script)
    return made


def tell(element: TextElement, words: str) -> None:
    """Change a text, where it has changed."""
    if element.text != words:
        element.set_text(words)


def show(element: ui.element, *, shown: bool) -> None:
    """Show an element, or hide it."""
    if shown == ("hidden" in element.classes):
        element.classes(remove="hidden") if shown else element.classes(add="hidden")


def colored(element: TextElement, share: float | None) -> None:
    """Write a skill, in the colour of what it means."""
    tell(element, formatting.percent(share))
    value = 0.0 if share is None or np.isnan(share) else share
    wanted = "good" if value > NEITHER else "bad" if value < -NEITHER else "none"
    if wanted not in element.classes:
        element.classes(remove="good bad none", add=wanted)


class Tiles:
    """What the daemon as a whole does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        bands = chart.bands(store.history.levels)
        names = {
            "rate": "Records a second",
            "lag": "Records waiting",
            "series": "Series",
            "skill": "Median skill",
            "coverage": f"Coverage of {bands[0][2]}%" if bands else "Coverage",
            "dead": "Dead letters",
        }
        self._numbers: dict[str, TextElement] = {}
        with box("section", "tiles").props('aria-label="The daemon"'):
            for key, name in names.items():
                with box(classes="tile"):
                    text("div", "name", name)
                    self._numbers[key] = text("div", "number")
        self.update()

    def update(self) -> None:
        """Show what is so now."""
        traffic, tasks = self._store.traffic, self._store.traffic.tasks()
        tell(self._numbers["rate"], f"{traffic.rate():,.1f}" if traffic.rate() < 100 else f"{traffic.rate():,.0f}")
        tell(self._numbers["lag"], f"{sum(task.lag for task in tasks):,}" if tasks else formatting.NOTHING)
        tell(self._numbers["series"], f"{self._store.history.places.held:,}")
        skill, coverage = self._store.lately.ask("middle", self._store.middle)
        tell(self._numbers["skill"], formatting.percent(skill))
        tell(self._numbers["coverage"], formatting.percent(coverage))
        tell(self._numbers["dead"], f"{traffic.dead_letters:,}")


class Chooser:
    """The list of series: the worst, the best, or by name, and a search among them."""

    def __init__(self, store: Store, choose: Callable[[int], None], link: Callable[[int], str]) -> None:
        self._store, self._choose, self._link = store, choose, link
        self._sort, self._search = "name", ""
        self._chosen: int | None = None
        self._places: list[int] = []
        self._rows: list[tuple[ui.element, TextElement, TextElement]] = []
        with box("aside", "card").props('aria-label="Series"'):
            search = ui.input(placeholder="Search series").props(
                'outlined dense clearable debounce=200 type=search aria-label="Search series"'
            )
            search.classes("search w-full").on_value_change(lambda event: self._look_for(event.value or ""))
            with box(classes="choices"):
                self._sorts = {
                    sort: button(words, partial(self._by, sort))
                    for sort, words in {"name": "All", "worst": "Worst", "best": "Best"}.items()
                }
            with box("nav", "list").props('aria-label="Series"'):
                for number in range(ROWS):
                    self._rows.append(self._row(number))
            self._note = text("div", "foot")

    def _row(self, number: int) -> tuple[ui.element, TextElement, TextElement]:
        row = box("a")
        # a plain click stays on the page; one that opens another tab goes to the link
        with row.on("click.prevent", lambda _: self._pick(number), args=[]):
            return row, text("span", "series"), text("span", "number")

    def _pick(self, number: int) -> None:
        if number < len(self._places):  # what a browser says may be late, or made up
            self._choose(self._places[number])

    def _look_for(self, search: str) -> None:
        self._search = search
        self.update(self._chosen)

    def _by(self, sort: str) -> None:
        self._sort = sort
        self.update(self._chosen)

    def update(self, chosen: int | None) -> None:
        """Show what is so now; `chosen` is the place of the series that is shown."""
        self._chosen = chosen
        question = (self._search, self._sort, ROWS)
        total, places = self._store.lately.ask(question, lambda: self._store.listed(*question))
        self._places = [place for place in places if self._store.history.places.series[place] is not None]
        for sort, made in self._sorts.items():
            _property(made, "aria-pressed", str(sort == self._sort).lower())
        for number, (row, name, skill) in enumerate(self._rows):
            shown = number < len(self._places)
            show(row, shown=shown)
            if shown:
                place = self._places[number]
                line = self._store.line(place)
                tell(name, line.series)
                colored(skill, line.skill)
                _property(row, "href", self._link(place))
                _property(row, "title", line.series)
                _property(row, "aria-current", str(place == chosen).lower())
        tell(self._note, self._words(total))

    def _words(self, total: int) -> str:
        more = total - len(self._places)
        if more:
            return f"and {more:,} more; search to find them"
        if total:
            return "Skill: share of persistence's error that is saved."
        if self._search:
            return "No series has such a name."
        scored = "No series has been scored yet: that takes some thirty matured forecasts."
        return "No series yet." if self._sort == "name" else scored


class Picture:
    """One series: the chart, and a table of what is forecast now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._drawn: tuple[int, int, int] | None = None
        with box(classes="legend").props("aria-hidden=true"):
            for color, name in ((chart.OBSERVED, "observed"), (chart.FORECAST, "forecast (median)")):
                with box("span"):
                    box("i").style(f"background:{color}")
                    text("span", "", name)
            for number, (_, _, percent) in enumerate(chart.bands(store.history.levels)):
                with box("span"):
                    box("i", "band").style(f"opacity:{0.17 * (number + 1):.2f}")
                    text("span", "", f"{percent}% interval")
            with box("span"):
                box("i", "ring")
                text("span", "", "anomaly")
        self._chart = ui.echart({}).classes("chart").props("role=img")
        self._cells = self._table()

    def _table(self) -> list[list[TextElement]]:
        bands = chart.bands(self._store.history.levels)
        outer = f"{bands[0][2]}% interval" if bands else "Interval"
        heads = (("Forecast", ""), ("Median", ""), (outer, ""), ("Skill", ""), ("Coverage", "wide"))
        cells = []
        with box("table", "table"):
            with box("thead"), box("tr"):
                for head, kind in heads:
                    text("th", kind, head).props("scope=col")
            with box("tbody"):
                for horizon in self._store.history.horizons:
                    with box("tr"):
                        text("td", "", formatting.count(horizon, "step"))
                        cells.append([text("td", f"number {kind}") for _, kind in heads[1:]])
        return cells

    def update(self, place: int, horizon: int, name: str) -> None:
        """Show the series at a place, and the horizon with this index."""
        history = self._store.history
        drawn = (place, horizon, int(history.count[place]))
        if drawn == self._drawn:
            return
        self._drawn = drawn
        present = history.present(place)
        if not self._chart.options:  # series without numbers are more than ECharts can draw
            self._chart.options.update(chart.options(history.levels))
        chart.filled(self._chart.options, chart.columns(history, place, horizon), present.time)
        steps = formatting.count(history.horizons[horizon], "step")
        _property(self._chart, "aria-label", f"{name}: observed, and as forecast {steps} before")
        self._chart.update()
        skill, coverage = history.scores.skill(place), history.scores.coverage(place)
        middle = history.levels.index(0.5)
        for k, (median, interval, skilled, covered) in enumerate(self._cells):
            tell(median, formatting.quantity(float(present.quantiles[k, middle])))
            low, high = present.quantiles[k, [0, -1]].tolist()
            tell(interval, f"{formatting.quantity(low, high)} … {formatting.quantity(high, low)}")
            colored(skilled, float(skill[k]))
            tell(covered, formatting.percent(float(coverage[k])))


class Notes:
    """What of the stream the page does not show, and where else to look."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with box("footer", "foot"):
            self._held = text("div")
            with box("div"):
                text("span", "", "The same as JSON: ")
                for target, name in (("/series", "series"), ("/status", "status"), ("/openapi.json", "description")):
                    text("a", "", name).props(f"href={target}")
                    text("span", "", " ")
        self.update()

    def update(self) -> None:
        """Show what is so now."""
        places, traffic = self._store.history.places, self._store.traffic
        last = formatting.count(self._store.history.history, "observation")
        parts = [f"The last {last} of up to {_series(places.most)} are held."]
        if places.left_out:
            parts.append(f"{_series(places.left_out)} left out (page.memory).")
        if places.displaced:
            parts.append(f"{places.displaced:,} displaced after a silence.")
        if traffic.lost:
            parts.append(f"{formatting.count(traffic.lost, 'observation')} came faster than the page could take them.")
        tell(self._held, " ".join(parts))


def pressed(buttons: Sequence[TextElement], chosen: int) -> None:
    """Show which of several buttons is the chosen one."""
    for number, each in enumerate(buttons):
        _property(each, "aria-pressed", str(number == chosen).lower())


def _series(number: int) -> str:
    return formatting.count(number, "series", "series")


def _property(element: ui.element, name: str, value: Any) -> None:
    if element.props.get(name) != value:
        element.props[name] = value
