"""A backtest's report as one HTML file, which asks no host for anything: scripts, styles and numbers are in it.

Names come from the records of whoever runs this: the template escapes each, and none is given to the plotting library,
which would read markup in it.
"""

import base64
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from streamrnn.evaluation.curves import LATEST, OLDER, Curve, curves
from streamrnn.evaluation.figures import EDGES, PARTS, Entry, Figures
from streamrnn.evaluation.tally import FORECASTERS, Sums, shown
from streamrnn.version import VERSION

Floats = NDArray[np.float64]

TEMPLATE = Path(__file__).parent / "template"
MOST_SERIES = 100
"""That have a line each in the summary; of more, only those that are drawn have."""
FINE = 1e-4
"""Of a series' size: where all its values lie closer together, single precision would show steps."""


class Run(NamedTuple):
    """What came of one file."""

    name: str
    records: int
    forecasts: int
    unusable: int
    """Dead letters."""
    left_out: int
    """Records counted and not forecast."""
    seconds: float
    held: int
    """Series that the state is of, covariates among them."""
    state: int
    """Bytes of what is kept by series ..."""
    shared: int
    """... and of what the series share."""
    series: list[Sums]


def page(
    runs: Sequence[Run],
    records: Iterable[bytes],
    *,
    horizons: Sequence[int],
    quantiles: Sequence[float],
    configuration: str,
    drift: bool,
    versions: Mapping[str, str],
) -> str:
    """The report on these runs.

    `records` are all their forecast records, run after run; `configuration` is the effective one as text, without
    secrets; `drift` says whether there was a detector of drift; `versions` are those of what computed.
    """
    series = [each for run in runs for each in run.series]
    figures = Figures(series, _keys(runs)) if series else None
    best, worst = figures.extremes() if figures else ([], [])
    places, pairs = shown(horizons), _intervals(quantiles)
    levels = [quantiles[place] for pair in pairs for place in pair] + [0.5]
    drawn = _curves(runs, records, [*best, *worst], horizons, places, levels)
    data = {
        "latest": LATEST,
        "horizons": [horizons[place] for place in places],
        "intervals": _named(quantiles, pairs),
        "forecasters": FORECASTERS,
        "together": _together(figures, horizons, quantiles, places) if figures else None,
        "series": [_packed(series[number], curve) for number, curve in drawn],
    }
    environment = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"ratio": _ratio, "percent": _percent, "date": _date, "size": _size}
    return environment.get_template("page.html").render(
        **(_lines(figures, best, worst) if figures else {"overall": None}),
        runs=runs,
        series=series,
        horizons=horizons,
        intervals=_named(quantiles, _pairs(quantiles)),
        deviation=figures.deviation(quantiles) if figures else None,
        configuration=configuration,
        drift=drift,
        versions={"streamrnn": VERSION, "Python": sys.version.split()[0], **versions},
        now=datetime.now(UTC),
        latest=LATEST,
        older=OLDER,
        data=data,
        embedded=_embedded(data),
        css=(TEMPLATE / "page.css").read_text(encoding="utf-8"),
        js=(TEMPLATE / "page.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
    )


def _lines(figures: Figures, best: Sequence[int], worst: Sequence[int]) -> dict[str, Any]:
    """What the tables say, and the headings of the series that are drawn."""
    series, chosen = figures.series, [*best, *worst]
    own = [figures.entry(number)._replace(label=series[number].name) for number in chosen]
    few = len(series) <= MOST_SERIES
    return {
        "overall": figures.overall(),
        "wins": figures.wins(),
        "groups": figures.entries() if few else [],
        "listed": [] if few else own,
        "cards": list(zip(own, (series[number] for number in chosen), strict=True)),
        "best": len(best),
    }


def _keys(runs: Sequence[Run]) -> list[str]:
    """For each series its key; where several files have the same, with the file's name."""
    keys = [[each.name.rpartition("/")[0] for each in run.series] for run in runs]
    files: dict[str, set[int]] = {}
    for number, held in enumerate(keys):
        for key in held:
            files.setdefault(key, set()).add(number)
    return [
        key if len(files[key]) == 1 else f"{run.name}: {key}"
        for run, held in zip(runs, keys, strict=True)
        for key in held
    ]


def _pairs(quantiles: Sequence[float]) -> list[tuple[int, int]]:
    """Places of the bounds of each interval around the median, the outermost one first."""
    middle = list(quantiles).index(0.5)
    last = len(quantiles) - 1
    return [(low, last - low) for low in range(min(middle, last - middle))]


def _intervals(quantiles: Sequence[float]) -> list[tuple[int, int]]:
    """The intervals that are drawn: the outermost, and one from the middle of the others."""
    pairs = _pairs(quantiles)
    return pairs[:1] + pairs[1:][len(pairs[1:]) // 2 :][:1]


def _named(quantiles: Sequence[float], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Intervals by the share of truths that they are for."""
    return [f"{100 * (quantiles[high] - quantiles[low]):.4g}%" for low, high in pairs]


def _curves(
    runs: Sequence[Run],
    records: Iterable[bytes],
    chosen: Sequence[int],
    horizons: Sequence[int],
    places: Sequence[int],
    levels: Sequence[float],
) -> list[tuple[int, Curve]]:
    """The curves of the chosen series, by their numbers among all; names may occur in several files."""
    lines, before = iter(records), 0
    found: dict[int, Curve] = {}
    for run in runs:
        inside = [number for number in chosen if before <= number < before + len(run.series)]
        rows = {run.series[number - before].name: run.series[number - before].rows for number in inside}
        made = curves(islice(lines, run.forecasts), rows, horizons, places, levels)
        found.update(zip(inside, made.values(), strict=True))
        before += len(run.series)
    return [(number, found[number]) for number in chosen]


def _together(
    figures: Figures, horizons: Sequence[int], quantiles: Sequence[float], places: Sequence[int]
) -> dict[str, Any]:
    """What the charts of all series show."""
    skill, course, observed = figures.skill(), figures.course(), figures.reliability()
    return {
        "levels": quantiles,
        "reliability": [_numbers(observed[place]) for place in places],
        "horizons": horizons,
        "skill": [_numbers(row) for row in skill],
        "parts": [(part + 0.5) / PARTS for part in range(PARTS)],
        "course": [_numbers(course[:, f, 1]) for f in range(len(FORECASTERS))],
        "spread": [_numbers(course[:, 0, 0]), _numbers(course[:, 0, 2])],
        "edges": EDGES.tolist(),
        "histogram": figures.histogram().tolist(),
    }


def _packed(series: Sums, curve: Curve) -> dict[str, Any]:
    """One series as the charts read it."""
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
    """Little-endian floats as text."""
    little = numbers.astype(numbers.dtype.newbyteorder("<"))
    return {"kind": numbers.dtype.str[1:], "data": base64.b64encode(little.tobytes()).decode()}


def _numbers(numbers: Floats) -> list[float | None]:
    """Six digits of each; None for NaN."""
    return [float(f"{number:.6g}") if np.isfinite(number) else None for number in numbers.tolist()]


def _embedded(document: object) -> str:
    """JSON that may stand in a script element: nothing in it can end that."""
    return orjson.dumps(document).decode().replace("<", "\\u003c")


def _ratio(number: float) -> str:
    return f"{number:.3f}" if np.isfinite(number) else "–"  # noqa: RUF001 -- a dash for people


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if np.isfinite(share) else "–"  # noqa: RUF001


def _date(time: int) -> str:
    return str(np.datetime64(time, "ms")).replace("T", " ")[:16]


def _size(count: float) -> str:
    for unit, size in (("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:.0f} bytes"


__all__ = ["Entry", "Run", "page"]
