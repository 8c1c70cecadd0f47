"""The live page: one view per browser, updated every second."""

from pathlib import Path
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from nicegui import Client, ui
from nicegui import app as nicegui_app

from streamrnn.page.data.store import Store
from streamrnn.page.ui import formatting
from streamrnn.page.ui.chart import View
from streamrnn.page.ui.daemon import DeadLetters, Footer, StateLine, Tiles, what_is_missing
from streamrnn.page.ui.elements import button, container, set_text, set_visible, text_element
from streamrnn.page.ui.explain_panel import ExplainPanel
from streamrnn.page.ui.occurrence_list import OccurrenceList
from streamrnn.page.ui.preload import preload_links
from streamrnn.page.ui.series_list import SeriesList
from streamrnn.page.ui.series_panel import SeriesPanel

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
UPDATE_SECONDS = 1.0
LIST_UPDATES = 3
"""Updates between two of the list, which must stand still long enough to be clicked."""
MAX_VIEWS = 100
"""Views at a time; each takes up to a megabyte."""
UNCONNECTED_SECONDS = 10.0
"""Age at which a view that no browser has connected to makes room for another one; otherwise NiceGUI's minute."""
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
SCRIPT = """<script>
document.addEventListener('DOMContentLoaded', () => {
  const popup = document.getElementById('popup');
  new MutationObserver(() => {
    const lost = popup.ariaHidden === 'false';
    if (lost && !document.body.classList.contains('disconnected'))
      document.querySelector('.lost').textContent = `disconnected since ${new Date().toTimeString().slice(0, 8)}`;
    document.body.classList.toggle('disconnected', lost);
  }).observe(popup, {attributes: true});
});
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.target.closest('input, textarea')) return;
  event.preventDefault();
  document.querySelector('.search input').focus();
});
</script>"""

"""Says since when the browser is disconnected, and focuses the search."""
FAN = "fan"
"""The horizon of a link to the fan."""

Target = tuple[str, str | None, int | None]
"""Name, topic and partition of a series in a link; an empty name means any series."""


