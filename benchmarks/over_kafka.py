"""Rate and latency of any process that reads one partition of a topic in a group and answers each record once."""

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as KafkaPartition
from support.broker import _die_with_parent
from support.kafka_probe import Offsets, cpu_seconds, memory
from support.log_backends import PATIENCE
from support.process import Daemon, until

from streamrnn.records import Record, TopicPartition

BATCH_SECONDS = 0.005
"""Seconds between two batches of a sender at a steady rate."""


class Process(Protocol):
    """A running process."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""


class Rate(NamedTuple):
    """Work between two commits."""

    records: int
    seconds: float
    cpu: float
    """Processor seconds."""
    resident: int
    """Resident memory in bytes at the end."""

    @property
    def per_second(self) -> float:
        """Records per second."""
        return self.records / self.seconds


class Latency(NamedTuple):
    """Milliseconds from the call that sends a record until a read_committed consumer has its answer."""

    median: float
    p99: float


class Measured(NamedTuple):
    """A process to measure, and where it reads, commits and writes."""

    process: Process
    bootstrap: str
    topic: str
    """Input with one partition."""
    group: str
    output: str
    log: Path
    """File with its standard error."""


@contextmanager
def daemon(bootstrap: str, folder: Path, topic: str, name: str, overrides: Sequence[str]) -> Iterator[Measured]:
    """Run a daemon; at the end it stops with exit code 0."""
    output = f"{name}.forecasts"
    own = [
        f"kafka.bootstrap_servers={bootstrap}", f"input.topics={topic}", f"app={name}", f"output.forecasts={output}",
        f"output.dead_letters={name}.dead-letters", *overrides,
    ]  # fmt: skip
    with Daemon(folder, own) as running:
        yield Measured(running.process, bootstrap, topic, name, output, running._log)
        assert running.stop()[0] == 0, running.stderr


@contextmanager
def program(bootstrap: str, folder: Path, topic: str, name: str, command: Sequence[str]) -> Iterator[Measured]:
    """Run a program whose group and output are `name`; SIGTERM ends it."""
    log = folder / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, preexec_fn=_die_with_parent  # noqa: PLW1509
        )  # fmt: skip
    try:
        yield Measured(process, bootstrap, topic, name, name, log)
        process.terminate()
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()


def pass_through(client: str, forecasts: Path, interval: float) -> Callable[[str, str, str], list[str]]:
    """Return what makes the command of a pass-through from broker, topic and name."""
    fixed = [sys.executable, "-m", "benchmarks.pass_through", "--client", client, "--forecasts", str(forecasts)]
    return lambda bootstrap, topic, name: [
        *fixed, "--interval", str(interval), "--bootstrap-servers", bootstrap, "--topic", topic, "--name", name,
    ]  # fmt: skip


def measure_rate(measured: Measured, warm: int, total: int, seconds: float, pause: float) -> Rate:
    """Return the rate from the first commit of at least `warm` records to the last one before `total`.

    It ends after `seconds`, too. The commit of `total` does not count: a process that has read all records waits for
    the time of its next commit. Committed offsets are read every `pause` seconds.
    """
    points: list[tuple[float, int, float]] = [(0.0, 0, 0.0)]
    deadline = time.monotonic() + PATIENCE + seconds
    with closing(Offsets(measured.bootstrap, measured.group)) as offsets:
        while points[-1][1] < total:
            assert measured.process.poll() is None, measured.log.read_text()[-3000:]
            if time.monotonic() >= deadline:
                os.kill(measured.process.pid, signal.SIGUSR1)  # a pass-through writes where it waits; others end
                time.sleep(1)
                raise AssertionError(f"{points[-1][1]} of {total} records: {measured.log.read_text()[-3000:]}")
            offset = offsets.committed(TopicPartition(measured.topic, 0))
            if offset != points[-1][1]:
                points.append((time.monotonic(), offset, cpu_seconds(measured.process)))
            inside = [point for point in points if point[1] >= warm]
            if len(inside) > 2 and inside[-1][0] - inside[0][0] > seconds:
                break
            time.sleep(pause)
        resident = memory(measured.process)
    if inside[-1][1] == total:
        inside.pop()
    assert len(inside) > 1, f"one commit was seen from record {warm} to {total}: measure more records"
    (t0, o0, c0), (t1, o1, c1) = inside[0], inside[-1]
    return Rate(o1 - o0, t1 - t0, c1 - c0, resident)


def measure_latency(measured: Measured, records: Sequence[Record], per_second: float) -> Latency:
    """Return the latency at a steady rate, without the first quarter.

    The nth answer belongs to the nth record sent, which follows what the topic has already.
    """
    with closing(Offsets(measured.bootstrap, measured.group)) as offsets, closing(_reader(measured)) as reader:
        end = reader.get_watermark_offsets(KafkaPartition(measured.topic, 0), cached=False)[1]
        until(lambda: _alive(measured) and _committed(offsets, measured) >= end, "the records before", 2 * PATIENCE)
        _skip_to_end(measured, reader)
        sent, delays = array("d"), array("d")
        sending = threading.Thread(target=_send, args=(measured, records, per_second, sent))
        sending.start()
        deadline = time.monotonic() + len(records) / per_second + PATIENCE
        while len(delays) < len(records):
            assert time.monotonic() < deadline, f"{len(delays)} of {len(records)} answers: {measured.log.read_text()}"
            found = [each for each in reader.consume(10_000, 0.01) if each.error() is None]
            now = time.monotonic()
            delays.extend(now - sent[number] for number in range(len(delays), len(delays) + len(found)))
        sending.join()
    milliseconds = [1000 * delay for delay in delays[len(delays) // 4 :]]
    return Latency(statistics.median(milliseconds), statistics.quantiles(milliseconds, n=100)[-1])


def _skip_to_end(measured: Measured, reader: Consumer) -> None:
    """Assign the end of the output's only partition, and wait until the reader is there."""
    with closing(_reader(measured, "read_uncommitted")) as all_there_is:  # the last commit may not be complete here yet
        end = all_there_is.get_watermark_offsets(KafkaPartition(measured.output, 0), cached=False)[1]
    reader.assign([KafkaPartition(measured.output, 0, end)])
    reader.consume(1, 0.5)


