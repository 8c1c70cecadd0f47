"""The published outputs of an input partition, in the order of the input."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from streamrnn.dead_letters import PREFIX
from streamrnn.log import Log
from streamrnn.records import Output, Record, TopicPartition
from streamrnn.timing.order import NEVER
from streamrnn.wire.reading import read_forecast


class SourcedOutput(NamedTuple):
    """A computed or published output with its position in the order of outputs."""

    source: int
    """Offset of its input record; for forecasts of a task that puts observations in order, the event time."""
    output: Output
    offset: int = -1
    """Offset of the published record; -1 for a computed output."""


def source_of(output: Output | Record) -> tuple[TopicPartition, int] | None:
    """Return the input partition and offset of a forecast, in any format, or dead letter; None for another record."""
    named = {name: (value or b"").decode() for name, value in output.headers if name.startswith(PREFIX)}
    try:
        source = {name.removeprefix(PREFIX): text for name, text in named.items()}
        source = source or read_forecast(output.value or b"")["source"]
        return TopicPartition(source["topic"], int(source["partition"])), int(source["offset"])
    except (ValueError, KeyError, TypeError):  # written by another program
        return None


def event_time_of(output: Output | Record) -> tuple[TopicPartition, int] | None:
    """Return the input partition and event time of a forecast, in any format; None for another record."""
    found = source_of(output)
    return None if found is None else (found[0], int(read_forecast(output.value or b"")["time"]))


PositionOf = Callable[[Output | Record], tuple[TopicPartition, int] | None]
"""Returns the input partition of an output and its position in the order of outputs."""


def read_published(
    log: Log, topic: TopicPartition, source: TopicPartition, position_of: PositionOf, start: int
) -> Iterator[SourcedOutput]:
    """Yield the outputs since the task's last reset from the position `start` on, in their order.

    Args:
        log: Log to read.
        topic: Partition of outputs, which may be those of several input partitions.
        source: Input partition whose outputs are wanted.
        position_of: See PositionOf.
        start: Smallest position, in the order of `position_of`.
    """
    if not log.partitions(topic.topic):
        return
    begin = _last_reset(log, topic, source, position_of)
    for record, position in _sourced(log, topic, source, position_of, begin):
        if position >= start:
            output = Output(*topic, record.key, record.value, record.timestamp, record.headers)
            yield SourcedOutput(position, output, record.offset)


def _sourced(
    log: Log, topic: TopicPartition, source: TopicPartition, position_of: PositionOf, begin: int
) -> Iterator[tuple[Record, int]]:
    for record in log.read(topic, begin, log.bounds(topic)[1]):
        found = position_of(record)
        if found is not None and found[0] == source:
            yield record, found[1]


def _last_reset(log: Log, topic: TopicPartition, source: TopicPartition, position_of: PositionOf) -> int:
    """Return the offset of an output topic after which positions rise: a task that was reset repeats outputs."""
    begin, _ = log.bounds(topic)
    latest = NEVER
    keys: set[tuple[bytes | None, int, str]] = set()  # a record may have several observations of one series
    for record, offset in _sourced(log, topic, source, position_of, begin):
        key = record.key, record.timestamp, _event_of(record)
        if offset < latest or (offset == latest and key in keys):
            begin = record.offset
            keys.clear()
        if offset != latest:
            keys.clear()
        latest = offset
        keys.add(key)
    return begin


def _event_of(record: Record) -> str:
    """Return a text that distinguishes the events of one observation; empty for a dead letter."""
    if record.headers:  # a dead letter
        return ""
    document = read_forecast(record.value or b"")
    crossing = document.get("crossing", {})
    return f"{document.get('event', '')} {crossing.get('level', '')} {crossing.get('direction', '')}"
