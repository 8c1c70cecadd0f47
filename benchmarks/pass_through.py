"""A loop without a model, to compare the daemon with: `python -m benchmarks.pass_through`, until SIGTERM.

A group consumer decodes each record with orjson, encodes one of the given forecasts per record with orjson, and commits
both in one transaction at an interval. Options of both libraries are those of the daemon.
"""

import argparse
import faulthandler
import itertools
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

POLL_SECONDS, POLL_RECORDS = 0.1, 2000


class Input(NamedTuple):
    """What the loop uses of a record."""

    key: bytes | None
    value: bytes
    timestamp: int


class Client(Protocol):
    """A consumer and a transactional producer of one library."""

    def poll(self) -> Sequence[Input]:
        """Return the next records."""

    def send(self, value: bytes, key: bytes | None, timestamp: int) -> None:
        """Send one record in the current transaction."""

    def commit(self, offset: int) -> None:
        """Commit the current transaction with this offset of the input, and begin the next one."""


class Confluent:
    """confluent-kafka."""

    def __init__(self, bootstrap: str, topic: str, name: str) -> None:
        from confluent_kafka import Consumer, Producer

        from streamrnn.log.confluent.reader import confluent_reader_options

        common = {"bootstrap.servers": bootstrap, "socket.timeout.ms": 10_000}
        group = {"group.id": name, "auto.offset.reset": "earliest", "heartbeat.interval.ms": 500}
        self._consumer = Consumer({**confluent_reader_options(common), **group})
        self._consumer.subscribe([topic])
        self._producer = Producer({
            **common, "transactional.id": name, "queue.buffering.max.messages": 0, "batch.size": 256 * 1024,
            "compression.type": "lz4", "linger.ms": 20, "retry.backoff.ms": 5, "delivery.report.only.error": True,
        })  # fmt: skip
        self._producer.init_transactions()
        self._producer.begin_transaction()
        self._topic, self._output = topic, name

    def poll(self) -> list[Input]:
        """Return the next records."""
        messages = self._consumer.consume(1, POLL_SECONDS) + self._consumer.consume(POLL_RECORDS, 0)
        self._producer.poll(0)
        return [Input(each.key(), each.value(), each.timestamp()[1]) for each in messages if each.error() is None]

    def send(self, value: bytes, key: bytes | None, timestamp: int) -> None:
        """Send one record in the current transaction."""
        self._producer.produce(self._output, value, key, 0, timestamp=timestamp)

    def commit(self, offset: int) -> None:
        """Commit the current transaction with this offset of the input, and begin the next one."""
        from confluent_kafka import TopicPartition

        position = [TopicPartition(self._topic, 0, offset)]
        self._producer.send_offsets_to_transaction(position, self._consumer.consumer_group_metadata())
        self._producer.commit_transaction()
        self._producer.begin_transaction()


class KafkaPython:
    """kafka-python."""

    def __init__(self, bootstrap: str, topic: str, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 under Python 3.11
            from kafka import KafkaConsumer, KafkaProducer, TopicPartition

            from streamrnn.log.kafka.client import finish_joins
            from streamrnn.log.kafka.reader import kafka_python_reader_options
            from streamrnn.log.kafka.writer import harden

        common = kafka_python_reader_options({"request_timeout_ms": 10_000})
        options: dict[str, Any] = {**common, "auto_offset_reset": "earliest", "heartbeat_interval_ms": 500}
        self._consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=name, **options)
        finish_joins(self._consumer)  # else it may have no partitions, and nothing to read, forever
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap, transactional_id=name, compression_type="lz4", batch_size=256 * 1024,
            linger_ms=20, retry_backoff_ms=5, metrics_enabled=False,
        )  # fmt: skip
        harden(self._producer._sender._client)  # else a request may be lost, and its caller waits forever
        self._producer.init_transactions()
        self._producer.begin_transaction()
        self._partition, self._output = TopicPartition(topic, 0), name

    def poll(self) -> list[Input]:
        """Return the next records."""
        found = self._consumer.poll(timeout_ms=round(1000 * POLL_SECONDS), max_records=POLL_RECORDS)
        return [Input(each.key, each.value, each.timestamp) for each in found.get(self._partition, ())]

    def send(self, value: bytes, key: bytes | None, timestamp: int) -> None:
        """Send one record in the current transaction."""
        self._producer.send(self._output, key=key, value=value, partition=0, timestamp_ms=timestamp)

    def commit(self, offset: int) -> None:
        """Commit the current transaction with this offset of the input, and begin the next one."""
        from kafka import OffsetAndMetadata

        position = {self._partition: OffsetAndMetadata(offset, "", -1)}
        self._producer.send_offsets_to_transaction(position, self._consumer.group_metadata())
        self._producer.commit_transaction()
        self._producer.begin_transaction()


CLIENTS: dict[str, Callable[[str, str, str], Client]] = {"confluent": Confluent, "kafka-python": KafkaPython}


def run(client: Client, forecasts: Iterator[object], interval: float, stopped: Callable[[], bool]) -> None:
    """Answer each record with the next forecast, and commit every `interval` seconds, until stopped."""
    done, committed, due = 0, 0, time.monotonic() + interval
    while not stopped():
        for record in client.poll():
            orjson.loads(record.value)
            client.send(orjson.dumps(next(forecasts)), record.key, record.timestamp)
            done += 1
        if done > committed and time.monotonic() >= due:
            client.commit(done)
            committed, due = done, time.monotonic() + interval


def main(argv: Sequence[str]) -> int:
    """Run the loop; group, transactional id and output topic have the same name."""
    parser = argparse.ArgumentParser(prog="pass_through", allow_abbrev=False)
    parser.add_argument("--client", choices=CLIENTS, required=True)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topic", required=True, help="input topic with one partition, read from its beginning")
    parser.add_argument("--name", required=True, help="group, transactional id and output topic")
    parser.add_argument("--forecasts", type=Path, required=True, help="file with a forecast per line")
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between commits (default: %(default)s)")
    given = parser.parse_args(argv)
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    faulthandler.register(signal.SIGUSR1)  # shows where it waits
    forecasts = [orjson.loads(line) for line in given.forecasts.read_bytes().splitlines()]
    client = CLIENTS[given.client](given.bootstrap_servers, given.topic, given.name)
    run(client, itertools.cycle(forecasts), given.interval, lambda: bool(ending))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
