"""The range of offsets to compare, and the offset at which computing starts."""

from typing import NamedTuple

from streamrnn.commands.replay.position import Position
from streamrnn.errors import ConfigError, StateError
from streamrnn.log import Committed, Log
from streamrnn.records import TopicPartition
from streamrnn.runtime.manifest import NOTHING, read_manifest


class OffsetRange(NamedTuple):
    """Offsets of an input partition."""

    begin: int
    """First offset to compute."""
    start: int
    """First offset to compare."""
    end: int
    """End of both, exclusive."""


def find_range(
    log: Log, partition: TopicPartition, committed: Committed | None, start: Position | None, end: Position | None
) -> OffsetRange | None:
    """Return the range from `start` to `end`, up to the committed offset or, without one, to the end of the log.

    Computing starts where the task started, or at the first record that retention has left. Return None for an empty
    range.

    Raises:
        StateError: the committed offset was not committed by this program, or is beyond the end of the log.
        ConfigError: the range starts before the task did.
    """
    first, following = log.bounds(partition)
    begin, last = first, following
    if committed is not None:
        manifest = read_manifest(partition, committed)
        begin = first if manifest.began == NOTHING else max(first, manifest.began)
        last = committed.offset
        if last > following:
            raise StateError(f"{partition} ends at offset {following}, before the committed offset {last}")
    wanted = begin if start is None else _offset(log, partition, start)
    if start is not None and start.offset is not None and wanted < begin:
        raise ConfigError(
            f"--from {wanted}: {partition} can be computed from offset {begin} on, where its task started or where "
            "retention has left the first record"
        )
    wanted = max(wanted, begin)
    last = last if end is None else min(last, _offset(log, partition, end))
    return OffsetRange(begin, wanted, last) if wanted < last else None


def _offset(log: Log, partition: TopicPartition, position: Position) -> int:
    if position.offset is not None:
        return position.offset
    first, following = log.bounds(partition)
    # a linear search, as timestamps need not be in order
    later = (record.offset for record in log.read(partition, first, following) if record.timestamp >= position.time)
    return next(later, following)
