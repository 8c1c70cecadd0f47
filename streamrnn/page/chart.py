"""The picture of a series: what came, and for one horizon what had been forecast for it and what is forecast now."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.page.history import History

OBSERVED, FORECAST, ANOMALY, QUIET = "#e8710a", "#3b82f6", "#dc2626", "#8b95a5"
"""Colours that can be read on light and on dark ground, also by who does not tell red from green."""
LONG = 5
"""Usual steps without an observation after which a line breaks off."""
LABELS = {"year": "{yyyy}", "month": "{MMM}", "day": "{d} {MMM}", "hour": "{HH}:{mm}", "minute": "{HH}:{mm}"}
"""Times on the axis."""
DIGITS = 7
"""Significant digits of the largest number that are sent to the browser."""

# Returns HTML made of numbers and column names alone: the name of a series would have to be escaped.
# ECharts adds dimensions without a name to stacked series, and a gap's row has no numbers, so no tooltip.
TOOLTIP = """(points) => {
  const row = points[0].value;
  const values = new Map(points[0].dimensionNames.flatMap((name, index) => name ? [[name, row[index]]] : []));
  const shown = (number) => number.toLocaleString('en', {maximumSignificantDigits: 6});
  const lines = [];
  if (values.get('observed') != null) lines.push(`observed ${shown(values.get('observed'))}`);
  if (values.get('median') != null) lines.push(`forecast ${shown(values.get('median'))}`);
  for (const [name, low] of values) {
    if (!name.startsWith('low ') || low == null) continue;
    const percent = name.slice(4), high = low + values.get('width ' + percent);
    lines.push(`${percent}% from ${shown(low)} to ${shown(high)}`);
  }
  const time = new Date(values.get('time')).toISOString().replace('T', ' ').slice(0, 19) + ' UTC';
  return lines.length ? [`<b>${time}</b>`, ...lines].join('<br>') : '';
}"""


def bands(levels: Sequence[float]) -> list[tuple[int, int, str]]:
    """The intervals between quantiles as far from either end, widest first: two indices, and the percent."""
    middle, count = list(levels).index(0.5), len(levels)
    pairs = [(low, count - 1 - low) for low in range(min(middle, count - 1 - middle))]
    return [(low, high, f"{100 * (levels[high] - levels[low]):g}") for low, high in pairs]


def columns(history: History, place: int, horizon: int) -> dict[str, list[Any]]:
    """What is drawn, by the times of observations and then of what is forecast; `horizon` is an index.

    Numbers are None where there is none, and where a line is to break off.
    """
    past = history.past(place, history.history)
    times, ahead = history.ahead(place, horizon)
    later = times > past.times[-1]  # before a cadence is known, target times repeat the origin's
    times, ahead = np.concatenate([past.times, times[later]]), ahead[later]
    quantiles = np.concatenate([past.forecasts[:, horizon], ahead])
    rest = np.full(len(ahead), np.nan)
    numbers = {
        "observed": np.concatenate([past.values, rest]),
        "median": quantiles[:, history.levels.index(0.5)],
        "anomaly": np.concatenate([np.where(past.anomaly >= 1, past.values, np.nan), rest]),
    }
    for low, high, percent in bands(history.levels):
        numbers[f"low {percent}"] = quantiles[:, low]
        numbers[f"width {percent}"] = quantiles[:, high] - quantiles[:, low]
    breaks = _breaks(times)
    drawn = {name: _sent(np.insert(values, breaks, np.nan)) for name, values in numbers.items()}
    return {"time": np.insert(times, breaks, times[breaks - 1] + 1).tolist(), **drawn}


def _breaks(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Before which points a line breaks off: those that come long after the one before them."""
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else 0
    return np.flatnonzero(steps > LONG * usual) + 1


def _sent(values: NDArray[np.float64]) -> list[float | None]:
    known = np.isfinite(values)
    largest = np.abs(values, where=known, out=np.zeros(len(values))).max(initial=0.0)
    if largest > 0:  # beyond what a picture shows, digits are only more to send
        values = np.round(values, DIGITS - 1 - int(np.floor(np.log10(largest))))
    return [value if isfinite(value) else None for value in values.tolist()]


def options(levels: Sequence[float]) -> dict[str, Any]:
    """The picture without its numbers, for Apache ECharts."""
    quiet = {"color": QUIET}
    series: list[dict[str, Any]] = []
    for _, _, percent in bands(levels):
        line = {"type": "line", "stack": percent, "stackStrategy": "all", "lineStyle": {"opacity": 0}}
        plain = {**line, "symbol": "none", "silent": True, "emphasis": {"disabled": True}}
        area = {"color": FORECAST, "opacity": 0.17}
        series += [
            {**plain, "encode": {"x": "time", "y": f"low {percent}"}},
            {**plain, "encode": {"x": "time", "y": f"width {percent}"}, "areaStyle": area},
        ]
    series += [
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
    return {
        "animation": False,
        "useUTC": True,
        "grid": {"left": 8, "right": 28, "top": 16, "bottom": 8, "containLabel": True},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
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
        "series": series,
    }


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


def filled(drawing: dict[str, Any], found: dict[str, list[Any]], now: int | None) -> None:
    """Put the numbers into the options, and a line where the present is (milliseconds since the epoch)."""
    drawing["dataset"] = {"source": found}
    observed = next(each for each in drawing["series"] if each["encode"]["y"] == "observed")
    observed["markLine"] = {
        "symbol": "none",
        "silent": True,
        "animation": False,
        "label": {"formatter": "now", "color": QUIET},
        "lineStyle": {"color": QUIET, "type": "dashed", "opacity": 0.7},
        "data": [] if now is None else [{"xAxis": now}],
    }