class BrowserView:
    """The page in one browser. `target` and `view` come from its link."""

    def __init__(self, store: Store, target: Target, view: View) -> None:
        self._store = store
        self._target = target
        self._view = view
        self._updates = 0
        with container(classes="page"):
            self._build_header()
            self._tiles = Tiles(store)
            with container("main", "main"):
                with container(classes="column"):
                    self._build_card()
                    self._letters = DeadLetters(store)
                with container(classes="column"):
                    self._list = SeriesList(store, self._select, self._link)
                    self._occurrences = OccurrenceList(store, self._select, self._link)
            self._footer = Footer(store)
        self.update()
        ui.timer(UPDATE_SECONDS, self.update)

    def _build_header(self) -> None:
        with container("header", "top"):
            text_element("a", "brand", "streamrnn").props("href=./")
            text_element("span", "quiet", self._store.config.app if self._store.config.app != "streamrnn" else "")
            container(classes="push")
            self._state = StateLine(self._store)
            text_element("span", "lost", "disconnected").props("role=status")
            button("Dark / light", script=SET_THEME)
        self._state.build_notice()

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
                        self._stale = text_element("div", "stale hidden")
                    button("Copy link", script=COPY)
                self._panel = SeriesPanel(self._store, self._select_view)
                self._explain = ExplainPanel(self._store)

    def _slot(self) -> int | None:
        """Return the slot of the series to show; without a target that of the first series."""
        name, topic, partition = self._target
        slots = self._store.history.slots
        if name:
            return slots.find(name, topic, partition)
        return next((slot for slot, series in enumerate(slots.series) if series is not None), None)

    def _link(self, slot: int) -> str:
        slots, horizons = self._store.history.slots, self._store.history.horizons
        series = slots.series_at(slot)
        horizon = FAN if self._view.horizon is None else str(horizons[self._view.horizon])
        query = {"series": series.name, "horizon": horizon} | ({"range": "session"} if self._view.session else {})
        if slots.find(series.name) != slot:  # another series has the same name
            query |= {"topic": series.partition.topic, "partition": str(series.partition.partition)}
        return f"./?{urlencode(query)}"  # relative: below the prefix of a reverse proxy

    def _select(self, slot: int | None) -> None:
        """Make the series in a slot the target, and put it into the address."""
        series = None if slot is None else self._store.history.slots.series[slot]
        if series is not None and slot is not None:
            self._target = (series.name, *series.partition)
            ui.navigate.history.replace(self._link(slot))
        self._updates = 0
        self.update()

    def _select_view(self, view: View) -> None:
        self._view = view
        self._select(self._slot())

    def update(self) -> None:
        """Show the current data."""
        slot = self._slot()
        self._tiles.update()
        self._state.update()
        if self._updates % LIST_UPDATES == 0:
            self._list.update(slot)
            self._letters.update()
            self._footer.update()
        self._occurrences.update(None if slot is None else self._store.history.slots.series_at(slot))
        self._updates += 1
        set_visible(self._empty, visible=slot is None)
        set_visible(self._full, visible=slot is not None)
        if slot is None:
            self._show_what_is_missing()
        else:
            self._show_series(slot)

    def _show_series(self, slot: int) -> None:
        summary = self._store.summary(slot)
        value, time = formatting.quantity(summary.value), formatting.moment(summary.time)
        set_text(self._title, summary.series)
        set_text(self._last, f"{value} at {time} · {summary.topic}/{summary.partition}")
        stale, silence = self._store.cache.get("stale", self._store.history.stale), self._store.measure("silence")
        if is_stale := slot < len(stale) and bool(stale[slot]):
            silent = formatting.time_span(float(silence[slot]))
            set_text(self._stale, f"Stale: no observation for {silent} of event time, while other series went on.")
        set_visible(self._stale, visible=is_stale)
        self._panel.update(slot, self._view)
        self._explain.update(slot, self._view.horizon)

    def _show_what_is_missing(self) -> None:
        name = self._target[0]
        reason, advice = what_is_missing(self._store)
        if name and self._store.history.slots.occupied:
            reason = f"No series {name}"
            advice = "It appears with its next observation. The list shows the available series."
        elif name:
            advice = f"The link leads to {name}. {advice}"
        set_text(self._reason, reason)
        set_text(self._advice, advice)


def mount_page(app: FastAPI, store: Store) -> None:
    """Serve the page at / of an application."""

    @ui.page("/", title="streamrnn")
    def page(request: Request) -> None:
        """Build one browser's view; invalid parts of the link are ignored."""
        query = request.query_params
        ui.add_css(STYLE)
        ui.add_body_html(SCRIPT)
        ui.dark_mode({"0": False, "1": True}.get(request.cookies.get(THEME, "")))
        target = (query.get("series", ""), query.get("topic"), _integer(query.get("partition")))
        BrowserView(store, target, _linked_view(store, query.get("horizon"), query.get("range")))
        ui.add_head_html(preload_links())

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
    # NiceGUI answers what it does not know with a page, of which there may be a hundred
    nicegui_app.add_exception_handler(404, _answer_unknown)


async def _answer_unknown(request: Request, _: Exception) -> JSONResponse:
    asked = f"{request.method} {request.url.path[:100]}"
    words = f"there is no {asked}: /openapi.json describes the API, and metrics are served at metrics.port"
    return JSONResponse({"detail": words}, 404)


def may_build_view() -> bool:
    """Return whether another view may be built; drop those that no browser has connected to if there are too many."""
    if len(Client.instances) >= MAX_VIEWS:
        Client.prune_instances(client_age_threshold=UNCONNECTED_SECONDS)
    return len(Client.instances) < MAX_VIEWS


def _linked_view(store: Store, horizon: str | None, shown: str | None) -> View:
    """Return the view of a link; without a horizon that in the middle."""
    horizons, steps = store.history.horizons, _integer(horizon)
    index = horizons.index(steps) if steps in horizons else len(horizons) // 2
    return View(None if horizon == FAN else index, shown == "session")


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
