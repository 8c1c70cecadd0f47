"""The figures of a report, from what was added up: ratios to persistence, and their means.

A ratio is a forecaster's error over that of persistence, at the same origins of the same series. Means of ratios are
geometric: over horizons, then over the series of a key, then over keys; shares have arithmetic ones. A series in which
persistence was never wrong has no ratio (NaN), and counts in none.
"""

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.evaluation.tally import FORECASTERS, Sums

Floats = NDArray[np.float64]

PERSISTENCE = FORECASTERS.index("persistence")
EXTREMES = 10
"""Best series, and worst ones, that are drawn."""
PARTS = 20
"""Of a series' course, from its first row to its last."""
EDGES = np.round(np.arange(0.0, 1.55, 0.05), 2)
"""Of the histogram; what lies beyond the last is counted in the last bin."""
TINY = 1e-12
"""A ratio below has a logarithm all the same."""


class Entry(NamedTuple):
    """One line of the summary: a series, the series of a key, or all. F forecasters."""

    label: str
    series: int
    rows: int
    season: str
    error: Floats
    """(F,) error over that of persistence."""
    pinball: Floats
    """(F,) pinball loss over that of persistence."""
    covered: Floats
    """(F, I) shares inside of each interval, the outermost one first."""
    anomalies: int

    @property
    def best(self) -> int | None:
        """The forecaster with the smallest error; None: there are no ratios."""
        return None if np.isnan(self.error).any() else int(_smallest(self.error))

    @property
    def sharpest(self) -> int | None:
        """The forecaster with the smallest pinball loss."""
        return None if np.isnan(self.pinball).any() else int(_smallest(self.pinball))


