"""The chart of a series: observations, and forecasts of one horizon or the fan of all; marks of events."""

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.page.data.history import SeriesHistory

OBSERVED, FORECAST, ANOMALY, QUIET = "#e8710a", "#3b82f6", "#dc2626", "#8b95a5"
"""Colours legible on light and dark backgrounds, also with red-green colour blindness."""
GAP_STEPS = 5
"""Median steps without an observation that interrupt a line."""
LABELS = {"year": "{yyyy}", "month": "{MMM}", "day": "{d} {MMM}", "hour": "{HH}:{mm}", "minute": "{HH}:{mm}"}
"""Formats of the time axis."""
DIGITS = 7
"""Significant digits, of the largest number, sent to the browser."""
FAN_LENGTHS = 4
"""Observations before a fan, in lengths of the fan, ..."""
FAN_PAST = 48
"""... at least this many."""


class View(NamedTuple):
    """The part of a series that is drawn."""

    horizon: int | None = None
    """Index of a horizon; None: the fan from the last observation over all horizons."""
    session: bool = False
    """Whether the past before the stored observations is drawn, too."""


class Mark(NamedTuple):
    """An event on the curve."""

    time: int
    """Milliseconds since the epoch."""
    text: str


# Returns HTML of numbers and column names only: a series' name would have to be escaped.
# ECharts adds unnamed dimensions to stacked series; the row of a gap has no numbers and so no tooltip.
TOOLTIP = """(points) => {
  const row = points[0].value;
  const values = new Map(points[0].dimensionNames.flatMap((name, index) => name ? [[name, row[index]]] : []));
  const shown = (number) => number.toLocaleString('en', {maximumSignificantDigits: 6});
  const lines = [];
  if (values.get('observed') != null) lines.push(`observed ${shown(values.get('observed'))}`);
  const lowest = values.get('lowest'), span = values.get('span');
  if (lowest != null) lines.push(`between ${shown(lowest)} and ${shown(lowest + span)}`);
  if (values.get('median') != null) lines.push(`forecast ${shown(values.get('median'))}`);
  for (const [name, low] of values) {
    if (!name.startsWith('low ') || low == null) continue;
    const percent = name.slice(4), high = low + values.get('width ' + percent);
    lines.push(`${percent}% from ${shown(low)} to ${shown(high)}`);
  }
  const time = new Date(values.get('time')).toISOString().replace('T', ' ').slice(0, 19) + ' UTC';
  return lines.length ? [`<b>${time}</b>`, ...lines].join('<br>') : '';
}"""


# After new data, ECharts leaves the pointer's line at its time and the tooltip at its row number. As the data move to
# the left, the line and the tooltip would separate, and in a gap the tooltip of another row would appear.
FOLLOW = """() => {{
  const chart = getElement({id}).chart;
  if (chart.follows) return;
  chart.follows = true;
  const draw = chart.setOption.bind(chart);
  let x, y;
  chart.getZr().on('mousemove', (event) => ([x, y] = [event.offsetX, event.offsetY]));
  chart.setOption = (...given) => {{
    draw(...given);
    if (x === undefined || chart.getOption().xAxis[0].axisPointer?.status !== 'show') return;
    chart.dispatchAction({{type: 'updateAxisPointer', currTrigger: 'mousemove', x, y}});
  }};
}}"""
"""Script that moves the pointer and the tooltip to the data under the mouse after each update."""


def bands(levels: Sequence[float]) -> list[tuple[int, int, str]]:
    """Return the symmetric intervals, widest first: indices of both quantiles, and the percentage."""
    middle, count = list(levels).index(0.5), len(levels)
    pairs = [(low, count - 1 - low) for low in range(min(middle, count - 1 - middle))]
    return [(low, high, f"{100 * (levels[high] - levels[low]):g}") for low, high in pairs]


