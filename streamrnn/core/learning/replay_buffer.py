"""What there is to learn from: single rows for the head, and tapes of consecutive rows for the whole network.

Both are bounded for a task, however many series it has, and keep what the network read until the labels have come and
for a while after. Tapes are saved in half precision; what is drawn from them is rounded to it, so that a restart
changes nothing.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Integers, Singles, compiled, compiled_allocating
from streamrnn.core.network.shapes import Shape
from streamrnn.core.series.state import LEAD
from streamrnn.core.series.wave import Described

CAPACITY = 1024
"""Rows kept for the head."""
RECENT = 64
"""Of those whose label came last, per horizon: the freshest that one step of the head may learn from."""
SPACING = 64
"""Waves that the rows kept should span, so that their labels can come."""
TAPES = 64
LABEL_CLIP = 8.0
"""Units; beyond it a label would teach the network only that spikes exist."""
FORGOTTEN = 1000
"""Learning points after which a tape that waits for its series may be taken for another."""
NONE = -1


def halved(array: Singles) -> Singles:
    """Rounded to half precision."""
    return array.astype(np.float16).astype(np.float32)


class Examples(NamedTuple):
    """B origins, each with one horizon, float32."""

    y: Singles
    """(B, H), outputs of the top recurrent layer."""
    points: Singles
    """(B, E), the experts' point forecasts in units, relative to the value."""
    trust: Singles
    """(B, E), log of each expert's running error over persistence's."""
    lead: Singles
    """(B, 3), what tells the horizon."""
    label: Singles
    """(B,), what came, in units relative to the value; NaN where it is not known: the example then has no weight."""


class Kept(NamedTuple):
    """Which row lies at each place: C places, rows are numbered as they were taken."""

    origin: Integers
    """(C,), observations of its series before it."""
    previous: Integers
    """(C,), number of the row of the same series that was kept before it; NONE: there is none."""


@compiled
def deliver(
    last: int, kept: Kept, seen: int, horizons: Integers, truths: Singles, taken: int, labels: Singles,
    recent: Integers, delivered: Integers,
) -> None:  # fmt: skip
    """Give the rows kept of one series, of which `last` is the latest, their labels `truths` (K,), NaN: none.

    `seen` observations came before.
    """
    number, longest = last, horizons[len(horizons) - 1]
    while number >= 0 and taken - number <= len(labels):
        place = number % len(labels)
        age = seen - kept.origin[place]
        if age > longest:
            break
        for k in range(len(horizons)):
            if horizons[k] == age and not math.isnan(truths[k]):
                labels[place, k] = min(max(truths[k], -LABEL_CLIP), LABEL_CLIP)
                recent[k, delivered[k] % recent.shape[1]] = number
                delivered[k] += 1
        number = kept.previous[place]


