"""The lifetimes of series: correction of wrong latest times, removal of series, and stable numbers for observers.

The removal of a series depends only on the log, never on a clock: at a sweep point of the stream time, if its latest
observation is older than `ttl`; or, with `evict`, when a new series arrives and the task is full. Later rows move up,
so that memory and saved state contain only live series.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Eviction = Literal["none", "longest_silent"]

SWEEPS = 8
"""Number of sweeps per `ttl`, or `stale`, of stream time: a series is removed at most an eighth of it too late."""
BATCH = 16
"""A full task removes one BATCH-th of its limit at once, because each removal moves rows."""
VOTES = 3
"""Number of late observations in a row, with increasing times, that set the latest time of a series back."""


class SeriesRules(NamedTuple):
    """Rules by which series end."""

    max_ahead: int | None = None
    """Largest distance of an event time ahead of the stream time, ms."""
    ttl: int | None = None
    """Silence after which a series is removed, ms of stream time; needs `max_ahead`."""
    evict: Eviction = "none"
    stale: int | None = None
    """Silence after which the forecasts of a series are stale, ms of stream time; needs `max_ahead`."""

    @property
    def sweeps_every(self) -> int | None:
        """Stream time between two sweeps, ms; None: no sweeps."""
        spans = [span for span in (self.ttl, self.stale) if span is not None]
        return max(1, min(spans) // SWEEPS) if spans else None


class LateVotes:
    """Late observations in a row of series whose latest time is further ahead of the stream time than `max_ahead`.

    Such a time was accepted before the limit was set, or as the first time of all. After VOTES late observations, which
    become dead letters, the latest time of the series is set back to the time of the last of them.
    """

    def __init__(self, *, max_ahead: int) -> None:
        self._max_ahead = max_ahead
        self._votes: dict[int, tuple[int, int]] = {}
        """Number of late observations in a row and the last time, by row of the series."""
        self._returned: list[tuple[int, int]] = []
        """Rows and times that were set back, but not in the forecaster yet."""

    def vote(self, row: int, time: int, *, latest: int, stream_time: int) -> tuple[int, int] | None:
        """Return the vote of a late observation, number and time; None if the latest time is plausible."""
        if latest - stream_time <= self._max_ahead or abs(time - stream_time) > self._max_ahead:
            return None
        number, last = self._votes.get(row, (0, time))
        return (number + 1, time) if time > last else (1, time)

    def add(self, votes: Mapping[int, tuple[int, int]]) -> None:
        """Store votes, by row."""
        self._votes.update(votes)

    def set_back(self, rows: Iterable[int]) -> None:
        """Set the latest times of series back to the times of their last votes."""
        for row in rows:
            _, last = self._votes.pop(row)
            self._returned.append((row, last))

    def take_returned(self) -> list[tuple[int, int]]:
        """Return the rows set back since the last call, with their new latest times."""
        returned, self._returned = self._returned, []
        return returned

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        moved = {row: new for new, row in enumerate(rows.tolist())} if self._votes else {}
        self._votes = {moved[row]: vote for row, vote in self._votes.items() if row in moved}

    @property
    def state(self) -> list[list[int]]:
        """The votes, for JSON."""
        return [[row, *vote] for row, vote in self._votes.items()]

    def restore(self, state: Iterable[Any]) -> None:
        """Continue from a saved state; raise TypeError or ValueError if it is damaged."""
        self._votes = {int(row): (int(number), int(time)) for row, number, time in state}


def longest_silent(latest: Integers, *, count: int, before: int, spared: Iterable[int]) -> Integers:
    """Return the rows, ascending, of the `count` longest silent series, of those without observations since `before`.

    `latest` (S,) are the times of the latest observations, ms, as is `before`; the rows `spared` are excluded.
    """
    allowed = latest < before
    allowed[list(spared)] = False
    rows = np.flatnonzero(allowed)
    return np.sort(rows[np.argsort(latest[rows], kind="stable")[:count]])


class ObserverRows:
    """Numbers of the series for observers, which, unlike rows, never change while a series exists.

    The number of a removed series may be reused after the feed in which it was removed. Numbers are not saved.
    """

    def __init__(self) -> None:
        self._numbers: Integers | None = None
        """Numbers by row; None: the rows themselves."""
        self._first = 0
        """The first number that was never used."""
        self._free: list[int] = []
        self._removed: list[int] = []

    def numbers(self, rows: Integers, count: int) -> Integers:
        """Return the numbers of these rows; there are `count` rows in all."""
        if self._numbers is None:
            return rows
        more = count - len(self._numbers)
        if more > 0:
            reused = [self._free.pop() for _ in range(min(more, len(self._free)))]
            new = range(self._first, self._first + more - len(reused))
            self._first = new.stop
            self._numbers = np.concatenate([self._numbers, np.array([*reused, *new], np.int64)])
        return np.asarray(self._numbers[rows])

    def keep(self, rows: Integers, count: int) -> None:
        """Remove all series except those of `rows`, ascending; there were `count` rows in all."""
        if self._numbers is None:
            self._numbers, self._first = np.arange(count), count
        else:
            self.numbers(rows[:0], count)
        gone = np.ones(count, np.bool_)
        gone[rows] = False
        self._removed += self._numbers[gone].tolist()
        self._numbers = self._numbers[rows]

    def take_removed(self) -> list[int]:
        """Return the numbers of the series removed since the last call, which may be reused from now on."""
        removed, self._removed = self._removed, []
        self._free += removed
        return removed
