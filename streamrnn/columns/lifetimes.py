"""The lifetimes of series: clocks that were wrong, series that are removed, and the rows that observers know.

A series is removed where the log says so, never by a clock: at a sweep point of the stream time, if its latest
observation lies further back than `ttl`; or, with `evict`, where a new series finds the task full. The rows behind it
move up, so that memory and saved state are those of the series that live.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Eviction = Literal["none", "longest_silent"]

SWEEPS = 8
"""Sweeps within one `ttl`, or `stale`, of stream time: the end of a series is noticed an eighth of it later at most."""
BATCH = 16
"""A full task makes room for this fraction of its limit at once, because the rows behind move up."""
VOTES = 3
"""Late observations in a row, with rising times, that set the time of a series back."""


class SeriesRules(NamedTuple):
    """When series end."""

    max_ahead: int | None = None
    """Furthest event time ahead of the stream, ms."""
    ttl: int | None = None
    """Silence after which a series is removed, ms of stream time; needs `max_ahead`."""
    evict: Eviction = "none"
    stale: int | None = None
    """Silence after which the forecasts of a series are stale, ms of stream time; needs `max_ahead`."""

    @property
    def sweeps_every(self) -> int | None:
        """Stream time between two sweeps, ms; None: there are none."""
        spans = [span for span in (self.ttl, self.stale) if span is not None]
        return max(1, min(spans) // SWEEPS) if spans else None


class LateVotes:
    """Late observations in a row of series whose latest time lies further ahead of the stream time than `max_ahead`.

    Such a time was accepted before the limit was set, or as the first one of all. After VOTES of them, which are dead
    letters, the time of the series is set back to that of the last one.
    """

    def __init__(self, *, max_ahead: int) -> None:
        self._max_ahead = max_ahead
        self._votes: dict[int, tuple[int, int]] = {}
        """Number and last time of the late observations, by row."""
        self._returned: list[tuple[int, int]] = []
        """Those set back that the forecaster does not know of yet."""

    def vote(self, row: int, time: int, *, latest: int, stream_time: int) -> tuple[int, int] | None:
        """Return the vote of a late observation, number and time; None if the series' clock was not wrong."""
        if latest - stream_time <= self._max_ahead or abs(time - stream_time) > self._max_ahead:
            return None
        number, last = self._votes.get(row, (0, time))
        return (number + 1, time) if time > last else (1, time)

    def add(self, votes: Mapping[int, tuple[int, int]]) -> None:
        """Count votes, by row."""
        self._votes.update(votes)

    def set_back(self, rows: Iterable[int]) -> None:
        """Set the latest times of series back to those of their last votes."""
        for row in rows:
            _, last = self._votes.pop(row)
            self._returned.append((row, last))

    def take_returned(self) -> list[tuple[int, int]]:
        """Return the rows set back since the last call, and the time before the next observation of each."""
        returned, self._returned = self._returned, []
        return returned

    def keep(self, rows: Integers) -> None:
        """Remove all series but those of `rows`, ascending, which move up."""
        moved = {row: new for new, row in enumerate(rows.tolist())} if self._votes else {}
        self._votes = {moved[row]: vote for row, vote in self._votes.items() if row in moved}

    @property
    def state(self) -> list[list[int]]:
        """The votes, as JSON."""
        return [[row, *vote] for row, vote in self._votes.items()]

    def restore(self, state: Iterable[Any]) -> None:
        """Continue from a state; raises TypeError or ValueError if it is damaged."""
        self._votes = {int(row): (int(number), int(time)) for row, number, time in state}


def longest_silent(latest: Integers, *, count: int, before: int, spared: Iterable[int]) -> Integers:
    """Return the rows of `count` series that were silent for longest, of those silent since `before`, ascending.

    `latest` (S,) are the times of their latest observations; the rows `spared` are not among them.
    """
    allowed = latest < before
    allowed[list(spared)] = False
    rows = np.flatnonzero(allowed)
    return np.sort(rows[np.argsort(latest[rows], kind="stable")[:count]])


class ObserverRows:
    """A number of each series for observers, which does not change while the series lives.

    The number of a removed series is reused after the feed in which it was removed. It is no part of the state.
    """

    def __init__(self) -> None:
        self._numbers: Integers | None = None
        """By row; None: the rows themselves."""
        self._first = 0
        """The first number that was never used."""
        self._free: list[int] = []
        self._removed: list[int] = []

    def numbers(self, rows: Integers, count: int) -> Integers:
        """Return the numbers of these rows, of `count` in all."""
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
        """Remove all series but those of `rows`, ascending, of `count` in all."""
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
