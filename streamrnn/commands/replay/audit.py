"""`streamrnn replay` without `--with`: compare the published outputs with computed ones."""

import sys
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from streamrnn import app
from streamrnn.commands import console
from streamrnn.commands.configured_tasks import task_source
from streamrnn.commands.replay.offset_range import OffsetRange, find_range
from streamrnn.commands.replay.position import Position
from streamrnn.commands.replay.published import PositionOf, SourcedOutput, event_time_of, read_published, source_of
from streamrnn.commands.slices import in_slices
from streamrnn.commands.state.show import load_stored
from streamrnn.commands.state.stored import pending_heartbeats, read_stored, select_partitions
from streamrnn.errors import StateError
from streamrnn.log import Log
from streamrnn.records import TopicPartition
from streamrnn.runtime.manifest import NOTHING, read_manifest
from streamrnn.runtime.silence.heartbeats import feed_between
from streamrnn.runtime.snapshot import read_meta
from streamrnn.runtime.snapshot.archive import StoredPartition
from streamrnn.runtime.snapshot.task_source import UNCHANGED, recorded_settings
from streamrnn.settings import Settings

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task

EXCERPT = 80
"""Bytes to show from the first difference on; a quarter as many are shown before it."""


class Comparison:
    """Counts of equal and unequal outputs of one topic; computed and published outputs are in the input's order."""

    def __init__(self, published: Iterator[SourcedOutput], position_of: PositionOf = source_of) -> None:
        self.position_of = position_of
        self.equal = self.different = self.missing = self.surplus = 0
        self.first: str | None = None
        """The first difference; None if there is none."""
        self._unit = "input offset" if position_of is source_of else "event time"
        self._published = published
        self._next = next(published, None)

    def add(self, computed: SourcedOutput) -> None:
        """Compare the next computed output."""
        while self._next is not None and self._next.source < computed.source:
            self._skip(self._next)
        if self._next is None or self._next.source > computed.source:
            self.missing += 1
            self._note(f"{self._unit} {computed.source}: its output {_short(computed.output.key)} was not published")
            return
        if self._next.output == computed.output:
            self.equal += 1
        else:
            self.different += 1
            difference = _difference(self._next, computed)
            self._note(f"{self._unit} {computed.source}, published at offset {self._next.offset}: {difference}")
        self._next = next(self._published, None)

    def finish(self, end: int) -> None:
        """Count the remaining published outputs before the position `end` as surplus."""
        while self._next is not None and self._next.source < end:
            self._skip(self._next)

    def _skip(self, published: SourcedOutput) -> None:
        self.surplus += 1
        self._note(
            f"{self._unit} {published.source}, published at offset {published.offset}: the replay has no such output"
        )
        self._next = next(self._published, None)

    def _note(self, difference: str) -> None:
        self.first = self.first or difference

    def __str__(self) -> str:
        return f"{self.equal:,} equal, {self.different:,} different, {self.missing:,} missing, {self.surplus:,} surplus"


