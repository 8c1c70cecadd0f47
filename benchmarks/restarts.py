"""Measure how long readers wait after a daemon is killed under a steady load and restarted at once, over Kafka.

PYTHONPATH=tests:. python -m benchmarks.restarts
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as KafkaPartition
from support.kafka_probe import create_topics
from support.process import Daemon, until

from benchmarks.workload import START, STEP, kafka, spread, write_line

SURELY_NEW = (
    0.3  # seconds after the kill: forecasts committed before it have reached the readers, and no later ones have
)
PATIENCE = 60.0
LATEST = -1
"""librdkafka's offset for the end of a partition."""


class Load:
    """Feed a topic at a steady rate, and record when forecasts of each partition arrive."""

    def __init__(self, bootstrap: str, topic: str, *, partitions: int, series: int, per_second: float) -> None:
        self.arrivals: list[tuple[float, int]] = []
        """Arrival times and partitions of forecasts."""
        self.sent = 0
        self._topic, self._partitions, self._series, self._pace = topic, partitions, series, per_second
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
        reading = {"bootstrap.servers": bootstrap, "group.id": "readers", "isolation.level": "read_committed"}
        self._consumer = Consumer({**reading, "fetch.wait.max.ms": 20})
        self._consumer.assign([KafkaPartition(f"{topic}.forecasts", n, LATEST) for n in range(partitions)])
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._feed, self._read)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _feed(self) -> None:
        chance, begun = random.Random(1), time.monotonic()
        while not self._ended.wait(0.01):
            while self.sent < self._pace * (time.monotonic() - begun):
                series, round_ = self.sent % self._series, self.sent // self._series
                value = b'{"series":"s%d","time":%d,"load":%.3f}' % (
                    series, START + STEP * round_, 50 + 9 * chance.random() + round_ % 24,
                )  # fmt: skip
                self._producer.produce(self._topic, value, partition=series % self._partitions)
                self.sent += 1
            self._producer.poll(0)
        self._producer.flush(PATIENCE)

    def _read(self) -> None:
        while not self._ended.is_set():
            for message in self._consumer.consume(1000, 0.02):
                if message.error() is None:
                    self.arrivals.append((time.monotonic(), message.partition()))
        self._consumer.close()

    def first_after(self, when: float) -> float | None:
        """Return when the first forecast after `when` arrived."""
        return min((each for each, _ in self.arrivals if each > when), default=None)

    def all_after(self, when: float) -> float | None:
        """Return when every partition has had a forecast after `when`."""
        firsts: dict[int, float] = {}
        for each, partition in self.arrivals:
            if each > when:
                firsts.setdefault(partition, each)
        return max(firsts.values()) if len(firsts) == self._partitions else None


def main(argv: Sequence[str]) -> int:
    """Print the measurements."""
    parser = argparse.ArgumentParser(prog="restarts", allow_abbrev=False)
    parser.add_argument("--client", choices=("kafka-python", "confluent"), default="confluent")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--series", type=int, default=12)
    parser.add_argument("--per-second", type=float, default=100, help="records of all partitions")
    parser.add_argument(
        "--between",
        type=float,
        default=12,
        help="most seconds between two kills; at least half of it",
    )
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--bootstrap-servers", help="default: a broker started for the benchmark")
    given = parser.parse_args(argv)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installation has its bytecode: making it takes half a second
    with kafka(given.bootstrap_servers) as bootstrap, tempfile.TemporaryDirectory() as folder:
        waits = measure(bootstrap, Path(folder), given)
    for name, column in zip(("any partition", "all partitions"), zip(*waits, strict=True), strict=True):
        write_line(f"{given.client}, seconds to a forecast of {name}: {spread(column, '{:.2f}')}")
    return 0


def measure(bootstrap: str, folder: Path, given: argparse.Namespace) -> list[tuple[float, float]]:
    """Return the seconds from each kill to the next forecast of any partition, and of all partitions."""
    topic, chance, waits = f"restarts-{os.getpid()}", random.Random(2), []
    overrides = [
        "device=cpu", "input.key=series", "input.time=time", f"app={topic}", f"input.topics={topic}",
        f"kafka.bootstrap_servers={bootstrap}", f"kafka.client={given.client}", "kafka.instance=one",
        *given.overrides,
    ]  # fmt: skip
    create_topics(bootstrap, topic, f"{topic}.forecasts", partitions=given.partitions)
    daemon = Daemon(folder, overrides)
    with Load(bootstrap, topic, partitions=given.partitions, series=given.series, per_second=given.per_second) as load:
        until(lambda: load.all_after(0.0) is not None, "forecasts of all partitions")
        for _ in range(given.times):
            time.sleep(given.between * chance.uniform(0.5, 1.0))
            assert daemon.alive()
            daemon.kill()
            killed = time.monotonic()
            daemon = Daemon(folder, overrides)
            until(lambda killed=killed: load.all_after(killed + SURELY_NEW) is not None, "forecasts again")  # type: ignore[misc]
            first, last = load.first_after(killed + SURELY_NEW), load.all_after(killed + SURELY_NEW)
            assert first is not None
            assert last is not None
            waits.append((first - killed, last - killed))
            write_line(f"{first - killed:.2f} {last - killed:.2f}")
        daemon.kill()
    return waits


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
