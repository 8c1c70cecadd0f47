"""Reading all of one partition of a compacted topic, and what every consumer has in common."""

import time
from contextlib import closing

from confluent_kafka import Consumer, KafkaError
from confluent_kafka import TopicPartition as KafkaPartition

from streamrnn.log.brokers import stuck
from streamrnn.log.confluent.client import Options, explained, opened, reason
from streamrnn.records import TopicPartition

READING: Options = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
    "check.crcs": True,
    "fetch.wait.max.ms": 100,
    "queued.max.messages.kbytes": 8 * 1024,  # per partition; by default 64 MiB of each are read ahead
    "fetch.error.backoff.ms": 20,
    "topic.metadata.refresh.interval.ms": 10_000,
    "retry.backoff.ms": 20,
}
"""Of every consumer, that of the group and those that read state."""


def read_state(
    common: Options, partition: TopicPartition, bounds: tuple[int, int], patience: float
) -> dict[bytes, bytes]:
    """Read the latest value by key, without the deleted ones.

    Raises:
        LogError: nothing more comes for `patience` seconds.
    """
    position, following = bounds
    failure = f"cannot read the state in {partition.topic}/{partition.partition} at {common['bootstrap.servers']}"
    state: dict[bytes, bytes] = {}
    # the library wants a group, of which a reader that assigns partitions to itself never becomes a member
    reader = opened(Consumer, {**common, **READING, "group.id": common["client.id"], "enable.partition.eof": True})
    with closing(reader), explained(failure):
        reader.assign([KafkaPartition(*partition, position)])
        progress = time.monotonic()
        while position < following:
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
                if each.value() is None:
                    state.pop(each.key(), None)
                else:
                    state[each.key()] = each.value()
            if position != before:
                progress = time.monotonic()
            elif time.monotonic() - progress > patience:
                raise stuck(partition, position, following)
    return state
