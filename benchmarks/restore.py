"""Measure how long one partition with many series takes to recover after a kill: restore and replay.

PYTHONPATH=tests:. python -m benchmarks.restore
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from confluent_kafka import Producer
from support.kafka_probe import create_topics
from support.log_backends import KafkaWorld
from support.process import Daemon, until

from benchmarks.workload import START, STEP, kafka, write_line
from streamrnn.records import TopicPartition

TOPIC = f"restore-{os.getpid()}"
PATIENCE = 600.0
NEW = 100
"""New records after each kill."""


def main(argv: Sequence[str]) -> int:
    """Print the measurements."""
    parser = argparse.ArgumentParser(prog="restore", allow_abbrev=False)
    parser.add_argument("--client", choices=("kafka-python", "confluent"), default="confluent")
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--again", type=int, default=10_000, help="records to replay")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--bootstrap-servers", help="default: a broker started for the benchmark")
    given = parser.parse_args(argv)
    with kafka(given.bootstrap_servers) as bootstrap, tempfile.TemporaryDirectory() as folder:
        measure(bootstrap, Path(folder), given)
    return 0


def measure(bootstrap: str, folder: Path, given: argparse.Namespace) -> None:
    """Save a snapshot, feed more records, kill the daemon, and time the next process, several times."""
    overrides = [
        "device=cpu", "input.key=series", "input.time=time", f"app={TOPIC}", f"input.topics={TOPIC}",
        f"kafka.bootstrap_servers={bootstrap}", f"kafka.client={given.client}", "kafka.instance=one",
        f"input.max_series={given.series}", "commit.snapshot_interval=1h", *given.overrides,
    ]  # fmt: skip
    create_topics(bootstrap, TOPIC, partitions=1)
    sent = fill(bootstrap, 0, 3 * given.series, given.series)
    with closing(KafkaWorld(bootstrap).open(TOPIC)) as log:

        def committed(daemon: Daemon, offset: int) -> None:
            until(lambda: daemon.alive() and reached(log, offset), f"offset {offset}", PATIENCE)

        daemon = Daemon(folder, overrides)
        committed(daemon, sent)
        daemon.stop()  # saves a snapshot
        daemon = Daemon(folder, overrides)
        sent = fill(bootstrap, sent, given.again, given.series)
        committed(daemon, sent)
        for _ in range(given.times):
            daemon.kill()
            fill(bootstrap, sent, NEW, given.series)
            begun = time.monotonic()
            daemon = Daemon(folder, overrides)
            until(lambda daemon=daemon: daemon.alive() and bool(daemon.events("task_restored")), "the state", PATIENCE)  # type: ignore[misc]
            restored = time.monotonic() - begun
            committed(daemon, sent + 1)
            forecast = time.monotonic() - begun
            event = daemon.events("task_restored")[0]
            write_line(
                f"{given.client}: task and state {event['seconds']:.2f} s, {sent - event['offset']:,} replayed in "
                f"{forecast - restored:.2f} s; since the start of the process {restored:.2f} s and {forecast:.2f} s"
            )
            sent += NEW
            committed(daemon, sent)
        daemon.kill()


def fill(bootstrap: str, first: int, count: int, series: int) -> int:
    """Send records of the series in turn and return the end offset."""
    with_limit = {"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 2 * count}
    producer = Producer(with_limit)
    for number in range(first, first + count):
        name, round_ = number % series, number // series
        value = b'{"series":"s%d","time":%d,"load":%.3f}' % (name, START + STEP * round_, 50 + (name * 7 + round_) % 24)
        producer.produce(TOPIC, value, partition=0)
    producer.flush(PATIENCE)
    return first + count


def reached(log: object, offset: int) -> bool:
    """Return whether the input is committed up to an offset."""
    found = log.committed(TopicPartition(TOPIC, 0))  # type: ignore[attr-defined]
    return found is not None and found.offset >= offset


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
