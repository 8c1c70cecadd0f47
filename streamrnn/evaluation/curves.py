"""Curves of the few series that a report draws: truth and forecasts by row, read in a second pass over the records."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LATEST_ROWS = 800
"""Number of latest rows of a series that are all drawn."""
OLDER = 800
"""Approximate number of earlier rows drawn: the lowest and the highest value of each of OLDER / 2 stretches."""

_BEGIN, _END = b'{"series":', b',"time":'
"""Text of a record before and after the name of its series; a quotation mark inside the name is escaped."""


class Curve(NamedTuple):
    """N rows of one series and the forecasts for them, at S horizons and L levels; NaN without forecast."""

    times: NDArray[np.int64]
    """Event times (ms), shape (N,)."""
    values: Floats
    """Observed values, shape (N,)."""
    anomalies: NDArray[np.bool_]
    """Whether the value lay outside the 99% interval forecast for it, shape (N,)."""
    quantiles: Floats
    """Quantiles forecast for the value, shape (N, S, L)."""


def read_curves(
    records: Iterable[bytes],
    rows: Mapping[str, int],
    horizons: Sequence[int],
    selected: Sequence[int],
    levels: Sequence[float],
) -> dict[str, Curve]:
    """Return the curves of the series in `rows`, from all records in order.

    Args:
        records: Forecast records (JSON).
        rows: Number of rows of each series to draw, by its name.
        horizons: Steps ahead of the forecasts.
        selected: Indexes of the horizons to draw, (S,).
        levels: Levels of the quantiles to draw, (L,).
    """
    names = [repr(float(level)) for level in levels]
    builders = {
        orjson.dumps(name): _CurveBuilder(count, [horizons[k] for k in selected], len(levels))
        for name, count in rows.items()
    }
    for record in records:
        builder = builders.get(record[len(_BEGIN) : record.find(_END)])
        if builder is not None:
            document = orjson.loads(record)
            builder.add(document, [[document["quantiles"][name][k] for name in names] for k in selected])
    return {name: builder.curve() for name, builder in zip(rows, builders.values(), strict=True)}


class _CurveBuilder:
    """Builder of one curve: the rows to be drawn so far, and the forecasts that wait for their row."""

    def __init__(self, rows: int, horizons: Sequence[int], levels: int) -> None:
        self._horizons = horizons
        self._absent = np.full((len(horizons), levels), np.nan)
        self._pending: deque[list[list[float]]] = deque(maxlen=horizons[-1] + 1)
        self._older = max(rows - LATEST_ROWS, 0)
        self._stretch = max(-(-2 * self._older // OLDER), 2)
        """Number of rows of a stretch, of which two are drawn."""
        self._row = 0
        self._extremes: list[tuple[Any, ...]] = []
        """The lowest and the highest row of the current stretch."""
        self._drawn: list[tuple[Any, ...]] = []

    def add(self, record: Mapping[str, Any], forecast: list[list[float]]) -> None:
        """Add the next row with its forecast (S, L)."""
        self._pending.append(forecast)
        due = self._absent.copy()
        for i, horizon in enumerate(self._horizons):
            if horizon < len(self._pending):
                due[i] = self._pending[-1 - horizon][i]
        row = (self._row, record["time"], record["value"], record["anomaly_score"] >= 1, due)
        if self._row >= self._older:
            self._end_stretch()
            self._drawn.append(row)
        else:
            if self._row % self._stretch == 0:
                self._end_stretch()
            both = [*self._extremes, row]  # on a tie the outer rows are drawn
            self._extremes = [
                min(both, key=itemgetter(2)),
                max(reversed(both), key=itemgetter(2)),
            ]
        self._row += 1

    def _end_stretch(self) -> None:
        """Add the lowest and the highest row of the stretch to the drawn rows, in their order."""
        self._drawn += [row for _, row in sorted({row[0]: row for row in self._extremes}.items())]
        self._extremes = []

    def curve(self) -> Curve:
        """Return the curve of all rows so far."""
        self._end_stretch()
        _, times, values, anomalies, quantiles = zip(*self._drawn, strict=True)
        return Curve(np.array(times, np.int64), np.array(values), np.array(anomalies, np.bool_), np.array(quantiles))
