"""The two promises of the whole daemon over a real Kafka: the backtest's bytes, and exactly once through every kill."""

import itertools
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from support.fork_server import ForkServer
from support.kafka_probe import Offsets, create_topics, dying
from support.log_backends import PATIENCE, KafkaWorld
from support.process import Daemon, until

from streamrnn import app
from streamrnn.commands import run
from streamrnn.commands.backtest import backtest
from streamrnn.commands.demo.streams import FOLDER
from streamrnn.log.files import read_csv
from streamrnn.records import Output, Record, TopicPartition
from streamrnn.runtime.options import CommitPolicy, Hooks, Limits, StartPolicy
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings, load

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

ALONE = ("nyc_taxi", "machine_temp", "tweets_a")
"""Streams with a partition each; the last has three fields."""
SHARING = ("cpu_asg", "aws_cpu_a")
"""Streams in one partition."""


def configured(bootstrap: str, topic: str, *overrides: str) -> Settings:
    """The configuration of the daemon under test."""
    fixed = ["device=cpu", "input.key=series", "input.time=time", f"input.topics={topic}", f"app={topic}"]
    return load(None, [*fixed, f"kafka.bootstrap_servers={bootstrap}", *overrides])


def with_key_and_time(record: Record) -> bytes:
    """A CSV row's value as a topic holds it that several keys share."""
    assert record.value is not None
    return b'{"series":"%s","time":%d,' % (record.topic.encode(), record.timestamp) + record.value[1:]


def files_and_topic(folder: Path, rows: int) -> tuple[list[Path], list[Record]]:
    """Bundled streams, cut, as one file per partition, and the same as records of a topic's partitions."""
    for stream in (*ALONE, *SHARING):
        with (FOLDER / f"{stream}.csv").open() as whole:
            (folder / f"{stream}.csv").write_text("".join(itertools.islice(whole, rows + 1)))
    parts = {stream: list(read_csv(folder / f"{stream}.csv", number)) for number, stream in enumerate(ALONE)}
    shared = [record for stream in SHARING for record in read_csv(folder / f"{stream}.csv", len(ALONE))]
    parts["shared"] = sorted(shared, key=lambda record: record.offset)  # the two turn about, their rows in order
    for name, records in parts.items():
        (folder / f"{name}.jsonl").write_bytes(b"".join(with_key_and_time(record) + b"\n" for record in records))
    return [folder / f"{name}.jsonl" for name in parts], [
        record._replace(value=with_key_and_time(record)) for records in parts.values() for record in records
    ]


def work(settings: Settings, ends: dict[TopicPartition, int], poll_records: int) -> None:
    """Run the daemon's worker, as `run.run` composes it, until all is committed."""
    worker = Worker(
        connect=lambda: app.open_log(settings),
        make_task=lambda partition: app.task(settings, partition),
        outputs={topic: app.output_topics(settings, topic) for topic in settings.input.topics},
        start=StartPolicy(settings.input.start),
        commits=CommitPolicy(**settings.commit.model_dump()),
        hooks=Hooks(observer=run.make_metrics(settings)),
        limits=Limits(poll_records=poll_records),
    )
    with closing(worker), closing(Offsets(settings.kafka.bootstrap_servers, settings.app)) as offsets:
        while not offsets.reached(ends):
            worker.run_once()


def same_as_backtest(broker: str, topic: str, folder: Path, *, rows: int, poll_sizes: Sequence[int]) -> None:
    """Compare what the worker writes, once per poll size, with the backtest's file."""
    files, records = files_and_topic(folder, rows)
    backtest(configured(broker, topic), files, folder / "expected.jsonl")
    expected = (folder / "expected.jsonl").read_bytes().splitlines()
    assert len(expected) == rows * 9  # fields: 1 + 1 + 3 + 1 + 3
    world = KafkaWorld(broker)
    create_topics(broker, topic, *(f"{topic}.by-{size}" for size in poll_sizes), partitions=len(files))
    world.produce(topic, records)
    ends = {
        TopicPartition(topic, number): sum(record.partition == number for record in records)
        for number in range(len(files))
    }
    for size in poll_sizes:
        settings = configured(
            broker, topic, f"app={topic}-{size}", f"output.forecasts={{topic}}.by-{size}", "commit.interval=50ms",
            "commit.snapshot_interval=200ms",
        )  # fmt: skip
        work(settings, ends, size)
        published = world.read(f"{topic}.by-{size}")
        assert [record.value for record in published] == expected
        assert world.read(f"{topic}.dead-letters") == []
        for record in published:
            assert record.value is not None
            assert record.key is not None
            assert record.headers == ()
            assert record.value.startswith(b'{"series":"%s","time":%d,' % (record.key, record.timestamp))
            assert b'"partition":%d,' % record.partition in record.value


