"""How good the forecasts of each series were lately, by horizon: fading sums over what has matured."""

import numpy as np
from numpy.typing import NDArray

HALF_LIFE = 200.0
"""Observations of a series over which its scores forget half."""
ENOUGH = 30.0
"""Matured forecasts of a horizon from which on a score is told."""
_SUMS = 4


class Scores:
    """Sums for `places` series (S) and `horizons` (K): matured forecasts, |error|, that of persistence, and covered."""

    def __init__(self, places: int, horizons: int) -> None:
        self._sums = np.zeros((_SUMS, places, horizons))

    @staticmethod
    def width(horizons: int) -> int:
        """Bytes that a series takes up."""
        return 8 * _SUMS * horizons

    def clear(self, place: int) -> None:
        """Begin anew with another series."""
        self._sums[:, place] = 0.0

    def add(
        self,
        series: NDArray[np.int64],
        starts: NDArray[np.int64],
        counts: NDArray[np.int64],
        *,
        matured: NDArray[np.bool_],
        error: NDArray[np.float64],
        naive: NDArray[np.float64],
        covered: NDArray[np.bool_],
    ) -> None:
        """Add B observations, all (B, K), those of a series side by side: from `starts` on, `counts` of each."""
        fade = 0.5 ** (1 / HALF_LIFE)
        ends = np.repeat(starts + counts, counts)
        weights = fade ** (ends - 1 - np.arange(len(ends)))[:, None] * matured
        with np.errstate(over="ignore", invalid="ignore"):  # errors of values near the largest number
            new = [np.add.reduceat(each * weights, starts) for each in (matured, error, naive, covered)]
        self._sums[:, series] = self._sums[:, series] * (fade**counts)[:, None] + np.stack(new)

    def skill(self, place: int) -> NDArray[np.float64]:
        """(K,) 1 - error / error of persistence; NaN: too little has matured, or persistence was never wrong."""
        matured, error, naive, _ = self._sums[:, place]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((matured >= ENOUGH) & (naive > 0), 1 - error / naive, np.nan)

    def coverage(self, place: int) -> NDArray[np.float64]:
        """(K,) share of truths inside the outermost interval; NaN: too little has matured."""
        matured, _, _, covered = self._sums[:, place]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(matured >= ENOUGH, covered / matured, np.nan)

    def overall(self, place: int | slice) -> NDArray[np.float64]:
        """(S,) skill over all horizons that can be told, together; NaN: none can. Of one place: ()."""
        sums = self._sums[:, place]
        _, error, naive, _ = np.where(sums[0] >= ENOUGH, sums, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            skill: NDArray[np.float64] = 1 - error.sum(-1) / naive.sum(-1)
        return skill

    def covered(self, places: slice) -> NDArray[np.float64]:
        """(S,) coverage over all horizons that can be told, together; NaN: none can."""
        sums = self._sums[:, places]
        matured, _, _, covered = np.where(sums[0] >= ENOUGH, sums, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share: NDArray[np.float64] = covered.sum(-1) / matured.sum(-1)
        return share
