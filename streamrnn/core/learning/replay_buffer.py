"""Replay buffers: single rows for the head, and windows of consecutive rows for the whole network.

Both are of a fixed size per task, however many series it has. They store what the network read at a row, add the labels
as they mature, and overwrite the oldest entries. Windows are saved in half precision and rounded to it when they are
drawn, so that a restart changes no bit.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Integers, Singles, compiled, compiled_allocating
from streamrnn.core.network.shapes import Shape
from streamrnn.core.series.state import LEAD
from streamrnn.core.series.wave import WaveFeatures

CAPACITY = 1024
"""Rows stored for the head."""
RECENT = 64
"""Largest number of newly labelled rows, per horizon, in one step of the head."""
SPACING = 64
"""Waves that the stored rows should span, so that their labels can mature."""
WINDOW_COUNT = 64
LABEL_CLIP = 8.0
"""Units; beyond it a label would only teach the network that spikes exist."""
ABANDONED_AFTER = 1000
"""Learning points after which a window that waits for its series may be reused."""
NONE = -1


def round_to_half(array: Singles) -> Singles:
    """Round to half precision."""
    return array.astype(np.float16).astype(np.float32)


class Examples(NamedTuple):
    """B origins, each with one horizon, float32."""

    y: Singles  # (B, H), encodings
    points: Singles  # (B, E), the experts' point forecasts in units, relative to the value
    trust: Singles  # (B, E), log of each expert's running error over persistence's
    lead: Singles  # (B, 3), description of the horizon
    label: Singles  # (B,), in units relative to the value; NaN: unknown, the example has no weight


class StoredRows(NamedTuple):
    """A ring of C rows, numbered in the order of storing; row n is at index n % C. The field names are saved."""

    top: Singles  # (C, H), encodings
    points: Singles  # (C, K, E)
    trust: Singles  # (C, K, E)
    lead: Singles  # (C, K, 3)
    labels: Singles  # (C, K), NaN: not yet matured
    origin: Integers  # (C,), earlier observations of the row's series
    previous: Integers  # (C,), number of the series' previous stored row, or NONE
    recent: Integers  # (K, RECENT), numbers of the rows that were labelled last, a ring per horizon
    counts: Integers  # (3, K), labels so far: now, at the last draw, at the draw before it
    taken: Integers  # (1,), rows stored so far


@compiled
def label_rows(last: int, stored: StoredRows, seen: int, horizons: Integers, truths: Singles) -> None:
    """Label the stored rows of one series with `truths` (K,), NaN: none; `last` is the number of its latest row.

    The series has `seen` earlier observations.
    """
    number, longest = last, horizons[len(horizons) - 1]
    while number >= 0 and stored.taken[0] - number <= len(stored.labels):
        at = number % len(stored.labels)
        age = seen - stored.origin[at]
        if age > longest:
            break
        for k in range(len(horizons)):
            if horizons[k] == age and not math.isnan(truths[k]):
                stored.labels[at, k] = min(max(truths[k], -LABEL_CLIP), LABEL_CLIP)
                stored.recent[k, stored.counts[0, k] % stored.recent.shape[1]] = number
                stored.counts[0, k] += 1
        number = stored.previous[at]


@compiled_allocating
def store_rows(
    last: Integers, rows: Integers, seen: Integers, horizons: Integers, truths: Singles, live: int, stored: StoredRows,
    top: Singles, features: WaveFeatures,
) -> None:  # fmt: skip
    """Add one wave, row by row so that its size has no effect: label stored rows, and store every n-th of a series.

    n is the smallest number for which SPACING waves of the `live` series fit.
    """
    capacity = len(stored.labels)
    for b in range(len(rows)):
        row = rows[b]
        label_rows(last[row], stored, seen[b], horizons, truths[b])
        if (seen[b] + row) % max(-(-SPACING * live // capacity), 1) != 0:
            continue
        at = stored.taken[0] % capacity
        stored.origin[at], stored.previous[at], last[row] = seen[b], last[row], stored.taken[0]
        stored.top[at], stored.points[at] = top[b], features.points[b]
        stored.trust[at], stored.lead[at] = features.trust[b], features.lead[b]
        stored.labels[at] = np.nan
        stored.taken[0] += 1


@compiled_allocating
def gather_examples(stored: StoredRows, fresh: Integers, replay: Integers, drawn: Examples) -> None:
    """Fill `drawn`: per horizon the `fresh` (K,) rows that were labelled last, then the rows numbered `replay`."""
    capacity, out = len(stored.labels), 0
    for k in range(len(fresh)):
        for i in range(fresh[k] + len(replay)):
            latest = stored.recent[k, (stored.counts[0, k] - 1 - i) % stored.recent.shape[1]]
            number = latest if i < fresh[k] else replay[i - fresh[k]]
            at = number % capacity
            drawn.y[out] = stored.top[at]
            drawn.points[out], drawn.trust[out] = stored.points[at, k], stored.trust[at, k]
            drawn.lead[out] = stored.lead[at, k]
            drawn.label[out] = stored.labels[at, k] if stored.taken[0] - number <= capacity else np.nan
            out += 1


class RowBuffer:
    """The last CAPACITY stored rows of all series, with their encodings."""

    def __init__(self, *, horizons: Integers, shape: Shape) -> None:
        k, e, f4, i8 = len(horizons), shape.experts, np.float32, np.int64
        self._horizons = horizons
        self._stored = StoredRows(
            top=np.zeros((CAPACITY, shape.encoder.top), f4),
            points=np.zeros((CAPACITY, k, e), f4),
            trust=np.zeros((CAPACITY, k, e), f4),
            lead=np.zeros((CAPACITY, k, LEAD), f4),
            labels=np.full((CAPACITY, k), np.nan, f4),
            origin=np.zeros(CAPACITY, i8),
            previous=np.full(CAPACITY, NONE, i8),
            recent=np.zeros((k, RECENT), i8),
            counts=np.zeros((3, k), i8),
            taken=np.zeros(1, i8),
        )
        self._sizes = ((shape.encoder.top,), (e,), (e,), (LEAD,), ())

    @staticmethod
    def initial_last(capacity: int) -> Integers:
        """Return the numbers of the last stored rows for `capacity` new series."""
        return np.full(capacity, NONE, np.int64)

    def add(
        self, last: Integers, rows: Integers, seen: Integers, truths: Singles, top: Singles, features: WaveFeatures,
        live: int,
    ) -> None:  # fmt: skip
        """Add one wave of B rows.

        Args:
            last: Number of the last stored row of each series, (S,); updated.
            rows: Series of the wave, (B,).
            seen: Earlier observations of each, (B,).
            truths: Labels that mature with the wave, (B, K); NaN: none.
            top: Encodings, (B, H).
            features: Inputs of the head.
            live: Series that share the buffer.
        """
        store_rows(last, rows, seen, self._horizons, truths, live, self._stored, top, features)

    def draw(self, generator: np.random.Generator) -> Examples | None:
        """Return the rows labelled since the draw before the last, and as many older ones; None if there are none."""
        counts = self._stored.counts
        fresh = np.minimum(counts[0] - counts[2], RECENT)
        counts[2], counts[1] = counts[1], counts[0]
        if not fresh.any():
            return None
        taken = int(self._stored.taken[0])
        replay = generator.integers(max(taken - CAPACITY, 0), taken, int(fresh.max()))
        count = int(fresh.sum()) + len(replay) * len(fresh)
        drawn = Examples(*(np.empty((count, *size), np.float32) for size in self._sizes))
        gather_examples(self._stored, fresh, replay, drawn)
        return drawn

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name."""
        return {f"rows_{name}": array for name, array in self._stored._asdict().items()}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Restore what `save` returned."""
        for name, array in self._stored._asdict().items():
            array[:] = saved[f"rows_{name}"]


class Windows(NamedTuple):
    """B windows of T consecutive rows of a series each."""

    inputs: Singles  # (B, T, F)
    points: Singles  # (B, T, K, E)
    trust: Singles  # (B, T, K, E)
    lead: Singles  # (B, T, K, 3)
    labels: Singles  # (B, T, K) NaN: unknown
    hidden: Singles  # (B, *states) before the first row

    @classmethod
    def empty(cls, count: int, length: int, horizons: int, shape: Shape) -> "Windows":
        """Allocate `count` windows."""
        f4, e = np.float32, shape.experts
        return cls(
            np.zeros((count, length, shape.inputs), f4),
            np.zeros((count, length, horizons, e), f4),
            np.zeros((count, length, horizons, e), f4),
            np.zeros((count, length, horizons, LEAD), f4),
            np.full((count, length, horizons), np.nan, f4),
            np.zeros((count, *shape.states), f4),
        )


@compiled
def label_window(labels: Singles, at: int, horizons: Integers, truths: Singles) -> None:
    """Label the rows of a window, `labels` (T, K), with the `truths` (K,) that mature at row `at`."""
    for k in range(len(horizons)):
        origin = at - horizons[k]
        if 0 <= origin < len(labels):
            labels[origin, k] = min(max(truths[k], -LABEL_CLIP), LABEL_CLIP)


@compiled_allocating
def record_wave(
    series: Integers, start: Integers, rows: Integers, lookup: Integers, seen: Integers, horizons: Integers,
    truths: Singles, features: WaveFeatures, hidden: Singles, windows: Windows,
) -> None:  # fmt: skip
    """Add one wave to the open windows; `series` and `start` (C,) as in WindowBuffer.

    `lookup` (S,) is scratch, NONE everywhere before and after.
    """
    length = windows.inputs.shape[1]
    for b in range(len(rows)):
        lookup[rows[b]] = b
    for c in range(len(series)):
        if series[c] < 0:
            continue
        b = lookup[series[c]]
        if b < 0:
            continue
        at = seen[b] - start[c]
        if at == 0:
            windows.hidden[c] = hidden[b]
        if at < length:
            windows.inputs[c, at] = features.inputs[b]
            windows.points[c, at] = features.points[b]
            windows.trust[c, at] = features.trust[b]
            windows.lead[c, at] = features.lead[b]
            windows.labels[c, at] = np.nan
        label_window(windows.labels[c], at, horizons, truths[b])
        if at >= length - 1 + horizons[len(horizons) - 1]:
            series[c] = -2 - series[c]  # complete
    for b in range(len(rows)):
        lookup[rows[b]] = NONE


class WindowBuffer:
    """WINDOW_COUNT windows: open ones that are being recorded, newly completed ones, and older ones for replay."""

    def __init__(self, *, length: int, horizons: Integers, shape: Shape) -> None:
        self._horizons = horizons
        self.windows = Windows.empty(WINDOW_COUNT, length, len(horizons), shape)
        self._series = np.full(WINDOW_COUNT, NONE, np.int64)  # >= 0: open; NONE: unused; below: complete
        self._start = np.zeros(WINDOW_COUNT, np.int64)  # observations of the series before the first row
        self._opened = np.zeros(WINDOW_COUNT, np.int64)  # number of the learning point
        self._learned = np.ones(WINDOW_COUNT, np.bool_)
        self._lookup = np.full(0, NONE, np.int64)

    def record(self, rows: Integers, seen: Integers, truths: Singles, features: WaveFeatures, hidden: Singles) -> None:
        """Add one wave to the open windows; `seen` (B,) and `hidden` (B, *states) are those before it."""
        if not (self._series >= 0).any():
            return
        size = int(max(rows.max(), self._series.max())) + 1
        if len(self._lookup) < size:
            self._lookup = np.full(2 * size, NONE, np.int64)
        marks = self._series, self._start
        record_wave(*marks, rows, self._lookup, seen, self._horizons, truths, features, hidden, self.windows)

    def open(self, rows: Integers, seen: Integers, point: int) -> None:
        """Open windows for these series with `seen` (B,) observations, as many as fit, at learning point `point`."""
        recording = self._series >= 0
        free = np.flatnonzero(~recording | (point - self._opened > ABANDONED_AFTER))
        count = min(len(rows), len(free), WINDOW_COUNT // 2 - int(recording.sum()))
        if count <= 0:
            return
        chosen = free[np.argsort(self._opened[free], kind="stable")][:count]  # the oldest are overwritten
        self._series[chosen], self._start[chosen] = rows[:count], seen[:count]
        self._opened[chosen], self._learned[chosen] = point, False

    def draw(self, batch: int, replay: int, generator: np.random.Generator) -> Windows | None:
        """Return at most `batch` newly completed windows and `replay` older ones; None if none was completed."""
        complete = self._series < NONE
        fresh = np.flatnonzero(complete & ~self._learned)[:batch]
        if not len(fresh):
            return None
        older = np.flatnonzero(complete & self._learned)
        chosen = np.concatenate([fresh, generator.permutation(older)[:replay]])
        self._learned[fresh] = True
        drawn = Windows(*(array[chosen] for array in self.windows))
        rounded = {name: round_to_half(getattr(drawn, name)) for name in Windows._fields if name != "labels"}
        return drawn._replace(**rounded)

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name."""
        saved: dict[str, NDArray[np.generic]] = {
            f"tapes_{name}": array if name == "labels" else array.astype(np.float16)
            for name, array in self.windows._asdict().items()
        }
        marks = np.stack([self._series, self._start, self._opened, self._learned])
        return {**saved, "tapes_marks": marks}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Restore what `save` returned."""
        for name, array in self.windows._asdict().items():
            array[:] = saved[f"tapes_{name}"]
        self._series[:], self._start[:], self._opened[:], self._learned[:] = saved["tapes_marks"]
