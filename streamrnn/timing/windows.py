"""Windows in event time: complete windows of events become one observation per key, at the end of the window."""

from collections.abc import Container, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from streamrnn.formats import MAX_VALUE
from streamrnn.records import Observation
from streamrnn.timing.aggregation import TimedValue, aggregate
from streamrnn.timing.rules import FILLED, ZONE, Aggregation, WindowRule

Series = tuple[str, str]
"""Key and field."""
MAX_EMPTY = 1000
"""Number of successive windows without an event after which a series is no longer filled and its last event dropped."""
MAX_FILLED = 100_000
"""Largest number of zeros that one record may cause: a longer jump of time is a gap, as if `empty` were `missing`."""


class Released(NamedTuple):
    """An observation that no longer has to wait."""

    observation: Observation
    offsets: tuple[int, ...]
    """Offsets of the records of the fields' values, in order of fields."""


def released(key: str, time: int, values: Sequence[tuple[str, float, int]]) -> Released:
    """Return the observation of some values, each given as field, value and offset, in order of fields."""
    zone = 0
    if values and values[0][0] == ZONE:
        zone, values = int(values[0][1]), values[1:]
    fields = tuple((field, value) for field, value, _ in values)
    return Released(Observation(key, time, fields, zone), tuple(offset for *_, offset in values))


class EventWindows:
    """Turns the events of complete windows, which `close` receives in order of time, into observations.

    The last event of a series is stored if its aggregation needs it: for `rate`, and if `empty` is `zero`.
    """

    def __init__(self, rule: WindowRule) -> None:
        self.rule = rule
        self.last: dict[Series, TimedValue] = {}
        """The last event of each series before the open windows."""
        self.following: int | None = None
        """Start of the next window to close; None before the first one."""
        self.unusable = 0
        """Number of aggregated values that were dropped because they exceed the largest allowed number."""
        self._how: dict[str, Aggregation] = {}

    def how(self, field: str) -> Aggregation:
        """Return the aggregation of a field; of the zone, the last one."""
        if field == ZONE:
            return "last"
        found = self._how.get(field)
        if found is None:
            matches = (how for pattern, how in self.rule.how if fnmatchcase(field, pattern))
            found = self._how[field] = next(matches, "mean")
        return found

    def start(self, time: int) -> int:
        """Return the start of the window that contains a time."""
        return time - time % self.rule.every

    def close(self, start: int, events: Mapping[Series, list[TimedValue]]) -> Iterator[Released]:
        """Yield the observations of empty windows before `start`, then of the window at `start`, by key and field."""
        yield from self.pass_over(start)
        made: dict[str, list[tuple[str, float, int]]] = {}
        for (key, field), each in events.items():
            found = aggregate(self.how(field), field, each, self.last.get((key, field)))
            made.setdefault(key, []).extend((name, value, each[-1].offset) for name, value in found)
        self._fill(start, made, events)
        for (key, field), each in events.items():
            if self._is_filled(field) or self.how(field) == "rate":
                self.last[key, field] = each[-1]
        self.following = start + self.rule.every
        forgotten = start - MAX_EMPTY * self.rule.every
        for series in [series for series, last in self.last.items() if last.time < forgotten]:
            del self.last[series]
        yield from self._observations(self.following, made)

    def pass_over(self, until: int) -> Iterator[Released]:
        """Yield the zeros of the windows before `until`, none of which has an event."""
        if self.following is None or self.following >= until:
            return
        first, every = self.start(self.following), self.rule.every
        count = min((until - first) // every, MAX_EMPTY)
        filled = sum(self._is_filled(field) for _, field in self.last)
        self.following = until
        if not filled or count * filled > max(MAX_FILLED, filled):
            return
        for start in range(first, first + count * every, every):
            made: dict[str, list[tuple[str, float, int]]] = {}
            self._fill(start, made, {})
            yield from self._observations(start + every, made)

    def _is_filled(self, field: str) -> bool:
        return self.rule.empty == "zero" and self.how(field) in FILLED

    def _fill(self, start: int, made: dict[str, list[tuple[str, float, int]]], events: Container[Series]) -> None:
        """Add the zeros of the series without an event in the window at `start`."""
        earliest = start - MAX_EMPTY * self.rule.every
        for (key, field), last in self.last.items():
            if last.time >= earliest and (key, field) not in events and self._is_filled(field):
                made.setdefault(key, []).append((field, 0.0, last.offset))

    def _observations(self, end: int, made: Mapping[str, list[tuple[str, float, int]]]) -> Iterator[Released]:
        """Yield the observations of the window before `end`, in order of keys and fields."""
        for key in sorted(made):
            usable = sorted(each for each in made[key] if abs(each[1]) <= MAX_VALUE)
            self.unusable += len(made[key]) - len(usable)
            found = released(key, end, usable)
            if found.offsets:
                yield found
