"""Figures of the printed table and of the report: ratios to persistence and their means.

A ratio is a forecaster's error divided by that of persistence, from the same origins of the same series. Means of
ratios are geometric: over horizons, then over the series of a key, then over keys; shares have arithmetic means. A
series on which persistence has no error has no ratio (NaN) and counts in no mean.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.evaluation.tally import FORECASTERS, Sums

Floats = NDArray[np.float64]
Mean = Callable[[Floats, int], Floats]

PERSISTENCE, SEASONAL = FORECASTERS.index("persistence"), FORECASTERS.index("seasonal naive")
MEASURES = ("MAE : persistence", "MAE : seasonal naive", "pinball : persistence", "covered")
"""Columns of the printed table; the last is the share of truths inside the outermost interval."""
MAX_EXTREMES = 10
"""Best series, and worst series, that are drawn."""
PARTS = 20
"""Parts of a series' course, from its first row to its last."""
EDGES = np.round(np.arange(0.0, 1.55, 0.05), 2)
"""Edges of the histogram's bins; larger ratios count in the last bin."""
TINY = 1e-12
"""Smallest ratio whose logarithm is taken."""


def table_measures(sums: Sums) -> Floats:
    """Return the measures of one series at each horizon, shape (K, 4) as in MEASURES; NaN where there is none.

    Without a season there is no seasonal naive forecast, and no ratio to it.
    """
    seasonal = _shares(sums.error[0], sums.error[SEASONAL])
    nothing = np.full(len(sums.scored), np.nan)
    columns = (
        _shares(sums.error[0], sums.error[PERSISTENCE]),
        seasonal if sums.season else nothing,
        _shares(sums.pinball[0], sums.pinball[PERSISTENCE]),
        _shares(sums.covered[0, :, 0], sums.scored) if sums.covered.shape[2] else nothing,
    )
    return np.stack(columns, axis=1)


def mean_measures(measures: Iterable[Floats]) -> Floats:
    """Return the mean of several measures (K, 4): geometric for ratios, arithmetic for the share covered."""
    stacked = np.array(list(measures))
    return np.concatenate([geometric(stacked[..., :3], 0), _mean(stacked[..., 3:], 0)], axis=-1)


def measures_by_key(series: Iterable[Sums]) -> dict[str, Floats]:
    """Return the mean measures (K, 4) of each key's series, in first-seen order."""
    by_key: dict[str, list[Floats]] = {}
    for sums in series:  # a field has no slash, a key may have
        by_key.setdefault(sums.name.rpartition("/")[0], []).append(table_measures(sums))
    return {key: mean_measures(measures) for key, measures in by_key.items()}


class SummaryLine(NamedTuple):
    """One line of the report's summary: a series, the series of a key, or all. F forecasters, I intervals."""

    label: str
    series: int
    rows: int
    season: str
    error: Floats
    """Error divided by that of persistence, shape (F,)."""
    pinball: Floats
    """Pinball loss divided by that of persistence, shape (F,)."""
    covered: Floats
    """Shares inside each interval, outermost first, shape (F, I)."""
    anomalies: int

    @property
    def best(self) -> int | None:
        """The forecaster with the smallest error; None without ratios."""
        return None if np.isnan(self.error).any() else int(_smallest(self.error))

    @property
    def sharpest(self) -> int | None:
        """The forecaster with the smallest pinball loss; None without ratios."""
        return None if np.isnan(self.pinball).any() else int(_smallest(self.pinball))


