"""Replay buffer of single origins, for the head.

It has a fixed size per task, which the series share. A stored row contains what the head read at one origin of one
series, and its labels as they arrive; the oldest rows are overwritten.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Integers, Singles, compiled
from streamrnn.core.network.shapes import Shape
from streamrnn.core.series.state import LEAD
from streamrnn.core.series.wave import WaveUpdate

CAPACITY = 1024  # number of stored rows
MAX_NEW_ROWS = 64  # largest number of newly labelled rows per horizon in one learning step
SPACING = 64  # waves that the stored rows should span, so that labels arrive before rows are overwritten
LABEL_CLIP = 8.0  # largest |label|, units: larger labels would only teach the network that spikes exist
NONE = -1


class Examples(NamedTuple):
    """B examples: an origin with one horizon each."""

    y: Singles  # (B, U) encodings
    points: Singles  # (B, E) expert forecasts, units
    trust: Singles  # (B, E) log of the ratio of each expert's running |error| to that of persistence
    lead: Singles  # (B, 3) description of the horizon, see fill_lead
    label: Singles  # (B,) units; NaN: unknown, the example has no weight


class StoredRows(NamedTuple):
    """A ring of C rows, numbered in the order of storing; row n is at index n % C. The names of fields are saved."""

    top: Singles  # (C, U) encodings
    points: Singles  # (C, K, E) see WaveFeatures, as the next two
    trust: Singles  # (C, K, E)
    lead: Singles  # (C, K, 3)
    labels: Singles  # (C, K) units; NaN: not arrived yet
    origin: Integers  # (C,) step of the origin in its series
    previous: Integers  # (C,) number of the previous stored row of the series, or NONE
    recent: Integers  # (K, MAX_NEW_ROWS) numbers of the rows that were labelled last, a ring per horizon
    counts: Integers  # (3, K) number of labels so far: now, at the last draw, at the draw before it
    taken: Integers  # (1,) number of rows stored so far


@compiled
def label_rows(last: int, stored: StoredRows, seen: int, horizons: Integers, truths: Singles) -> None:
    """Label the stored rows of a series by `truths` (K,) at step `seen`; `last` is the number of its latest row."""
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


@compiled
def copy_numbers(source: Singles, target: Singles) -> None:
    """Copy a vector in a loop, which takes a tenth of the compilation time of a slice assignment."""
    for i in range(len(target)):
        target[i] = source[i]


@compiled
def store_rows(
    last: Integers, rows: Integers, horizons: Integers, live: int, buffer: Handle[StoredRows], top: Singles,
    wave: Handle[WaveUpdate],
) -> None:  # fmt: skip
    """Label stored rows by one wave, and store every n-th step of each series; the size of the wave has no effect.

    n is the smallest number with which SPACING waves of `live` series fit into the buffer.
    """
    stored, update = contents(buffer), contents(wave)
    features, seen, truths = update.features, update.seen, update.truths
    capacity = len(stored.labels)
    for b in range(len(rows)):
        row = rows[b]
        label_rows(last[row], stored, seen[b], horizons, truths[b])
        if (seen[b] + row) % max(-(-SPACING * live // capacity), 1) != 0:
            continue
        at = stored.taken[0] % capacity
        stored.origin[at], stored.previous[at], last[row] = seen[b], last[row], stored.taken[0]
        copy_numbers(top[b], stored.top[at])
        for k in range(len(horizons)):
            copy_numbers(features.points[b, k], stored.points[at, k])
            copy_numbers(features.trust[b, k], stored.trust[at, k])
            copy_numbers(features.lead[b, k], stored.lead[at, k])
            stored.labels[at, k] = np.nan
        stored.taken[0] += 1


@compiled
def gather_examples(
    buffer: Handle[StoredRows], fresh: Integers, replay: Integers, y: Singles, points: Singles, trust: Singles,
    lead: Singles, label: Singles,
) -> None:  # fmt: skip
    """Fill Examples: per horizon, the `fresh` (K,) rows that were labelled last, then the rows numbered `replay`."""
    stored, drawn = contents(buffer), Examples(y, points, trust, lead, label)
    capacity, out = len(stored.labels), 0
    for k in range(len(fresh)):
        for i in range(fresh[k] + len(replay)):
            latest = stored.recent[k, (stored.counts[0, k] - 1 - i) % stored.recent.shape[1]]
            number = latest if i < fresh[k] else replay[i - fresh[k]]
            at = number % capacity
            copy_numbers(stored.top[at], drawn.y[out])
            copy_numbers(stored.points[at, k], drawn.points[out])
            copy_numbers(stored.trust[at, k], drawn.trust[out])
            copy_numbers(stored.lead[at, k], drawn.lead[out])
            drawn.label[out] = stored.labels[at, k] if stored.taken[0] - number <= capacity else np.nan
            out += 1


class RowBuffer:
    """The latest CAPACITY stored rows of all series."""

    def __init__(self, *, horizons: Integers, shape: Shape) -> None:
        k, e, f4, i8 = len(horizons), shape.experts, np.float32, np.int64
        self._horizons = horizons
        self._stored = StoredRows(
            np.zeros((CAPACITY, shape.encoder.top), f4), np.zeros((CAPACITY, k, e), f4),
            np.zeros((CAPACITY, k, e), f4), np.zeros((CAPACITY, k, LEAD), f4), np.full((CAPACITY, k), np.nan, f4),
            np.zeros(CAPACITY, i8), np.full(CAPACITY, NONE, i8), np.zeros((k, MAX_NEW_ROWS), i8), np.zeros((3, k), i8),
            np.zeros(1, i8),
        )  # fmt: skip
        self._handle = Handle(self._stored)
        self._sizes = ((shape.encoder.top,), (e,), (e,), (LEAD,), ())

    @staticmethod
    def initial_last(capacity: int) -> Integers:
        """Return the initial numbers of the latest stored rows of `capacity` new series."""
        return np.full(capacity, NONE, np.int64)

    def add(self, last: Integers, rows: Integers, wave: Handle[WaveUpdate], top: Singles, live: int) -> None:
        """Add one wave with encodings `top` (B, U); `live` series share the buffer.

        `last` (S,), which is updated, has the number of the latest stored row of each series.
        """
        store_rows(last, rows, self._horizons, live, self._handle, top, wave)

    def draw(self, generator: np.random.Generator) -> Examples | None:
        """Return the rows labelled since the draw before the last, and as many random rows; None without the former."""
        counts = self._stored.counts
        now, _, earlier = counts.tolist()
        fresh = [min(labels - before, MAX_NEW_ROWS) for labels, before in zip(now, earlier, strict=True)]
        counts[2], counts[1] = counts[1], counts[0]
        if not any(fresh):
            return None
        taken = int(self._stored.taken[0])
        replay = generator.integers(max(taken - CAPACITY, 0), taken, max(fresh))
        count = sum(fresh) + len(replay) * len(fresh)
        drawn = Examples(*(np.empty((count, *size), np.float32) for size in self._sizes))
        gather_examples(self._handle, np.array(fresh, np.int64), replay, *drawn)
        return drawn

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name."""
        return {f"rows_{name}": array for name, array in self._stored._asdict().items()}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Restore what `save` returned."""
        for name, array in self._stored._asdict().items():
            array[:] = saved[f"rows_{name}"]