def chart_columns(history: SeriesHistory, slot: int, view: View) -> dict[str, list[Any]]:
    """Return the columns to draw, first past, then future.

    None stands for a missing number, and interrupts a line.
    """
    limit = history.history
    if view.horizon is None and not view.session:
        limit = min(limit, max(FAN_PAST, FAN_LENGTHS * max(history.horizons)))
    past = history.past(slot, limit)
    if view.horizon is None:
        future, ahead = _fan(history, slot)
        made = np.full((len(past.times), len(history.levels)), np.nan)
        if len(future):
            made[-1] = past.values[-1]  # where the fan begins
    else:
        future, ahead = history.pending(slot, view.horizon)
        later = future > past.times[-1]  # while the cadence is unknown, target times equal the origin's
        future, ahead, made = future[later], ahead[later], past.forecasts[:, view.horizon]
    quantiles, rest = np.concatenate([made, ahead]), np.full(len(ahead), np.nan)
    numbers = {
        "observed": np.concatenate([past.values, rest]),
        "median": quantiles[:, history.median],
        "anomaly": np.concatenate([np.where(past.anomaly >= 1, past.values, np.nan), rest]),
    }
    for low, high, percent in bands(history.levels):
        numbers[f"low {percent}"] = quantiles[:, low]
        numbers[f"width {percent}"] = quantiles[:, high] - quantiles[:, low]
    times = np.concatenate([past.times, future])
    lowest, span = np.full(len(times), np.nan), np.full(len(times), np.nan)
    if view.session:
        times, numbers, lowest, span = _with_session(history, slot, times, numbers)
    numbers |= {"lowest": lowest, "span": span}
    breaks = _breaks(times, int(np.count_nonzero(np.isfinite(span))), len(future) if view.horizon is None else 0)
    drawn = {name: _rounded(np.insert(values, breaks, np.nan)) for name, values in numbers.items()}
    return {"time": np.insert(times, breaks, times[breaks - 1] + 1).tolist(), **drawn}