class Figures:
    """Figures of all series together. N series, F forecasters, K horizons, Q quantiles, I intervals.

    `series` are those of all files; `keys` (N) the key of each.
    """

    def __init__(self, series: Sequence[Sums], keys: Sequence[str]) -> None:
        self.series = series
        self._by_key: dict[str, list[int]] = {}
        for number, key in enumerate(keys):
            self._by_key.setdefault(key, []).append(number)
        self.error = _ratios([each.error for each in series])
        """Relative to persistence, shape (N, F, K)."""
        self.pinball = _ratios([each.pinball for each in series])
        """Relative to persistence, shape (N, F, K)."""
        self.mean = geometric(self.error, 2)
        """Mean of the errors over horizons, shape (N, F)."""
        self.covered = np.array([_shares(each.covered, each.scored[:, None]) for each in series])
        """Shape (N, F, K, I)."""
        self.below = np.array([_shares(each.below, each.scored[:, None]) for each in series])
        """Shape (N, K, Q)."""

    def line(self, number: int) -> SummaryLine:
        """Return the line of one series, labelled by its field."""
        return self._line(self.series[number].name.rpartition("/")[2], [number])

    def lines(self) -> list[tuple[SummaryLine, list[SummaryLine]]]:
        """Return for each key its line and those of its series."""
        return [
            (self._line(key, members), [self.line(number) for number in members])
            for key, members in self._by_key.items()
        ]

    def _line(self, label: str, members: list[int]) -> SummaryLine:
        chosen = [self.series[number] for number in members]
        return SummaryLine(
            label,
            len(members),
            max(each.rows for each in chosen),
            ", ".join(str(rows or "none") for rows in sorted({each.season for each in chosen})),
            geometric(self.mean[members], 0),
            geometric(geometric(self.pinball[members], 2), 0),
            _mean(_mean(self.covered[members], 2), 0),
            sum(each.anomalies for each in chosen),
        )

    def overall(self) -> SummaryLine:
        """Return the line of all series together."""
        whole = self._line("all", list(range(len(self.series))))
        return whole._replace(
            rows=sum(each.rows for each in self.series),
            error=self.over_keys(self.mean, geometric),
            pinball=self.over_keys(geometric(self.pinball, 2), geometric),
            covered=self.over_keys(_mean(self.covered, 2), _mean),
        )

    def wins(self) -> tuple[list[int], list[int]]:
        """Return for each forecaster the number of series on which its error, and its pinball loss, is smallest."""
        return _count_wins(self.mean), _count_wins(geometric(self.pinball, 2))

    def over_keys(self, numbers: Floats, mean: Mean) -> Floats:
        """Return the mean of numbers by series (N, ...) over the series of each key, then over keys."""
        return mean(np.array([mean(numbers[members], 0) for members in self._by_key.values()]), 0)

    def skill(self) -> Floats:
        """Return 1 - error / error of persistence, shape (F, K)."""
        return 1 - self.over_keys(self.error, geometric)

    def reliability(self) -> Floats:
        """Return the shares of truths below each quantile, shape (K, Q)."""
        return self.over_keys(self.below, _mean)

    def deviation(self, quantiles: Sequence[float]) -> float:
        """Return the mean distance between a quantile's level and the share of truths below it."""
        return float(self.over_keys(_mean(_mean(np.abs(self.below - np.array(quantiles)), 2), 1), _mean))

    def course(self) -> Floats:
        """Return quartiles over series of the relative error in each part of a series' course, shape (P, F, 3)."""
        parts = np.array([_part_errors(each) for each in self.series])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a part in which no series has a ratio
            return np.asarray(np.nanquantile(parts, (0.25, 0.5, 0.75), axis=0).transpose(1, 2, 0))

    def histogram(self) -> NDArray[np.int64]:
        """Return the number of series by relative error, in the B bins between EDGES, shape (F, B)."""
        known = [column[np.isfinite(column)] for column in self.mean.T]
        return np.array([np.histogram(np.minimum(each, EDGES[-1]), EDGES)[0] for each in known])

    def extremes(self) -> tuple[list[int], list[int]]:
        """Return the series with the smallest and the largest relative errors; no series is in both."""
        own = self.mean[:, 0]
        order = [int(number) for number in np.argsort(own, kind="stable") if np.isfinite(own[number])]
        count = min(MAX_EXTREMES, (len(order) + 1) // 2)
        return order[:count], order[count:][::-1][:MAX_EXTREMES]


def geometric(ratios: Floats, axis: int) -> Floats:
    """Return the geometric mean of the ratios that are not NaN."""
    return np.asarray(np.exp(_mean(np.log(np.maximum(ratios, TINY)), axis)))


def _mean(numbers: Floats, axis: int) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing but NaN is NaN
        return np.asarray(np.nanmean(numbers, axis=axis))


def _ratios(sums: Sequence[Floats]) -> Floats:
    """Divide sums by series (N, F, K) by those of persistence."""
    stacked = np.array(sums)
    return _shares(stacked, stacked[:, PERSISTENCE : PERSISTENCE + 1])


def _shares(numbers: NDArray[np.float64] | NDArray[np.int64], of: NDArray[np.float64] | NDArray[np.int64]) -> Floats:
    """Divide; NaN where the divisor is 0."""
    return np.asarray(np.divide(numbers, of, out=np.full(numbers.shape, np.nan), where=of > 0, dtype=np.float64))


def _count_wins(means: Floats) -> list[int]:
    """Return how often each column is the smallest of its row."""
    known = means[np.isfinite(means).all(1)]
    counts: list[int] = np.bincount(_smallest(known), minlength=means.shape[1]).tolist()
    return counts


def _smallest(means: Floats) -> NDArray[np.int64]:
    """Return the forecaster with the smallest of means (..., F); on a tie a baseline, the simpler forecaster."""
    return np.asarray((np.roll(means, -1, axis=-1).argmin(-1) + 1) % len(FORECASTERS))


def _part_errors(series: Sums) -> Floats:
    """Return relative errors (P, F) over all horizons, in parts of equally many rows of the series' course."""
    errors = series.bin_errors.sum(2)
    edges = np.linspace(0, len(errors), PARTS + 1)
    parts = np.zeros((PARTS, errors.shape[1]))
    for number, (start, end) in enumerate(pairwise(edges.tolist())):
        for row in range(int(start), min(int(np.ceil(end)), len(errors))):
            parts[number] += errors[row] * (min(end, row + 1) - max(start, row))
    return _shares(parts, parts[:, PERSISTENCE : PERSISTENCE + 1])
