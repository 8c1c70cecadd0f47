"""The list of the latest anomalies, silences and events, of all series or of the shown one."""

from collections.abc import Callable
from functools import partial

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from streamrnn.page.data.occurrences import ANOMALY, SILENCE, Occurrence
from streamrnn.page.data.slots import SeriesId
from streamrnn.page.data.store import Store
from streamrnn.page.ui import formatting
from streamrnn.page.ui.elements import (
    button,
    container,
    set_class,
    set_pressed,
    set_property,
    set_text,
    set_visible,
    text_element,
)

ROWS_PER_PAGE = 6
"""OccurrenceLog in the list."""
NAMES = {ANOMALY: "Anomaly", SILENCE: "Silent"}
"""Names of kinds that are not those of their events."""


def kind_name(kind: str) -> str:
    """Return a kind of occurrence for people: Drift begins."""
    return NAMES.get(kind) or kind.replace("_", " ").capitalize()


def describe_occurrence(occurrence: Occurrence) -> str:
    """Return what happened besides its kind: value and score, or the expected crossing."""
    if crossing := occurrence.crossing:
        level = f"{crossing.get('direction', '')} {formatting.quantity(float(crossing.get('level', 0)))}"
        probability = crossing.get("probability")
        return level if probability is None else f"{level}, probability {formatting.percent(float(probability))}"
    if joint := occurrence.joint_anomaly:
        return f"score {joint.get('score', 0):.3g} of {joint.get('fields', 0)} fields"
    if occurrence.kind == SILENCE:
        return "no value since"
    value = "" if occurrence.value is None else formatting.quantity(occurrence.value)
    score = occurrence.anomaly_score
    return value if score is None else f"{value}, score {score:.3g}"


class OccurrenceList:
    """The list. `select` is called with the slot of a chosen series; `link` returns its address."""

    def __init__(self, store: Store, select: Callable[[int], None], link: Callable[[int], str]) -> None:
        self._store, self._select, self._link = store, select, link
        self._only_shown = False
        self._shown: SeriesId | None = None
        self._drawn: tuple[object, ...] = ()
        self._slots: list[int | None] = []
        with container("section", "card").props('aria-label="Events"'):
            with container(classes="line"):
                text_element("h2", "heading", "Events")
                with container(classes="choices").props('role=group aria-label="Events of"'):
                    self._scopes = [
                        button(label, partial(self._set_scope, only_shown=only))
                        for label, only in (("All series", False), ("This series", True))
                    ]
            self._list = container("ol", "events")
            self._rows: list[tuple[ui.element, TextElement, TextElement, TextElement, TextElement]] = []
            self._note = text_element("div", "foot")

    def _build_row(self, number: int) -> tuple[ui.element, TextElement, TextElement, TextElement, TextElement]:
        row = container("li", "hidden")
        with row:
            with container(classes="line"):
                kind, time = text_element("strong", "kind"), text_element("span", "quiet small number")
            with container(classes="line"):
                link = text_element("a", "series").on("click.prevent", lambda _: self._click(number), args=[])
                detail = text_element("span", "quiet small number")
        return row, kind, time, link, detail

    def _click(self, number: int) -> None:
        slot = self._slots[number] if number < len(self._slots) else None
        if slot is not None:
            self._select(slot)

    def _set_scope(self, *, only_shown: bool) -> None:
        self._only_shown = only_shown
        self.update(self._shown)

    def update(self, shown: SeriesId | None) -> None:
        """Show the latest occurrences; `shown` is the series in the panel."""
        self._shown = shown
        series = shown if self._only_shown else None
        drawn = self._only_shown, series, self._store.occurrences.version
        if drawn == self._drawn:
            return
        self._drawn = drawn
        latest = self._store.occurrences.latest(ROWS_PER_PAGE, series)
        find = self._store.history.slots.find
        self._slots = [find(each.series, each.topic, each.partition) for each in latest]
        set_pressed(self._scopes, int(self._only_shown))
        with self._list:
            self._rows += [self._build_row(number) for number in range(len(self._rows), len(latest))]
        for number, (row, kind, time, link, detail) in enumerate(self._rows):
            set_visible(row, visible=number < len(latest))
            if number < len(latest):
                occurrence, slot = latest[number], self._slots[number]
                set_text(kind, kind_name(occurrence.kind))
                set_class(kind, "bad", on=occurrence.kind == ANOMALY)
                set_text(time, formatting.moment(occurrence.time))
                set_text(detail, describe_occurrence(occurrence))
                set_text(link, occurrence.series or f"{occurrence.count:,} series of {occurrence.topic}")
                set_property(link, "href", "./" if slot is None else self._link(slot))
        more = "Drift and expected crossings appear here with output.events."
        set_text(self._note, more if latest else f"Nothing yet. {more}")
