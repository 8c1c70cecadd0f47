"""`streamrnn replay` without another configuration: whether what was published is what the log leads to."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from streamrnn import app
from streamrnn.commands import console
from streamrnn.commands.replay.offset_range import Span, span
from streamrnn.commands.replay.position import Place
from streamrnn.commands.replay.published import Said, published, source_of
from streamrnn.commands.slices import in_slices
from streamrnn.commands.state.show import require_sound
from streamrnn.commands.state.stored import Kept, chosen, look
from streamrnn.errors import StateError
from streamrnn.log import Log
from streamrnn.records import TopicPartition
from streamrnn.runtime.manifest import NOTHING, read_manifest, where
from streamrnn.settings import Settings

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task

SHOWN = 80
"""Bytes of a difference that are shown, a quarter of them before it."""


class Comparison:
    """Computed outputs of one topic beside the published ones, both in the order of the input."""

    def __init__(self, found: Iterator[Said]) -> None:
        self.equal = self.different = self.missing = self.surplus = 0
        self.first: str | None = None
        """The first output that is not as it should be."""
        self._found = found
        self._next = next(found, None)

    def take(self, said: Said) -> None:
        """Compare the next computed output."""
        while self._next is not None and self._next.source < said.source:
            self._pass_over(self._next)
        if self._next is None or self._next.source > said.source:
            self.missing += 1
            self._note(f"input offset {said.source}: its output {_short(said.output.key)} was not published")
            return
        if self._next.output == said.output:
            self.equal += 1
        else:
            self.different += 1
            self._note(
                f"input offset {said.source}, published at offset {self._next.offset}: {_difference(self._next, said)}"
            )
        self._next = next(self._found, None)

    def finish(self) -> None:
        """No more is computed: what is still published should not be."""
        while self._next is not None:
            self._pass_over(self._next)

    def _pass_over(self, found: Said) -> None:
        self.surplus += 1
        self._note(f"input offset {found.source}, published at offset {found.offset}: the input does not lead to it")
        self._next = next(self._found, None)

    def _note(self, words: str) -> None:
        self.first = self.first or words

    @property
    def sound(self) -> bool:
        """Whether all was equal."""
        return self.first is None

    def __str__(self) -> str:
        return f"{self.equal:,} equal, {self.different:,} different, {self.missing:,} missing, {self.surplus:,} surplus"


def _difference(found: Said, computed: Said) -> str:
    """The first part in which two outputs differ, in words."""
    for name in ("key", "value", "headers", "timestamp"):
        one, other = getattr(found.output, name), getattr(computed.output, name)
        if one != other:
            if not (isinstance(one, bytes) and isinstance(other, bytes)):
                return f"its {name} is {one!r}, and {other!r} was computed"
            pairs = enumerate(zip(one, other, strict=False))
            alike = next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
            part = slice(max(0, alike - SHOWN // 4), alike + SHOWN)
            return (
                f"its {name} differs from byte {alike} on: {_short(one[part])} is published, {_short(other[part])} was "
                "computed"
            )
    return "it went to another partition"


def _short(content: bytes | None) -> str:
    return "null" if content is None else repr(content[:SHOWN].decode("utf-8", "backslashreplace"))


def audit(settings: Settings, names: Sequence[str], start: Place | None, end: Place | None) -> int:
    """Compute a range once more and compare it with what was published. Only reads. Returns the exit code, 0.

    Raises:
        StateError: something is not as it was published, or cannot be computed any more.
        ConfigError: the range cannot be computed.
        LogError: the log cannot be reached.
    """
    wrong = []
    with closing(app.open_log(settings)) as log:
        for partition in chosen(log, settings, names):
            kept = look(log, settings, partition)
            found = None if kept.committed is None else span(log, partition, kept.committed, start, end)
            if found is None:
                sys.stdout.write(f"{where(partition)}: nothing is committed in this range\n")
                continue
            for topic, comparison in _compared(log, settings, kept, found).items():
                sys.stdout.write(f"{where(partition)}, offsets {found.start} to {found.end}, {topic}: {comparison}\n")
                if not comparison.sound:
                    wrong.append(f"{where(partition)}, {topic}: {comparison.first}")
    if wrong:
        raise StateError("\n".join(wrong))
    return 0


def _compared(log: Log, settings: Settings, kept: Kept, found: Span) -> dict[str, Comparison]:
    partition = kept.partition
    names = app.output_topics(settings, partition.topic)
    comparisons = {
        topic: Comparison(published(log, TopicPartition(topic, partition.partition), partition, found.start, found.end))
        for topic in (names.forecasts, names.dead_letters)
    }
    begin, task = _begun(log, settings, kept, found)
    records = log.read(partition, begin, found.end)
    with console.progress(found.end - begin) as advance:
        for batch in in_slices(records):
            outputs, _ = task.feed(batch)
            for output in outputs:
                source = source_of(output)
                if source is not None and source[1] >= found.start:
                    comparisons[output.topic].take(Said(source[1], output))
            advance(where(partition), len(batch))
    for comparison in comparisons.values():
        comparison.finish()
    return comparisons


def _begun(log: Log, settings: Settings, kept: Kept, found: Span) -> "tuple[int, Task]":
    """A task and the offset of its next record: from the saved state where the range allows it, else from the start."""
    partition, committed, _ = kept
    if committed is not None:
        manifest = read_manifest(partition, committed)
        if NOTHING < manifest.snapshot <= found.start:
            sound = require_sound(settings, kept, log.bounds(partition))
            if sound is not None:
                return sound
        if manifest.began not in {NOTHING, found.begin}:
            raise StateError(
                f"{where(partition)} begins at offset {found.begin} now, and its task began at {manifest.began}: what "
                f"was published cannot be computed any more but from the saved state; say --from {manifest.snapshot}"
            )
    return found.begin, app.task(settings, partition)
