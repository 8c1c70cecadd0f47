"""One series: its chart, how it is viewed, and a table of its current forecasts."""

from collections.abc import Callable
from functools import partial
from urllib.parse import quote, urlencode

import numpy as np
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from streamrnn.page.data.occurrences import ANOMALY
from streamrnn.page.data.scores import MIN_WEIGHT
from streamrnn.page.data.store import Store
from streamrnn.page.ui import chart, formatting
from streamrnn.page.ui.chart import Mark, View
from streamrnn.page.ui.daemon import outermost
from streamrnn.page.ui.elements import (
    button,
    container,
    set_pressed,
    set_property,
    set_skill,
    set_text,
    set_visible,
    text_element,
)
from streamrnn.page.ui.occurrence_list import kind_name

MARKS = 20
"""Events that are marked, the latest ones."""
ZOOM = """() => {{
  const chart = getElement({id}).chart, [{{start, end}}] = chart.getOption().dataZoom;
  const size = Math.min(100, (end - start) * {factor}), last = Math.min(100, Math.max(end, size));
  chart.dispatchAction({{type: 'dataZoom', start: last - size, end: last}});
}}"""
"""Changes the shown part of the chart, which ends where it did; a factor of 1000 shows all."""


class SeriesPanel:
    """The panel. `select_view` is called with another view."""

    def __init__(self, store: Store, select_view: Callable[[View], None]) -> None:
        self._store, self._select_view = store, select_view
        self._view = View()
        self._drawn: tuple[object, ...] = ()
        self._build_choices()
        self._build_legend()
        self._chart = ui.echart({}).classes("chart").props("role=img")
        self._chart.on("chart:rendered", js_handler=chart.FOLLOW.format(id=self._chart.id))
        with container(classes="choices"):
            with container(classes="choices").props('role=group aria-label="Zoom"'):
                for label, name, factor in (("+", "Zoom in", 0.5), ("−", "Zoom out", 2), ("All", "Show all", 1000)):  # noqa: RUF001
                    script = ZOOM.format(id=self._chart.id, factor=factor)
                    button(label, script=script).props(f'aria-label="{name}"')
            self._download = text_element("a", "button", "Download CSV").props("download")
        self._cells = self._build_table()
        note = f"The skill is known once {MIN_WEIGHT:.0f} forecasts can be compared with the values that followed."
        self._unscored = text_element("div", "quiet small hidden unscored", note)

    def _build_choices(self) -> None:
        with container(classes="choices"):
            with container(classes="choices").props('role=group aria-label="Steps ahead"'):
                text_element("span", "quiet", "Steps ahead")
                horizons = [(None, "Fan"), *enumerate(map(str, self._store.history.horizons))]
                self._horizons = [button(label, partial(self._choose, horizon=k)) for k, label in horizons]
                self._horizons[0].props('title="All horizons, from the last observation"')
            container(classes="push")
            with container(classes="choices").props('role=group aria-label="Range"'):
                ranges = ((False, "Latest"), (True, "Session"))
                self._ranges = [button(label, partial(self._choose, session=session)) for session, label in ranges]

    def _choose(self, **changes: bool | int | None) -> None:
        self._select_view(self._view._replace(**changes))  # type: ignore[arg-type]  # of its fields

    def _build_legend(self) -> None:
        with container(classes="legend").props("aria-hidden=true"):
            for color, name in ((chart.OBSERVED, "observed"), (chart.FORECAST, "forecast (median)")):
                with container("span"):
                    container("i").style(f"background:{color}")
                    text_element("span", "", name)
            for number, (_, _, percent) in enumerate(chart.bands(self._store.history.levels)):
                with container("span"):
                    container("i", "band").style(f"opacity:{0.17 * (number + 1):.2f}")
                    text_element("span", "", f"{percent}% interval")
            with container("span"):
                container("i", "ring")
                text_element("span", "", "anomaly")

    def _build_table(self) -> list[list[TextElement]]:
        interval = outermost(self._store, "{}% interval", "Interval")
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

    def update(self, slot: int, view: View) -> None:
        """Show the series in a slot."""
        history, occurrences = self._store.history, self._store.occurrences
        drawn = (slot, view, int(history.count[slot]), occurrences.version)
        if drawn == self._drawn:
            return
        self._drawn, self._view = drawn, view
        series, present = history.slots.series_at(slot), history.present(slot)
        set_pressed(self._horizons, 0 if view.horizon is None else 1 + view.horizon)
        set_pressed(self._ranges, int(view.session))
        if not self._chart.options:  # ECharts cannot draw options without data
            self._chart.options.update(chart.chart_options(history.levels))
        events = (each for each in occurrences.latest(MARKS, series) if each.kind != ANOMALY)  # those have rings
        marks = [Mark(each.time, kind_name(each.kind)) for each in events]
        columns = chart.chart_columns(history, slot, view)
        chart.fill_chart(self._chart.options, columns, present.time, marks)
        set_property(self._chart, "aria-label", f"{series.name}: {self._describe(view)}")
        self._chart.update()
        kind = "session" if view.session else "history"
        place = urlencode(series.partition._asdict())
        set_property(self._download, "href", f"series/{quote(series.name, safe='')}/{kind}.csv?{place}")
        self._fill_table(slot)

    def _describe(self, view: View) -> str:
        if view.horizon is None:
            return "observed values, and the latest forecasts for all horizons"
        steps = formatting.quantified(self._store.history.horizons[view.horizon], "step")
        return f"observed values, and forecasts made {steps} before"

    def _fill_table(self, slot: int) -> None:
        history = self._store.history
        present, skill, coverage = history.present(slot), history.scores.skill(slot), history.scores.coverage(slot)
        set_visible(self._unscored, visible=bool(np.isnan(skill).all()))
        for k, (median, interval, skill_cell, coverage_cell) in enumerate(self._cells):
            set_text(median, formatting.quantity(float(present.quantiles[k, history.median])))
            low, high = present.quantiles[k, [0, -1]].tolist()
            set_text(interval, f"{formatting.quantity(low, high)} … {formatting.quantity(high, low)}")
            set_skill(skill_cell, float(skill[k]))
            set_text(coverage_cell, formatting.percent(float(coverage[k])))
