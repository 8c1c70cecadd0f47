"""Why the forecasts of the shown series are what they are: mixture, seasons, and what widens the interval."""

from collections.abc import Sequence

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from streamrnn.explanation.answer import Explanation, IntervalCause, SeasonFound
from streamrnn.page.data.messages import Request
from streamrnn.page.data.store import Store
from streamrnn.page.ui import formatting
from streamrnn.page.ui.elements import button, container, set_property, set_text, set_visible, text_element

MEMBERS = 10
"""Members that are shown, those of the largest weights."""
NAMES = {
    "persistence": "Persistence: the last value",
    "naive_short": "The same phase of the short season",
    "naive_long": "The same phase of the long season",
    "smooth_fast": "Fast exponential smoothing",
    "smooth_slow": "Slow exponential smoothing",
    "holt_winters": "Holt-Winters",
    "regression": "Regression on the past",
    "ridge": "Ridge regression on the past",
    "cross_series": "Regression on other series",
    "network": "Recurrent network",
}
ORIGINS = {
    "configured": "configured",
    "calendar": "assumed from the calendar",
    "detected": "found in the values",
}


class ExplainPanel:
    """The panel. Opened by a button, because the daemon is asked for what it shows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open = False
        self._shown: tuple[int, int | None] | None = None
        self._button = button("Explain these forecasts", self._toggle).props("aria-expanded=false")
        self._body = container(classes="explain hidden")

    def _build_body(self) -> None:
        """Create the content, a fifth of the page's elements, when it is opened first."""
        with self._body:
            self._wait = text_element("p", "quiet")
            self._found = container(classes="columns hidden")
            with self._found:
                with container():
                    text_element("h2", "heading", "Mixture of forecasts")
                    self._members = [self._build_member() for _ in range(MEMBERS)]
                with container():
                    text_element("h2", "heading", "Seasons")
                    self._seasons = [text_element("p") for _ in range(2)]
                    text_element("h2", "heading", "Width of the interval")
                    self._causes = [text_element("p") for _ in range(6)]
                    text_element("h2", "heading", "Drift")
                    self._drift = text_element("p")
                    self._basis = text_element("p", "quiet small")

    def _build_member(self) -> tuple[ui.element, TextElement, ui.element, TextElement]:
        row = container(classes="member hidden")
        with row:
            name = text_element("span")
            with container(classes="bar"):
                bar = container("i")
            return row, name, bar, text_element("span", "number")

    def _toggle(self) -> None:
        self._open = not self._open
        if not self._body.default_slot.children:
            self._build_body()
        set_property(self._button, "aria-expanded", str(self._open).lower())
        set_visible(self._body, visible=self._open)
        if self._shown is not None:
            self.update(*self._shown)

    def update(self, slot: int, horizon: int | None) -> None:
        """Show the series in a slot; the weights are those of the horizon with this index, or means over all."""
        self._shown = slot, horizon
        if not self._open:
            return
        series = self._store.history.slots.series_at(slot)
        request = Request(series.partition, series.name)
        self._store.explanations.ask(request, self._store.workers.owner(series.partition))
        found = self._store.explanations.latest(request)
        set_visible(self._found, visible=found is not None)
        set_text(self._wait, "" if found else "Waiting for the daemon to answer.")
        if found is not None:
            self._show(found, slot, horizon)

    def _show(self, found: Explanation, slot: int, horizon: int | None) -> None:
        shares = [
            (sum(each.weight) / len(each.weight) if horizon is None else each.weight[horizon], each.name)
            for each in found.members
        ]
        shares.sort(key=lambda pair: -pair[0])
        for number, (row, name, bar, weight) in enumerate(self._members):
            set_visible(row, visible=number < len(shares))
            if number < len(shares):
                share, member = shares[number]
                set_text(name, member_name(member))
                if weight.text != (text := f"{100 * share:.1f}%"):
                    weight.set_text(text)
                    bar.style(replace=f"width:{text}")
        _set_lines(self._seasons, [describe_season(each) for each in found.seasons] or ["None found."])
        _set_lines(self._causes, [*self._growth(found), *map(describe_cause, found.causes)])
        set_text(self._drift, self._describe_drift(found, slot))
        step = formatting.time_span(1000 * found.step_seconds) if found.step_seconds else "unknown"
        counted = formatting.quantified(found.observations, "observation")
        set_text(self._basis, f"From {counted} since {formatting.moment(found.first_time)}, every {step}.")

    def _growth(self, found: Explanation) -> list[str]:
        """Return a line on the change that the interval grows with."""
        changes = ", ".join(
            f"{formatting.quantity(change)} in {formatting.quantified(steps, 'step')}"
            for steps, change in zip(found.horizon, found.typical_change, strict=True)
        )
        return [f"Grows with the usual change of the value: {changes}."]

    def _describe_drift(self, found: Explanation, slot: int) -> str:
        if found.drifting_for is None:
            return "None at present."
        since = formatting.quantified(found.drifting_for, "observation")
        past = self._store.history.past(slot, self._store.history.history)
        known = found.drifting_for < len(past.times) and past.times[-1] == found.time
        when = f", since {formatting.moment(int(past.times[-1 - found.drifting_for]))}" if known else ""
        return f"Drifting for {since}{when}: the members' earlier merits count less."


def member_name(name: str) -> str:
    """Return the name of a member for people."""
    kind, _, number = name.rpartition("_")
    if number.isdigit():
        return f"{NAMES.get(kind, kind.capitalize())} {number}"
    return NAMES.get(name, name.replace("_", " ").capitalize())


def describe_season(season: SeasonFound) -> str:
    """Return a line on a season."""
    period, origin = formatting.time_span(1000 * season.seconds), ORIGINS[season.origin]
    gain = f"{formatting.percent(abs(season.gain))} {'better' if season.gain >= 0 else 'worse'} than persistence"
    return f"{period}, {origin}; forecasts by it alone are {gain}."


def describe_cause(cause: IntervalCause) -> str:
    """Return a line on what widens the interval."""
    amount = formatting.quantity(cause.amount)
    lines = {
        "young": f"Young series: {formatting.quantified(int(cause.amount), 'observation')} so far.",
        "volatile": f"The latest changes are {amount} times as large as usual.",
        "calibration": f"Widened to {formatting.percent(cause.amount)}, because values lay outside too often.",
        "gap": f"A gap of {formatting.quantified(int(cause.amount), 'step')} before the last observation.",
        "drift": "A drift: the forecasts are less certain than before.",
    }
    return lines[cause.cause]


def _set_lines(elements: Sequence[TextElement], lines: Sequence[str]) -> None:
    for number, element in enumerate(elements):
        set_visible(element, visible=number < len(lines))
        if number < len(lines):
            set_text(element, lines[number])
