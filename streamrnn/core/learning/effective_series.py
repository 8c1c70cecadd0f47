"""How many series are alive in a task: learning points count observations per live series, not per series ever seen."""

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Integers, compiled

PERIOD, FEWEST = 4, 16
"""A period has at least so many observations per live series, of which there are taken to be so many at least."""
LIVE, ROWS, SQUARES, NUMBER = range(4)


@compiled
def count(marks: Integers, rows: Integers, numbers: Integers) -> None:
    """One wave, into `numbers` (4,) and `marks` (S, 2)."""
    for row in rows:
        own = marks[row, 1] if marks[row, 0] == numbers[NUMBER] else 0
        numbers[ROWS] += 1
        numbers[SQUARES] += 2 * own + 1
        marks[row, 0], marks[row, 1] = numbers[NUMBER], own + 1


class EffectiveSeries:
    """Counts the observations of each series in a period. From those of the last whole one comes how many are alive.

    That is the squared sum of the counts over the sum of their squares (the inverse of Simpson's index, 1949): how many
    equally fast series would be as concentrated. One that speaks rarely hardly counts. A period ends at a
    learning point, so that waves have no part in it.
    """

    def __init__(self) -> None:
        self._numbers = np.array([1, 0, 0, 0], np.int64)
        """Live series; observations of this period, sum of the squares of the series' counts, number of the period."""

    @property
    def live(self) -> int:
        """Live series, at least 1."""
        return int(self._numbers[LIVE])

    def hear(self, marks: Integers, rows: Integers) -> None:
        """One wave: `rows` (B,) distinct; `marks` (S, 2) hold each series' latest period and its count there."""
        count(marks, rows, self._numbers)

    def turn(self) -> None:
        """At a learning point: begin a new period, if this one was long enough."""
        live, rows, squares, number = (int(n) for n in self._numbers)
        if rows >= PERIOD * max(live, FEWEST):
            self._numbers[:] = max((rows * rows + squares // 2) // squares, 1), 0, 0, number + 1

    def save(self) -> NDArray[np.generic]:
        """What `load` takes."""
        return self._numbers.copy()

    def load(self, saved: NDArray[np.generic]) -> None:
        """Take over what `save` gave."""
        self._numbers[:] = saved