class Figures:
    """Everything that is told of all series together. N series, F forecasters, K horizons.

    `series` are those of all files; `keys` (N) names for each the key that it belongs to.
    """

    def __init__(self, series: Sequence[Sums], keys: Sequence[str]) -> None:
        self.series = series
        self._places: dict[str, list[int]] = {}
        for number, key in enumerate(keys):
            self._places.setdefault(key, []).append(number)
        self.error = _ratios([each.error for each in series])
        """(N, F, K) to persistence's."""
        self.pinball = _ratios([each.pinball for each in series])
        """(N, F, K) to persistence's."""
        self.mean = geometric(self.error, 2)
        """(N, F) over horizons."""
        self.covered = np.array([_shares(each.covered, each.scored[:, None]) for each in series])
        """(N, F, K, I)"""
        self.below = np.array([_shares(each.below, each.scored[:, None]) for each in series])
        """(N, K, Q)"""

    def entry(self, number: int) -> Entry:
        """The line of one series, under the name of its field."""
        each = self.series[number]
        return self._entry(each.name.rpartition("/")[2], [number])

    def entries(self) -> list[tuple[Entry, list[Entry]]]:
        """For each key its line, and those of its series."""
        found = []
        for key, members in self._places.items():
            found.append((self._entry(key, members), [self.entry(number) for number in members]))
        return found

    def _entry(self, label: str, members: list[int]) -> Entry:
        chosen = [self.series[number] for number in members]
        return Entry(
            label,
            len(members),
            max(each.rows for each in chosen),
            ", ".join(str(rows or "none") for rows in sorted({each.season for each in chosen})),
            geometric(self.mean[members], 0),
            geometric(geometric(self.pinball[members], 2), 0),
            _mean(_mean(self.covered[members], 2), 0),
            sum(each.anomalies for each in chosen),
        )

    def overall(self) -> Entry:
        """The line of all series together."""
        whole = self._entry("all", list(range(len(self.series))))
        return whole._replace(
            rows=sum(each.rows for each in self.series),
            error=self.over_keys(self.mean, geometric),
            pinball=self.over_keys(geometric(self.pinball, 2), geometric),
            covered=self.over_keys(_mean(self.covered, 2), _mean),
        )

    def wins(self) -> tuple[list[int], list[int]]:
        """For each forecaster the number of series on which its error, and its pinball loss, is the smallest."""
        return _firsts(self.mean), _firsts(geometric(self.pinball, 2))

    def over_keys(self, numbers: Floats, mean: "Mean") -> Floats:
        """The mean of numbers by series (N, ...) over the series of each key, then over keys."""
        return mean(np.array([mean(numbers[members], 0) for members in self._places.values()]), 0)

    def skill(self) -> Floats:
        """(F, K) 1 - error / error of persistence."""
        return 1 - self.over_keys(self.error, geometric)

    def reliability(self) -> Floats:
        """(K, Q) shares of truths below each quantile."""
        return self.over_keys(self.below, _mean)

    def deviation(self, quantiles: Sequence[float]) -> float:
        """How far the share of truths below a quantile is from its level, on average over series and horizons."""
        return float(self.over_keys(_mean(_mean(np.abs(self.below - np.array(quantiles)), 2), 1), _mean))

    def course(self) -> Floats:
        """(P, F, 3) error over that of persistence in each part of a series' course: quartiles over the series."""
        parts = np.array([_parts(each) for each in self.series])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a part in which no series has a ratio
            return np.asarray(np.nanquantile(parts, (0.25, 0.5, 0.75), axis=0).transpose(1, 2, 0))

    def histogram(self) -> NDArray[np.int64]:
        """(F, B) series by their error over that of persistence, in the bins between EDGES."""
        kept = [column[np.isfinite(column)] for column in self.mean.T]
        return np.array([np.histogram(np.minimum(each, EDGES[-1]), EDGES)[0] for each in kept])

    def extremes(self) -> tuple[list[int], list[int]]:
        """Series with the smallest, and with the largest error over that of persistence; no series is in both."""
        own = self.mean[:, 0]
        order = [int(number) for number in np.argsort(own, kind="stable") if np.isfinite(own[number])]
        count = min(EXTREMES, (len(order) + 1) // 2)
        return order[:count], order[count:][::-1][:EXTREMES]


Mean = Callable[[Floats, int], Floats]


def geometric(ratios: Floats, axis: int) -> Floats:
    """The geometric mean of those that are known."""
    return np.asarray(np.exp(_mean(np.log(np.maximum(ratios, TINY)), axis)))


def _mean(numbers: Floats, axis: int) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of nothing but NaN the mean is NaN
        return np.asarray(np.nanmean(numbers, axis=axis))


def _ratios(sums: Sequence[Floats]) -> Floats:
    """(N, F, K) over those of persistence."""
    whole = np.array(sums)
    return _shares(whole, whole[:, PERSISTENCE : PERSISTENCE + 1])


def _shares(numbers: Floats, of: NDArray[np.float64] | NDArray[np.int64]) -> Floats:
    """The quotient; NaN where there is nothing to divide by."""
    return np.asarray(np.divide(numbers, of, out=np.full(numbers.shape, np.nan), where=of > 0, dtype=np.float64))


def _firsts(means: Floats) -> list[int]:
    """How often each of the columns is the smallest of its row."""
    known = means[np.isfinite(means).all(1)]
    counts: list[int] = np.bincount(_smallest(known), minlength=means.shape[1]).tolist()
    return counts


def _smallest(means: Floats) -> NDArray[np.int64]:
    """The forecaster with the smallest of means (..., F); of equals a reference, which is the simpler one."""
    return np.asarray((np.roll(means, -1, axis=-1).argmin(-1) + 1) % len(FORECASTERS))


def _parts(series: Sums) -> Floats:
    """(P, F) errors over those of persistence, in parts of the series' course of equally many rows, all horizons."""
    errors = series.bin_errors.sum(2)
    edges = np.linspace(0, len(errors), PARTS + 1)
    found = np.zeros((PARTS, errors.shape[1]))
    for number, (start, end) in enumerate(pairwise(edges.tolist())):
        for place in range(int(start), min(int(np.ceil(end)), len(errors))):
            found[number] += errors[place] * (min(end, place + 1) - max(start, place))
    return _shares(found, found[:, PERSISTENCE : PERSISTENCE + 1])
