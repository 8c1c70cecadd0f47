"""The effective number of series of a task, by which the intervals between learning points are scaled."""

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Integers, compiled

PERIOD, MIN_SERIES = 4, 16
"""A counting period has at least PERIOD observations per live series, with at least MIN_SERIES series assumed."""
LIVE, ROWS, SQUARES, NUMBER = range(4)  # indexes of `EffectiveSeries._numbers`


@compiled
def count_rows(marks: Integers, rows: Integers, numbers: Integers) -> None:
    """Count one wave of `rows` (B,) in `numbers` (4,) and `marks` (S, 2); see EffectiveSeries."""
    for row in rows:
        own = marks[row, 1] if marks[row, 0] == numbers[NUMBER] else 0
        numbers[ROWS] += 1
        numbers[SQUARES] += 2 * own + 1
        marks[row, 0], marks[row, 1] = numbers[NUMBER], own + 1


class EffectiveSeries:
    """Counts the observations of each series in a period, and derives the number of live series from the last period.

    The number is the squared sum of the counts over the sum of their squares (the inverse of Simpson's index, 1949):
    the number of equally frequent series with the same concentration. A rarely observed series hardly counts. Periods
    end at learning points, so that the division into waves has no effect.
    """

    def __init__(self) -> None:
        self._numbers = np.array([1, 0, 0, 0], np.int64)
        """Live series; observations of this period; sum of the squared counts of its series; number of the period."""

    @property
    def live(self) -> int:
        """Number of live series, at least 1."""
        return int(self._numbers[LIVE])

    def add(self, marks: Integers, rows: Integers) -> None:
        """Count one wave of distinct `rows` (B,); `marks` (S, 2) are each series' latest period and its count in it."""
        count_rows(marks, rows, self._numbers)

    def end_period(self) -> None:
        """Begin a new period if this one is long enough; called at learning points."""
        live, rows, squares, number = (int(n) for n in self._numbers)
        if rows >= PERIOD * max(live, MIN_SERIES):
            self._numbers[:] = max((rows * rows + squares // 2) // squares, 1), 0, 0, number + 1

    def save(self) -> NDArray[np.generic]:
        """Return the counters."""
        return self._numbers.copy()

    def load(self, saved: NDArray[np.generic]) -> None:
        """Restore what `save` returned."""
        self._numbers[:] = saved
