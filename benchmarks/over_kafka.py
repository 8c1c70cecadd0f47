"""Measurements over a real broker: the daemon, and a plain loop of the client library for comparison."""

import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata
from kafka import TopicPartition as KafkaPartition
from support.kafka_probe import Offsets, cpu_seconds, memory
from support.log_backends import PATIENCE, KafkaWorld
from support.process import Daemon, until

from streamrnn.records import Record, TopicPartition

COMMIT = 0.5  # seconds: the daemon's default


class Rate(NamedTuple):
    """Work between two commits."""

    records: int
    seconds: float
    cpu: float
    """Processor seconds."""

    @property
    def per_second(self) -> float:
        """Records per second."""
        return self.records / self.seconds


class Latency(NamedTuple):
    """Milliseconds from the call that sends a record until a read_committed consumer has its forecast."""

    median: float
    p99: float
    records: int


def steady(points: Sequence[tuple[float, int, float]], first: int, last: int) -> Rate:
    """Return the work between the first and the last commit in [first, last); points: time, offset, CPU seconds."""
    inside = [point for point in points if first <= point[1] < last]
    assert len(inside) > 2, f"only {len(inside)} commits were seen between {first} and {last}: measure for longer"
    (t0, o0, c0), (t1, o1, c1) = inside[0], inside[-1]
    return Rate(o1 - o0, t1 - t0, c1 - c0)


def daemon_rate(bootstrap: str, topic: str, folder: Path, warm: int, total: int) -> tuple[Rate, int]:
    """Return the rate of a daemon with defaults over `total` records without the first `warm`, and its memory."""
    partition, points = TopicPartition(topic, 0), [(0.0, 0, 0.0)]
    with (
        closing(Offsets(bootstrap, topic)) as offsets,
        Daemon(folder, _overrides(bootstrap, topic)) as daemon,
    ):

        def done() -> bool:
            offset = offsets.committed(partition)
            if offset != points[-1][1]:
                points.append((time.monotonic(), offset, cpu_seconds(daemon.process)))
            return offset >= total

        while daemon.alive() and not done():
            time.sleep(0.04)  # precise enough for a commit interval of 0.5 s, without loading the broker
        resident = memory(daemon.process)
        assert daemon.stop()[0] == 0
    return steady(points, warm, total), resident


def bare_rate(bootstrap: str, topic: str, forecasts: Sequence[Record], warm: int, total: int) -> Rate:
    """Return the rate of the client library alone: it reads, sends a real forecast per record, and commits both."""
    name, input_partition = f"{topic}-bare", KafkaPartition(topic, 0)
    done, begun, due, points = 0, False, 0.0, [(0.0, 0, 0.0)]
    payloads = [(record.key, record.value) for record in forecasts]
    with (
        closing(
            KafkaConsumer(
                topic, bootstrap_servers=bootstrap, group_id=name, enable_auto_commit=False,
                auto_offset_reset="earliest", isolation_level="read_committed", fetch_max_wait_ms=100,
                heartbeat_interval_ms=500, metrics_enabled=False,
            )
        ) as consumer,
        closing(
            KafkaProducer(
                bootstrap_servers=bootstrap, transactional_id=name, compression_type="lz4", batch_size=256 * 1024,
                linger_ms=20, retry_backoff_ms=5, metrics_enabled=False,
            )
        ) as producer,
    ):  # fmt: skip
        producer.init_transactions()
        while points[-1][1] < total:
            for record in consumer.poll(timeout_ms=200, max_records=2000).get(input_partition, ()):
                if not begun:
                    producer.begin_transaction()
                    begun = True
                key, value = payloads[done % len(payloads)]
                producer.send(name, key=key, value=value, partition=0, timestamp_ms=record.timestamp)
                done += 1
            if begun and (time.monotonic() >= due or done == total):
                position = OffsetAndMetadata(done, "", -1)
                producer.send_offsets_to_transaction({input_partition: position}, consumer.group_metadata())
                producer.commit_transaction()
                begun, due = False, time.monotonic() + COMMIT
                points.append((time.monotonic(), done, time.process_time()))
    return steady(points, warm, total)


def latency(
    bootstrap: str, topic: str, folder: Path, records: Sequence[Record], *overrides: str, per_second: int = 1000
) -> Latency:
    """Return the time from sending to a visible forecast at `per_second` records, without the first quarter."""
    forecasts = KafkaPartition(f"{topic}.forecasts", 0)
    with (
        closing(Offsets(bootstrap, topic)) as offsets,
        closing(
            KafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", metrics_enabled=False)
        ) as consumer,
        closing(KafkaProducer(bootstrap_servers=bootstrap, metrics_enabled=False)) as producer,
        Daemon(folder, [*_overrides(bootstrap, topic), *overrides]) as daemon,
    ):
        first = offsets.committed(TopicPartition(topic, 0))
        consumer.assign([forecasts])
        consumer.seek_to_end(forecasts)
        consumer.position(forecasts)
        until(lambda: daemon.alive() and bool(daemon.events("task_restored")), "the restored task")
        sent: list[float] = []
        sending = threading.Thread(target=_send, args=(producer, topic, records, per_second, sent))
        sending.start()
        delays: list[float] = []
        deadline = time.monotonic() + len(records) / per_second + PATIENCE
        while len(delays) < len(records):
            assert daemon.alive()
            assert time.monotonic() < deadline, f"{len(delays)} of {len(records)} forecasts came"
            for record in consumer.poll(timeout_ms=100, max_records=5000).get(forecasts, ()):
                offset = int(record.value[record.value.rindex(b":") + 1 : -2])  # the last number of the record
                delays.append(time.monotonic() - sent[offset - first])
        sending.join()
        assert daemon.stop()[0] == 0
    milliseconds = [1000 * seconds for seconds in delays[len(delays) // 4 :]]
    return Latency(statistics.median(milliseconds), statistics.quantiles(milliseconds, n=100)[-1], len(milliseconds))


def _send(producer: KafkaProducer, topic: str, records: Sequence[Record], per_second: int, sent: list[float]) -> None:
    """Send records at a steady rate in batches every 10 ms; append the times to `sent`."""
    begun, few, futures = time.monotonic(), max(1, per_second // 100), []
    for start in range(0, len(records), few):
        time.sleep(max(0.0, begun + start / per_second - time.monotonic()))
        for record in records[start : start + few]:
            sent.append(time.monotonic())
            futures.append(
                producer.send(topic, partition=0, key=record.key, value=record.value, timestamp_ms=record.timestamp)
            )
    producer.flush(timeout=PATIENCE)
    assert all(future.succeeded() for future in futures)


def _overrides(bootstrap: str, topic: str) -> list[str]:
    """Return the keys without their default value; the client library is that of the plain loop."""
    servers = [f"kafka.bootstrap_servers={bootstrap}", "kafka.client=kafka-python"]
    return [*servers, f"input.topics={topic}", f"app={topic}"]


def some_forecasts(bootstrap: str, topic: str, count: int) -> list[Record]:
    """Return the last published forecasts."""
    return KafkaWorld(bootstrap).read(f"{topic}.forecasts")[-count:]
