"""Sums of errors over forecast records, series by series, for the printed table and for the report.

Records are read as any consumer reads them: the truth is the `value` of a later record of the same series, and steps
count the records of a series. The baselines forecast from the same origins; each has the quantiles of its own last
500 errors. Memory per series is bounded: one season of values, the forecasts that wait for their truth, and sums.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from streamrnn.evaluation.baselines import BASELINES, Baselines
from streamrnn.evaluation.threshold_scores import ThresholdSums, ThresholdTally

Floats = NDArray[np.float64]

FORECASTERS = ("streamrnn", *BASELINES)
"""The F forecasters of every axis with that letter."""
STALE = "stale"
"""Status of forecasts of series that have stopped."""
UNSCORED_SHARE = 0.1
"""Share of a stream's records before the first whose forecasts a backtest or the demo scores."""
ERRORS, MIN_ERRORS = 500, 11
"""Latest errors of which a baseline's quantiles are taken; with fewer than the minimum its intervals have no width."""
REFRESH = 20
"""Rows between two updates of those quantiles; a series is processed in chunks of that length."""
MAX_BINS = 128
"""Bins of a series' course in time; when more would be needed, pairs of bins are merged."""
MAX_ALARMS = 500
"""Drift alarms stored per series."""


class Sums(NamedTuple):
    """Sums over the scored forecasts of one series. F forecasters, K horizons, Q quantiles, I intervals."""

    name: str
    rows: int
    first: int
    last: int
    """Event times, ms."""
    season: int
    """Rows; 0 if there is none."""
    scored: NDArray[np.int64]
    """Number of forecasts, shape (K,)."""
    error: Floats
    """Absolute errors of the median, shape (F, K)."""
    pinball: Floats
    """Pinball loss, mean over Q, shape (F, K)."""
    covered: Floats
    """Truths inside each interval, outermost first, shape (F, K, I)."""
    below: Floats
    """Truths below each quantile, shape (K, Q); a truth equal to the quantile counts as the quantile's level."""
    anomalies: int
    """Rows outside the 99% interval forecast for them."""
    alarms: list[int]
    """Event times (ms) of drift alarms."""
    bin_times: NDArray[np.int64]
    """Event time (ms) of the first row of each bin of the course, scored or not, shape (B,)."""
    bin_errors: Floats
    """Absolute errors at the selected horizons, shape (B, F, S)."""
    bin_counts: NDArray[np.int64]
    """Rows that had been forecast, shape (B, S)."""
    thresholds: Sequence[ThresholdSums] = ()
    """Scores of the threshold forecasts."""
    joint_anomalies: int | None = None
    """Rows with a joint anomaly score of 1 or more; None without such scores."""


