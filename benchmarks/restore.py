"""How long one partition with many series takes to go on after a kill: its state, and what is fed again.

PYTHONPATH=.:tests python -m benchmarks.restore
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from confluent_kafka import Producer
from support.broker import Broker
from support.kafka_probe import create_topics
from support.log_backends import KafkaWorld
from support.process import Daemon, until

from streamrnn.records import TopicPartition

START, STEP = 1_700_000_000_000, 60_000
TOPIC = "many"
PATIENCE = 600.0
NEW = 100
"""Records that have come meanwhile."""


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="restore", allow_abbrev=False)
    parser.add_argument("--client", choices=("kafka-python", "confluent"), default="confluent")
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--again", type=int, default=10_000, help="records to be fed again")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args(argv)
    with Broker() as broker, tempfile.TemporaryDirectory() as folder:
        measure(broker.bootstrap, Path(folder), given)
    return 0


def measure(bootstrap: str, folder: Path, given: argparse.Namespace) -> None:
    """Save a state, feed some more, kill; then see how long the next process takes, several times."""
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
        daemon.stop()  # which saves the state
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
            told = daemon.events("task_restored")[0]
            sys.stdout.write(
                f"{given.client}: task and state {told['seconds']:.2f} s, {sent - told['offset']:,} fed again in "
                f"{forecast - restored:.2f} s; since the process began {restored:.2f} s and {forecast:.2f} s\n"
            )
            sent += NEW
            committed(daemon, sent)
            sys.stdout.flush()
        daemon.kill()


def fill(bootstrap: str, first: int, count: int, series: int) -> int:
    """Send records of so many series in turn; returns the offset after them."""
    with_limit = {"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 2 * count}
    producer = Producer(with_limit)
    for number in range(first, first + count):
        name, round_ = number % series, number // series
        value = b'{"series":"s%d","time":%d,"load":%.3f}' % (name, START + STEP * round_, 50 + (name * 7 + round_) % 24)
        producer.produce(TOPIC, value, partition=0)
    producer.flush(PATIENCE)
    return first + count


def reached(log: object, offset: int) -> bool:
    """Whether the input is committed up to an offset."""
    found = log.committed(TopicPartition(TOPIC, 0))  # type: ignore[attr-defined]
    return found is not None and found.offset >= offset


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
