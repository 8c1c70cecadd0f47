"""Scores of forecast records against what came afterwards, without trusting the forecaster.

The records are read as anybody downstream reads them: the truth is the `value` of a later record of the same series,
and steps count the records of a series. The baselines are made here, from the values alone:

- persistence: nothing changes;
- seasonal naive: what was there one season before the target, where a season is a day, or a week for rows too slow to
  make up a day; the season's rows follow from the median time between rows;
- for the pinball loss, persistence with the quantiles of its own last 500 errors.

What is kept of a series is bounded: no more than a season of values and the forecasts that await their truth.
"""

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAY, WEEK = 86_400_000, 7 * 86_400_000
"""ms"""
FEWEST_ROWS, MOST_ROWS = 4, 100_000
"""Of a season."""
GAPS = 50
"""Times between rows that a season is told from; until there are so many, nothing is compared with seasonal naive."""
ERRORS = 500
"""Errors of persistence that its quantiles are taken from ..."""
FIRST_ERRORS = 11
"""... as soon as there are so many; before that it has no width ..."""
REFRESH = 20
"""... and rows after which they are taken anew."""


class Score(NamedTuple):
    """How good the forecasts of one series, or of several together, were. None: there was nothing to compare with."""

    scored: int
    """Forecasts."""
    persistence: float | None
    """Mean absolute error of the median / that of persistence."""
    seasonal: float | None
    """The same / that of the seasonal naive forecast, where that one exists."""
    pinball: float | None
    """Mean pinball loss over all quantiles / that of persistence with the quantiles of its own errors."""
    coverage: float | None
    """Share of truths inside the outermost interval."""


class Scorer:
    """Takes in the forecast records of one partition in their order, and scores them.

    `horizons` (K, in steps) and `quantiles` (Q) are those of the records. Forecasts made from input records before the
    offset `first` are not scored: a forecaster that learns has to see something first.
    """

    def __init__(self, *, horizons: Sequence[int], quantiles: Sequence[float], first: int = 0) -> None:
        self._horizons = np.array(horizons, np.int64)
        self._quantiles = np.array(quantiles, np.float64)
        self._levels = [repr(float(quantile)) for quantile in quantiles]
        self._first = first
        self._series: dict[str, _Series] = {}

    def add(self, value: bytes) -> None:
        """Take in one forecast record, as bytes of JSON."""
        record = orjson.loads(value)
        name = record["series"]
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = _Series(self._horizons, self._quantiles)
        forecast = np.array([record["quantiles"][level] for level in self._levels], np.float64).T
        series.add(record["time"], record["value"], forecast, scored=record["source"]["offset"] >= self._first)

    def series(self) -> dict[str, list[Score]]:
        """By series, in first-seen order: its score at each horizon."""
        return {name: series.scores() for name, series in self._series.items()}

    def keys(self) -> dict[str, list[Score]]:
        """By key, in first-seen order: the score of its series together at each horizon."""
        by_key: dict[str, list[list[Score]]] = {}
        for name, scores in self.series().items():
            by_key.setdefault(name.rpartition("/")[0], []).append(scores)  # a field has no slash, a key may have
        return {key: [together(each) for each in zip(*held, strict=True)] for key, held in by_key.items()}


def together(scores: Iterable[Score]) -> Score:
    """Several scores as one: ratios by their geometric mean, coverage by the arithmetic one."""
    columns = list(zip(*scores, strict=True))
    ratios = [_mean([None if r is None else math.log(max(r, 1e-12)) for r in column]) for column in columns[1:4]]
    persistence, seasonal, pinball = (None if mean is None else math.exp(mean) for mean in ratios)
    return Score(sum(columns[0]), persistence, seasonal, pinball, _mean(columns[4]))


