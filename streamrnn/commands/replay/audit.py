"""`streamrnn replay` without `--with`: compare the published outputs with computed ones."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from streamrnn import app
from streamrnn.commands import console
from streamrnn.commands.replay.offset_range import OffsetRange, find_range
from streamrnn.commands.replay.position import Position
from streamrnn.commands.replay.published import SourcedOutput, read_published, source_of
from streamrnn.commands.slices import in_slices
from streamrnn.commands.state.show import load_stored
from streamrnn.commands.state.stored import read_stored, select_partitions
from streamrnn.errors import StateError
from streamrnn.log import Log
from streamrnn.records import TopicPartition
from streamrnn.runtime.archive import StoredPartition
from streamrnn.runtime.manifest import NOTHING, read_manifest
from streamrnn.settings import Settings

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task

EXCERPT = 80
"""Bytes of a difference to show, a quarter of them before it."""


class Comparison:
    """Counts of equal and unequal outputs of one topic; computed and published outputs come in the input's order."""

    def __init__(self, published: Iterator[SourcedOutput]) -> None:
        self.equal = self.different = self.missing = self.surplus = 0
        self.first: str | None = None
        """The first difference; None if there is none."""
        self._published = published
        self._next = next(published, None)

    def add(self, computed: SourcedOutput) -> None:
        """Compare the next computed output."""
        while self._next is not None and self._next.source < computed.source:
            self._skip(self._next)
        if self._next is None or self._next.source > computed.source:
            self.missing += 1
            self._note(f"input offset {computed.source}: its output {_short(computed.output.key)} was not published")
            return
        if self._next.output == computed.output:
            self.equal += 1
        else:
            self.different += 1
            difference = _difference(self._next, computed)
            self._note(f"input offset {computed.source}, published at offset {self._next.offset}: {difference}")
        self._next = next(self._published, None)

    def finish(self) -> None:
        """Count the remaining published outputs as surplus."""
        while self._next is not None:
            self._skip(self._next)

    def _skip(self, published: SourcedOutput) -> None:
        self.surplus += 1
        self._note(
            f"input offset {published.source}, published at offset {published.offset}: the replay has no such output"
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
    partition = stored.partition
    topics = app.output_topics(settings, partition.topic)
    comparisons = {
        topic: Comparison(
            read_published(log, TopicPartition(topic, partition.partition), partition, offsets.start, offsets.end)
        )
        for topic in (topics.forecasts, topics.dead_letters)
    }
    begin, task = _start(log, settings, stored, offsets)
    with console.progress(offsets.end - begin) as advance:
        for batch in in_slices(log.read(partition, begin, offsets.end)):
            outputs, _ = task.feed(batch)
            for output in outputs:
                source = source_of(output)
                if source is not None and source[1] >= offsets.start:
                    comparisons[output.topic].add(SourcedOutput(source[1], output))
            advance(str(partition), len(batch))
    for comparison in comparisons.values():
        comparison.finish()
    return comparisons


def _start(log: Log, settings: Settings, stored: StoredPartition, offsets: OffsetRange) -> "tuple[int, Task]":
    """Return a task and the offset of its next record: from the snapshot if the range allows it, else without state."""
    partition, committed, _ = stored
    if committed is not None:
        manifest = read_manifest(partition, committed)
        if NOTHING < manifest.snapshot <= offsets.start:
            loaded = load_stored(settings, stored, log.bounds(partition))
            if loaded is not None:
                return loaded
        if manifest.began not in {NOTHING, offsets.begin}:
            raise StateError(
                f"{partition} now begins at offset {offsets.begin}, and its task began at {manifest.began}: outputs "
                f"can be computed from the snapshot only; use --from {manifest.snapshot}"
            )
    return offsets.begin, app.task(settings, partition)
