"""What is measured over a real broker: the daemon as a process, and beside it a bare loop of the client library."""

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata
from kafka import TopicPartition as KafkaPartition
from support.kafka_probe import Offsets, cpu_seconds, memory
from support.log_backends import PATIENCE, KafkaWorld
from support.process import Daemon, until

from streamrnn.records import Record, TopicPartition

COMMIT = 0.5  # seconds: the daemon's default
STEP = 60_000  # milliseconds of event time between two observations of a series


class Rate(NamedTuple):
    """A steady stretch of work."""

    records: int
    seconds: float
    cpu: float
    """Processor seconds, where they were counted."""

    @property
    def per_second(self) -> float:
        """Records per second."""
        return self.records / self.seconds


class Latency(NamedTuple):
    """Milliseconds from the call that sends a record until a read_committed consumer has its forecast."""

    median: float
    p99: float
    records: int


def observations(series: int, rounds: range, start: int) -> Iterator[Record]:
    """One record per series and round, the same each time: a daily season and noise; the keys are s0, s1 and so on."""
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, series)
    for number in rounds:
        noise = np.random.default_rng([1, number]).normal(size=series)
        values = 50 + 10 * np.sin(2 * np.pi * number / 1440 + phases) + noise
        for key, value in enumerate(values.tolist()):
            yield Record("", 0, -1, start + number * STEP, b"s%d" % key, b'{"value":%.3f}' % value)


def steady(points: Sequence[tuple[float, int, float]], first: int, last: int) -> Rate:
    """The stretch between commits from offset `first` on and before `last`; points: time, offset, CPU seconds."""
    inside = [point for point in points if first <= point[1] < last]
    assert len(inside) > 2, f"only {len(inside)} commits were seen between {first} and {last}: measure for longer"
    (t0, o0, c0), (t1, o1, c1) = inside[0], inside[-1]
    return Rate(o1 - o0, t1 - t0, c1 - c0)


def daemon_rate(bootstrap: str, topic: str, folder: Path, warm: int, total: int) -> tuple[Rate, int]:
    """How fast the daemon, with its defaults, works off `total` records, the first `warm` left out; and its memory."""
    partition, points = TopicPartition(topic, 0), [(0.0, 0, 0.0)]
    with (
        closing(Offsets(bootstrap, topic)) as offsets,
        Daemon(folder, _named(bootstrap, topic)) as daemon,
    ):

        def done() -> bool:
            offset = offsets.committed(partition)
            if offset != points[-1][1]:
                points.append((time.monotonic(), offset, cpu_seconds(daemon.process)))
            return offset >= total

        while daemon.alive() and not done():
            time.sleep(0.04)  # often enough for the time of a commit, seldom enough not to disturb
        held = memory(daemon.process)
        assert daemon.stop()[0] == 0
    return steady(points, warm, total), held


def bare_rate(bootstrap: str, topic: str, said: Sequence[Record], warm: int, total: int) -> Rate:
    """How fast the library alone reads, sends real forecasts one for one, and commits both in transactions."""
    name, input_partition = f"{topic}-bare", KafkaPartition(topic, 0)
    done, begun, due, points = 0, False, 0.0, [(0.0, 0, 0.0)]
    payloads = [(record.key, record.value) for record in said]
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
    """From sending to a visible forecast, `per_second` records offered; the first quarter is left out."""
    forecasts = KafkaPartition(f"{topic}.forecasts", 0)
    with (
        closing(Offsets(bootstrap, topic)) as offsets,
        closing(
            KafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", metrics_enabled=False)
        ) as consumer,
        closing(KafkaProducer(bootstrap_servers=bootstrap, metrics_enabled=False)) as producer,
        Daemon(folder, [*_named(bootstrap, topic), *overrides]) as daemon,
    ):
        first = offsets.committed(TopicPartition(topic, 0))
        consumer.assign([forecasts])
        consumer.seek_to_end(forecasts)
        consumer.position(forecasts)
        until(lambda: daemon.alive() and bool(daemon.events("task_restored")), "the restored task")
        sent: list[float] = []
        offering = threading.Thread(target=_offer, args=(producer, topic, records, per_second, sent))
        offering.start()
        took: list[float] = []
        deadline = time.monotonic() + len(records) / per_second + PATIENCE
        while len(took) < len(records):
            assert daemon.alive()
            assert time.monotonic() < deadline, f"{len(took)} of {len(records)} forecasts came"
            for record in consumer.poll(timeout_ms=100, max_records=5000).get(forecasts, ()):
                offset = int(record.value[record.value.rindex(b":") + 1 : -2])  # source stands last, its offset too
                took.append(time.monotonic() - sent[offset - first])
        offering.join()
        assert daemon.stop()[0] == 0
    milliseconds = [1000 * seconds for seconds in took[len(took) // 4 :]]
    return Latency(statistics.median(milliseconds), statistics.quantiles(milliseconds, n=100)[-1], len(milliseconds))


def _offer(producer: KafkaProducer, topic: str, records: Sequence[Record], per_second: int, sent: list[float]) -> None:
    """Send records at a steady pace, a few every hundredth of a second; note when."""
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


def _named(bootstrap: str, topic: str) -> list[str]:
    """The only keys that are not left to their defaults."""
    # the client of the bare loop beside it
    servers = [f"kafka.bootstrap_servers={bootstrap}", "kafka.client=kafka-python"]
    return [*servers, f"input.topics={topic}", f"app={topic}"]


def some_forecasts(bootstrap: str, topic: str, count: int) -> list[Record]:
    """The last forecasts that were published."""
    return KafkaWorld(bootstrap).read(f"{topic}.forecasts")[-count:]
