"""Which records of a partition are looked at, and where the computing of them must begin."""

from typing import NamedTuple

from streamrnn.commands.replay.position import Place
from streamrnn.errors import ConfigError, StateError
from streamrnn.log import Committed, Log
from streamrnn.records import TopicPartition
from streamrnn.runtime.manifest import NOTHING, read_manifest, where


class Span(NamedTuple):
    """Offsets of one input partition."""

    begin: int
    """Where computing begins ..."""
    start: int
    """... where the range begins that is looked at ..."""
    end: int
    """... and where both end; this one is not within."""


def span(
    log: Log, partition: TopicPartition, committed: Committed | None, start: Place | None, end: Place | None
) -> Span | None:
    """The range from `start` to `end`, as far as it is committed (without a commit: as far as there are records).

    Computing begins where the task's life began, or where retention has left the first record. None: it is empty.

    Raises:
        StateError: the committed offset is not this program's, or lies beyond the log.
        ConfigError: the range lies before the task's life.
    """
    first, following = log.bounds(partition)
    begin, last = first, following
    if committed is not None:
        manifest = read_manifest(partition, committed)
        begin = first if manifest.began == NOTHING else max(first, manifest.began)
        last = committed.offset
        if last > following:
            raise StateError(f"{where(partition)} ends at offset {following}, and {last} was committed")
    wanted = begin if start is None else _offset(log, partition, start)
    if start is not None and start.offset is not None and wanted < begin:
        raise ConfigError(
            f"--from {wanted}: {where(partition)} can be computed from offset {begin} on, where its task began, or "
            "where retention has left the first record"
        )
    wanted = max(wanted, begin)
    last = last if end is None else min(last, _offset(log, partition, end))
    return Span(begin, wanted, last) if wanted < last else None


def _offset(log: Log, partition: TopicPartition, at: Place) -> int:
    if at.offset is not None:
        return at.offset
    first, following = log.bounds(partition)
    # timestamps need not rise, so that no search is quicker than looking
    found = (record.offset for record in log.read(partition, first, following) if record.timestamp >= at.time)
    return next(found, following)
