"""The stream time of a task, which is the progress of its partition in event time, and detection of wrong event times.

A task has no clock, so that only the log can reveal a wrong event time: by the timestamp of its record, and by the
times of other records. With the limit `max_ahead`:

1. An event time that is further ahead of its record's timestamp than the limit is rejected.
2. Otherwise, the event time is accepted if the timestamp is at most the limit ahead of earlier timestamps.
3. Without such a timestamp, the event time is accepted if it is at most the limit ahead of the stream time.
4. An event time further ahead is a jump. A single record cannot reveal whether a wrong clock or a silence caused the
   jump, but later records can: after a wrong clock they continue at the stream time, after a silence at the new time.
   The first record of a jump is therefore rejected, and the jump is accepted as soon as it is confirmed: by a record of
   another key within the limit of it, or by the third record in a row of the same key. Any record that is accepted in
   between ends the jump.

A silence longer than the limit costs one or two dead letters per partition, and one record dated 2100 costs one.
Accepting the first record of a jump, and correcting that later, would cost nothing after a silence; but after a wrong
clock, all records would be late until the correction.

The stream time itself is wrong if the first record of all was. It is set back after RETURN records in a row that lie
further behind it than the limit, without a timestamp that agrees with it: late records of one device among records of
others do not set it back.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.columns.index import ABSENT
from streamrnn.columns.lifetimes import LateVotes
from streamrnn.columns.scanner import Scanned
from streamrnn.errors import RecordError, join_errors
from streamrnn.records import Decoded

Times = NDArray[np.int64]

NO_TIME = -(2**62)
"""In place of the event time of a record without usable observations."""
CONFIRMED = 3
"""Number of records of one key in a row that confirm a jump."""
RETURN = 100
"""Number of records in a row that set a wrong stream time back."""
UNITS = (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1_000))


class Jump(NamedTuple):
    """Records in a row that are ahead of the stream time and not accepted yet."""

    time: int
    """Event time of the last record, ms."""
    key: str
    """Key of the last record."""
    number: int
    """Number of records in a row of this key."""


class SweepPoint(NamedTuple):
    """A point of the log at which silent series are removed."""

    record: int
    """Index in the feed of the record before which they are removed."""
    stream_time: int
    """Stream time at this record, ms."""


class StreamClock:
    """Checks event times, with the limit `max_ahead` ms, and finds sweep points, at intervals of `every` ms."""

    def __init__(self, *, max_ahead: int, every: int | None = None) -> None:
        self.max_ahead = max_ahead
        self.time: int | None = None
        """Stream time: the latest accepted event time, ms; None: not known yet."""
        self.reached = np.empty(0, np.int64)
        """Stream time at each record of the feed, ms."""
        self.votes = LateVotes(max_ahead=max_ahead)
        """Late observations of series whose latest time is wrong."""
        self._every = every
        self._stamp: int | None = None
        """Latest timestamp of an accepted record, ms."""
        self._jump: Jump | None = None
        self._behind = 0
        """Number of records in a row that lie further behind the stream time than the limit."""
        self._next: int | None = None
        """Stream time of the next sweep."""

    @property
    def state(self) -> dict[str, Any]:
        """State that depends on earlier records, for JSON."""
        return {
            "time": self.time, "stamp": self._stamp, "jump": self._jump and list(self._jump), "behind": self._behind,
            "next": self._next, "votes": self.votes.state,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state; raise TypeError or ValueError if it is damaged."""
        self.time, self._stamp, self._next = (_whole(state.get(name)) for name in ("time", "stamp", "next"))
        self.votes.restore(state.get("votes", ()))
        self._behind, jump = int(state.get("behind", 0)), state.get("jump")
        self._jump = None
        if jump is not None:
            time, key, number = jump
            self._jump = Jump(int(time), str(key), int(number))

    def check(
        self, stamps: Times, scanned: Scanned | None, decoded: dict[int, Decoded], key_of: Callable[[int], str]
    ) -> list[SweepPoint]:
        """Remove observations with wrong event times from a feed, and return its sweep points.

        Args:
            stamps: Timestamps of the records, ms; -1: none.
            scanned: The records as columns; rejected records are marked as not scanned.
            decoded: The other records by index; rejected records are added or replaced.
            key_of: Returns the key of a number in `scanned`.
        """
        times = np.full(len(stamps), NO_TIME) if scanned is None else scanned.times.copy()
        for index, read in decoded.items():
            times[index] = max((observation.time for observation in read.observations), default=NO_TIME)
        points: list[SweepPoint] = []
        if self._accepts_all(times, stamps):
            self.reached = np.maximum.accumulate(np.maximum(times, NO_TIME if self.time is None else self.time))
            stamped = (stamps >= 0) & (times != NO_TIME)
            if len(times):
                self.time = int(self.reached[-1])
            if stamped.any() and self._stamp is not None:
                self._stamp = max(self._stamp, int(stamps[stamped].max()))
            self._find_points(points)
            return points
        self.reached = np.full(len(times), NO_TIME)
        for index, (time, stamp) in enumerate(zip(times.tolist(), stamps.tolist(), strict=True)):
            each = decoded.get(index)
            if each is not None and time != NO_TIME:
                key, observed = each.observations[0].key, [observation.time for observation in each.observations]
                if wrong := self._judge(key, observed, stamp):
                    decoded[index] = _without(each, wrong)
            elif each is None and scanned and (wrong := self._judge(key_of(int(scanned.known[index])), [time], stamp)):
                scanned.known[index] = ABSENT
                decoded[index] = Decoded((), RecordError("ahead", wrong[time]))
            if self.time is not None:
                self.reached[index] = self.time
                self._sweep_at(index, self.time, points)
        return points

    def advance(self, time: int) -> list[SweepPoint]:
        """Advance the stream time to that of a heartbeat between two records; return the sweep point that it reaches.

        The latest timestamp is advanced by the same time.
        """
        points: list[SweepPoint] = []
        if self.time is not None:
            passed = max(time - self.time, 0)
            self.time += passed
            self._stamp = None if self._stamp is None else self._stamp + passed
            self._sweep_at(0, self.time, points)
        self.reached = np.array([NO_TIME if self.time is None else self.time])
        return points

    def _accepts_all(self, times: Times, stamps: Times) -> bool:
        """Return whether all records of a feed can be accepted at once, as in nearly all feeds."""
        if self.time is None or self._jump is not None or self._behind:
            return not len(times)
        known, most = times != NO_TIME, self.max_ahead
        stamped = known & (stamps >= 0)
        before = np.maximum.accumulate(np.concatenate([[self.time], times[:-1]]))[: len(times)]
        steady = ~known | (np.abs(times - before) <= most)
        if not stamped.any():
            return bool(steady.all())
        if self._stamp is None:
            return False
        latest = np.maximum.accumulate(np.concatenate([[self._stamp], np.where(stamped, stamps, NO_TIME)[:-1]]))
        current = stamped & (np.abs(stamps - latest) <= most)
        accepted = (times - stamps <= most) & current
        return bool((accepted | (steady & ~stamped)).all())

    def _judge(self, key: str, times: list[int], stamp: int) -> dict[int, str]:
        """Return the errors of the wrong event times of one record, by time; advance the stream time by the others."""
        most = self.max_ahead
        wrong = {time: self._ahead_of_stamp(time, stamp) for time in times if stamp >= 0 and time - stamp > most}
        left = [time for time in times if time not in wrong]
        if not left:
            return wrong
        trusted = stamp >= 0 and (self._stamp is None or stamp - self._stamp <= most)
        ahead = [] if self.time is None or trusted else [time for time in left if time - self.time > most]
        if ahead and len(ahead) == len(left) and self._confirms(key, ahead):
            ahead, trusted = [], stamp >= 0
        wrong |= {time: self._ahead_of_stream(time) for time in ahead}
        if accepted := [time for time in left if time not in wrong]:
            self._advance(max(accepted), stamp, trusted=trusted)
        return wrong

    def _confirms(self, key: str, ahead: list[int]) -> bool:
        """Return whether a record confirms the jump; if not, store it as the last record of the jump."""
        jump, first, last = self._jump, min(ahead), max(ahead)
        number = 1
        if jump is not None and key != jump.key:
            if abs(first - jump.time) <= self.max_ahead:
                return True
        elif jump is not None and first >= jump.time:
            number = jump.number + 1
        self._jump = Jump(last, key, number)
        return number >= CONFIRMED

    def _advance(self, time: int, stamp: int, *, trusted: bool) -> None:
        """Advance the stream time by an accepted record, or set it back."""
        self._jump = None
        agrees = stamp >= 0 and self._stamp is not None and self._stamp - stamp <= self.max_ahead
        if self.time is not None and self.time - time > self.max_ahead and not agrees:
            self._behind += 1
            if self._behind == RETURN:
                self.time, self._stamp, self._behind = time, stamp if stamp >= 0 else None, 0
                if self._next is not None and self._every is not None:
                    self._next = min(self._next, time + self._every)
            return
        self._behind = 0
        self.time = time if self.time is None else max(self.time, time)
        if trusted:
            self._stamp = stamp if self._stamp is None else max(self._stamp, stamp)

    def _find_points(self, points: list[SweepPoint]) -> None:
        """Append the sweep points of a feed in which the stream time never decreases."""
        index = 0
        while self._every is not None and index < len(self.reached):
            if self._next is not None:
                index = int(np.searchsorted(self.reached, self._next))
            if index < len(self.reached):
                self._sweep_at(index, int(self.reached[index]), points)

    def _sweep_at(self, index: int, time: int, points: list[SweepPoint]) -> None:
        """Append a sweep point if the stream time has reached the next one."""
        if self._every is None:
            return
        if self._next is None:
            self._next = time + self._every
        elif time >= self._next:
            points.append(SweepPoint(index, time))
            self._next = time + self._every

    def _ahead_of_stamp(self, time: int, stamp: int) -> str:
        return (
            f"its time {time} lies {_span(time - stamp)} ahead of its record's timestamp {stamp}, and "
            f"{_span(self.max_ahead)} are allowed (input.max_ahead); if event times lie ahead by design, set it above"
        )

    def _ahead_of_stream(self, time: int) -> str:
        latest = NO_TIME if self.time is None else self.time
        return (
            f"its time {time} lies {_span(time - latest)} ahead of {latest}, the latest of the partition, and "
            f"{_span(self.max_ahead)} are allowed (input.max_ahead) unless the next records confirm it; set it above "
            "the longest silence of the partition"
        )


def _without(decoded: Decoded, wrong: Mapping[int, str]) -> Decoded:
    """Return a record without the observations at these times, with their errors added to its error."""
    errors = [] if decoded.error is None else [decoded.error]
    errors += [RecordError("ahead", wrong[each.time]) for each in decoded.observations if each.time in wrong]
    left = [each for each in decoded.observations if each.time not in wrong]
    return Decoded(left, join_errors(errors), decoded.drops)


def _span(milliseconds: int) -> str:
    """Return a duration in words."""
    for unit, size in UNITS:
        if milliseconds >= 2 * size:
            return f"{milliseconds / size:,.6g} {unit}"
    return f"{milliseconds:,} ms"


def _whole(value: object) -> int | None:
    """Return a time of a saved state; raise TypeError if it is not an integer."""
    if value is not None and type(value) is not int:
        raise TypeError(f"{value!r} is no time")
    return value
