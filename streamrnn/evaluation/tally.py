"""What a backtest adds up of its forecast records, series by series, for its report.

Records are read as anybody downstream reads them: the truth is the `value` of a later record of the same series, and
steps count the records of a series. The forecasts are compared with those of `references`, made at the same origins;
each reference gets quantiles from its own last 500 errors, as many as had come by then. What is held of a series is
bounded: a season of values, the forecasts that await their truth, and sums.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from streamrnn.evaluation.baselines import NAMES, References
from streamrnn.evaluation.scoring import ERRORS, FIRST_ERRORS, REFRESH

Floats = NDArray[np.float64]

FORECASTERS = ("streamrnn", *NAMES)
"""F of them, wherever an axis has that letter."""
MOST_BINS = 128
"""Of a series' course in time: as many as that, each of twice as many rows whenever they would become more."""
MOST_SHOWN = 3
"""Horizons that are drawn one by one."""
MOST_ALARMS = 500
"""Alarms of drift that are kept of a series."""


class Sums(NamedTuple):
    """One series, added up over its scored forecasts. F forecasters, K horizons, Q quantiles, I intervals."""

    name: str
    rows: int
    first: int
    last: int
    """Event times, ms."""
    season: int
    """Rows; 0: none."""
    scored: NDArray[np.int64]
    """(K,) forecasts."""
    error: Floats
    """(F, K) absolute errors of the median."""
    pinball: Floats
    """(F, K) pinball loss, mean over Q."""
    covered: Floats
    """(F, K, I) truths inside of an interval, the outermost one first."""
    below: Floats
    """(K, Q) truths below a quantile; one that equals it counts with the quantile's level."""
    anomalies: int
    """Rows outside of the 99% interval forecast for them."""
    alarms: list[int]
    """Event times (ms) at which the detector of drift gave an alarm."""
    bin_times: NDArray[np.int64]
    """(B,) event time (ms) of the first row of each stretch of its course, scored or not."""
    bin_errors: Floats
    """(B, F, S) absolute errors there, added up, at the horizons shown."""
    bin_counts: NDArray[np.int64]
    """(B, S) rows there that had been forecast."""


