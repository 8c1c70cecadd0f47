"""The few series that a report draws: truth and forecasts row by row, read once more from the forecast records."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LATEST = 800
"""Rows at the end of a series of which every one is drawn; ..."""
OLDER = 800
"""... of those before, as many: of each stretch of equally many rows the lowest and the highest."""

_BEGIN, _END = b'{"series":', b',"time":'
"""What a record begins with, and what follows upon its series: a quotation mark in a name is written otherwise."""


class Curve(NamedTuple):
    """One series at N rows, and what had been forecast for these rows; NaN where nothing had."""

    times: NDArray[np.int64]
    """(N,) event times, ms."""
    values: Floats
    """(N,) what was observed."""
    anomalies: NDArray[np.bool_]
    """(N,) whether the value lay outside of the 99% interval forecast for it."""
    quantiles: Floats
    """(N, S, L) at S horizons and L levels."""


def curves(
    records: Iterable[bytes],
    rows: Mapping[str, int],
    horizons: Sequence[int],
    places: Sequence[int],
    levels: Sequence[float],
) -> dict[str, Curve]:
    """Curves of the series that `rows` has names and numbers of rows of, from all records in their order.

    `places` (S) are those of the horizons to be drawn among all, `levels` (L) the quantiles.
    """
    names = [repr(float(level)) for level in levels]
    drawn = {
        orjson.dumps(name): _Drawn(count, [horizons[place] for place in places], len(levels))
        for name, count in rows.items()
    }
    for record in records:
        found = drawn.get(record[len(_BEGIN) : record.find(_END)])
        if found is not None:
            document = orjson.loads(record)
            made = [[document["quantiles"][name][place] for name in names] for place in places]
            found.add(document, made)
    return {name: found.curve() for name, found in zip(rows, drawn.values(), strict=True)}


class _Drawn:
    """One series on its way; no more is held than what will be drawn, and the forecasts that await their row."""

    def __init__(self, rows: int, horizons: Sequence[int], levels: int) -> None:
        self._horizons = horizons
        self._nothing = np.full((len(horizons), levels), np.nan)
        self._waiting: deque[list[list[float]]] = deque(maxlen=horizons[-1] + 1)
        self._older = max(rows - LATEST, 0)
        self._stretch = max(-(-2 * self._older // OLDER), 2)
        """Rows, of which two are drawn."""
        self._row = 0
        self._extremes: list[tuple[Any, ...]] = []
        """The lowest and the highest row of the stretch so far; one row while it has no more."""
        self._kept: list[tuple[Any, ...]] = []

    def add(self, record: Mapping[str, Any], made: list[list[float]]) -> None:
        """One more row, with the forecasts (S, L) made at it."""
        self._waiting.append(made)
        due = self._nothing.copy()
        for i, horizon in enumerate(self._horizons):
            if horizon < len(self._waiting):
                due[i] = self._waiting[-1 - horizon][i]
        row = (self._row, record["time"], record["value"], record["anomaly_score"] >= 1, due)
        if self._row >= self._older:
            self._close()
            self._kept.append(row)
        else:
            if self._row % self._stretch == 0:
                self._close()
            both = [*self._extremes, row]
            self._extremes = [min(both, key=_value), max(reversed(both), key=_value)]  # of equals the outer ones
        self._row += 1

    def _close(self) -> None:
        """The stretch is complete: its two rows are drawn, in their order."""
        self._kept += [row for _, row in sorted({row[0]: row for row in self._extremes}.items())]
        self._extremes = []

    def curve(self) -> Curve:
        """What there is."""
        self._close()
        _, times, values, anomalies, quantiles = zip(*self._kept, strict=True)
        return Curve(np.array(times, np.int64), np.array(values), np.array(anomalies, np.bool_), np.array(quantiles))


def _value(row: tuple[Any, ...]) -> float:
    value: float = row[2]
    return value
