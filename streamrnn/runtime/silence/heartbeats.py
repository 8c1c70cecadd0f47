"""Heartbeats: records that advance the stream time of a partition without records.

The stream time of a partition only follows the event times of its records, so that nothing happens once all of its
series are silent: windows stay open, observations wait for late ones, and the silence of a series is not detected. With
`input.heartbeat` the owner of such a partition writes the advanced stream time to a separate topic.

Forecasts are a function of the log, and two topics have no common order. A heartbeat therefore names its position in
the input: the offset before which it is applied, after all records below. The position does not depend on the order in
which the two topics are read, because

- only the owner of an input partition writes its heartbeats, in the transaction that commits the outputs of the
  heartbeat together with the offset that it names: exactly the applied heartbeats are in the log;
- it writes them only at the end of the input, where each later record has a higher offset;
- a replay reads the heartbeats before the records. A saved state names the last one that it contains, and heartbeats of
  one partition ascend by offset and time, so that those after it are known.

The daemon's clock decides when a heartbeat is written, and its time; afterwards the heartbeat is data.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING

import orjson

from streamrnn.log import Log
from streamrnn.records import Heartbeat, Output, Record, StepReport, TopicPartition

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task

SEARCHED = 1_000
"""Number of heartbeats up to which all are read; among more, the first one to read is found by bisection."""
LATEST_ENTRIES = ("partition", "held", "series", "state_bytes", "last_dead_letter")
"""Entries of a joined report that are those of the last batch."""

_offset = attrgetter("offset")


def encode_heartbeat(topic: TopicPartition, source: TopicPartition, topic_id: str, heartbeat: Heartbeat) -> Output:
    """Return a heartbeat of the input partition `source`, whose topic has this id, as a record for `topic`."""
    document = {"time": heartbeat.time, "source": {**source._asdict(), "offset": heartbeat.offset}}
    if topic_id:
        document["topic_id"] = topic_id
    return Output(*topic, None, orjson.dumps(document), max(heartbeat.time, 0))


def decode_heartbeat(value: bytes | None, source: TopicPartition, topic_id: str) -> Heartbeat | None:
    """Return the heartbeat in a record; None if it is not one of this input partition and topic."""
    try:
        document = orjson.loads(value or b"")
        found = document["source"]
        partition = TopicPartition(found["topic"], found["partition"])
        heartbeat = Heartbeat(found["offset"], document["time"])
        before = document.get("topic_id", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    whole = all(type(number) is int for number in heartbeat)
    return heartbeat if whole and partition == source and (not before or not topic_id or before == topic_id) else None


def feed_between(
    task: "Task", pending: deque[Heartbeat], records: Sequence[Record], position: int
) -> tuple[list[Output], StepReport]:
    """Feed a task whose next offset is `position`, and apply each heartbeat when its position is reached.

    The applied heartbeats are removed from `pending`. Return the outputs and the report of all together.
    """
    end = records[-1].offset + 1 if records else position
    if not pending or pending[0].offset > end:
        return task.feed(records)
    outputs, reports, first = list[Output](), list[StepReport](), 0
    while pending and pending[0].offset <= end:
        heartbeat = pending.popleft()
        index = bisect_left(records, heartbeat.offset, key=_offset)
        parts = [task.feed(records[first:index])] if index > first else []
        for made, report in (*parts, task.beat(heartbeat)):
            outputs += made
            reports.append(report)
        first = index
    if first < len(records):
        made, report = task.feed(records[first:])
        outputs += made
        reports.append(report)
    return outputs, join_reports(reports)


def join_reports(reports: Sequence[StepReport]) -> StepReport:
    """Return one report on several batches in order."""
    joined = reports[0]
    for report in reports[1:]:
        for name in (each.name for each in fields(StepReport)):
            before, found = getattr(joined, name), getattr(report, name)
            if before is None or name in LATEST_ENTRIES:
                setattr(joined, name, found if found is not None else before)
            elif name == "event_time":
                joined.event_time = max(before, found)
            elif isinstance(before, dict) and not isinstance(before, Counter):
                setattr(joined, name, before | found)
            elif found is not None:
                setattr(joined, name, before + found)
    return joined


def read_heartbeats(
    log: Log, topic: TopicPartition, source: TopicPartition, *, topic_id: str, after: Heartbeat | None, end: int
) -> deque[Heartbeat]:
    """Return the heartbeats of an input partition after the last applied one.

    Args:
        log: The log.
        topic: The partition of the heartbeats.
        source: The input partition.
        topic_id: Id of the input topic; empty if the log has none.
        after: The last applied heartbeat; None if there is none.
        end: End of the input; later heartbeats belong to lost records, and are left out.

    Raises:
        LogError: the log cannot be read.
    """
    if log.partitions(topic.topic) <= topic.partition:
        return deque()
    first, following = log.bounds(topic)
    low, high = first, following
    while after is not None and high - low > SEARCHED:  # those before `low` were applied
        middle = (low + high) // 2
        with closing(_read(log, topic, source, topic_id, (middle, high))) as later:
            found = next(later, None)
        low, high = (low, middle) if found is None or found > after else (middle, high)
    pending = _read(log, topic, source, topic_id, (low, following))
    return deque(each for each in pending if (after is None or each > after) and each.offset <= end)


class Silence:
    """The silence of one partition: the time without a record, and the stream time meanwhile.

    The stream time advances from that of the last record at the speed of this process's clock: a topic whose records
    are an hour old when they are read stays an hour behind, and records with a usual delay are not late.
    """

    def __init__(self) -> None:
        self._position = -1
        self._last_read = self._risen = 0.0
        self._stream_time: int | None = None

    def due(self, position: int, stream_time: int | None, *, now: float, after: float) -> int | None:
        """Return the stream time to write, ms; None if no heartbeat is due.

        Args:
            position: Offset of the next record.
            stream_time: Stream time of the task, ms; None if unknown.
            now: Current time, seconds of a clock.
            after: Seconds without a record after which a heartbeat is due.
        """
        if position != self._position:
            self._position, self._last_read = position, now
        if stream_time != self._stream_time:
            self._stream_time, self._risen = stream_time, now
        if stream_time is None or now - self._last_read < after:
            return None
        time = stream_time + round(1000 * (now - self._risen))
        return time if time > stream_time else None

    def wait(self, now: float) -> None:
        """Restart the wait for the next heartbeat."""
        self._last_read = now

    def written(self, stream_time: int, now: float) -> None:
        """Store the stream time of a heartbeat that was written."""
        self._stream_time, self._risen = stream_time, now
        self.wait(now)


class OwnedHeartbeats:
    """Reads, applies and writes the heartbeats of an owned input partition; `topic` None: no heartbeats."""

    def __init__(self, log: Log, source: TopicPartition, topic: str | None) -> None:
        self.pending = deque[Heartbeat]()
        """Heartbeats of the log that the task has not applied yet."""
        self.written = False
        """Whether a heartbeat was written since the last commit."""
        self.silence = Silence()
        self._log, self._source = log, source
        self._topic = None if topic is None else TopicPartition(topic, source.partition)
        self._topic_id = ""
        self._task: Task
        self._saved: Heartbeat | None = None
        """The last heartbeat in the latest snapshot, which may be incomplete."""

    @property
    def stream_time(self) -> int | None:
        """Stream time of the task, see `Task.stream_time`."""
        return self._task.stream_time

    @property
    def unsaved(self) -> bool:
        """Whether a heartbeat was applied since the latest snapshot began."""
        return self._task.last_heartbeat != self._saved

    def set_saved(self) -> None:
        """Record that a snapshot has begun, which contains all heartbeats so far."""
        self._saved = self._task.last_heartbeat

    def read(self, task: "Task", topic_id: str) -> None:
        """Read the heartbeats that a restored task has to apply. Raises as `read_heartbeats` does."""
        self._task, self._topic_id, self.written = task, topic_id, False
        self.set_saved()
        if self._topic is not None:
            end = self._log.bounds(self._source)[1]
            self.pending = read_heartbeats(
                self._log, self._topic, self._source, topic_id=topic_id, after=self._saved, end=end
            )  # fmt: skip

    def feed(self, records: Sequence[Record], position: int) -> tuple[list[Output], StepReport]:
        """Feed the task, whose next offset is `position`; see `feed_between`."""
        return feed_between(self._task, self.pending, records, position)

    def beat(self, heartbeat: Heartbeat) -> tuple[list[Output], StepReport]:
        """Apply a new heartbeat; return its outputs with the heartbeat itself, and the report."""
        if self._topic is None:
            raise ValueError("no topic of heartbeats is configured")
        outputs, report = self._task.beat(heartbeat)
        self.written = True
        return [*outputs, encode_heartbeat(self._topic, self._source, self._topic_id, heartbeat)], report


def _read(
    log: Log, topic: TopicPartition, source: TopicPartition, topic_id: str, span: tuple[int, int]
) -> Generator[Heartbeat]:
    """Yield the heartbeats between two offsets of their topic."""
    for record in log.read(topic, *span):
        found = decode_heartbeat(record.value, source, topic_id)
        if found is not None:
            yield found