def shown(horizons: Sequence[int]) -> list[int]:
    """The places of the horizons that are drawn one by one: the first, the middle, and the last."""
    return sorted({0, len(horizons) // 2, len(horizons) - 1})[:MOST_SHOWN]


class Tally:
    """Takes in the forecast records of one partition in their order.

    `horizons` (K, in steps) and `quantiles` (Q) are those of the records, `seasons` as in the configuration. Forecasts
    made from input records before the offset `first` are not scored.
    """

    def __init__(
        self,
        *,
        horizons: Sequence[int],
        quantiles: Sequence[float],
        seasons: Sequence[float] | None = None,
        first: int = 0,
    ) -> None:
        self._horizons, self._quantiles, self._seasons = horizons, quantiles, seasons
        self._levels = [repr(float(quantile)) for quantile in quantiles]
        self._first = first
        self._series: dict[str, _Series] = {}

    def add(self, value: bytes) -> None:
        """Take in one forecast record, as bytes of JSON."""
        record = orjson.loads(value)
        name = record["series"]
        series = self._series.get(name)
        if series is None:
            references = References(horizons=self._horizons, seasons=self._seasons)
            series = self._series[name] = _Series(self._horizons, self._quantiles, references)
        series.add(record, [record["quantiles"][level] for level in self._levels], self._first)

    def sums(self) -> list[Sums]:
        """By series, in first-seen order. Nothing is taken in afterwards."""
        return [series.finished(name) for name, series in self._series.items()]


class _Course:
    """Errors over time, in at most MOST_BINS stretches of equally many rows. S horizons."""

    def __init__(self, horizons: int) -> None:
        self._width, self._fill = 1, 0
        """How often rows are added to a stretch, and how often they were in all."""
        self._times = np.zeros(MOST_BINS, np.int64)
        self._errors = np.zeros((MOST_BINS, len(FORECASTERS), horizons))
        self._counts = np.zeros((MOST_BINS, horizons), np.int64)

    def add(self, time: int, errors: Floats) -> None:
        """Add the errors (N, F, S) of the next rows, always equally many, from `time` on; NaN: not forecast."""
        if self._fill == MOST_BINS * self._width:
            self._width *= 2
            half = MOST_BINS // 2
            self._times[:half] = self._times[::2]
            for sums in (self._errors, self._counts):
                sums[:half] = sums[::2] + sums[1::2]
                sums[half:] = 0
        place, inside = divmod(self._fill, self._width)
        if inside == 0:
            self._times[place] = time
        self._errors[place] += np.nansum(np.abs(errors), axis=0)
        self._counts[place] += np.isfinite(errors[:, 0]).sum(0)
        self._fill += 1

    def read(self) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
        """Times (B,), errors (B, F, S) and how many (B, S)."""
        used = -(-self._fill // self._width)
        return self._times[:used], self._errors[:used], self._counts[:used]


class _Series:
    """One series; its rows are worked through a few at a time, always as many as lie between two looks at errors."""

    def __init__(self, horizons: Sequence[int], quantiles: Sequence[float], references: References) -> None:
        f, k, q = len(FORECASTERS), len(horizons), len(quantiles)
        self._horizons, self._quantiles = np.array(horizons, np.int64), np.array(quantiles, np.float64)
        self._middle = int(np.searchsorted(self._quantiles, 0.5))
        self._pairs = [(i, q - 1 - i) for i in range(min(self._middle, q - 1 - self._middle))]
        self._shown = shown(horizons)
        self._references = references
        self._open: list[tuple[int, float, list[list[float]], bool]] = []
        """Time, value, forecast (Q, K) and whether that is scored, of the rows not worked through yet."""
        self._rows, self._first, self._last = 0, 0, 0
        self._anomalies, self._drifting = 0, False
        self._alarms: list[int] = []
        self._course = _Course(len(self._shown))
        # of the rows before those that are open, as far back as the longest horizon
        self._points, self._made = np.empty((0, f, k)), np.empty((0, f, k, q))
        self._counts = np.empty(0, np.bool_)
        self._errors = np.empty((0, f - 1, k), np.float32)
        """Of the references for the last rows, and NaN where nothing had been forecast for a row."""
        self._scored = np.zeros(k, np.int64)
        self._error, self._pinball = np.zeros((f, k)), np.zeros((f, k))
        self._covered, self._below = np.zeros((f, k, len(self._pairs))), np.zeros((k, q))

    def add(self, record: dict[str, Any], forecast: list[list[float]], first: int) -> None:
        """One more record with its forecast (Q, K)."""
        time = record["time"]
        if self._rows == 0 and not self._open:
            self._first = time
        self._last = time
        self._anomalies += record["anomaly_score"] >= 1
        drifting = record["status"] == "drifting"
        if drifting and not self._drifting and len(self._alarms) < MOST_ALARMS:
            self._alarms.append(time)
        self._drifting = drifting
        self._open.append((time, record["value"], forecast, record["source"]["offset"] >= first))
        if len(self._open) == REFRESH:
            self._work()

    def _work(self) -> None:
        """Make the references' forecasts at the open rows, and score what was forecast for these rows."""
        times, numbers, forecasts, counts = zip(*self._open, strict=True)
        values = np.array(numbers)
        points = np.empty((len(values), *self._error.shape))
        made = np.empty((*points.shape, len(self._quantiles)))
        made[:, 0] = np.array(forecasts).transpose(0, 2, 1)
        points[:, 0] = made[:, 0, :, self._middle]
        points[:, 1:] = self._references.forecast(times, numbers, scored=counts[0])
        self._points = np.concatenate([self._points, points])
        errors = self._missed(values)
        made[:, 1:] = points[:, 1:, :, None] + self._spread(errors[:, 1:])
        self._made, self._counts = np.concatenate([self._made, made]), np.concatenate([self._counts, counts])
        self._score(values, errors)
        self._course.add(times[0], errors[:, :, self._shown])
        longest = int(self._horizons[-1])
        self._points, self._made = self._points[-longest:], self._made[-longest:]
        self._counts = self._counts[-longest:]
        self._errors = np.concatenate([self._errors, errors[:, 1:].astype(np.float32)])[-ERRORS:]
        self._rows += len(self._open)
        self._open.clear()

    def _missed(self, values: Floats) -> Floats:
        """Truth less forecast (N, F, K) of the open rows."""
        errors = np.full((len(values), *self._error.shape), np.nan)
        for k in range(len(self._horizons)):
            rows, origins = self._due(k, len(values))
            errors[rows, :, k] = values[rows, None] - self._points[origins, :, k]
        return errors

    def _due(self, k: int, count: int) -> tuple[slice, slice]:
        """The open rows that were forecast at horizon k, and the held rows that these forecasts were made at."""
        horizon, held = int(self._horizons[k]), len(self._points)
        first = max(horizon - self._rows, 0)
        origin = held - count + first - horizon
        return slice(first, count), slice(origin, origin + max(count - first, 0))

    def _spread(self, errors: Floats) -> Floats:
        """Quantiles (F - 1, K, Q) of the references' errors up to the first of the open rows; 0 while they are few."""
        spread = np.zeros((len(NAMES), *self._made.shape[2:]))
        known = np.concatenate([self._errors, errors[:1]])[-ERRORS:]
        for k, horizon in enumerate(self._horizons.tolist()):
            count = min(self._rows + 1 - horizon, ERRORS)
            if count >= FIRST_ERRORS:
                spread[:, k] = np.quantile(known[-count:, :, k], self._quantiles, axis=0).T
        return spread

    def _score(self, values: Floats, errors: Floats) -> None:
        for k in range(len(self._horizons)):
            rows, origins = self._due(k, len(values))
            counts = self._counts[origins]
            if not counts.any():
                continue
            truth = values[rows][counts, None, None]
            made = self._made[origins, :, k][counts]
            self._scored[k] += len(made)
            self._error[:, k] += np.abs(errors[rows, :, k][counts]).sum(0)
            miss = truth - made
            self._pinball[:, k] += np.maximum(self._quantiles * miss, (self._quantiles - 1) * miss).mean(2).sum(0)
            for i, (low, high) in enumerate(self._pairs):
                inside = (made[..., low] <= truth[..., 0]) & (truth[..., 0] <= made[..., high])
                self._covered[:, k, i] += inside.sum(0)
            self._below[k] += ((miss[:, 0] < 0) + self._quantiles * (miss[:, 0] == 0)).sum(0)

    def finished(self, name: str) -> Sums:
        """All of it, with the rows that are still open."""
        if self._open:
            self._work()
        return Sums(
            name, self._rows, self._first, self._last, self._references.season or 0, self._scored, self._error,
            self._pinball, self._covered, self._below, self._anomalies, self._alarms, *self._course.read(),
        )  # fmt: skip