def selected_horizons(horizons: Sequence[int]) -> list[int]:
    """Return the indices of the horizons shown one by one: the first, the middle and the last."""
    return sorted({0, len(horizons) // 2, len(horizons) - 1})


class Tally:
    """Sums over the forecast records of one partition, added in their order.

    Args:
        horizons: Steps (K) of the records' forecasts.
        quantiles: Levels (Q) of the records' forecasts.
        seasons: Durations in seconds as in `forecast.seasons`; None to choose one per series.
        first: Offset of the first input record whose forecasts are scored.
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
        self._series: dict[str, _SeriesTally] = {}

    def add(self, value: bytes) -> None:
        """Add one forecast record (JSON); one of a series that has stopped has no new value, and is left out."""
        record = orjson.loads(value)
        if record["status"] == STALE:
            return
        name = record["series"]
        series = self._series.get(name)
        if series is None:
            baselines = Baselines(horizons=self._horizons, seasons=self._seasons)
            series = self._series[name] = _SeriesTally(self._horizons, self._quantiles, baselines)
        series.add(record, [record["quantiles"][level] for level in self._levels], self._first)

    def sums(self) -> list[Sums]:
        """Return the sums of each series, in first-seen order; no record may be added afterwards."""
        return [series.sums(name) for name, series in self._series.items()]


class _Course:
    """Errors over time, in at most MAX_BINS bins of equally many rows, at S horizons."""

    def __init__(self, horizons: int) -> None:
        self._width, self._count = 1, 0
        """Chunks per bin, and chunks so far."""
        self._times = np.zeros(MAX_BINS, np.int64)
        self._errors = np.zeros((MAX_BINS, len(FORECASTERS), horizons))
        self._counts = np.zeros((MAX_BINS, horizons), np.int64)

    def add(self, time: int, errors: Floats) -> None:
        """Add the errors (N, F, S) of the next chunk, which starts at `time`; NaN where nothing was forecast."""
        if self._count == MAX_BINS * self._width:
            self._width *= 2
            half = MAX_BINS // 2
            self._times[:half] = self._times[::2]
            for sums in (self._errors, self._counts):
                sums[:half] = sums[::2] + sums[1::2]
                sums[half:] = 0
        index, rows_before = divmod(self._count, self._width)
        if rows_before == 0:
            self._times[index] = time
        self._errors[index] += np.nansum(np.abs(errors), axis=0)
        self._counts[index] += np.isfinite(errors[:, 0]).sum(0)
        self._count += 1

    def bins(self) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
        """Return times (B,), errors (B, F, S) and counts (B, S)."""
        used = -(-self._count // self._width)
        return self._times[:used], self._errors[:used], self._counts[:used]


class _SeriesTally:
    """Sums of one series, whose rows are processed in chunks of REFRESH."""

    def __init__(self, horizons: Sequence[int], quantiles: Sequence[float], baselines: Baselines) -> None:
        f, k, q = len(FORECASTERS), len(horizons), len(quantiles)
        self._horizons, self._quantiles = np.array(horizons, np.int64), np.array(quantiles, np.float64)
        self._middle = int(np.searchsorted(self._quantiles, 0.5))
        self._intervals = [(i, q - 1 - i) for i in range(min(self._middle, q - 1 - self._middle))]
        self._selected = selected_horizons(horizons)
        self._baselines = baselines
        self._chunk: list[tuple[int, float, list[list[float]], bool]] = []
        """Time, value, forecast (Q, K) and whether it is scored, of rows not processed yet."""
        self._rows, self._first, self._last = 0, 0, 0
        self._anomalies, self._drifting = 0, False
        self._joint: int | None = None
        self._alarms: list[int] = []
        self._course = _Course(len(self._selected))
        self._thresholds = ThresholdTally(horizons)
        # of the processed rows, as far back as the longest horizon
        self._medians, self._forecasts = np.empty((0, f, k)), np.empty((0, f, k, q))
        self._is_scored = np.empty(0, np.bool_)
        self._errors = np.empty((0, f - 1, k), np.float32)
        """Errors of the baselines at the latest rows; NaN where nothing was forecast."""
        self._scored = np.zeros(k, np.int64)
        self._error, self._pinball = np.zeros((f, k)), np.zeros((f, k))
        self._covered, self._below = np.zeros((f, k, len(self._intervals))), np.zeros((k, q))

    def add(self, record: dict[str, Any], forecast: list[list[float]], first: int) -> None:
        """Add one record with its forecast (Q, K)."""
        time = record["time"]
        if self._rows == 0 and not self._chunk:
            self._first = time
        self._last = time
        self._anomalies += record["anomaly_score"] >= 1
        if "joint_anomaly" in record:
            self._joint = (self._joint or 0) + (record["joint_anomaly"]["score"] >= 1)
        drifting = record["status"] == "drifting"
        if drifting and not self._drifting and len(self._alarms) < MAX_ALARMS:
            self._alarms.append(time)
        self._drifting = drifting
        scored = record["source"]["offset"] >= first
        if "thresholds" in record:
            self._thresholds.add(record, scored=scored)
        self._chunk.append((time, record["value"], forecast, scored))
        if len(self._chunk) == REFRESH:
            self._process()

    def _process(self) -> None:
        """Compute the baselines at the rows of the chunk, and score what was forecast for these rows."""
        times, numbers, forecasts, scored = zip(*self._chunk, strict=True)
        values = np.array(numbers)
        medians = np.empty((len(values), *self._error.shape))
        quantiles = np.empty((*medians.shape, len(self._quantiles)))
        quantiles[:, 0] = np.array(forecasts).transpose(0, 2, 1)
        medians[:, 0] = quantiles[:, 0, :, self._middle]
        medians[:, 1:] = self._baselines.forecast(times, numbers, scored=scored[0])
        self._medians = np.concatenate([self._medians, medians])
        errors = self._chunk_errors(values)
        quantiles[:, 1:] = medians[:, 1:, :, None] + self._error_quantiles(errors[:, 1:])
        self._forecasts = np.concatenate([self._forecasts, quantiles])
        self._is_scored = np.concatenate([self._is_scored, scored])
        self._score(values, errors)
        self._course.add(times[0], errors[:, :, self._selected])
        longest = int(self._horizons[-1])
        self._medians, self._forecasts = self._medians[-longest:], self._forecasts[-longest:]
        self._is_scored = self._is_scored[-longest:]
        self._errors = np.concatenate([self._errors, errors[:, 1:].astype(np.float32)])[-ERRORS:]
        self._rows += len(self._chunk)
        self._chunk.clear()

    def _chunk_errors(self, values: Floats) -> Floats:
        """Return truth minus median (N, F, K) at the rows of the chunk."""
        errors = np.full((len(values), *self._error.shape), np.nan)
        for k in range(len(self._horizons)):
            rows, origins = self._due(k, len(values))
            errors[rows, :, k] = values[rows, None] - self._medians[origins, :, k]
        return errors

    def _due(self, k: int, count: int) -> tuple[slice, slice]:
        """Return the chunk's rows that were forecast at horizon k, and the stored rows of these forecasts' origins."""
        horizon, stored = int(self._horizons[k]), len(self._medians)
        first = max(horizon - self._rows, 0)
        origin = stored - count + first - horizon
        return slice(first, count), slice(origin, origin + max(count - first, 0))

    def _error_quantiles(self, errors: Floats) -> Floats:
        """Return quantiles (F - 1, K, Q) of the baselines' errors up to the chunk's first row; 0 while too few."""
        found = np.zeros((len(BASELINES), *self._forecasts.shape[2:]))
        known = np.concatenate([self._errors, errors[:1]])[-ERRORS:]
        for k, horizon in enumerate(self._horizons.tolist()):
            count = min(self._rows + 1 - horizon, ERRORS)
            if count >= MIN_ERRORS:
                found[:, k] = np.quantile(known[-count:, :, k], self._quantiles, axis=0).T
        return found

    def _score(self, values: Floats, errors: Floats) -> None:
        for k in range(len(self._horizons)):
            rows, origins = self._due(k, len(values))
            scored = self._is_scored[origins]
            if not scored.any():
                continue
            truth = values[rows][scored, None, None]
            quantiles = self._forecasts[origins, :, k][scored]
            self._scored[k] += len(quantiles)
            self._error[:, k] += np.abs(errors[rows, :, k][scored]).sum(0)
            miss = truth - quantiles
            self._pinball[:, k] += np.maximum(self._quantiles * miss, (self._quantiles - 1) * miss).mean(2).sum(0)
            for i, (low, high) in enumerate(self._intervals):
                inside = (quantiles[..., low] <= truth[..., 0]) & (truth[..., 0] <= quantiles[..., high])
                self._covered[:, k, i] += inside.sum(0)
            self._below[k] += ((miss[:, 0] < 0) + self._quantiles * (miss[:, 0] == 0)).sum(0)

    def sums(self, name: str) -> Sums:
        """Process the remaining rows and return all sums."""
        if self._chunk:
            self._process()
        return Sums(
            name, self._rows, self._first, self._last, self._baselines.season or 0, self._scored, self._error,
            self._pinball, self._covered, self._below, self._anomalies, self._alarms, *self._course.bins(),
            self._thresholds.sums(), self._joint,
        )  # fmt: skip
