"""What an output topic holds of one input partition, in the order of the records that it came from."""

from collections.abc import Iterator
from typing import NamedTuple

import orjson

from streamrnn.log import Log
from streamrnn.records import Output, Record, TopicPartition

DEAD = "__streams.errors."
"""Begins the names of a dead letter's headers."""


class Said(NamedTuple):
    """One output, computed or published, and the offset of the input record that it speaks of."""

    source: int
    output: Output
    offset: int = -1
    """Of the published record itself; -1: it was computed."""


def source_of(said: Output | Record) -> tuple[TopicPartition, int] | None:
    """The input partition and the offset that a forecast or a dead letter speaks of; None: it is neither."""
    named = {name: (value or b"").decode() for name, value in said.headers if name.startswith(DEAD)}
    try:
        source = {name.removeprefix(DEAD): text for name, text in named.items()} or orjson.loads(said.value or b"")[
            "source"
        ]
        return TopicPartition(source["topic"], int(source["partition"])), int(source["offset"])
    except (ValueError, KeyError, TypeError):  # somebody else's record; orjson's own error is a ValueError
        return None


def published(log: Log, topic: TopicPartition, source: TopicPartition, start: int, end: int) -> Iterator[Said]:
    """What the task in its present life has published of the input offsets from `start` to before `end`."""
    if not log.partitions(topic.topic):
        return
    for record, offset in _sourced(log, topic, source, _latest_life(log, topic, source)):
        if offset >= end:
            return
        if offset >= start:
            output = Output(*topic, record.key, record.value, record.timestamp, record.headers)
            yield Said(offset, output, record.offset)


def _sourced(log: Log, topic: TopicPartition, source: TopicPartition, begin: int) -> Iterator[tuple[Record, int]]:
    for record in log.read(topic, begin, log.bounds(topic)[1]):
        found = source_of(record)
        if found is not None and found[0] == source:
            yield record, found[1]


def _latest_life(log: Log, topic: TopicPartition, source: TopicPartition) -> int:
    """Offset of an output topic from which on nothing is said twice: a task that was reset may repeat itself."""
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
