"""The log systems under one contract: opening a log, writing input, and reading what other processes see."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka import TopicPartition as KafkaPartition

from streamrnn.log import Log, Poll
from streamrnn.log.kafka import KafkaLog
from streamrnn.log.kafka_common import Connection
from streamrnn.log.memory import MemoryLog, MemoryStore
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record, TopicPartition

PATIENCE = 30.0  # seconds


KAFKA_CLIENTS = ("kafka-python", "confluent")
CONSUMER = "confluent, consumer"
KAFKA_MEMBERS = (*KAFKA_CLIENTS, CONSUMER)
"""The client libraries, and the one that has the group protocol `consumer` with it."""


def kafka_log(client: str) -> type[Any]:
    """Return the log class of a Kafka client library; skip the test if the library is not installed."""
    if client == "kafka-python":
        return KafkaLog
    pytest.importorskip("confluent_kafka")
    from streamrnn.log.confluent import ConfluentLog

    return ConfluentLog


class World(Protocol):
    """One log system, as several processes see it."""

    def open(self, app: str) -> Log:
        """Open a log, as a process does when it starts."""

    def produce(self, topic: str, records: Sequence[Record]) -> None:
        """Write input, as another producer does."""

    def read(self, topic: str) -> list[Record]:
        """Return all committed records of a topic, by partition and offset."""


class MemoryWorld:
    """Logs that share one store in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def open(self, app: str) -> Log:  # noqa: D102  # see World
        return MemoryLog(store=self.store, app=app)

    def produce(self, topic: str, records: Sequence[Record]) -> None:  # noqa: D102
        self.store.append(topic, records)

    def read(self, topic: str) -> list[Record]:  # noqa: D102
        return self.store.read(topic)


class SqliteWorld:
    """Logs that share one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, app: str) -> Log:  # noqa: D102  # see World
        return SqliteLog(path=self._path, app=app)

    def produce(self, topic: str, records: Sequence[Record]) -> None:  # noqa: D102
        with closing(SqliteLog(path=self._path, app="producer")) as log:
            log.append(topic, records)

    def read(self, topic: str) -> list[Record]:  # noqa: D102
        with closing(SqliteLog(path=self._path, app="reader")) as log:
            return sorted(everything(log, topic), key=lambda record: record.partition)


class KafkaWorld:
    """Logs of one broker through one client library; input and observations use kafka-python."""

    def __init__(self, bootstrap: str, client: str = "kafka-python") -> None:
        self.bootstrap = bootstrap
        self.consumer_protocol = client == CONSUMER
        self._kind = kafka_log(client)

    def open(self, app: str, **options: object) -> Any:
        """Open a log with options of `Connection`; its type depends on the client."""
        protocol = "consumer" if self.consumer_protocol else "classic"
        given = {"bootstrap_servers": self.bootstrap, "app": app, "group_protocol": protocol, **options}
        return self._kind(Connection(**given))

    def produce(self, topic: str, records: Sequence[Record], compression: str | None = None) -> None:  # noqa: D102
        options = {"compression_type": compression, "linger_ms": 20, "metrics_enabled": False}
        with closing(KafkaProducer(bootstrap_servers=self.bootstrap, **options)) as producer:
            futures = [
                producer.send(
                    topic,
                    partition=record.partition,
                    key=record.key,
                    value=record.value,
                    timestamp_ms=record.timestamp,
                    headers=list(record.headers),
                )
                for record in records
            ]
            producer.flush(timeout=PATIENCE)
            assert all(future.succeeded() for future in futures)

    def read(self, topic: str) -> list[Record]:  # noqa: D102
        options = {"isolation_level": "read_committed", "auto_offset_reset": "earliest", "fetch_max_wait_ms": 50}
        with closing(KafkaConsumer(bootstrap_servers=self.bootstrap, metrics_enabled=False, **options)) as consumer:
            names = [KafkaPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
            consumer.assign(names)
            ends = consumer.end_offsets(names)  # for committed records: up to the first open transaction
            found: dict[KafkaPartition, list[Record]] = {name: [] for name in names}
            while any(consumer.position(name) < ends[name] for name in names):
                for name, batch in consumer.poll(timeout_ms=200).items():
                    found[name].extend(
                        Record(name.topic, name.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
                        for r in batch
                    )
        return [record for name in names for record in found[name]]


def wait_for(log: Log, satisfied: Callable[[Poll], bool], limit: int = 1000) -> None:
    """Poll until a result satisfies, for at most PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not satisfied(log.poll(0.1, limit)):
        assert time.monotonic() < deadline, "no poll satisfied"


def join(log: Log, topic: str, start: int | None = 0) -> list[TopicPartition]:
    """Subscribe, wait until all partitions of the topic are assigned, and seek to `start` unless it is None."""
    wanted = {TopicPartition(topic, number) for number in range(log.partitions(topic))}
    own: set[TopicPartition] = set()

    def complete(poll: Poll) -> bool:
        assert poll.records == {}, "records before seek"
        own.difference_update(poll.revoked)
        own.update(poll.assigned)
        return own == wanted

    log.subscribe([topic])
    wait_for(log, complete)
    if start is not None:
        for partition in wanted:
            log.seek(partition, start)
    return sorted(wanted)


def gather(log: Log, count: int, limit: int = 1000) -> list[Record]:
    """Poll until `count` records have been returned; return them."""
    found: list[Record] = []

    def complete(poll: Poll) -> bool:
        for batch in poll.records.values():
            found.extend(batch)
        return len(found) >= count

    wait_for(log, complete, limit)
    return found


def everything(log: Log, topic: str) -> Iterator[Record]:
    """Yield all records of a topic, read as the only member of a group."""
    partitions = join(log, topic)
    count = sum(log.bounds(partition)[1] for partition in partitions)
    yield from gather(log, count) if count else []
