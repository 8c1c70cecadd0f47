"""Reading a partition of Kafka without a group, and what every consumer has in common."""

import time
from collections.abc import Iterator
from contextlib import closing

from confluent_kafka import Consumer, KafkaError
from confluent_kafka import TopicPartition as KafkaPartition

from streamrnn.log.confluent.client import Options, explained, opened, reason
from streamrnn.log.kafka_common import stuck
from streamrnn.records import Record, TopicPartition

READING: Options = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "check.crcs": True,
    "fetch.wait.max.ms": 100,
    "queued.max.messages.kbytes": 8 * 1024,  # per partition; by default 64 MiB of each are read ahead
    "fetch.queue.backoff.ms": 5,  # where that is full; by default a second goes by before more is asked for
    "fetch.error.backoff.ms": 20,
    "topic.metadata.refresh.interval.ms": 10_000,
    "retry.backoff.ms": 20,
}
"""Of every consumer, that of the group and those without one."""
WHOLE: Options = {
    "max.partition.fetch.bytes": 8 * 1024 * 1024,
    "queued.max.messages.kbytes": 32 * 1024,
    "fetch.wait.max.ms": 5,  # the last fetch finds nothing: that the partition has come to its end is told after it
}
"""Of a consumer that reads one partition from one end to the other."""


def read(common: Options, partition: TopicPartition, start: int, end: int, *, patience: float) -> Iterator[Record]:
    """Committed records from offset `start` to before `end`, which must exist.

    Raises:
        LogError: nothing came for `patience` seconds, or the brokers refuse.
    """
    position = start
    failure = f"cannot read {partition.topic}/{partition.partition} at {common['bootstrap.servers']}"
    # the library wants a group, of which a reader that assigns partitions to itself never becomes a member
    named: Options = {"group.id": common["client.id"], "enable.partition.eof": True}
    reader = opened(Consumer, {**common, **READING, **WHOLE, **named})
    with closing(reader), explained(failure):
        # a topic that it has not asked for yet, the library may look for a second later
        reader.list_topics(partition.topic, common["socket.timeout.ms"] / 1000)
        reader.assign([KafkaPartition(*partition, position)])
        progress = time.monotonic()
        while position < end:
            before = position
            for each in reader.consume(1, 0.5) + reader.consume(10_000, 0):
                offset, error = each.offset(), each.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                    raise reason(failure, error)
                if error is not None:
                    # the end, or the first open transaction; what ends a transaction has an offset, but is no record
                    position = max(position, offset)
                    continue
                position = offset + 1
                if offset < end:
                    headers = tuple(each.headers() or ())
                    yield Record(*partition, offset, each.timestamp()[1], each.key(), each.value(), headers)
            if position != before:
                progress = time.monotonic()
            elif time.monotonic() - progress > patience:
                raise stuck(partition, position, end)