def test_the_same_streams_through_kafka_give_the_bytes_of_the_backtest(broker: str, name: str, tmp_path: Path) -> None:
    """Over Kafka each partition gets, record for record, the bytes that the backtest gives, whatever the poll sizes.

    Even `source` agrees, since topic, partitions and offsets are those of the files here.
    """
    same_as_backtest(broker, name, tmp_path, rows=250, poll_sizes=(7, 2000))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_longer_streams_through_kafka_give_the_bytes_of_the_backtest(broker: str, name: str, tmp_path: Path) -> None:
    """The same law over more rows and more poll sizes."""
    same_as_backtest(broker, name, tmp_path, rows=2000, poll_sizes=(3, 101, 500, 2000))


class Trickle:
    """A producer that sends a few records at a time, so that the daemon has always just been given something."""

    def __init__(self, bootstrap: str, topic: str, records: Sequence[Record]) -> None:
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, metrics_enabled=False)
        self._topic = topic
        self._left = iter(records)
        self.sent = 0

    def send(self, count: int) -> None:
        """Send the next records, and wait until the broker has them."""
        batch = list(itertools.islice(self._left, count))
        assert batch, "the input is used up"
        futures = [
            self._producer.send(self._topic, partition=r.partition, key=r.key, value=r.value, timestamp_ms=r.timestamp)
            for r in batch
        ]
        self._producer.flush(timeout=PATIENCE)
        assert all(future.succeeded() for future in futures)
        self.sent += len(batch)

    def close(self) -> None:
        """Let go of the broker."""
        self._producer.close()


def stream(count: int, chance: random.Random) -> list[Record]:
    """Records of two partitions with three keys each; some are bad, some repeat a time."""
    records = []
    for number in range(count):
        partition, key = number % 2, chance.randrange(3)
        time = 1_700_000_000_000 + 60_000 * (number - 2 * (chance.random() < 0.02))
        value = b'{"series":"pump-%d","time":%d,"load":%.3f}' % (key, time, 50 + 9 * chance.random() + number % 24)
        if chance.random() < 0.02:
            value = b'{"series":"pump-%d","time":"yesterday"}' % key
        records.append(Record("", partition, number, time, b"pump-%d" % key, value))
    return records


def uninterrupted(settings: Settings, topic: str, records: Sequence[Record]) -> list[Output]:
    """Return the outputs of one task per partition for the whole input, fed at once."""
    outputs: list[Output] = []
    for number in (0, 1):
        task = app.task(settings, TopicPartition(topic, number))
        outputs += task.feed([record for record in records if record.partition == number])[0]
    return outputs


def seen(record: Output | Record) -> tuple[object, ...]:
    """Return what must be the same in a record."""
    return record.partition, record.key, record.value, record.timestamp, record.headers


SMALL = (
    "model.hidden_size=8", "learning.window=12", "learning.most=8", "learning.every=4", "commit.interval=20ms",
    "commit.snapshot_interval=1s", "kafka.session_timeout=6s",
)  # fmt: skip
"""A learning step every eight records, commits between any two of them, a snapshot now and then."""


MAX_LAG = 100  # records: the daemon never has less to do for long, nor runs through all in one go


