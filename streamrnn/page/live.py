"""The live page, made with NiceGUI: one view for each browser that looks, brought up to date every second."""

from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from nicegui import ui

from streamrnn.page import formatting
from streamrnn.page.parts import Chooser, Notes, Picture, Tiles, box, button, pressed, show, tell, text
from streamrnn.page.store import Store

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
EVERY = 1.0
"""Seconds between two updates."""
LIST_EVERY = 3
"""Updates between two of the list: it should hold still long enough to be clicked."""
THEME = "streamrnn_dark"
"""The cookie in which a browser keeps what was chosen."""
SET_THEME = f"""() => {{
  const dark = !Quasar.Dark.isActive;
  setDark(dark);
  document.cookie = `{THEME}=${{dark ? 1 : 0}}; path=/; max-age=31536000; samesite=lax`;
}}"""
COPY = """(event) => {
  const button = event.currentTarget, words = button.textContent;
  const done = (said) => { button.textContent = said; setTimeout(() => { button.textContent = words; }, 1500); };
  if (navigator.clipboard) navigator.clipboard.writeText(location.href).then(() => done('Copied'));
  else done('Copy it from the address bar');
}"""
SLASH = """<script>
document.addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.target.closest('input, textarea')) return;
  event.preventDefault();
  document.querySelector('.search input').focus();
});
</script>"""
SILENT = 10.0
"""Seconds without a record after which the page no longer says that it is live."""


Wanted = tuple[str, str | None, int | None]
"""Name, topic and partition of a series, as a link has them; an empty name: any series."""


class View:
    """What one browser sees. `wanted` is the series that its link is to, `horizon` the steps of its forecasts."""

    def __init__(self, store: Store, wanted: Wanted, horizon: int | None) -> None:
        self._store = store
        self._wanted = wanted
        horizons = store.history.horizons
        self._horizon = horizons.index(horizon) if horizon in horizons else len(horizons) // 2
        self._updates = 0
        with box(classes="page"):
            self._top()
            self._tiles = Tiles(store)
            with box("main", "main"):
                self._card()
                self._chooser = Chooser(store, self._choose, self._link)
            self._notes = Notes(store)
        self.update()
        ui.timer(EVERY, self.update)

    def _top(self) -> None:
        with box("header", "top"):
            text("a", "brand", "streamrnn").props("href=/")
            text("span", "quiet", self._store.told.app if self._store.told.app != "streamrnn" else "")
            box(classes="push")
            self._state = text("span", "state").props("role=status")
            button("Dark / light", script=SET_THEME)

    def _card(self) -> None:
        with box("section", "card").props('aria-label="The series"'):
            self._empty = box(classes="empty")
            with self._empty:
                self._reason = text("div", "title")
                self._advice = text("div")
            self._full = box(classes="hidden")
            with self._full:
                with box(classes="head"):
                    with box():
                        self._title = text("h1", "title")
                        self._last = text("div", "quiet number")
                    button("Copy link", script=COPY)
                with box(classes="choices").props('role=group aria-label="Steps ahead"'):
                    text("span", "quiet", "Steps ahead")
                    self._horizons = [
                        button(str(steps), partial(self._ahead, number))
                        for number, steps in enumerate(self._store.history.horizons)
                    ]
                self._picture = Picture(self._store)

    def _place(self) -> int | None:
        """The place of the series that is shown; without a wish the first one there is."""
        name, topic, partition = self._wanted
        places = self._store.history.places
        if name:
            return places.find(name, topic, partition)
        return next((place for place, series in enumerate(places.series) if series is not None), None)

    def _link(self, place: int) -> str:
        series = self._store.history.places.at(place)
        query = {"series": series.name, "horizon": str(self._store.history.horizons[self._horizon])}
        if self._store.history.places.find(series.name) != place:  # another one has the same name
            query |= {"topic": series.partition.topic, "partition": str(series.partition.partition)}
        return f"/?{urlencode(query)}"

    def _choose(self, place: int) -> None:
        series = self._store.history.places.series[place]
        if series is not None:
            self._wanted = (series.name, *series.partition)
            self._changed()

    def _ahead(self, number: int) -> None:
        self._horizon = number
        place = self._place()
        series = None if place is None else self._store.history.places.series[place]
        if series is not None:  # from here on it is a wish
            self._wanted = (series.name, *series.partition)
        self._changed()

    def _changed(self) -> None:
        place = self._place()
        if place is not None:
            ui.navigate.history.replace(self._link(place))
        self._updates = 0
        self.update()

    def update(self) -> None:
        """Show what is so now."""
        place = self._place()
        self._tiles.update()
        if self._updates % LIST_EVERY == 0:
            self._chooser.update(place)
            self._notes.update()
        self._updates += 1
        live = self._store.traffic.rate() > 0
        tell(self._state, "live" if live else "waiting for records")
        self._state.classes(add="live") if live else self._state.classes(remove="live")
        pressed(self._horizons, self._horizon)
        show(self._empty, shown=place is None)
        show(self._full, shown=place is not None)
        if place is None:
            self._say_what_is_missing()
        else:
            self._show(place)

    def _show(self, place: int) -> None:
        line = self._store.line(place)
        tell(self._title, line.series)
        where = f"{line.topic}/{line.partition}"
        tell(self._last, f"{formatting.quantity(line.value)} at {formatting.moment(line.time)} · {where}")
        self._picture.update(place, self._horizon, line.series)

    def _say_what_is_missing(self) -> None:
        name, told = self._wanted[0], self._store.told
        if name:
            tell(self._reason, f"No series {name}")
            tell(
                self._advice,
                "It is shown as soon as it has an observation; the list beside it has those that are here.",
            )
        else:
            tell(self._reason, "No series yet")
            tell(self._advice, f"The page waits for the first observation from {', '.join(told.topics)}.")


def mount(app: FastAPI, store: Store) -> None:
    """Add the page to an application, at /."""

    @ui.page("/", title="streamrnn")
    def page(request: Request) -> None:
        """One browser's view; what of the link cannot be read is as if it were not there."""
        query = request.query_params
        ui.add_css(STYLE)
        ui.add_body_html(SLASH)
        ui.dark_mode({"0": False, "1": True}.get(request.cookies.get(THEME, "")))
        wanted = (query.get("series", ""), query.get("topic"), _whole(query.get("partition")))
        View(store, wanted, _whole(query.get("horizon")))

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


def _whole(words: str | None) -> int | None:
    return int(words) if words and words.isascii() and words.isdigit() and len(words) < 10 else None
