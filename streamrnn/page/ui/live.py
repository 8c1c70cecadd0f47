"""The live page: one view per browser, updated every second."""

from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from nicegui import ui

from streamrnn.page.data.store import Store
from streamrnn.page.ui import formatting
from streamrnn.page.ui.parts import (
    Footer,
    SeriesList,
    SeriesPanel,
    Tiles,
    button,
    container,
    set_pressed,
    set_text,
    set_visible,
    text_element,
)

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
UPDATE_SECONDS = 1.0
LIST_UPDATES = 3
"""Updates between two of the list, which must stand still long enough to be clicked."""
THEME = "streamrnn_dark"
"""The cookie with the chosen theme."""
SET_THEME = f"""() => {{
  const dark = !Quasar.Dark.isActive;
  setDark(dark);
  document.cookie = `{THEME}=${{dark ? 1 : 0}}; path=/; max-age=31536000; samesite=lax`;
}}"""
COPY = """(event) => {
  const button = event.currentTarget, label = button.textContent;
  const show = (text) => { button.textContent = text; setTimeout(() => { button.textContent = label; }, 1500); };
  if (navigator.clipboard) navigator.clipboard.writeText(location.href).then(() => show('Copied'));
  else show('Copy it from the address bar');
}"""
SLASH = """<script>
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.target.closest('input, textarea')) return;
  event.preventDefault();
  document.querySelector('.search input').focus();
});
</script>"""

Target = tuple[str, str | None, int | None]
"""Name, topic and partition of a series in a link; an empty name means any series."""


class BrowserView:
    """The page in one browser. `target` and `horizon`, in steps, come from its link."""

    def __init__(self, store: Store, target: Target, horizon: int | None) -> None:
        self._store = store
        self._target = target
        horizons = store.history.horizons
        self._horizon = horizons.index(horizon) if horizon in horizons else len(horizons) // 2
        self._updates = 0
        with container(classes="page"):
            self._build_header()
            self._tiles = Tiles(store)
            with container("main", "main"):
                self._build_card()
                self._list = SeriesList(store, self._select, self._link)
            self._footer = Footer(store)
        self.update()
        ui.timer(UPDATE_SECONDS, self.update)

    def _build_header(self) -> None:
        with container("header", "top"):
            text_element("a", "brand", "streamrnn").props("href=/")
            text_element("span", "quiet", self._store.config.app if self._store.config.app != "streamrnn" else "")
            container(classes="push")
            self._state = text_element("span", "state").props("role=status")
            button("Dark / light", script=SET_THEME)

    def _build_card(self) -> None:
        with container("section", "card").props('aria-label="The series"'):
            self._empty = container(classes="empty")
            with self._empty:
                self._reason = text_element("div", "title")
                self._advice = text_element("div")
            self._full = container(classes="hidden")
            with self._full:
                with container(classes="head"):
                    with container():
                        self._title = text_element("h1", "title")
                        self._last = text_element("div", "quiet number")
                    button("Copy link", script=COPY)
                with container(classes="choices").props('role=group aria-label="Steps ahead"'):
                    text_element("span", "quiet", "Steps ahead")
                    self._horizons = [
                        button(str(steps), partial(self._select_horizon, number))
                        for number, steps in enumerate(self._store.history.horizons)
                    ]
                self._panel = SeriesPanel(self._store)

    def _slot(self) -> int | None:
        """Return the slot of the series to show; without a target that of the first series."""
        name, topic, partition = self._target
        slots = self._store.history.slots
        if name:
            return slots.find(name, topic, partition)
        return next((slot for slot, series in enumerate(slots.series) if series is not None), None)

    def _link(self, slot: int) -> str:
        slots = self._store.history.slots
        series = slots.series_at(slot)
        query = {"series": series.name, "horizon": str(self._store.history.horizons[self._horizon])}
        if slots.find(series.name) != slot:  # another series has the same name
            query |= {"topic": series.partition.topic, "partition": str(series.partition.partition)}
        return f"/?{urlencode(query)}"

    def _select(self, slot: int | None) -> None:
        """Make the series in a slot the target, and put it into the address."""
        series = None if slot is None else self._store.history.slots.series[slot]
        if series is not None and slot is not None:
            self._target = (series.name, *series.partition)
            ui.navigate.history.replace(self._link(slot))
        self._updates = 0
        self.update()

    def _select_horizon(self, horizon: int) -> None:
        self._horizon = horizon
        self._select(self._slot())

    def update(self) -> None:
        """Show the current data."""
        slot = self._slot()
        self._tiles.update()
        if self._updates % LIST_UPDATES == 0:
            self._list.update(slot)
            self._footer.update()
        self._updates += 1
        live = self._store.traffic.rate() > 0
        set_text(self._state, "live" if live else "waiting for records")
        self._state.classes(add="live") if live else self._state.classes(remove="live")
        set_pressed(self._horizons, self._horizon)
        set_visible(self._empty, visible=slot is None)
        set_visible(self._full, visible=slot is not None)
        if slot is None:
            self._show_what_is_missing()
        else:
            summary = self._store.summary(slot)
            value, time = formatting.quantity(summary.value), formatting.moment(summary.time)
            set_text(self._title, summary.series)
            set_text(self._last, f"{value} at {time} · {summary.topic}/{summary.partition}")
            self._panel.update(slot, self._horizon, summary.series)

    def _show_what_is_missing(self) -> None:
        name = self._target[0]
        if name:
            set_text(self._reason, f"No series {name}")
            set_text(self._advice, "It appears with its next observation. The list shows the available series.")
        else:
            topics = ", ".join(self._store.config.topics)
            set_text(self._reason, "No series yet")
            set_text(self._advice, f"The page waits for the first observation from {topics}.")


def mount_page(app: FastAPI, store: Store) -> None:
    """Serve the page at / of an application."""

    @ui.page("/", title="streamrnn")
    def page(request: Request) -> None:
        """Build one browser's view; invalid parts of the link are ignored."""
        query = request.query_params
        ui.add_css(STYLE)
        ui.add_body_html(SLASH)
        ui.dark_mode({"0": False, "1": True}.get(request.cookies.get(THEME, "")))
        target = (query.get("series", ""), query.get("topic"), _integer(query.get("partition")))
        BrowserView(store, target, _integer(query.get("horizon")))

    ui.run_with(
        app,
        title="streamrnn",
        language="en-US",
        dark=None,
        binding_refresh_interval=None,
        tailwind=False,
        gzip_middleware_factory=None,
        show_welcome_message=False,
        favicon="📈",
    )


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
