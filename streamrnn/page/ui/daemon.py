"""What the page shows of the daemon as a whole: its state, figures, dead letters, and the limits of the page."""

from nicegui.elements.mixins.text_element import TextElement

from streamrnn.page.data.store import Store
from streamrnn.page.ui import chart, formatting
from streamrnn.page.ui.elements import container, set_class, set_text, set_visible, text_element

IDLE_SECONDS = 15.0
"""Seconds without a record after which the state says since when."""
REASONS = 6
"""Reasons of dead letters that are shown, the most frequent ones."""


def outermost(store: Store, template: str, default: str) -> str:
    """Return the template with the percentage of the outermost interval, or the default if there is no interval."""
    bands = chart.bands(store.history.levels)
    return template.format(bands[0][2]) if bands else default


class StateLine:
    """Whether the daemon works, in a few words, and where it does not, a notice that says why.

    Without any series the notice is hidden: `what_is_missing` says the same in place of the chart.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state = text_element("span", "state").props("role=status")

    def build_notice(self) -> None:
        """Create the notice."""
        self._notice = text_element("div", "notice hidden").props("role=status")

    def update(self) -> None:
        """Show the current data."""
        workers, traffic = self._store.workers, self._store.traffic
        silent, unready, idle = workers.silent(), workers.unready(), traffic.idle_seconds()
        notice = ""
        if silent:
            state = "the daemon does not answer"
            notice = f"No sign of life of the daemon for {formatting.time_span(1000 * silent)}: what is shown is old."
        elif workers.compiling:
            state = "compiling"
            notice = "The daemon compiles its loops: a minute or two at the first start on a machine."
        elif unready:
            state, notice = "not ready", f"Not all records are processed: {unready}."
        elif traffic.rate() > 0:
            state = "live"
        elif idle is not None and idle > IDLE_SECONDS:
            state = f"no records for {formatting.time_span(1000 * idle)}"
        else:
            state = "waiting for records"
        set_text(self._state, state)
        set_text(self._notice, notice)
        set_visible(self._notice, visible=bool(notice and self._store.history.slots.occupied))
        set_class(self._state, "live", on=state == "live")
        set_class(self._state, "wrong", on=bool(silent))


class Tiles:
    """The figures of the whole daemon."""

    def __init__(self, store: Store) -> None:
        self._store = store
        names = {
            "rate": "Records per second",
            "lag": "Records waiting",
            "series": "Series",
            "skill": "Median skill",
            "coverage": outermost(store, "Coverage of {}%", "Coverage"),
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
            "dead": f"{traffic.dead_letters.total():,}",
        }
        for key, text in texts.items():
            set_text(self._numbers[key], text)


class DeadLetters:
    """The reasons of the dead letters, each with an example; hidden without any."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._card = container("section", "card hidden").props('aria-label="Dead letters"')
        with self._card:
            text_element("h2", "heading", "Dead letters")
            with container("p", "quiet small"):
                text_element("span", "", "Records that could not be used. Examples are masked; ")
                text_element("code", "", "streamrnn deadletters")
                text_element("span", "", " shows them as they came, and tries them again after a fix.")
        self._rows: list[list[TextElement]] = []

    def _build_row(self) -> list[TextElement]:
        with container(classes="letter"):
            with container(classes="line"):
                parts = [text_element("strong"), text_element("span", "number")]
            return [*parts, text_element("div", "quiet small"), text_element("code", "example")]

    def update(self) -> None:
        """Show the current data."""
        traffic = self._store.traffic
        most = traffic.dead_letters.most_common(REASONS)
        set_visible(self._card, visible=bool(most))
        with self._card:
            self._rows += [self._build_row() for _ in range(len(self._rows), len(most))]
        for parts, (reason, count) in zip(self._rows, most, strict=True):  # reasons never become fewer
            found = traffic.letters.get(reason)
            place = f"last at offset {found.offset:,} of {found.topic}/{found.partition}" if found else ""
            for part, text in zip(parts, (reason, f"{count:,}", place, found.example if found else ""), strict=True):
                set_text(part, text)


class Footer:
    """The limits of what the page shows, and links to the API."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with container("footer", "foot"):
            self._limits = text_element("div")
            with container("div"):
                text_element("span", "", "As JSON: ")
                links = (("series", "series"), ("status", "status"), ("events", "events"))
                for target, name in (*links, ("openapi.json", "description")):
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


def what_is_missing(store: Store) -> tuple[str, str]:
    """Return why there is no series to show, in a few words and in a sentence."""
    workers, traffic, topics = store.workers, store.traffic, ", ".join(store.config.topics)
    if workers.silent():
        return "The daemon does not answer", "It may be busy at its start, or have ended; its log says more."
    if workers.compiling:
        return "Still compiling", "The first start on a machine takes a minute or two; later ones take seconds."
    if unready := workers.unready():
        return "Not ready yet", f"{unready[:1].upper()}{unready[1:]}."
    if not traffic.records:
        return "No records yet", f"The page waits for the first observation from {topics}."
    refused, dropped = traffic.dead_letters.total(), traffic.drops.total()
    counted = f"{formatting.quantified(traffic.records, 'record')} from {topics}"
    if refused >= traffic.records:
        reasons = ", ".join(reason for reason, _ in traffic.dead_letters.most_common(3))
        return "All records were refused", f"{counted}, none usable: {reasons}. The dead letters show examples."
    if dropped or refused:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in (traffic.drops + traffic.dead_letters).items())
        return "No series yet", f"{counted}, without an observation: {reasons}."
    return "No series yet", f"{counted}, without an observation to show."