def _fan(history: SeriesHistory, slot: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return target times (H,) and quantiles (H, Q) of the latest forecast; none while the step is unknown."""
    present = history.present(slot)
    later = present.target_times > present.time
    return present.target_times[later], present.quantiles[later]


def _with_session(
    history: SeriesHistory, slot: int, times: NDArray[np.int64], numbers: dict[str, NDArray[np.float64]]
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]], NDArray[np.float64], NDArray[np.float64]]:
    """Put the stretches before the first of `times` before it; return their lowest values and spans, too."""
    found = history.session.stretches(slot, int(history.count[slot]))
    ends = np.append(found.times[1:], times[-1] + 1)
    before = ends <= times[0]
    first, low, high, last, score = (column[before] for column in found)
    extreme = np.where(high - last > last - low, high, low)
    earlier = {"observed": last, "anomaly": np.where(score >= 1, extreme, np.nan)}
    nothing, rest = np.full(len(first), np.nan), np.full(len(times), np.nan)
    joined = {name: np.concatenate([earlier.get(name, nothing), column]) for name, column in numbers.items()}
    return np.concatenate([first, times]), joined, np.concatenate([low, rest]), np.concatenate([high - low, rest])


def _breaks(times: NDArray[np.int64], stretches: int, fan: int) -> NDArray[np.int64]:
    """Return the indices of the points that follow a gap; none between the first `stretches`, or in the fan."""
    steps = np.diff(times)
    single = steps[stretches : len(steps) - fan]
    usual = np.median(single) if len(single) else 0
    return np.flatnonzero(single > GAP_STEPS * usual) + 1 + stretches


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    known = np.isfinite(values)
    largest = np.abs(values, where=known, out=np.zeros(len(values))).max(initial=0.0)
    if largest > 0:  # more digits are invisible and only make the message larger
        values = np.round(values, DIGITS - 1 - int(np.floor(np.log10(largest))))
    return [value if isfinite(value) else None for value in values.tolist()]


def chart_options(levels: Sequence[float]) -> dict[str, Any]:
    """Return the options of Apache ECharts, without data."""
    quiet = {"color": QUIET}
    return {
        "animation": False,
        "useUTC": True,
        "grid": {"left": 8, "right": 28, "top": 22, "bottom": 44, "containLabel": True},
        "dataZoom": _zoom(),
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "className": "tip",
            ":formatter": TOOLTIP,
            "axisPointer": {"lineStyle": {**quiet, "type": "solid"}},
        },
        "xAxis": {
            "type": "time",
            "axisLabel": {**quiet, "hideOverlap": True, "formatter": LABELS},
            "axisLine": {"lineStyle": {"color": QUIET, "opacity": 0.4}},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "scale": True,
            "axisLabel": quiet,
            "splitLine": {"lineStyle": {"color": QUIET, "opacity": 0.18}},
        },
        "dataset": {"source": {}},
        "series": _series(levels),
    }


def _series(levels: Sequence[float]) -> list[dict[str, Any]]:
    """Return bands, lines and rings, by the columns that they draw."""
    series: list[dict[str, Any]] = []
    for _, _, percent in bands(levels):
        line = {"type": "line", "stack": percent, "stackStrategy": "all", "lineStyle": {"opacity": 0}}
        plain = {**line, "symbol": "none", "silent": True, "emphasis": {"disabled": True}}
        area = {"color": FORECAST, "opacity": 0.17}
        series += [
            {**plain, "encode": {"x": "time", "y": f"low {percent}"}},
            {**plain, "encode": {"x": "time", "y": f"width {percent}"}, "areaStyle": area},
        ]
    stretch: dict[str, Any] = {"type": "line", "stack": "session", "stackStrategy": "all", "lineStyle": {"opacity": 0}}
    stretch |= {"symbol": "none", "silent": True, "emphasis": {"disabled": True}}
    shade = {"color": OBSERVED, "opacity": 0.25}
    series += [
        {**stretch, "encode": {"x": "time", "y": "lowest"}},
        {**stretch, "encode": {"x": "time", "y": "span"}, "areaStyle": shade},
        _line("median", FORECAST, 1.5),
        {**_line("observed", OBSERVED, 2), "markLine": {"data": []}},
        {
            "type": "scatter",
            "encode": {"x": "time", "y": "anomaly"},
            "symbolSize": 9,
            "itemStyle": {"color": "transparent", "borderColor": ANOMALY, "borderWidth": 2},
            "z": 5,
        },
    ]
    return series


def _zoom() -> list[dict[str, Any]]:
    """Return the zoom: by the slider, or with Ctrl by the wheel and with Shift by the mouse, so that pages scroll."""
    quiet = {"color": QUIET, "opacity": 0.25}
    return [
        {"type": "inside", "zoomOnMouseWheel": "ctrl", "moveOnMouseMove": "shift", "moveOnMouseWheel": False,
         "preventDefaultMouseMove": False},
        {"type": "slider", "height": 18, "bottom": 6, "borderColor": "transparent", "showDetail": False,
         "brushSelect": False, "fillerColor": "rgba(59,130,246,0.15)", "backgroundColor": "rgba(139,149,165,0.12)",
         "dataBackground": {"lineStyle": quiet, "areaStyle": {**quiet, "opacity": 0.1}},
         "selectedDataBackground": {"lineStyle": quiet, "areaStyle": {**quiet, "opacity": 0.1}},
         "moveHandleSize": 0, "handleStyle": {"color": QUIET, "borderColor": QUIET}},
    ]  # fmt: skip


def _line(name: str, color: str, width: float) -> dict[str, Any]:
    return {
        "type": "line",
        "encode": {"x": "time", "y": name},
        "symbol": "none",
        "silent": True,
        "emphasis": {"disabled": True},
        "lineStyle": {"color": color, "width": width},
        "itemStyle": {"color": color},
    }


def fill_chart(options: dict[str, Any], data: dict[str, list[Any]], now: int, marks: Sequence[Mark] = ()) -> None:
    """Put the data into the options, a line at the present (milliseconds since the epoch), and marks of events."""
    options["dataset"] = {"source": data}
    observed = next(each for each in options["series"] if each["encode"]["y"] == "observed")
    lines: list[dict[str, Any]] = [{"xAxis": now, "label": {"formatter": "now"}}]
    texts: dict[int, str] = {}
    for mark in reversed(marks):
        if data["time"] and mark.time >= data["time"][0]:
            texts[mark.time] = f"{texts[mark.time]}, {mark.text}" if mark.time in texts else mark.text
    style = {"color": ANOMALY, "type": "dotted", "opacity": 0.8}
    lines += [
        {"xAxis": time, "label": {"formatter": text, "position": "insideEndTop"}, "lineStyle": style}
        for time, text in texts.items()
    ]
    single = sum(value is not None for value in data["observed"]) == 1
    observed["symbol"] = "circle" if single else "none"  # a line of one point is invisible
    observed["markLine"] = {
        "symbol": "none",
        "silent": True,
        "animation": False,
        "label": {"color": QUIET, "distance": 2},
        "lineStyle": {"color": QUIET, "type": "dashed", "opacity": 0.7},
        "data": lines,
    }
