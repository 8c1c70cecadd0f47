"""Reading a partition of Kafka without a group."""

import time
from collections.abc import Iterator
from contextlib import closing

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition

from streamrnn.log.kafka.client import Options, explained, opened
from streamrnn.log.kafka_common import stuck
from streamrnn.records import Record, TopicPartition

READING: dict[str, object] = {
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "isolation_level": "read_committed",
    "fetch_max_wait_ms": 100,
    "metadata_max_age_ms": 10_000,
    "retry_backoff_ms": 20,
    "metrics_enabled": False,
}
"""Of every consumer, that of the group and those without one."""
WHOLE: dict[str, object] = {
    **READING,
    "max_partition_fetch_bytes": 8 * 1024 * 1024,
    "fetch_max_wait_ms": 5,
    "retry_backoff_ms": 2,
}
"""Of a consumer that reads one partition from one end to the other, and is all that its caller waits for."""
LOOK_AGAIN = 20  # milliseconds: behind the last record lies what ended its transaction, for which no poll comes back


def read(common: Options, partition: TopicPartition, start: int, end: int, *, patience: float) -> Iterator[Record]:
    """Committed records from offset `start` to before `end`, which must exist.

    Raises:
        LogError: nothing came for `patience` seconds, or the brokers refuse.
    """
    name = KafkaPartition(*partition)
    where = f"{partition.topic}/{partition.partition}"
    reader = opened(KafkaConsumer, common, **WHOLE)
    with closing(reader), explained(f"cannot read {where} at {', '.join(common['bootstrap_servers'])}"):
        # the library does not pass its setting on, and would ask for the topic a tenth of a second later
        reader._cluster.config["retry_backoff_ms"] = WHOLE["retry_backoff_ms"]  # noqa: SLF001
        reader.assign([name])
        reader.seek(name, start)
        position, progress = start, time.monotonic()
        while position < end:
            for each in reader.poll(timeout_ms=LOOK_AGAIN).get(name, ()):
                if each.offset < end:
                    yield Record(*partition, each.offset, each.timestamp, each.key, each.value, tuple(each.headers))
            if reader.position(name) != position:
                position, progress = reader.position(name), time.monotonic()
            elif time.monotonic() - progress > patience:
                raise stuck(partition, position, end)
