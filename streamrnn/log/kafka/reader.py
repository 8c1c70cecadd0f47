"""Reading a range of a partition without a group."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition

from streamrnn.log.kafka.client import Options, kafka_python_error, open_kafka_python
from streamrnn.log.kafka.records import replace_reader
from streamrnn.log.kafka_common import fetch_bytes
from streamrnn.log.kafka_common.errors import explained, read_stalled
from streamrnn.records import Record, TopicPartition

replace_reader()

_READING: dict[str, object] = {
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "isolation_level": "read_committed",
    "fetch_max_wait_ms": 100,
    "metadata_max_age_ms": 10_000,
    "retry_backoff_ms": 20,
    "metrics_enabled": False,
}
_RANGE: dict[str, object] = {
    "fetch_max_wait_ms": 5,
    "retry_backoff_ms": 2,
}
"""Further options of a consumer that reads a range while its caller waits."""
POLL_MS = 20  # short: a poll does not return early for the marker of a transaction after the last record


def kafka_python_reader_options(common: Options) -> dict[str, Any]:
    """Return the options of every consumer; `common` has the time limits."""
    size = fetch_bytes(common["request_timeout_ms"] / 1000)
    return {**common, **_READING, "fetch_max_bytes": size, "max_partition_fetch_bytes": size}


def poll_range(common: Options, partition: TopicPartition, start: int, end: int, *, timeout: float) -> Iterator[Record]:
    """Yield committed records from offset `start` up to `end`, excluding it; both must exist.

    Raises LogError after `timeout` seconds without progress, or if the brokers reject the read.
    """
    name = KafkaPartition(*partition)
    reader = open_kafka_python(KafkaConsumer, kafka_python_reader_options(common), **_RANGE)
    failure = f"cannot read {partition} at {', '.join(common['bootstrap_servers'])}"
    with closing(reader), explained(failure, kafka_python_error):
        # the library does not apply this option here, and would request the topic's metadata 0.1 s later
        reader._cluster.config["retry_backoff_ms"] = _RANGE["retry_backoff_ms"]  # noqa: SLF001
        reader.assign([name])
        reader.seek(name, start)
        position, progress = start, time.monotonic()
        while position < end:
            for each in reader.poll(timeout_ms=POLL_MS).get(name, ()):
                if each.offset < end:
                    yield Record(*partition, each.offset, each.timestamp, each.key, each.value, tuple(each.headers))
            if reader.position(name) != position:
                position, progress = reader.position(name), time.monotonic()
            elif time.monotonic() - progress > timeout:
                raise read_stalled(partition, position, end)