def _reader(measured: Measured, isolation: str = "read_committed") -> Consumer:
    return Consumer({
        "bootstrap.servers": measured.bootstrap, "group.id": f"{measured.group}-reader", "enable.auto.commit": False,
        "isolation.level": isolation, "fetch.wait.max.ms": 10,
    })  # fmt: skip


def _alive(measured: Measured) -> bool:
    assert measured.process.poll() is None, measured.log.read_text()[-3000:]
    time.sleep(0.1)
    return True


def _committed(offsets: Offsets, measured: Measured) -> int:
    return offsets.committed(TopicPartition(measured.topic, 0))


def _send(measured: Measured, records: Sequence[Record], per_second: float, sent: "array[float]") -> None:
    """Send records at a steady rate in batches; append the times to `sent`."""
    producer = Producer({
        "bootstrap.servers": measured.bootstrap, "linger.ms": 0, "queue.buffering.max.messages": 0,
        "enable.idempotence": True,
    })  # fmt: skip
    few = max(1, round(per_second * BATCH_SECONDS))
    begun = time.monotonic()
    for start in range(0, len(records), few):
        time.sleep(max(0.0, begun + start / per_second - time.monotonic()))
        for record in records[start : start + few]:
            sent.append(time.monotonic())
            producer.produce(measured.topic, record.value, record.key, 0, timestamp=record.timestamp)
        producer.poll(0)
    assert producer.flush(PATIENCE) == 0


def produce(bootstrap: str, topic: str, records: Iterator[Record]) -> None:
    """Write records."""
    producer = Producer({
        "bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 0, "enable.idempotence": True,
        "queue.buffering.max.kbytes": 1 << 20,
    })  # fmt: skip
    for number, record in enumerate(records):
        producer.produce(topic, record.value, record.key, 0, timestamp=record.timestamp)
        if number % 10_000 == 0:
            producer.poll(0)
    assert producer.flush(PATIENCE) == 0


def read_values(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """Return the values of at most the first `count` committed records of a topic's only partition."""
    found: list[bytes] = []
    reader = Consumer({
        "bootstrap.servers": bootstrap, "group.id": f"{topic}-reader", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True,
    })  # fmt: skip
    reader.assign([KafkaPartition(topic, 0, 0)])
    ended = False
    with closing(reader):
        while len(found) < count and not ended:
            for each in reader.consume(count - len(found), 0.2):
                ended = each.error() is not None
                if not ended:
                    found.append(each.value() or b"")
    assert found, f"{topic} has no record"
    return found