def _difference(published: SourcedOutput, computed: SourcedOutput) -> str:
    """Describe the first part in which two outputs differ."""
    for name in ("key", "value", "headers", "timestamp"):
        one, other = getattr(published.output, name), getattr(computed.output, name)
        if one != other:
            if not (isinstance(one, bytes) and isinstance(other, bytes)):
                return f"its {name} is {one!r}, and {other!r} was computed"
            pairs = enumerate(zip(one, other, strict=False))
            at = next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
            part = slice(max(0, at - EXCERPT // 4), at + EXCERPT)
            return (
                f"its {name} differs from byte {at} on: {_short(one[part])} is published, {_short(other[part])} was "
                "computed"
            )
    return "it was published in another partition"


def _short(content: bytes | None) -> str:
    return "null" if content is None else repr(content[:EXCERPT].decode("utf-8", "backslashreplace"))


def audit(settings: Settings, names: Sequence[str], start: Position | None, end: Position | None) -> int:
    """Compute a range again, compare it with the published outputs, and return the exit code. Only reads the log.

    Args:
        settings: Configuration of the application whose outputs these are.
        names: Partitions, such as `sensors/0`; none: all.
        start: Where the range begins; None: where the task started.
        end: Where it ends, exclusive; None: at the committed offset.

    Raises:
        StateError: an output differs, or can no longer be computed.
        ConfigError: the range cannot be computed.
        LogError: the log cannot be reached.
    """
    problems = []
    with closing(app.open_log(settings)) as log:
        for partition in select_partitions(log, settings, names):
            stored = read_stored(log, settings, partition)
            offsets = None if stored.committed is None else find_range(log, partition, stored.committed, start, end)
            if offsets is None:
                sys.stdout.write(f"{partition}: nothing is committed in this range\n")
                continue
            for topic, comparison in _compare(log, settings, stored, offsets).items():
                sys.stdout.write(f"{partition}, offsets {offsets.start} to {offsets.end}, {topic}: {comparison}\n")
                if comparison.first:
                    problems.append(f"{partition}, {topic}: {comparison.first}")
    if problems:
        raise StateError("\n".join(problems))
    return 0


def _compare(log: Log, settings: Settings, stored: StoredPartition, offsets: OffsetRange) -> dict[str, Comparison]:
    partition, (begin, task) = stored.partition, _start(log, settings, stored, offsets)
    comparisons: dict[str, Comparison] = {}
    pending = pending_heartbeats(log, settings, task, offsets.end)
    before = deque(each for each in pending if each.offset < offsets.start)
    after = deque(each for each in pending if each.offset >= offsets.start)
    records = log.read(partition, begin, offsets.end)
    with console.progress(offsets.end - begin) as advance:
        for batch in chain([[]], in_slices(records)):  # first the heartbeats at the offset of the saved state
            first = batch[0].offset if batch else begin
            compared = bisect_left(batch, offsets.start, key=attrgetter("offset"))
            if first < offsets.start:
                feed_between(task, before, batch[:compared], first)
            if first < offsets.start and compared == len(batch):
                advance(str(partition), len(batch))
                continue
            comparisons = comparisons or _comparisons(log, settings, task, offsets.start)
            outputs, _ = feed_between(task, after, batch[compared:], max(first, offsets.start))
            for output in outputs:
                comparison = comparisons[output.topic]
                position = comparison.position_of(output)
                if position is not None:
                    comparison.add(SourcedOutput(position[1], output))
            advance(str(partition), len(batch))
    comparisons, event_order = comparisons or _comparisons(log, settings, task, offsets.start), task.event_order
    for comparison in comparisons.values():
        by_offset = comparison.position_of is source_of
        comparison.finish(offsets.end if event_order is None or by_offset else event_order.until)
    return comparisons


def _comparisons(log: Log, settings: Settings, task: "Task", start: int) -> dict[str, Comparison]:
    """Return the comparison by output topic, for the records from `start` on, which the task is fed next.

    If the task puts observations in order, forecasts are in order of event time, and dead letters in that of records.
    """
    topics, partition = app.output_topics(settings, task.partition.topic), task.partition
    orders: dict[str, tuple[PositionOf, int]] = {topics.dead_letters: (source_of, start)}
    event_order = task.event_order
    orders[topics.forecasts] = (source_of, start) if event_order is None else (event_time_of, event_order.until)
    if topics.events is not None:
        orders[topics.events] = orders[topics.forecasts]
    return {
        topic: Comparison(
            read_published(log, TopicPartition(topic, partition.partition), partition, position_of, first), position_of
        )
        for topic, (position_of, first) in sorted(orders.items(), reverse=True)
    }


def _start(log: Log, settings: Settings, stored: StoredPartition, offsets: OffsetRange) -> "tuple[int, Task]":
    """Return the offset of the next record and a task, from the snapshot if the range allows it, else without state."""
    partition, committed, pieces = stored
    if committed is not None:
        manifest = read_manifest(partition, committed)
        _require_one_configuration(stored, offsets)
        if NOTHING < manifest.snapshot <= offsets.start:
            loaded = load_stored(settings, stored, log.bounds(partition))
            if loaded is not None:
                return loaded
        if manifest.began not in {NOTHING, offsets.begin}:
            raise StateError(
                f"{partition} now begins at offset {offsets.begin}, and its task began at {manifest.began}: outputs "
                f"can be computed from the snapshot only; use --from {manifest.snapshot}"
            )
    recorded = recorded_settings(pieces)
    since = UNCHANGED if recorded is None else recorded.since
    source = task_source(settings)
    return offsets.begin, (source.for_replay(recorded) if since <= offsets.begin else source).make(partition)


def _require_one_configuration(stored: StoredPartition, offsets: OffsetRange) -> None:
    """Require that the outputs of a range were computed under one known configuration.

    Before the latest change of the settings that is the given one, after it the recorded one.
    """
    partition, _, pieces = stored
    recorded = recorded_settings(pieces)
    if recorded is None or recorded.since <= offsets.begin or offsets.end <= recorded.since:
        return
    snapshot = read_meta(pieces)["offset"]
    if offsets.start < snapshot:
        raise StateError(
            f"{partition}: the settings have changed at offset {recorded.since}; compare the outputs before it with "
            f"those of the file that was in force, -c OLD.yaml --to {recorded.since}, and later ones from the snapshot "
            f"on, --from {snapshot}"
        )
