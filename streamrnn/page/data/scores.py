"""Recent skill and coverage of each series by horizon, from exponentially fading sums."""

import numpy as np
from numpy.typing import NDArray

HALF_LIFE = 200.0
"""Number of observations of a series after which a score's weight has halved."""
MIN_WEIGHT = 30.0
"""Least total weight of matured forecasts for a score."""
_SUMS = 4


class FadingScores:
    """Sums for S slots and K horizons: matured forecasts, |error|, |error| of persistence, and covered forecasts."""

    def __init__(self, slots: int, horizons: int) -> None:
        self._sums = np.zeros((_SUMS, slots, horizons))

    @staticmethod
    def width(horizons: int) -> int:
        """Return the bytes per series."""
        return 8 * _SUMS * horizons

    def clear(self, slot: int) -> None:
        """Reset a slot for another series."""
        self._sums[:, slot] = 0.0

    def add(self, slots: NDArray[np.int64], starts: NDArray[np.int64], new: NDArray[np.float64]) -> None:
        """Add B observations, grouped by series.

        Args:
            slots: (S,) slots of the series.
            starts: (S,) index of each series' first observation.
            new: (4, B, K) matured (0 or 1), error, error of persistence and covered; ignored where not matured.
        """
        fade = 0.5 ** (1 / HALF_LIFE)
        ends = np.append(starts[1:], new.shape[1])
        counts = ends - starts
        weights = fade ** (np.repeat(ends, counts) - 1 - np.arange(new.shape[1]))[:, None] * new[0]
        with np.errstate(over="ignore", invalid="ignore"):  # errors of values near the largest number
            sums = np.add.reduceat(new * weights, starts, axis=1)
        self._sums[:, slots] = self._sums[:, slots] * (fade**counts)[:, None] + sums

    def skill(self, slot: int) -> NDArray[np.float64]:
        """Return 1 - error / error of persistence, shape (K,); NaN with too few forecasts or a divisor of 0."""
        matured, error, persistence, _ = self._sums[:, slot]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((matured >= MIN_WEIGHT) & (persistence > 0), 1 - error / persistence, np.nan)

    def coverage(self, slot: int) -> NDArray[np.float64]:
        """Return the share of labels inside the outermost interval, shape (K,); NaN with too few forecasts."""
        matured, _, _, covered = self._sums[:, slot]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(matured >= MIN_WEIGHT, covered / matured, np.nan)

    def persistence_error(self, slots: slice) -> NDArray[np.float64]:
        """Return the mean |error| of persistence at the last horizon, (S,); NaN with too few forecasts."""
        matured, _, persistence, _ = self._sums[:, slots, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(matured >= MIN_WEIGHT, persistence / matured, np.nan)

    def overall(self, slots: int | slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return skill and coverage over the horizons with enough forecasts, (S,), or () for one slot; else NaN."""
        sums = self._sums[:, slots]
        matured, error, persistence, covered = np.where(sums[0] >= MIN_WEIGHT, sums, 0.0).sum(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - error / persistence, covered / matured
