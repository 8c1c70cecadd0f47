"""The published outputs of an input partition, in the order of the input."""

from collections.abc import Iterator
from typing import NamedTuple

import orjson

from streamrnn.log import Log
from streamrnn.records import Output, Record, TopicPartition

HEADER_PREFIX = "__streams.errors."
"""Prefix of the headers of a dead letter."""


class SourcedOutput(NamedTuple):
    """A computed or published output with the offset of its input record."""

    source: int
    output: Output
    offset: int = -1
    """Offset of the published record; -1 for a computed output."""


def source_of(output: Output | Record) -> tuple[TopicPartition, int] | None:
    """Return the input partition and offset of a forecast or dead letter; None for another record."""
    named = {name: (value or b"").decode() for name, value in output.headers if name.startswith(HEADER_PREFIX)}
    try:
        source = {name.removeprefix(HEADER_PREFIX): text for name, text in named.items()}
        source = source or orjson.loads(output.value or b"")["source"]
        return TopicPartition(source["topic"], int(source["partition"])), int(source["offset"])
    except (ValueError, KeyError, TypeError):  # written by another program; orjson's own error is a ValueError
        return None


def read_published(
    log: Log, topic: TopicPartition, source: TopicPartition, start: int, end: int
) -> Iterator[SourcedOutput]:
    """Yield the outputs since the task's last reset for the input offsets from `start` to before `end`."""
    if not log.partitions(topic.topic):
        return
    for record, offset in _sourced(log, topic, source, _last_reset(log, topic, source)):
        if offset >= end:
            return
        if offset >= start:
            output = Output(*topic, record.key, record.value, record.timestamp, record.headers)
            yield SourcedOutput(offset, output, record.offset)


def _sourced(log: Log, topic: TopicPartition, source: TopicPartition, begin: int) -> Iterator[tuple[Record, int]]:
    for record in log.read(topic, begin, log.bounds(topic)[1]):
        found = source_of(record)
        if found is not None and found[0] == source:
            yield record, found[1]


def _last_reset(log: Log, topic: TopicPartition, source: TopicPartition) -> int:
    """Return the offset of an output topic after which input offsets rise: a task that was reset repeats outputs."""
    begin, _ = log.bounds(topic)
    latest = -1
    keys: set[bytes | None] = set()
    for record, offset in _sourced(log, topic, source, begin):
        if offset < latest or (offset == latest and record.key in keys):
            begin = record.offset
            keys.clear()
        if offset != latest:
            keys.clear()
        latest = offset
        keys.add(record.key)
    return begin
