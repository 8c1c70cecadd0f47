"""The past of each series since it was first seen, in bounded memory: summaries of ever longer stretches.

A series has at most STRETCHES stretches, each with the same number of observations. When all are used, pairs of them
are merged. Letters: S slots, M stretches, B observations, G series.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

STRETCHES = 200
"""Largest number of stretches of a series, even."""


class Stretches(NamedTuple):
    """N consecutive stretches of a series."""

    times: NDArray[np.int64]
    """(N,) event time of the first observation, milliseconds since the epoch."""
    lowest: NDArray[np.float64]
    """(N,) lowest value, as `highest`, `last`: in the field's unit."""
    highest: NDArray[np.float64]
    last: NDArray[np.float64]
    """(N,) last value."""
    anomaly: NDArray[np.float32]
    """(N,) highest anomaly score."""


class SessionHistory:
    """The stretches of up to `capacity` series. The system allocates memory only for what is written."""

    def __init__(self, capacity: int) -> None:
        shape = STRETCHES, capacity
        self._span = np.ones(capacity, np.int64)
        """(S,) observations of a stretch."""
        self._rows = Stretches(
            np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape, np.float32)
        )  # fmt: skip

    @staticmethod
    def width() -> int:
        """Return the bytes per series."""
        return STRETCHES * (4 * 8 + 4) + 8

    def clear(self, slot: int) -> None:
        """Reset a slot for another series."""
        self._span[slot] = 1

    def add(self, slots: NDArray[np.int64], numbers: NDArray[np.int64], new: Stretches) -> None:
        """Add B observations, grouped by series, as stretches of one each.

        `slots` (B,); `numbers` (B,): number of earlier observations of the series.
        """
        if not len(slots):
            return
        starts = np.flatnonzero(np.diff(slots, prepend=-1))
        ends = np.append(starts[1:], len(slots)) - 1
        self._make_space(slots[starts], numbers[starts], numbers[ends])
        span = self._span[slots]
        stretches = numbers // span
        firsts = np.flatnonzero((np.diff(slots, prepend=-1) != 0) | (np.diff(stretches, prepend=-1) != 0))
        lasts = np.append(firsts[1:], len(slots)) - 1
        rows, at = self._rows, (stretches[firsts], slots[firsts])
        continues = numbers[firsts] % span[firsts] != 0
        lowest, highest = np.minimum.reduceat(new.lowest, firsts), np.maximum.reduceat(new.highest, firsts)
        anomaly = np.maximum.reduceat(new.anomaly, firsts)
        rows.times[at] = np.where(continues, rows.times[at], new.times[firsts])
        rows.lowest[at] = np.where(continues, np.minimum(rows.lowest[at], lowest), lowest)
        rows.highest[at] = np.where(continues, np.maximum(rows.highest[at], highest), highest)
        rows.anomaly[at] = np.where(continues, np.maximum(rows.anomaly[at], anomaly), anomaly)
        rows.last[at] = new.last[lasts]

    def stretches(self, slot: int, count: int) -> Stretches:
        """Return the stretches of a series with this many observations."""
        used = -(-count // int(self._span[slot]))
        times, lowest, highest, last, anomaly = self._rows
        chosen = slice(used), slot
        return Stretches(times[chosen], lowest[chosen], highest[chosen], last[chosen], anomaly[chosen])

    def _make_space(self, series: NDArray[np.int64], counts: NDArray[np.int64], lasts: NDArray[np.int64]) -> None:
        """Join stretches of series (G,) with `counts` (G,) observations until observation number `lasts` (G,) fits."""
        while len(full := np.flatnonzero(lasts // self._span[series] >= STRETCHES)):
            series, counts, lasts = series[full], counts[full], lasts[full]
            self._join_pairs(series, -(-counts // self._span[series]))
            self._span[series] *= 2

    def _join_pairs(self, series: NDArray[np.int64], used: NDArray[np.int64]) -> None:
        """Merge pairs of stretches of series (G,), of which the first `used` (G,) are in use."""
        every = slice(None), series
        rows = self._rows
        times, lowest, highest = rows.times[every], rows.lowest[every], rows.highest[every]
        last, anomaly = rows.last[every], rows.anomaly[every]
        second = np.arange(1, STRETCHES, 2)[:, None] < used  # (M / 2, G) whether the pair has two
        half = STRETCHES // 2
        joined = Stretches(
            times[::2],
            np.where(second, np.minimum(lowest[::2], lowest[1::2]), lowest[::2]),
            np.where(second, np.maximum(highest[::2], highest[1::2]), highest[::2]),
            np.where(second, last[1::2], last[::2]),
            np.where(second, np.maximum(anomaly[::2], anomaly[1::2]), anomaly[::2]),
        )
        columns: list[NDArray[Any]] = list(rows)
        for column, values in zip(columns, joined, strict=True):
            column[:half, series] = values
