"""The list of series: searched, sorted and paged by the page's process, however many there are."""

from collections.abc import Callable
from functools import partial

import numpy as np
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from streamrnn.page.data.store import FoundSeries, Sort, Store
from streamrnn.page.ui import formatting
from streamrnn.page.ui.elements import (
    button,
    container,
    set_color,
    set_pressed,
    set_property,
    set_skill,
    set_text,
    set_visible,
    text_element,
)

ROWS_PER_PAGE = 12
"""Series in the list at a time."""
SORTS: dict[Sort, str] = {
    "name": "All", "worst": "Worst", "best": "Best", "anomaly": "Anomalous", "silence": "Silent", "width": "Widest",
}  # fmt: skip
NOTES: dict[Sort, str] = {
    "anomaly": "Highest anomaly score of the last 12 observations; an anomaly has 1 or more.",
    "silence": "Time since the last observation, up to the last one of all.",
    "width": "Width of the interval at the last horizon, in mean errors of persistence.",
}


class SeriesList:
    """The list. `select` is called with a chosen slot; `link` returns the address of a slot."""

    def __init__(self, store: Store, select: Callable[[int], None], link: Callable[[int], str]) -> None:
        self._store, self._select, self._link = store, select, link
        self._sort: Sort = "name"
        self._search, self._first, self._total = "", 0, 0
        self._chosen: int | None = None
        self._slots: list[int] = []
        with container("section", "card").props('aria-label="Series"'):
            search = ui.input(placeholder="Search series").props(
                'outlined dense clearable debounce=200 type=search aria-label="Search series"'
            )
            search.classes("search w-full").on_value_change(lambda event: self._set_search(event.value or ""))
            with container(classes="choices").props('role=group aria-label="Sort by"'):
                self._sorts = [button(label, partial(self._set_sort, sort)) for sort, label in SORTS.items()]
            self._list = container("nav", "list").props('aria-label="Series"')
            self._rows: list[tuple[ui.element, TextElement, TextElement]] = []
            self._pages = container(classes="choices")
            with self._pages:
                self._back = button("Previous", partial(self._turn, -ROWS_PER_PAGE))
                self._position = text_element("span", "quiet")
                self._next = button("Next", partial(self._turn, ROWS_PER_PAGE))
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
        self._search, self._first = search, 0
        self.update(self._chosen)

    def _set_sort(self, sort: Sort) -> None:
        self._sort, self._first = sort, 0
        self.update(self._chosen)

    def _turn(self, rows: int) -> None:
        if 0 <= self._first + rows < self._total:
            self._first += rows
            self.update(self._chosen)

    def update(self, chosen: int | None) -> None:
        """Show the current data; `chosen` is the slot of the series in the panel."""
        self._chosen = chosen
        found = self._find()
        if not found.slots and found.total:  # the list has become shorter
            self._first = 0
            found = self._find()
        self._total = found.total
        self._slots = [slot for slot in found.slots if self._store.history.slots.series[slot] is not None]
        set_pressed(self._sorts, list(SORTS).index(self._sort))
        with self._list:
            self._rows += [self._build_row(number) for number in range(len(self._rows), len(self._slots))]
        for number, (row, name, measure) in enumerate(self._rows):
            set_visible(row, visible=number < len(self._slots))
            if number < len(self._slots):
                slot = self._slots[number]
                series = self._store.history.slots.series_at(slot)
                set_text(name, series.name)
                self._show_measure(measure, slot)
                set_property(row, "href", self._link(slot))
                set_property(row, "title", series.name)
                set_property(row, "aria-current", str(slot == chosen).lower())
        self._show_position()

    def _find(self) -> FoundSeries:
        query = self._search, self._sort, ROWS_PER_PAGE, self._first
        return self._store.cache.get(query, lambda: self._store.search(*query))

    def _show_measure(self, element: TextElement, slot: int) -> None:
        measure = self._store.measure(self._sort)
        value = float(measure[slot]) if slot < len(measure) else np.nan
        if self._sort == "silence":
            set_text(element, formatting.time_span(value) if value else "now")
        elif self._sort == "width":
            set_text(element, formatting.NOTHING if np.isnan(value) else f"{formatting.quantity(value)} times")
        elif self._sort == "anomaly":
            set_text(element, formatting.quantity(value))
        else:
            set_skill(element, value)
            return
        set_color(element, "bad" if self._sort == "anomaly" and value >= 1 else "none")

    def _show_position(self) -> None:
        paged = self._total > ROWS_PER_PAGE
        set_visible(self._pages, visible=paged)
        if paged:
            set_text(self._position, f"{self._first + 1:,}–{self._first + len(self._slots):,} of {self._total:,}")  # noqa: RUF001
            set_property(self._back, "disabled", self._first == 0)
            set_property(self._next, "disabled", self._first + ROWS_PER_PAGE >= self._total)
        set_text(self._note, self._note_on(self._total))

    def _note_on(self, total: int) -> str:
        if total:
            return NOTES.get(self._sort, "Skill: how much smaller the error is than that of persistence.")
        unscored = self._sort in {"name", "anomaly", "silence"}  # lists of all series
        if self._search:
            return f"No {'series' if unscored else 'scored series'} has this text in its name."
        if unscored:
            return "No series yet."
        return "No series has been scored yet; scoring needs about thirty matured forecasts."
