"""A backtest's report as one self-contained HTML file: scripts, styles and numbers are embedded, nothing is fetched.

Names of series and files are untrusted: the template escapes them, and the plotting library, which interprets markup,
gets none.
"""

import base64
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from streamrnn.evaluation.curves import LATEST_ROWS, OLDER, Curve, read_curves
from streamrnn.evaluation.figures import EDGES, PARTS, Figures
from streamrnn.evaluation.report import FileRun
from streamrnn.evaluation.tally import FORECASTERS, Sums, selected_horizons
from streamrnn.evaluation.threshold_scores import summarize_thresholds
from streamrnn.version import VERSION

Floats = NDArray[np.float64]

TEMPLATE = Path(__file__).parent / "template"
MAX_LINES = 100
"""Series listed one by one in the summary; if there are more, only those that are drawn are listed."""
FINE = 1e-4
"""Range of a series relative to its largest value below which single precision would show steps."""


def render_report(
    runs: Sequence[FileRun],
    records: Iterable[bytes],
    *,
    horizons: Sequence[int],
    quantiles: Sequence[float],
    configuration: str,
    drift: bool,
    versions: Mapping[str, str],
) -> str:
    """Return the report as HTML.

    Args:
        runs: One per input file.
        records: All their forecast records (JSON), run after run.
        horizons: Steps (K) of the forecasts.
        quantiles: Levels (Q) of the forecasts.
        configuration: The effective configuration as YAML, secrets masked.
        drift: Whether a drift detector was configured.
        versions: Versions of the numerical libraries, by name.
    """
    series = [each for run in runs for each in run.series]
    figures = Figures(series, _keys(runs)) if series else None
    best, worst = figures.extremes() if figures else ([], [])
    selected, intervals = selected_horizons(horizons), _intervals(quantiles)
    drawn = intervals[:1] + intervals[1:][len(intervals[1:]) // 2 :][:1]  # the outermost, and one from the middle
    levels = [quantiles[bound] for interval in drawn for bound in interval] + [0.5]
    curves = _curves(runs, records, [*best, *worst], horizons, selected, levels)
    data = {
        "latest": LATEST_ROWS,
        "horizons": [horizons[k] for k in selected],
        "intervals": _labels(quantiles, drawn),
        "forecasters": FORECASTERS,
        "together": _chart_data(figures, horizons, quantiles, selected) if figures else None,
        "series": [_series_data(series[number], curve) for number, curve in curves],
    }
    environment = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"ratio": _ratio, "percent": _percent, "date": _date, "size": _size}
    return environment.get_template("page.html").render(
        **(_summary(figures, best, worst) if figures else {"overall": None}),
        runs=runs,
        series=series,
        horizons=horizons,
        intervals=_labels(quantiles, intervals),
        thresholds=summarize_thresholds((each.name, sums) for each in series for sums in each.thresholds),
        deviation=figures.deviation(quantiles) if figures else None,
        configuration=configuration,
        drift=drift,
        versions={"streamrnn": VERSION, "Python": sys.version.split()[0], **versions},
        now=datetime.now(UTC),
        latest=LATEST_ROWS,
        older=OLDER,
        data=data,
        embedded=_embedded(data),
        css=(TEMPLATE / "page.css").read_text(encoding="utf-8"),
        js=(TEMPLATE / "page.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
    )


def _summary(figures: Figures, best: Sequence[int], worst: Sequence[int]) -> dict[str, Any]:
    """Return the lines of the tables, and the headings of the series that are drawn."""
    series, chosen = figures.series, [*best, *worst]
    own = [figures.line(number)._replace(label=series[number].name) for number in chosen]
    few = len(series) <= MAX_LINES
    return {
        "overall": figures.overall(),
        "wins": figures.wins(),
        "groups": figures.lines() if few else [],
        "listed": [] if few else own,
        "cards": list(zip(own, (series[number] for number in chosen), strict=True)),
        "best": len(best),
    }


def _keys(runs: Sequence[FileRun]) -> list[str]:
    """Return the key of each series, prefixed by the file's name if several files have it."""
    keys = [[series.name.rpartition("/")[0] for series in run.series] for run in runs]
    files = Counter(key for of_file in keys for key in set(of_file))
    return [
        key if files[key] == 1 else f"{run.name}: {key}"
        for run, of_file in zip(runs, keys, strict=True)
        for key in of_file
    ]


def _intervals(quantiles: Sequence[float]) -> list[tuple[int, int]]:
    """Return the indices of the bounds of each interval around the median, outermost first."""
    middle, last = list(quantiles).index(0.5), len(quantiles) - 1
    return [(low, last - low) for low in range(min(middle, last - middle))]


def _labels(quantiles: Sequence[float], intervals: Sequence[tuple[int, int]]) -> list[str]:
    """Return the nominal coverage of each interval, as text."""
    return [f"{100 * (quantiles[high] - quantiles[low]):.4g}%" for low, high in intervals]


def _curves(
    runs: Sequence[FileRun],
    records: Iterable[bytes],
    chosen: Sequence[int],
    horizons: Sequence[int],
    selected: Sequence[int],
    levels: Sequence[float],
) -> list[tuple[int, Curve]]:
    """Return the curves of the chosen series by their numbers; several files may have series of one name."""
    lines, first = iter(records), 0
    found: dict[int, Curve] = {}
    for run in runs:
        numbers = [number for number in chosen if first <= number < first + len(run.series)]
        rows = {run.series[number - first].name: run.series[number - first].rows for number in numbers}
        curves = read_curves(islice(lines, run.forecasts), rows, horizons, selected, levels)
        found.update(zip(numbers, curves.values(), strict=True))
        first += len(run.series)
    return [(number, found[number]) for number in chosen]


def _chart_data(
    figures: Figures, horizons: Sequence[int], quantiles: Sequence[float], selected: Sequence[int]
) -> dict[str, Any]:
    """Return the data of the charts of all series together."""
    skill, course, reliability = figures.skill(), figures.course(), figures.reliability()
    return {
        "levels": quantiles,
        "reliability": [_numbers(reliability[k]) for k in selected],
        "horizons": horizons,
        "skill": [_numbers(row) for row in skill],
        "parts": [(part + 0.5) / PARTS for part in range(PARTS)],
        "course": [_numbers(course[:, f, 1]) for f in range(len(FORECASTERS))],
        "spread": [_numbers(course[:, 0, 0]), _numbers(course[:, 0, 2])],
        "edges": EDGES.tolist(),
        "histogram": figures.histogram().tolist(),
    }


def _series_data(series: Sums, curve: Curve) -> dict[str, Any]:
    """Return the data of the chart of one series."""
    kind = np.float32 if np.ptp(curve.values) > FINE * np.abs(curve.values).max() else np.float64
    counts = np.maximum(series.bin_counts, 1)[:, None]
    mean = np.where(series.bin_counts[:, None] > 0, series.bin_errors / counts, np.nan)
    return {
        "times": _binary(curve.times.astype(np.float64)),
        "values": _binary(curve.values.astype(kind)),
        "anomalies": np.flatnonzero(curve.anomalies).tolist(),
        "quantiles": [
            [_binary(curve.quantiles[:, s, level].astype(kind)) for level in range(curve.quantiles.shape[2])]
            for s in range(curve.quantiles.shape[1])
        ],
        "alarms": series.alarms,
        "bins": series.bin_times.tolist(),
        "errors": [[_numbers(mean[:, f, s]) for f in range(mean.shape[1])] for s in range(mean.shape[2])],
    }


def _binary(numbers: NDArray[Any]) -> dict[str, str]:
    """Encode little-endian floats as base64."""
    little = numbers.astype(numbers.dtype.newbyteorder("<"))
    return {"kind": numbers.dtype.str[1:], "data": base64.b64encode(little.tobytes()).decode()}


def _numbers(numbers: Floats) -> list[float | None]:
    """Round to six digits; None for NaN."""
    return [float(f"{number:.6g}") if np.isfinite(number) else None for number in numbers.tolist()]


def _embedded(document: object) -> str:
    """Return JSON that cannot end the script element it is embedded in."""
    return orjson.dumps(document).decode().replace("<", "\\u003c")


def _ratio(number: float) -> str:
    return f"{number:.3f}" if np.isfinite(number) else "–"  # noqa: RUF001 -- a dash


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if np.isfinite(share) else "–"  # noqa: RUF001


def _date(time: int) -> str:
    return str(np.datetime64(time, "ms")).replace("T", " ")[:16]


def _size(count: float) -> str:
    for unit, size in (("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:.0f} bytes"