@compiled_allocating
def keep(
    last: Integers, rows: Integers, seen: Integers, horizons: Integers, truths: Singles, taken: Integers, live: int,
    kept: Kept, held: Examples, recent: Integers, delivered: Integers, top: Singles, described: Described,
) -> None:  # fmt: skip
    """One wave, row by row, so that its size tells nowhere: labels come, and every so many rows of a series are kept.

    `taken` (1,) counts the rows kept so far, `live` the series that there are now.
    """
    capacity = len(held.label)
    for b in range(len(rows)):
        row = rows[b]
        deliver(last[row], kept, seen[b], horizons, truths[b], taken[0], held.label, recent, delivered)
        if (seen[b] + row) % max(-(-SPACING * live // capacity), 1) != 0:
            continue
        place = taken[0] % capacity
        kept.origin[place], kept.previous[place], last[row] = seen[b], last[row], taken[0]
        held.y[place], held.points[place] = top[b], described.points[b]
        held.trust[place], held.lead[place] = described.trust[b], described.lead[b]
        held.label[place] = np.nan
        taken[0] += 1


@compiled_allocating
def gather(
    kept: Examples, recent: Integers, delivered: Integers, fresh: Integers, replay: Integers, taken: int,
    drawn: Examples,
) -> None:  # fmt: skip
    """Fill `drawn`: per horizon the last `fresh` (K,) rows that got a label, then the rows numbered `replay`."""
    capacity, at = len(kept.label), 0
    for k in range(len(fresh)):
        for i in range(fresh[k] + len(replay)):
            number = recent[k, (delivered[k] - 1 - i) % recent.shape[1]] if i < fresh[k] else replay[i - fresh[k]]
            place = number % capacity
            drawn.y[at] = kept.y[place]
            drawn.points[at], drawn.trust[at] = kept.points[place, k], kept.trust[place, k]
            drawn.lead[at] = kept.lead[place, k]
            drawn.label[at] = kept.label[place, k] if taken - number <= capacity else np.nan
            at += 1


class RowBuffer:
    """The last CAPACITY rows that were chosen, of all series, with the recurrent layers' output."""

    def __init__(self, *, horizons: Integers, shape: Shape) -> None:
        k, e, hidden = len(horizons), shape.experts, shape.encoder.top
        f4, i8 = np.float32, np.int64
        self._horizons = horizons
        self._top = np.zeros((CAPACITY, hidden), f4)
        self._points = np.zeros((CAPACITY, k, e), f4)
        self._trust = np.zeros((CAPACITY, k, e), f4)
        self._lead = np.zeros((CAPACITY, k, LEAD), f4)
        self._labels = np.full((CAPACITY, k), np.nan, f4)
        self._kept = Kept(np.zeros(CAPACITY, i8), np.full(CAPACITY, NONE, i8))
        self._recent = np.zeros((k, RECENT), i8)
        self._counts = np.zeros((3, k), i8)  # labels delivered; of them before the last step, and before that one
        self._taken = np.zeros(1, i8)  # rows kept so far
        self._sizes = ((hidden,), (e,), (e,), (LEAD,), ())

    @staticmethod
    def room(capacity: int) -> Integers:
        """Per series: the number of the last of its rows that was kept."""
        return np.full(capacity, NONE, np.int64)

    def take(
        self, last: Integers, rows: Integers, seen: Integers, truths: Singles, top: Singles, described: Described,
        live: int,
    ) -> None:  # fmt: skip
        """One wave: its labels (B, K), NaN: none, and those of its rows whose turn it is; `seen` (B,) came before.

        `live` series share the room.
        """
        held = Examples(self._top, self._points, self._trust, self._lead, self._labels)
        counts = self._recent, self._counts[0], top, described
        keep(last, rows, seen, self._horizons, truths, self._taken, live, self._kept, held, *counts)

    def draw(self, generator: np.random.Generator) -> Examples | None:
        """The rows whose labels came since the last step but one, and as many older ones; None where there are none."""
        counts = self._counts
        fresh = np.minimum(counts[0] - counts[2], RECENT)
        counts[2], counts[1] = counts[1], counts[0]
        if not fresh.any():
            return None
        taken = int(self._taken[0])
        replay = generator.integers(max(taken - CAPACITY, 0), taken, int(fresh.max()))
        count = int(fresh.sum()) + len(replay) * len(fresh)
        drawn = Examples(*(np.empty((count, *size), np.float32) for size in self._sizes))
        kept = Examples(self._top, self._points, self._trust, self._lead, self._labels)
        gather(kept, self._recent, counts[0], fresh, replay, taken, drawn)
        return drawn

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name."""
        return {
            "rows_top": self._top,
            "rows_points": self._points,
            "rows_trust": self._trust,
            "rows_lead": self._lead,
            "rows_labels": self._labels,
            "rows_origin": self._kept.origin,
            "rows_previous": self._kept.previous,
            "rows_recent": self._recent,
            "rows_counts": self._counts,
            "rows_taken": self._taken,
        }

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `save` gave."""
        arrays: dict[str, NDArray[Any]] = {
            "top": self._top, "points": self._points, "trust": self._trust, "lead": self._lead, "labels": self._labels,
            "origin": self._kept.origin, "previous": self._kept.previous, "recent": self._recent,
            "counts": self._counts, "taken": self._taken,
        }  # fmt: skip
        for name, array in arrays.items():
            array[:] = saved[f"rows_{name}"]


class Windows(NamedTuple):
    """B windows of T consecutive rows of a series each."""

    inputs: Singles  # (B, T, F)
    points: Singles  # (B, T, K, E)
    trust: Singles  # (B, T, K, E)
    lead: Singles  # (B, T, K, 3)
    labels: Singles  # (B, T, K) NaN: not known
    hidden: Singles  # (B, *states) before the first row

    @classmethod
    def empty(cls, count: int, length: int, horizons: int, shape: Shape) -> "Windows":
        """Room for `count` windows."""
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
def label(labels: Singles, at: int, horizons: Integers, truths: Singles) -> None:
    """Give the rows of a tape, of which `labels` (T, K) are, what row `at` says of them: `truths` (K,)."""
    for k in range(len(horizons)):
        origin = at - horizons[k]
        if 0 <= origin < len(labels):
            labels[origin, k] = min(max(truths[k], -LABEL_CLIP), LABEL_CLIP)


@compiled_allocating
def record(
    tape_row: Integers, tape_start: Integers, rows: Integers, place: Integers, seen: Integers, horizons: Integers,
    truths: Singles, described: Described, before: Singles, windows: Windows,
) -> None:  # fmt: skip
    """Write one wave on the running tapes; `place` (S,) is -1 everywhere, before and after."""
    length = windows.inputs.shape[1]
    for b in range(len(rows)):
        place[rows[b]] = b
    for c in range(len(tape_row)):
        if tape_row[c] < 0:
            continue
        b = place[tape_row[c]]
        if b < 0:
            continue
        at = seen[b] - tape_start[c]
        if at == 0:
            windows.hidden[c] = before[b]
        if at < length:
            windows.inputs[c, at] = described.inputs[b]
            windows.points[c, at] = described.points[b]
            windows.trust[c, at] = described.trust[b]
            windows.lead[c, at] = described.lead[b]
            windows.labels[c, at] = np.nan
        label(windows.labels[c], at, horizons, truths[b])
        if at >= length - 1 + horizons[len(horizons) - 1]:
            tape_row[c] = -2 - tape_row[c]  # complete
    for b in range(len(rows)):
        place[rows[b]] = -1


class WindowBuffer:
    """Windows being recorded, and complete ones: those just completed and a replay memory of older ones."""

    def __init__(self, *, length: int, horizons: Integers, shape: Shape) -> None:
        self._horizons = horizons
        self.windows = Windows.empty(TAPES, length, len(horizons), shape)
        self._row = np.full(TAPES, NONE, np.int64)  # >= 0: running; -1: unused; below: complete
        self._start = np.zeros(TAPES, np.int64)  # observations of the series before its first row
        self._begun = np.zeros(TAPES, np.int64)  # number of the learning point
        self._learned = np.ones(TAPES, np.bool_)
        self._place = np.full(0, NONE, np.int64)

    def record(self, rows: Integers, seen: Integers, truths: Singles, described: Described, before: Singles) -> None:
        """One wave; `seen` (B,) observations came before it, `before` (B, *states) is the state then."""
        if not (self._row >= 0).any():
            return
        top = int(max(rows.max(), self._row.max())) + 1
        if len(self._place) < top:
            self._place = np.full(2 * top, NONE, np.int64)
        marks = self._row, self._start
        record(*marks, rows, self._place, seen, self._horizons, truths, described, before, self.windows)

    def begin(self, rows: Integers, seen: Integers, point: int) -> None:
        """Record these series from their next observation on, as far as there is room; `seen` (B,) came so far."""
        running = self._row >= 0
        free = np.flatnonzero(~running | (point - self._begun > FORGOTTEN))
        room = min(len(rows), len(free), TAPES // 2 - int(running.sum()))
        if room <= 0:
            return
        slots = free[np.argsort(self._begun[free], kind="stable")][:room]  # the oldest are overwritten
        self._row[slots], self._start[slots] = rows[:room], seen[:room]
        self._begun[slots], self._learned[slots] = point, False

    def draw(self, batch: int, replay: int, generator: np.random.Generator) -> Windows | None:
        """Windows completed since the last step, at most `batch`, and `replay` older ones; None without fresh ones."""
        complete = self._row < NONE
        fresh = np.flatnonzero(complete & ~self._learned)[:batch]
        if not len(fresh):
            return None
        older = np.flatnonzero(complete & self._learned)
        chosen = np.concatenate([fresh, generator.permutation(older)[:replay]])
        self._learned[fresh] = True
        drawn = Windows(*(array[chosen] for array in self.windows))
        return drawn._replace(**{name: halved(getattr(drawn, name)) for name in Windows._fields if name != "labels"})

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name."""
        saved: dict[str, NDArray[np.generic]] = {
            f"tapes_{name}": array if name == "labels" else array.astype(np.float16)
            for name, array in self.windows._asdict().items()
        }
        marks = np.stack([self._row, self._start, self._begun, self._learned])
        return {**saved, "tapes_marks": marks}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `save` gave."""
        for name, array in self.windows._asdict().items():
            array[:] = saved[f"tapes_{name}"]
        self._row[:], self._start[:], self._begun[:], self._learned[:] = saved["tapes_marks"]
