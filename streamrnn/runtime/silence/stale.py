"""Series that stop: when their forecasts are stale, and when they come back.

The silence of a series is the time since its latest observation, in stream time; where observations wait, in that of
what has been released. It is looked at after each record that reaches a sweep point, in one pass over all series. A
series is reported when its silence has passed `stale`, and again at each doubling, so that the records about a series
grow with the logarithm of its silence. The only state is the time of the last look: what was reported follows from it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class StaleSeries(NamedTuple):
    """Series whose silence has passed the limit, or doubled."""

    rows: Integers
    """Ascending."""
    begins: "NDArray[np.bool_]"
    """Whether the silence has passed the limit now."""


class SilentSeries:
    """Finds the series that are silent for `stale` ms of stream time, and those that come back."""

    def __init__(self, *, stale: int) -> None:
        self._stale = stale
        self.looked: int | None = None
        """Stream time at the last look, ms."""

    def look(self, latest: Integers, now: int) -> StaleSeries:
        """Return the series to report at the stream time `now`; `latest` (S,) are the times of their observations."""
        before = np.zeros(len(latest), np.int64) if self.looked is None else self._doublings(self.looked - latest)
        after = self._doublings(now - latest)
        self.looked = now
        rows = np.flatnonzero(after > before)
        return StaleSeries(rows, before[rows] == 0)

    def returned(self, latest: Integers, times: Integers) -> "NDArray[np.bool_]":
        """Return which observations, of `times` (B,), end a silence; `latest` (B,): times before theirs, -1: none."""
        if self.looked is None:
            return np.zeros(len(latest), np.bool_)
        silent = (latest != -1) & (self.looked - latest >= self._stale)
        return np.asarray(silent & (self.looked - times < self._stale))

    def _doublings(self, silence: Integers) -> Integers:
        """Return how often a silence (S,), ms, has passed the limit and its doubles."""
        exponents: Integers = np.frexp((np.maximum(silence, 0) // self._stale).astype(np.float64))[1].astype(np.int64)
        return exponents
