"""What there is to learn from: each series' latest rows, and a bounded memory of older windows of all series.

A window is T consecutive rows of one series with the hidden state before the first of them, and labels that are NaN
where the truth was not known yet.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.compiled import Integers, Singles
from streamrnn.core.series import INPUTS, SEASONALS, Past, Series

CAPACITY = 64
"""Windows in the memory of a task."""
STAGGER = 7
"""Rows between the captures of neighbouring series: not all are captured at once."""
MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15)
"""Constants of splitmix64 (Steele, Lea & Flood 2014)."""


class Windows(NamedTuple):
    """B windows of T rows."""

    inputs: NDArray[np.floating]  # (B, T, F)
    seasonals: NDArray[np.floating]  # (B, T, K, 4)
    hidden: NDArray[np.floating]  # (B, D, N, H)
    labels: Singles  # (B, T, K)

    @classmethod
    def empty(cls, count: int, length: int, horizons: int, states: tuple[int, int, int]) -> "Windows":
        """Room for `count` windows; without labels, nothing can be learned from them."""
        return cls(
            np.zeros((count, length, INPUTS), np.float16),
            np.zeros((count, length, horizons, SEASONALS), np.float16),
            np.zeros((count, *states), np.float16),
            np.full((count, length, horizons), np.nan, np.float32),
        )


def joined(first: Windows, second: Windows) -> Windows:
    """All windows of both."""
    return Windows(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


def remember(series: Series, past: Past, rows: Integers, inputs: Singles, seasonals: Singles, before: Singles) -> None:
    """Write one wave into the rings of the past: what the network read, and its state `before` (B, D, N, H)."""
    slots = (series.seen[rows] - 1) % past.inputs.shape[1]
    past.inputs[rows, slots] = inputs
    past.seasonals[rows, slots] = seasonals
    past.hidden[rows, slots] = before
    series.labels[rows, slots] = np.nan


def window(series: Series, past: Past, rows: Integers, back: int, length: int) -> Windows:
    """Windows of `length` rows that begin `back` rows before each series' end."""
    slots = (series.seen[rows, None] - back + np.arange(length)) % past.inputs.shape[1]
    at = rows[:, None]
    return Windows(
        past.inputs[at, slots], past.seasonals[at, slots], past.hidden[rows, slots[:, 0]], series.labels[at, slots]
    )


class Memory:
    """A bounded memory of windows whose labels are all known. A newcomer takes a random place once it is full."""

    def __init__(self, *, length: int, horizons: int, states: tuple[int, int, int], seed: int) -> None:
        self.windows = Windows.empty(CAPACITY, length, horizons, states)
        self.captured = 0
        self._length, self._seed = length, seed

    def __len__(self) -> int:
        return min(self.captured, CAPACITY)

    def capture(self, series: Series, past: Past, rows: Integers) -> None:
        """Take the oldest full window of those of `rows` whose turn it is, in their order."""
        ring = past.inputs.shape[1]
        counts: NDArray[np.int64] = series.seen[rows]
        turn: Integers = rows[(counts >= ring) & ((counts + STAGGER * rows) % self._length == 0)]
        if not len(turn):
            return
        fresh = window(series, past, turn, ring, self._length)
        for i in range(len(turn)):
            place = self._place()
            for kept, new in zip(self.windows, fresh, strict=True):
                kept[place] = new[i]
            self.captured += 1

    def draw(self, count: int, generator: np.random.Generator) -> Windows:
        """`count` windows, or as many as there are."""
        chosen = generator.permutation(len(self))[:count]
        return Windows(*(array[chosen] for array in self.windows))

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name."""
        saved: dict[str, NDArray[np.generic]] = {f"memory_{k}": v for k, v in self.windows._asdict().items()}
        return {**saved, "memory_captured": np.array([self.captured], np.int64)}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `save` gave."""
        for name, array in self.windows._asdict().items():
            array[:] = saved[f"memory_{name}"]
        self.captured = int(saved["memory_captured"].item())

    def _place(self) -> int:
        """The next free place, else a pseudo-random one that depends on the seed and on the number of captures only."""
        if self.captured < CAPACITY:
            return self.captured
        x = (self.captured + 1) * MIX[2] + self._seed
        x = ((x ^ (x >> 30 & 0x3FFFFFFFF)) * MIX[0]) % 2**64
        x = ((x ^ (x >> 27)) * MIX[1]) % 2**64
        return (x ^ (x >> 31)) % CAPACITY