def _mean(numbers: Iterable[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known else None


class _Series:
    """One series: the values and forecasts that are still needed, and sums by horizon."""

    def __init__(self, horizons: NDArray[np.int64], quantiles: Floats) -> None:
        longest, k, q = int(horizons[-1]), len(horizons), len(quantiles)
        self._horizons, self._quantiles = horizons, quantiles
        self._middle = int(np.searchsorted(quantiles, 0.5))
        self._rows = 0
        self._values, self._times = array("d"), array("q")
        """The latest values and times; `_dropped` rows before them are forgotten."""
        self._dropped = 0
        self._season: int | None = None
        """In rows; 0: none; None: not known yet, and everything is kept."""
        # rings over the last rows, `longest` being the oldest that is asked for
        self._due = np.zeros(longest + 1, np.bool_)
        self._forecasts = np.zeros((longest + 1, k, q))
        self._bands = np.zeros((longest + 1, k, q))
        self._changes = np.zeros((k, ERRORS))
        self._band = np.zeros((k, q))
        # sums by horizon over the scored forecasts; of the seasonal two only where there was a season
        self._scored, self._covered = np.zeros(k, np.int64), np.zeros(k, np.int64)
        self._error, self._persistence = np.zeros(k), np.zeros(k)
        self._beside_seasonal, self._seasonal = np.zeros(k), np.zeros(k)
        self._pinball, self._band_pinball = np.zeros(k), np.zeros(k)

    def add(self, time: int, value: float, forecast: Floats, *, scored: bool) -> None:
        """One more row: its time (ms), its value, the forecast (K, Q) made with it, and whether that one counts."""
        row = self._rows
        self._values.append(value)
        self._times.append(time)
        known = np.flatnonzero(self._horizons <= row)  # horizons whose origin was a row of this series
        origins = row - self._horizons[known]
        self._changes[known, (origins % ERRORS)] = value - self._at(origins)
        self._score(value, known[self._due[origins % len(self._due)]])
        if row % REFRESH == 0:
            self._measure(row)
        slot = row % len(self._due)
        self._due[slot] = scored
        self._forecasts[slot] = forecast
        self._bands[slot] = value + self._band
        self._rows += 1
        self._forget()

    def _score(self, value: float, due: NDArray[np.int64]) -> None:
        """Score the forecasts of this row's value at the horizons numbered `due`."""
        if not len(due):
            return
        row = self._rows
        if self._season is None and row >= GAPS:
            self._season = season(np.diff(np.array(self._times)))
        origins = row - self._horizons[due]
        slots = origins % len(self._due)
        forecasts, bands = self._forecasts[slots, due], self._bands[slots, due]
        error = np.abs(value - forecasts[:, self._middle])
        self._scored[due] += 1
        self._covered[due] += (forecasts[:, 0] <= value) & (value <= forecasts[:, -1])
        self._error[due] += error
        self._persistence[due] += np.abs(value - self._at(origins))
        self._pinball[due] += _pinball(value, forecasts, self._quantiles)
        self._band_pinball[due] += _pinball(value, bands, self._quantiles)
        if self._season:
            before = row - self._season * -(-self._horizons[due] // self._season)
            held = before >= 0
            self._beside_seasonal[due[held]] += error[held]
            self._seasonal[due[held]] += np.abs(value - self._at(before[held]))

    def _measure(self, row: int) -> None:
        """Take the quantiles of persistence's errors anew."""
        for k, horizon in enumerate(self._horizons):
            errors = row - int(horizon) + 1
            if errors >= FIRST_ERRORS:
                self._band[k] = np.quantile(self._changes[k, :errors], self._quantiles)

    def _at(self, rows: NDArray[np.int64]) -> Floats:
        """Values of these rows."""
        return np.array([self._values[row - self._dropped] for row in rows.tolist()])

    def _forget(self) -> None:
        """Drop values that nothing will ask for again, once they are more than those that are kept."""
        if self._season is None:
            return
        needed = int(self._horizons[-1]) + self._season + 1
        if len(self._values) > 2 * needed:
            surplus = len(self._values) - needed
            del self._values[:surplus]
            del self._times[:surplus]
            self._dropped += surplus

    def scores(self) -> list[Score]:
        """By horizon."""
        return [
            Score(
                int(self._scored[k]),
                _ratio(self._error[k], self._persistence[k]),
                _ratio(self._beside_seasonal[k], self._seasonal[k]),
                _ratio(self._pinball[k], self._band_pinball[k]),
                _ratio(self._covered[k], self._scored[k]),
            )
            for k in range(len(self._horizons))
        ]


def season(gaps: NDArray[np.int64]) -> int:
    """Rows in a day, or in a week where a day has fewer than 4, from the times between rows (ms); 0: neither fits."""
    cadence = float(np.median(gaps))
    for period in (DAY, WEEK):
        if cadence > 0 and FEWEST_ROWS <= round(period / cadence) <= MOST_ROWS:
            return round(period / cadence)
    return 0


def _pinball(value: float, quantiles: Floats, levels: Floats) -> Floats:
    """Pinball loss of quantiles (N, Q), mean over Q."""
    error = value - quantiles
    return np.asarray(np.maximum(levels * error, (levels - 1) * error).mean(1))


def _ratio(number: float, other: float) -> float | None:
    return float(number / other) if other > 0 else None
