"""The chart of a series: observations, and the past and pending forecasts of one horizon."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

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

# Returns HTML of numbers and column names only: a series' name would have to be escaped.
# ECharts adds unnamed dimensions to stacked series; the row of a gap has no numbers and so no tooltip.
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
    """Return the symmetric intervals, widest first: indices of both quantiles, and the percentage."""
    middle, count = list(levels).index(0.5), len(levels)
    pairs = [(low, count - 1 - low) for low in range(min(middle, count - 1 - middle))]
    return [(low, high, f"{100 * (levels[high] - levels[low]):g}") for low, high in pairs]


def chart_columns(history: SeriesHistory, slot: int, horizon: int) -> dict[str, list[Any]]:
    """Return the columns to draw, first past, then pending forecasts; `horizon` is an index.

    None stands for a missing number, and interrupts a line.
    """
    past = history.past(slot, history.history)
    times, ahead = history.pending(slot, horizon)
    later = times > past.times[-1]  # while the cadence is unknown, target times equal the origin's
    times, ahead = np.concatenate([past.times, times[later]]), ahead[later]
    quantiles = np.concatenate([past.forecasts[:, horizon], ahead])
    rest = np.full(len(ahead), np.nan)
    numbers = {
        "observed": np.concatenate([past.values, rest]),
        "median": quantiles[:, history.median],
        "anomaly": np.concatenate([np.where(past.anomaly >= 1, past.values, np.nan), rest]),
    }
    for low, high, percent in bands(history.levels):
        numbers[f"low {percent}"] = quantiles[:, low]
        numbers[f"width {percent}"] = quantiles[:, high] - quantiles[:, low]
    breaks = _breaks(times)
    drawn = {name: _rounded(np.insert(values, breaks, np.nan)) for name, values in numbers.items()}
    return {"time": np.insert(times, breaks, times[breaks - 1] + 1).tolist(), **drawn}


def _breaks(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of the points that follow a gap."""
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else 0
    return np.flatnonzero(steps > GAP_STEPS * usual) + 1


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    known = np.isfinite(values)
    largest = np.abs(values, where=known, out=np.zeros(len(values))).max(initial=0.0)
    if largest > 0:  # more digits are invisible and only make the message larger
        values = np.round(values, DIGITS - 1 - int(np.floor(np.log10(largest))))
    return [value if isfinite(value) else None for value in values.tolist()]


def chart_options(levels: Sequence[float]) -> dict[str, Any]:
    """Return the options of Apache ECharts, without data."""
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


def fill_chart(options: dict[str, Any], data: dict[str, list[Any]], now: int) -> None:
    """Put the data into the options, and a line at the present (milliseconds since the epoch)."""
    options["dataset"] = {"source": data}
    observed = next(each for each in options["series"] if each["encode"]["y"] == "observed")
    observed["markLine"] = {
        "symbol": "none",
        "silent": True,
        "animation": False,
        "label": {"formatter": "now", "color": QUIET},
        "lineStyle": {"color": QUIET, "type": "dashed", "opacity": 0.7},
        "data": [{"xAxis": now}],
    }