class Victim:
    """One application whose daemon is killed and started again, while its input trickles in.

    Daemons that are killed are forked from `fork_server`; the others are started as a user starts them.
    """

    def __init__(
        self, broker: str, topic: str, folder: Path, records: Sequence[Record], fork_server: ForkServer | None = None
    ) -> None:
        self.restored: list[dict[str, object]] = []
        """The log's line on each task that was restored after a kill."""
        self._broker, self._topic, self._folder, self._fork_server = broker, topic, folder, fork_server
        self._lives = 0
        self._partitions = [TopicPartition(topic, number) for number in (0, 1)]
        with ExitStack() as stack:
            self.input = stack.enter_context(closing(Trickle(broker, topic, records)))
            self._offsets = stack.enter_context(closing(Offsets(broker, topic)))
            self._closing = stack.pop_all()

    def close(self) -> None:
        """Let go of the broker."""
        self._closing.close()

    @contextmanager
    def life(self, *more: str, **options: Any) -> Iterator[Daemon]:
        """Start the daemon, with `more` keys set; at the end of the block it is killed if it still runs."""
        self._lives += 1
        places = [f"app={self._topic}", f"input.topics={self._topic}", f"kafka.bootstrap_servers={self._broker}"]
        overrides = ["device=cpu", "input.key=series", "input.time=time", *places, *SMALL, *more]
        with Daemon(self._folder, overrides, **options) as daemon:
            yield daemon
        if self._lives > 1:
            self.restored += daemon.events("task_restored")

    def committed(self) -> int:
        """Records of which the offsets are committed."""
        return sum(self._offsets.committed(partition) for partition in self._partitions)

    def _send_some(self) -> None:
        """Send some more, unless the daemon has enough to do."""
        if self.input.sent - self.committed() < MAX_LAG:
            self.input.send(5)
        else:
            time.sleep(0.01)

    def killed_learning(self, step: int) -> None:
        """Live until a learning step, and die in it."""
        with self.life(before=dying(step), fork_server=self._fork_server) as daemon:
            while daemon.process.poll() is None:
                self._send_some()
            assert daemon.process.returncode == -signal.SIGKILL, daemon.stderr

    def killed(self, more: int) -> None:
        """Run until `more` further records are committed, then kill the process."""
        with self.life(fork_server=self._fork_server) as daemon:
            goal = self.committed() + more
            while daemon.alive() and self.committed() < goal:
                self._send_some()
            daemon.kill()

    def finished(self, count: int) -> None:
        """Live until everything is committed, and end cleanly."""
        with self.life() as daemon:
            self.input.send(count)
            until(lambda: daemon.alive() and self.committed() == count, "everything committed")
            assert daemon.stop()[0] == 0


def exactly_once(
    broker: str, topic: str, folder: Path, fork_server: ForkServer, *, lives: Sequence[str], count: int, seed: int
) -> None:
    """Kill a daemon in the ways given, and compare all that it has written with an uninterrupted run."""
    chance = random.Random(seed)
    records = stream(count, chance)
    create_topics(broker, topic, f"{topic}.forecasts", f"{topic}.dead-letters", partitions=2)
    with closing(Victim(broker, topic, folder, records, fork_server)) as victim:
        for way in lives:
            if way == "learning":
                victim.killed_learning(chance.randrange(20, 40))
            else:
                victim.killed(chance.randrange(50, 200))
        assert victim.input.sent < count
        victim.finished(count)
    assert any(line["replaying"] for line in victim.restored)  # else nothing of replays was tried
    assert any(line["offset"] for line in victim.restored)  # nor of snapshots
    same_as_uninterrupted(broker, topic)


def same_as_uninterrupted(broker: str, topic: str) -> None:
    """Compare all that was written with an uninterrupted run over the same input."""
    world = KafkaWorld(broker)
    expected = uninterrupted(configured(broker, topic, *SMALL), topic, world.read(topic))
    for name in (f"{topic}.forecasts", f"{topic}.dead-letters"):
        written = [seen(record) for record in world.read(name)]
        assert written
        assert written == [seen(output) for output in expected if output.topic == name]


@pytest.mark.long
def test_a_daemon_killed_again_and_again_writes_every_forecast_once(
    broker: str, name: str, tmp_path: Path, fork_server: ForkServer
) -> None:
    """Killed in a learning step and at any moment, the daemon has the outputs of an uninterrupted run, once each."""
    exactly_once(broker, name, tmp_path, fork_server, lives=["learning", "any moment"], count=900, seed=1)


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.long
def test_two_workers_share_the_partitions(broker: str, name: str, tmp_path: Path) -> None:
    """Each takes some; one that is killed is started again; all is written once; SIGTERM ends them all with 0."""
    records = stream(600, random.Random(5))
    create_topics(broker, name, f"{name}.forecasts", f"{name}.dead-letters", partitions=2)
    with closing(Victim(broker, name, tmp_path, records)) as victim, victim.life("workers=2") as daemon:
        until(lambda: len({event["partition"] for event in daemon.events("task_restored")}) == 2, "both partitions")
        victim.input.send(300)
        until(lambda: daemon.alive() and victim.committed() == 300, "the first half")
        killed, _ = children(daemon.process.pid)
        os.kill(killed, signal.SIGKILL)
        victim.input.send(300)
        until(lambda: daemon.alive() and victim.committed() == 600, "the second half")
        (ended,) = daemon.events("worker_ended")
        assert ended["code"] == -signal.SIGKILL
        assert daemon.stop()[0] == 0
    same_as_uninterrupted(broker, name)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_many_kills_lose_and_repeat_nothing(
    broker: str, name: str, tmp_path: Path, fork_server: ForkServer, seed: int
) -> None:
    """The same law through many more kills."""
    exactly_once(
        broker, name, tmp_path, fork_server, count=2500, seed=seed,
        lives=["any moment", "learning", "any moment", "any moment", "learning", "any moment"],
    )  # fmt: skip
