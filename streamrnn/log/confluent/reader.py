"""Reading a range of a partition without a group, and the options of every consumer."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import repeat
from operator import itemgetter
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from streamrnn.log.confluent.client import Options, confluent_error, open_confluent
from streamrnn.log.kafka_common import fetch_bytes
from streamrnn.log.kafka_common.errors import explained, read_stalled
from streamrnn.records import Record, TopicPartition

_READING: Options = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "check.crcs": True,
    "fetch.wait.max.ms": 100,
    "queued.max.messages.kbytes": 8 * 1024,  # per partition; by default 64 MiB of each are prefetched
    "fetch.queue.backoff.ms": 5,  # pause while that queue is full; by default 1 s
    "fetch.error.backoff.ms": 20,
    "topic.metadata.refresh.interval.ms": 10_000,
    "retry.backoff.ms": 20,
}
_RANGE: Options = {
    "queued.max.messages.kbytes": 32 * 1024,
    "fetch.wait.max.ms": 5,  # the end of the partition is reported after a last, empty fetch
}
"""Further options of a consumer that reads a range."""


def confluent_reader_options(common: Options) -> Options:
    """Return the options of every consumer; `common` has the time limits."""
    size = fetch_bytes(common["socket.timeout.ms"] / 1000)
    # the library requires that an answer may be as large as a record that it would write
    limits = dict.fromkeys(("message.max.bytes", "fetch.max.bytes", "max.partition.fetch.bytes"), size)
    return {**common, **_READING, **limits}


_record: "partial[Record]" = partial(tuple.__new__, Record)
"""Returns a record from a tuple of its parts, faster than the constructor."""


def records_of(partition: TopicPartition, messages: Sequence[Message]) -> list[Record]:
    """Return messages of one partition as records; without headers if the name of one is not UTF-8."""
    headers = _headers_of(messages)
    timestamps = map(itemgetter(1), map(Message.timestamp, messages))
    parts = zip(
        repeat(partition.topic), repeat(partition.partition), map(Message.offset, messages), timestamps,
        map(Message.key, messages), map(Message.value, messages),
        [tuple(each or ()) for each in headers] if any(headers) else repeat(()), strict=False,
    )  # fmt: skip
    return list(map(_record, parts))


def _headers_of(messages: Sequence[Message]) -> list[Any]:
    """Return the headers of each message: a list, or None if there are none or the library cannot decode a name.

    The headers of a message must not be read twice: after a failure they are in an undefined state.
    """
    found: list[Any] = []
    left = map(Message.headers, messages)
    while len(found) < len(messages):
        try:
            found.extend(left)
        except (UnicodeDecodeError, SystemError):  # `extend` has added the earlier ones
            found.append(None)
    return found


def consume_range(
    common: Options, partition: TopicPartition, start: int, end: int, *, timeout: float
) -> Iterator[Record]:
    """Yield committed records from offset `start` up to `end`, excluding it; both must exist.

    Raises LogError after `timeout` seconds without progress, or if the brokers reject the read.
    """
    position = start
    failure = f"cannot read {partition} at {common['bootstrap.servers']}"
    # the library requires a group, which a consumer that assigns its own partitions never joins
    named: Options = {"group.id": common["client.id"], "enable.partition.eof": True}
    reader = open_confluent(Consumer, {**confluent_reader_options(common), **_RANGE, **named})
    with closing(reader), explained(failure, confluent_error):
        # without this the library may look a topic up only a second later
        reader.list_topics(partition.topic, common["socket.timeout.ms"] / 1000)
        reader.assign([KafkaPartition(*partition, position)])
        progress = time.monotonic()
        while position < end:
            before = position
            messages = []
            for each in reader.consume(1, 0.5) + reader.consume(10_000, 0):
                offset, error = each.offset(), each.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                    raise KafkaException(error)
                if error is not None:
                    # the end, or the first open transaction; the marker that ends one has an offset but is no record
                    position = max(position, offset)
                    continue
                position = offset + 1
                if offset < end:
                    messages.append(each)
            yield from records_of(partition, messages)
            if position != before:
                progress = time.monotonic()
            elif time.monotonic() - progress > timeout:
                raise read_stalled(partition, position, end)
