"""How many series are alive in a task: learning points count observations per live series, not per series ever seen."""

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.compiled import Integers

PERIOD, FEWEST = 4, 16
"""A period has at least so many observations per live series, of which there are taken to be so many at least."""
LIVE, ROWS, SQUARES, NUMBER = range(4)


class Activity:
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
        number = self._numbers[NUMBER]
        counts = np.where(marks[rows, 0] == number, marks[rows, 1], 0)
        self._numbers[ROWS] += len(rows)
        self._numbers[SQUARES] += (2 * counts + 1).sum()
        marks[rows, 0], marks[rows, 1] = number, counts + 1

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
