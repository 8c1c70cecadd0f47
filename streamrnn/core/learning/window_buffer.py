"""Replay buffer of windows of consecutive steps, for the whole network.

It has a fixed size per task, which the series share. A window contains what the network read at each step of a series,
and the labels as they arrive. Missing steps are left out, because the network does not read them. Windows are saved in
half precision, and rounded to it when recorded, so that a restart changes no bit.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Integers, Singles, compiled, compiled_allocating
from streamrnn.core.learning.replay_buffer import LABEL_CLIP, NONE
from streamrnn.core.network.shapes import Shape
from streamrnn.core.series.state import LEAD
from streamrnn.core.series.wave import WaveUpdate
from streamrnn.core.vector_math import HALF

WINDOW_COUNT = 64
ABANDONED_AFTER = 1000  # learning points after which an incomplete window may be reused

MAGNITUDE, INFINITY = np.int32(0x7FFFFFFF), np.int32(0x7F800000)  # bits of a float32: all but the sign; infinity
LEAST_NORMAL, OVERFLOW = np.int32(0x38800000), np.int32(0x477FF000)
"""Bits of the smallest normal number in half precision, and of the smallest number that is rounded to infinity."""
DROPPED = np.int32(13)  # number of bits of the mantissa that half precision lacks


@compiled
def round_to_half(x: np.float32) -> np.float32:
    """Return x rounded to half precision (ties to even), without branches, so that loops are vectorized."""
    bits = np.float32(x).view(np.int32)
    size = bits & MAGNITUDE
    last = np.int32(1) << DROPPED
    normal = (size + (last >> np.int32(1)) - np.int32(1) + ((size >> DROPPED) & np.int32(1))) & -last
    below = np.float32((abs(x) + HALF) - HALF).view(np.int32)  # rounded to multiples of the smallest subnormal number
    rounded = below if size < LEAST_NORMAL else normal
    rounded = max(size, INFINITY) if size >= OVERFLOW else rounded
    return np.int32(rounded | (bits ^ size)).view(np.float32)


@compiled
def store_rounded(out: Singles, values: Singles) -> None:
    """Fill `out` (N,) with `values` (N,) rounded to half precision."""
    for i in range(len(out)):
        out[i] = round_to_half(values[i])


class Windows(NamedTuple):
    """B windows of T consecutive steps of a series each; for the arrays see WaveFeatures."""

    inputs: Singles  # (B, T, F)
    points: Singles  # (B, T, K, E)
    trust: Singles  # (B, T, K, E)
    lead: Singles  # (B, T, K, 3)
    labels: Singles  # (B, T, K) units; NaN: unknown
    hidden: Singles  # (B, *states) hidden state before the first step

    @classmethod
    def empty(cls, count: int, length: int, horizons: int, shape: Shape) -> "Windows":
        """Allocate `count` windows."""
        e, rows = shape.experts, (length, horizons)
        sizes = (length, shape.inputs), (*rows, e), (*rows, e), (*rows, LEAD), rows, shape.states
        windows = cls(*(np.zeros((count, *size), np.float32) for size in sizes))
        windows.labels[:] = np.nan
        return windows


@compiled
def next_index(numbers: Integers, at: int) -> int:
    """Return the index in a window of its next step, at most `at`; `numbers` (T,) are those of the recorded steps."""
    index = min(at, len(numbers))
    while index > 0 and numbers[index - 1] == NONE:
        index -= 1
    return index if index < len(numbers) else at


@compiled
def label_window(labels: Singles, numbers: Integers, seen: int, at: int, horizons: Integers, truths: Singles) -> None:
    """Fill the `labels` (T, K) of a window with steps `numbers` (T,) from the `truths` (K,) observed at step `seen`.

    `at` is the index of step `seen` in the window, or a number beyond its end.
    """
    for k in range(len(horizons)):
        index = max(at - horizons[k], 0)
        while index < len(labels) and NONE < numbers[index] < seen - horizons[k]:
            index += 1
        if index < len(labels) and numbers[index] == seen - horizons[k]:
            labels[index, k] = min(max(truths[k], -LABEL_CLIP), LABEL_CLIP)


@compiled_allocating
def record_wave(
    series: Integers, start: Integers, numbers: Integers, rows: Integers, lookup: Integers, horizons: Integers,
    hidden: Singles, buffer: Handle[Windows], wave: Handle[WaveUpdate],
) -> int:  # fmt: skip
    """Add one wave to the open windows; return the number of windows that are still open.

    `series` and `start` (C,) and `numbers` (C, T) are as in WindowBuffer. `lookup` (S,) is scratch, filled with NONE
    before and after the call.
    """
    windows, update = contents(buffer), contents(wave)
    features, seen, truths = update.features, update.seen, update.truths
    length, still_open = windows.inputs.shape[1], 0
    for b in range(len(rows)):
        lookup[rows[b]] = b
    for c in range(len(series)):
        if series[c] < 0:
            continue
        still_open += 1
        b = lookup[series[c]]
        if b < 0:
            continue
        at = next_index(numbers[c], seen[b] - start[c])
        start[c] = seen[b] - at
        if at == 0:
            store_rounded(windows.hidden[c].reshape(-1), hidden[b].reshape(-1))
        if at < length:
            store_rounded(windows.inputs[c, at], features.inputs[b])
            store_rounded(windows.points[c, at].reshape(-1), features.points[b].reshape(-1))
            store_rounded(windows.trust[c, at].reshape(-1), features.trust[b].reshape(-1))
            store_rounded(windows.lead[c, at].reshape(-1), features.lead[b].reshape(-1))
            windows.labels[c, at] = np.nan
            numbers[c, at] = seen[b]
        label_window(windows.labels[c], numbers[c], seen[b], at, horizons, truths[b])
        if at >= length - 1 + horizons[len(horizons) - 1]:
            series[c] = -2 - series[c]  # complete
            still_open -= 1
    for b in range(len(rows)):
        lookup[rows[b]] = NONE
    return still_open


class WindowBuffer:
    """WINDOW_COUNT windows: open ones, which are being recorded; newly completed ones; older ones for replay."""

    def __init__(self, *, length: int, horizons: Integers, shape: Shape) -> None:
        self._horizons = horizons
        self.windows = Windows.empty(WINDOW_COUNT, length, len(horizons), shape)
        self._handle = Handle(self.windows)
        self._series = np.full(WINDOW_COUNT, NONE, np.int64)  # row of an open window; NONE: unused; below: complete
        self._start = np.zeros(WINDOW_COUNT, np.int64)  # first step, plus the number of missing steps since
        self._numbers = np.full((WINDOW_COUNT, length), NONE, np.int64)  # recorded steps; NONE: not recorded yet
        self._opened = np.zeros(WINDOW_COUNT, np.int64)  # number of the learning point at which it was opened
        self._learned = np.ones(WINDOW_COUNT, np.bool_)  # whether it was drawn since it was completed
        self._recording = False
        self._lookup = np.full(0, NONE, np.int64)  # scratch of record_wave
        self._drawn: Windows | None = None

    @property
    def recording(self) -> bool:
        """Whether a window is open, so that waves must be recorded."""
        return self._recording

    def record(self, rows: Integers, wave: Handle[WaveUpdate], hidden: Singles, series: int) -> None:
        """Add one wave to the open windows, with the states `hidden` (B, *states) before it; S is `series`."""
        if len(self._lookup) < series:
            self._lookup = np.full(2 * series, NONE, np.int64)
        marks = self._series, self._start, self._numbers
        still_open = record_wave(*marks, rows, self._lookup, self._horizons, hidden, self._handle, wave)
        self._recording = still_open > 0

    def open(self, rows: Integers, seen: Integers, point: int) -> None:
        """Open windows for series with `seen` (B,) steps so far, as many as fit, at learning point number `point`."""
        recording = self._series >= 0
        free = np.flatnonzero(~recording | (point - self._opened > ABANDONED_AFTER))
        count = min(len(rows), len(free), WINDOW_COUNT // 2 - int(recording.sum()))
        if count <= 0:
            return
        chosen = free[np.argsort(self._opened[free], kind="stable")][:count]  # overwrite the oldest
        self._series[chosen], self._start[chosen] = rows[:count], seen[:count]
        self._opened[chosen], self._learned[chosen] = point, False
        self._numbers[chosen] = NONE
        self._recording = True

    def keep(self, moved: Integers) -> None:
        """Abandon the open windows of removed series; `moved` (S,) has the new row of each series, NONE: removed."""
        self._series[:] = np.where(self._series >= 0, moved[np.maximum(self._series, 0)], self._series)

    def draw(self, batch: int, replay: int, generator: np.random.Generator) -> Windows | None:
        """Return at most `batch` newly completed windows and at most `replay` older ones; None without new ones.

        The result is valid until the next draw.
        """
        complete = self._series < NONE
        fresh = np.flatnonzero(complete & ~self._learned)[:batch]
        if not len(fresh):
            return None
        older = np.flatnonzero(complete & self._learned)
        chosen = np.concatenate([fresh, generator.permutation(older)[:replay]])
        self._learned[fresh] = True
        if self._drawn is None or len(self._drawn.labels) < len(chosen):
            self._drawn = Windows(*(np.empty((batch + replay, *array.shape[1:]), np.float32) for array in self.windows))
        drawn = Windows(*(array[: len(chosen)] for array in self._drawn))
        for array, out in zip(self.windows, drawn, strict=True):
            np.take(array, chosen, 0, out, "clip")
        return drawn

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name."""
        saved: dict[str, NDArray[np.generic]] = {
            f"tapes_{name}": array if name == "labels" else array.astype(np.float16)
            for name, array in self.windows._asdict().items()
        }
        marks = np.stack([self._series, self._start, self._opened, self._learned])
        return {**saved, "tapes_marks": marks, "tapes_numbers": self._numbers}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Restore what `save` returned."""
        for name, array in self.windows._asdict().items():
            array[:] = saved[f"tapes_{name}"]
        self._series[:], self._start[:], self._opened[:], self._learned[:] = saved["tapes_marks"]
        consecutive = self._start[:, None] + np.arange(self._numbers.shape[1])  # earlier versions save no numbers
        self._numbers[:] = saved.get("tapes_numbers", consecutive)
        self._recording = bool((self._series >= 0).any())
