"""Detection of series that stop, whose forecasts are stale, and of their return.

The silence of a series is the stream time since its latest observation; if observations wait to be put in order, the
stream time of the released ones. It is checked after each record that reaches a sweep point, in one pass over all
series. A series is reported when its silence has passed `stale`, and again at each doubling, so that the number of
reports on a series grows with the logarithm of its silence. The only state is the time of the last check, from which
the earlier reports follow.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class StaleSeries(NamedTuple):
    """Series whose silence has passed the limit, or doubled."""

    rows: Integers
    """Rows of the series, ascending."""
    begins: "NDArray[np.bool_]"
    """Whether the silence has just passed the limit, by row."""


class SilentSeries:
    """Finds the series that are silent for `stale` ms of stream time, and those that return."""

    def __init__(self, *, stale: int) -> None:
        self._stale = stale
        self.looked: int | None = None
        """Stream time at the last check, ms."""

    def look(self, latest: Integers, now: int) -> StaleSeries:
        """Return the series to report at the stream time `now`; `latest` (S,) are the times of last observations."""
        before = np.zeros(len(latest), np.int64) if self.looked is None else self._doublings(self.looked - latest)
        after = self._doublings(now - latest)
        self.looked = now
        rows = np.flatnonzero(after > before)
        return StaleSeries(rows, before[rows] == 0)

    def returned(self, latest: Integers, times: Integers) -> "NDArray[np.bool_]":
        """Return a mask (B,) of the observations at `times` that end a silence; `latest`: previous times or -1."""
        if self.looked is None:
            return np.zeros(len(latest), np.bool_)
        silent = (latest != -1) & (self.looked - latest >= self._stale)
        return np.asarray(silent & (self.looked - times < self._stale))

    def _doublings(self, silence: Integers) -> Integers:
        """Return how many of the limit and its doublings each silence (S,), ms, has passed."""
        exponents: Integers = np.frexp((np.maximum(silence, 0) // self._stale).astype(np.float64))[1].astype(np.int64)
        return exponents
