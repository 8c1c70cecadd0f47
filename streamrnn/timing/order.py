"""Observations wait until no earlier one is expected, and are then released in order of event time.

The stream time of a partition is the latest event time so far. An observation waits until the stream time has passed
its time by the grace, so that the order of arrival within the grace changes nothing. With windows, the events of a
window wait until it is complete.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

from streamrnn.errors import RecordError
from streamrnn.records import Observation, StepReport
from streamrnn.timing import saved
from streamrnn.timing.aggregation import TimedValue
from streamrnn.timing.rules import ZONE, TimingRule
from streamrnn.timing.windows import EventWindows, Released, released

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER = -(2**63)
"""Stream time before the first observation."""
DUPLICATE_TIME, REPLACED, OUT_OF_RANGE = "duplicate_time", "replaced", "out_of_range"
"""Reasons of drops: a second value of a series and time; a value that a later record has replaced; an aggregated value
that exceeds the largest allowed number."""

Values = tuple[tuple[float, int], ...]
"""Values, each with the offset of its record; several only with `duplicates: all`."""


class EventOrder:
    """The observations of one partition that wait for earlier ones.

    Call `add` for the observations of a record, then `release` for those that no longer have to wait.
    """

    def __init__(self, rule: TimingRule) -> None:
        self.held = 0
        """Number of waiting values."""
        self.early = 0
        """Number of values released early because too many were waiting, since the last report."""
        self.drops: Counter[str] = Counter()
        """Number of dropped values by reason, since the last report."""
        self._rule = rule
        self._windows = None if rule.window is None else EventWindows(rule.window)
        self._stream_time = self._latest = NEVER
        self._floor = NEVER
        """Earliest event time that is still accepted; everything before it has been released."""
        self._waiting: dict[int, dict[str, dict[str, Values]]] = {}
        """Waiting values by time, key and field."""
        self._times: list[int] = []
        """Heap of the times in `_waiting`."""

    @property
    def until(self) -> int:
        """Event time before which all observations have been released, milliseconds since the epoch."""
        return self._floor if self._windows is None else self._floor + 1  # of windows: their ends

    @property
    def stream_time(self) -> int | None:
        """Latest event time so far, milliseconds since the epoch; None before the first observation."""
        return None if self._latest == NEVER else self._latest

    def add(self, observation: Observation, offset: int) -> RecordError | None:
        """Add an observation; return its error if it is late or a duplicate.

        The stream time only rises at `release`, so that no observation makes another one of its record late.
        """
        key, time, fields, zone = observation
        if time < self._floor:
            return self._late(time)
        self._latest = max(self._latest, time)
        if zone:
            fields = (*fields, (ZONE, float(zone)))
        keys = self._waiting.get(time)
        if keys is None:
            keys = self._waiting[time] = {}
            heappush(self._times, time)
        known = keys.get(key)
        if known is None:
            keys[key] = {field: ((value, offset),) for field, value in fields}
            self.held += len(keys[key])
            return None
        return self._merge(Observation(key, time, fields), offset, known)

    def _merge(self, observation: Observation, offset: int, known: dict[str, Values]) -> RecordError | None:
        """Add the values of an observation to those of its key and time."""
        repeated = []
        for field, value in dict(observation.fields).items():
            values = known.get(field)
            if field == ZONE and values is not None:
                continue
            if values is None or self._rule.duplicates == "all":
                known[field] = (*(values or ()), (value, offset))
                self.held += 1
            elif self._rule.duplicates == "first":
                self.drops[DUPLICATE_TIME] += 1
            elif self._rule.duplicates == "last":
                known[field] = ((value, offset),)
                self.drops[REPLACED] += 1
            else:
                repeated.append(f"{observation.key}/{field}")
        if not repeated:
            return None
        names = ", ".join(map(repr, repeated[:3]))
        return RecordError(
            "duplicate", f"an earlier record has the time {observation.time} of the series {names} (input.duplicates)"
        )

    def release(self) -> Iterable[Released]:
        """Return the observations that no longer have to wait, in order of time, key and field."""
        if self._latest == self._stream_time and self.held <= self._rule.max_held:
            return ()
        self._stream_time = max(self._stream_time, self._latest)
        released = list(self._advance(self._start(self._stream_time - self._rule.grace)))
        while self.held > self._rule.max_held:
            before = self.held
            released += self._advance(self._end(self._times[0]))
            self.early += before - self.held
        return released

    def advance(self, time: int) -> Iterable[Released]:
        """Raise the stream time to that of a heartbeat, and return the observations that no longer have to wait."""
        if self._latest != NEVER:
            self._latest = max(self._latest, time)
        return self.release()

    def flush(self) -> list[Released]:
        """Return all waiting observations, including those of incomplete windows."""
        released: list[Released] = []
        while self._times:
            released += self._advance(self._end(self._times[0]))
        return released

    def report(self, report: StepReport) -> None:
        """Add the counts since the last report to `report`, and reset them."""
        report.drops.update(self.drops)
        report.held, report.released_early = self.held, self.early
        self.drops.clear()
        self.early = 0

    def _start(self, time: int) -> int:
        """Return the time before which observations can be released once the time `time` is complete."""
        return time if self._windows is None else self._windows.start(time)

    def _end(self, time: int) -> int:
        """Return the end of the span that is released together with the time `time`: of its window, or 1 ms."""
        return time + 1 if self._windows is None else self._windows.start(time) + self._windows.rule.every

    def _advance(self, floor: int) -> Iterator[Released]:
        """Yield the observations before `floor`, and refuse any earlier ones from now on."""
        if floor <= self._floor:
            return
        self._floor = floor
        while self._times and self._times[0] < floor:
            if self._windows is not None:
                start = self._windows.start(self._times[0])
                yield from self._windows.close(start, self._take_window(start + self._windows.rule.every))
                continue
            time = heappop(self._times)
            keys = self._waiting.pop(time)
            for key in sorted(keys):
                fields = keys[key]
                self.held -= len(fields)
                found = sorted(fields.items()) if len(fields) > 1 else fields.items()
                yield released(key, time, [(field, *each[0]) for field, each in found])
        if self._windows is not None:
            yield from self._windows.pass_over(floor)
            if self._windows.unusable:
                self.drops[OUT_OF_RANGE] += self._windows.unusable
                self._windows.unusable = 0

    def _take_window(self, end: int) -> dict[tuple[str, str], list[TimedValue]]:
        """Remove and return the events before `end`, by series and in order of time."""
        events: dict[tuple[str, str], list[TimedValue]] = {}
        while self._times and self._times[0] < end:
            time = heappop(self._times)
            for key, fields in self._waiting.pop(time).items():
                for field, values in fields.items():
                    each = events.setdefault((key, field), [])
                    each.extend(TimedValue(time, value, offset) for value, offset in values)
                    self.held -= len(values)
        return events

    def _late(self, time: int) -> RecordError:
        behind, grace = self._stream_time - time, self._rule.grace
        text = f"its time {time} is {_seconds(behind)} behind {self._stream_time}, the latest one of the partition"
        if time >= self._start(self._stream_time - grace):
            most = f"{self._rule.max_held:,}"
            return RecordError(
                "late", f"{text}; its turn came early, as more than {most} values waited (input.max_held)"
            )
        window = (
            "" if self._windows is None else f", and its window of {_seconds(self._windows.rule.every)} is complete"
        )
        least = -(-behind // 1000)
        return RecordError(
            "late", f"{text}{window}; input.grace is {_seconds(grace)}: set it to {least}s or more to put it in order"
        )

    def save(self) -> "dict[str, NDArray[Any]]":
        """Return the state as arrays, which do not depend on the order of arrival."""
        held = (
            (key, field, time, offset, value)
            for time in sorted(self._times)
            for key, fields in sorted(self._waiting[time].items())
            for field, values in sorted(fields.items())
            for value, offset in values
        )
        windows = self._windows
        last = () if windows is None else sorted(windows.last.items())
        remembered = ((key, field, event.time, event.offset, event.value) for (key, field), event in last)
        following = NEVER if windows is None or windows.following is None else windows.following
        return saved.pack((self._stream_time, self._floor, following), held, remembered)

    def restore(self, arrays: "Mapping[str, NDArray[Any]]") -> None:
        """Continue from a saved state, of this configuration or another one.

        Raises:
            ValueError: the arrays are not a saved state.
        """
        (self._stream_time, self._floor, following), held, remembered = saved.unpack(arrays)
        self._latest = self._stream_time
        for key, field, time, offset, value in held:
            fields = self._waiting.setdefault(time, {}).setdefault(key, {})
            fields[field] = (*fields.get(field, ()), (value, offset))
            self.held += 1
        self._times = list(self._waiting)
        heapify(self._times)
        if self._windows is not None:
            self._windows.following = None if following == NEVER else following
            self._windows.last = {(key, field): TimedValue(time, value, offset)
                                  for key, field, time, offset, value in remembered}  # fmt: skip


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g} s"
