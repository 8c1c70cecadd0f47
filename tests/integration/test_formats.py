"""Every input format through a whole daemon: one topic each, with restarts, and with a schema registry over HTTP."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.fakes import FakeForecaster, make_task
from support.format_streams import (
    LATER_VALUES,
    MINUTE,
    STREAMS,
    VALUES,
    Sent,
    T,
    at,
    fill,
    pump,
    reading,
)
from support.kafka_probe import Offsets, create_topics
from support.kafka_workers import run_until, stop
from support.log_backends import KafkaWorld, SqliteWorld, kafka_log
from support.schema_registry import RegistryStandIn
from support.worker_harness import RecordingObserver

from streamrnn import app
from streamrnn.formats.catalogue import FORMATS
from streamrnn.log import Topic
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.options import CommitPolicy, Hooks, Limits, StartPolicy
from streamrnn.runtime.task import Task
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings, from_sections

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("bare_environment")]

MESSAGE = "__streams.errors.message"
Outcome = tuple[list[tuple[str, int, float]], str]
"""Forecasts (series, time, value) and reason of the dead letter of one record."""


class Daemon:
    """Workers of one application, one after another, whose topics each have a section `input`."""

    def __init__(
        self, name: str, log: Mapping[str, Any], registry: str, inputs: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.topics = {each: f"{name}-{each}" for each in inputs}
        shared = {**log, "app": name, "output": {"state": "{topic}.state"}, "schema_registry": {"url": registry}}
        self._settings: dict[str, Settings] = {
            topic: from_sections({**shared, "input": {"topics": [topic], **inputs[each]}})
            for each, topic in self.topics.items()
        }
        self.sent: dict[TopicPartition, list[Sent]] = {}

    def worker(self, *, interval: float = 0.3, snapshots: float = 0.0) -> Worker:
        """Return a worker; both parameters are seconds, between commits and snapshots."""
        first = next(iter(self._settings.values()))
        outputs = {topic: app.output_topics(first, topic) for topic in self._settings}
        self.observer = RecordingObserver()

        def task(partition: TopicPartition) -> Task:
            decoder = app.decoder(self._settings[partition.topic])
            return make_task(FakeForecaster(), decode=decoder, partition=partition, topics=outputs[partition.topic])

        return Worker(
            connect=lambda: app.open_log(first),
            make_task=task,
            outputs=outputs,
            start=StartPolicy(),
            commits=CommitPolicy(interval, snapshots),
            hooks=Hooks(observer=self.observer),
            limits=Limits(),
            clock=SimpleNamespace(monotonic=time.monotonic, sleep=time.sleep),
        )

    def records(self, name: str, batch: Sequence[Sent], partition: int = 0) -> list[Record]:
        """Return the next records of a topic."""
        before = self.sent.setdefault(TopicPartition(self.topics[name], partition), [])
        first = len(before)
        before += batch
        return [
            Record(self.topics[name], partition, first + n, each.timestamp, each.key, each.value, each.headers)
            for n, each in enumerate(batch)
        ]

    @property
    def ends(self) -> dict[TopicPartition, int]:
        """The number of records in each partition."""
        return {partition: len(each) for partition, each in self.sent.items()}

    def check(self, world: KafkaWorld | SqliteWorld) -> None:
        """Check that every record has exactly its outcome."""
        for topic in self._settings:
            names = app.output_topics(self._settings[topic], topic)
            found: dict[tuple[int, int], Outcome] = {}
            for each in world.read(names.forecasts):
                document = json.loads(each.value or b"")
                assert each.key == document["series"].encode()
                place = each.partition, document["source"]["offset"]
                forecasts, _ = found.setdefault(place, ([], ""))
                forecasts.append((document["series"], document["time"], document["value"]))
            for each in world.read(names.dead_letters):
                headers = dict(each.headers)
                place = each.partition, int(headers["__streams.errors.offset"] or b"")
                forecasts, reason = found.get(place, ([], ""))
                assert not reason
                found[place] = forecasts, (headers[MESSAGE] or b"").decode().partition(":")[0]
            expected = {
                (partition.partition, offset): (list(each.forecasts), each.reason)
                for partition, batch in self.sent.items()
                for offset, each in enumerate(batch)
                if partition.topic == topic and (each.forecasts or each.reason)
            }
            assert found == expected, topic


@pytest.fixture
def registry() -> Iterator[RegistryStandIn]:
    """Yield a registry with the schemas of the streams."""
    with RegistryStandIn() as started:
        fill(started)
        yield started


def kafka(broker: str, client: str) -> dict[str, Any]:
    """Return the sections of the configuration for a broker."""
    return {"kafka": {"bootstrap_servers": broker, "client": client, "request_timeout": "5s"}}


def send(daemon: Daemon, world: KafkaWorld | SqliteWorld, batches: Mapping[str, list[Sent]]) -> None:
    """Append the next records of topics."""
    for name, batch in batches.items():
        world.produce(daemon.topics[name], daemon.records(name, batch))


def kill_before_commit(daemon: Daemon, world: KafkaWorld | SqliteWorld, reached: Callable[[], bool]) -> None:
    """Send the first part, and kill a worker that has not committed the most of it."""
    with closing(daemon.worker(interval=3600.0, snapshots=3600.0)) as worker:  # `close` loses what is not committed
        for part in (slice(1), slice(1, 2), slice(2, None)):  # two commits may come between
            send(daemon, world, {name: STREAMS[name].first[part] for name in daemon.topics})
            run_until(worker, lambda: fed(daemon) == sum(daemon.ends.values()), "the first part")
        assert not reached()


def kill_after_snapshot(
    daemon: Daemon, world: KafkaWorld | SqliteWorld, reached: Callable[[], bool], caplog: pytest.LogCaptureFixture
) -> None:
    """Kill a worker that has committed the first part with its state, and send the second part, which needs it."""
    caplog.set_level(logging.INFO)
    with closing(daemon.worker()) as worker:
        saved = daemon.observer.saved
        run_until(worker, lambda: all(saved[each] for each in daemon.ends) and reached(), "the first part")
    caplog.clear()
    worker = daemon.worker()
    run_until(worker, lambda: restored(caplog) == len(daemon.topics), "all partitions")
    assert not any(each.replaying for each in caplog.records if each.message == "task_restored")  # type: ignore[attr-defined]
    send(daemon, world, {name: STREAMS[name].second for name in daemon.topics})
    run_until(worker, reached, "the second part")
    stop(worker)


def restored(caplog: pytest.LogCaptureFixture) -> int:
    """Return how many partitions have been restored."""
    return len({each.topic for each in caplog.records if each.message == "task_restored"})  # type: ignore[attr-defined]


def fed(daemon: Daemon) -> int:
    """Return how many records a worker has fed."""
    return sum(each.records for each in daemon.observer.reports)


def test_the_streams_are_of_all_formats() -> None:
    """No format is left out."""
    assert {stream.input.get("format", "json") for stream in STREAMS.values()} == FORMATS.keys()


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("client", "names"),
    [
        ("confluent", ["avro", "sparkplug", "influx", "csv"]),
        ("kafka-python", ["avro", "sparkplug"]),
        pytest.param("confluent", list(STREAMS), marks=pytest.mark.long),
    ],
    ids=["confluent", "kafka-python", "all"],
)
def test_every_format_through_kafka(
    broker: str, name: str, registry: RegistryStandIn, caplog: pytest.LogCaptureFixture, client: str, names: list[str]
) -> None:
    """Each record ends in its forecasts, its dead letter or a drop, exactly once; what formats remember survives."""
    kafka_log(client)
    daemon = Daemon(name, kafka(broker, client), registry.url, {each: STREAMS[each].input for each in names})
    create_topics(broker, *daemon.topics.values(), partitions=1)
    world = KafkaWorld(broker)
    send(daemon, world, {each: STREAMS[each].first for each in names})
    with closing(Offsets(broker, name)) as offsets:
        kill_after_snapshot(daemon, world, lambda: offsets.reached(daemon.ends), caplog)
    daemon.check(world)


def test_every_format_through_sqlite(
    tmp_path: Path, name: str, registry: RegistryStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """The same with the embedded log, and with a kill before the first records are committed."""
    log = {"log": "sqlite", "sqlite": {"path": tmp_path / "log.db"}}
    daemon = Daemon(name, log, registry.url, {each: stream.input for each, stream in STREAMS.items()})
    world = SqliteWorld(tmp_path / "log.db")
    with closing(world.open(name)) as opened:
        opened.create([Topic(topic, 1) for topic in daemon.topics.values()])

        def reached() -> bool:
            committed = {partition: opened.committed(partition) for partition in daemon.ends}
            return all(found is not None and found.offset >= daemon.ends[each] for each, found in committed.items())

        kill_before_commit(daemon, world, reached)
        kill_after_snapshot(daemon, world, reached, caplog)
    daemon.check(world)


@pytest.mark.kafka
def test_an_outage_of_the_registry_stops_only_what_needs_it(
    broker: str, name: str, registry: RegistryStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """A partition waits with its records for a schema while others go on, also after a restart, and nothing is lost."""
    inputs = {"avro": STREAMS["avro"].input, "json": {"time": "at"}}
    daemon, world = Daemon(name, kafka(broker, "auto"), registry.url, inputs), KafkaWorld(broker)
    known, new, plain = (
        TopicPartition(daemon.topics[topic], n) for topic, n in (("avro", 0), ("avro", 1), ("json", 0))
    )
    create_topics(broker, known.topic, partitions=2)
    create_topics(broker, plain.topic, partitions=1)

    def append(minute: int, *partitions: TopicPartition, schema: int = VALUES) -> None:
        for partition in partitions:
            sent = Sent(reading(minute, 1.5, schema), [at("7/x", minute, 1.5)], key=pump(7))
            if partition == plain:
                sent = Sent(b'{"at": %d, "x": 1.5}' % (T + minute * MINUTE), [at("k/x", minute, 1.5)])
            topic = next(each for each, full in daemon.topics.items() if full == partition.topic)
            world.produce(partition.topic, daemon.records(topic, [sent], partition.partition))

    def reached(*partitions: TopicPartition) -> bool:
        return offsets.reached({each: daemon.ends[each] for each in partitions})

    with closing(Offsets(broker, name)) as offsets:
        with closing(daemon.worker()) as worker:
            append(0, known, new, plain)
            run_until(worker, lambda: reached(known, new, plain), "the first records")
            registry.failure = 503
            append(1, new, schema=LATER_VALUES)
            append(2, known, new, plain)
            run_until(worker, lambda: reached(known, plain) and daemon.observer.restarts[new] > 1, "the others")
            assert not reached(new)
            assert f"not restored yet: {new}" in worker.not_ready_reason
        app._registry.cache_clear()  # as a new process has no schemas
        worker = daemon.worker()
        append(3, known, plain)
        run_until(worker, lambda: reached(plain) and daemon.observer.restarts[known] > 1, "what needs no schema")
        assert not reached(known)
        assert daemon.observer.restarts.keys() == {known, new}
        assert {"answered HTTP 503" in each.error for each in caplog.records if each.message == "task_failed"} == {True}  # type: ignore[attr-defined]
        registry.failure = 0
        run_until(worker, lambda: reached(known, new), "all records")
        stop(worker)
    daemon.check(world)
