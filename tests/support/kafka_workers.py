"""The daemon's worker with small fake tasks over a real Kafka, in this process."""

import time
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from support.fakes import FakeForecaster, make_task
from support.kafka_probe import Offsets, admin
from support.log_backends import PATIENCE
from support.worker_harness import RecordingObserver

from streamrnn import app
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.options import CommitPolicy, Hooks, Limits, StartPolicy
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings, load

T = 1_700_000_000_000


def settings_of(bootstrap: str, client: str, name: str, *overrides: str) -> Settings:
    """Return a configuration whose input topic and application have this name."""
    kafka = [f"kafka.bootstrap_servers={bootstrap}", f"kafka.client={client}", "kafka.request_timeout=5s"]
    return load(None, [*kafka, f"app={name}", f"input.topics={name}", "commit.interval=100ms", *overrides])


def kafka_worker(
    settings: Settings,
    *,
    sleep: Callable[[float], None] = time.sleep,
    observer: RecordingObserver | None = None,
    size: int = 4,
    accept_new_topic: bool = False,
    **limits: Any,
) -> Worker:
    """Return a worker; `size` is that of the fake forecaster, in numbers per series."""
    return Worker(
        connect=lambda: app.open_log(settings),
        make_task=lambda partition: make_task(
            FakeForecaster(size=size), partition=partition, topics=app.output_topics(settings, partition.topic)
        ),
        outputs={topic: app.output_topics(settings, topic) for topic in settings.input.topics},
        start=StartPolicy(accept_new_topic=accept_new_topic),
        commits=CommitPolicy(settings.commit.interval, snapshot_interval=30.0),
        hooks=Hooks(observer=observer or RecordingObserver()),
        limits=Limits(**limits),
        clock=SimpleNamespace(monotonic=time.monotonic, sleep=sleep),
    )


def run_until(worker: Worker, satisfied: Callable[[], bool], what: str = "", patience: float = PATIENCE) -> None:
    """Run the loop until a condition is true."""
    deadline = time.monotonic() + patience
    while not satisfied():
        worker.run_once()
        assert time.monotonic() < deadline, f"{what}: {worker.not_ready_reason}"


def run_to(worker: Worker, settings: Settings, offset: int, partition: int = 0) -> None:
    """Run the loop until this offset of the input is committed."""
    with closing(Offsets(settings.kafka.bootstrap_servers, settings.app)) as offsets:
        source = TopicPartition(settings.input.topics[0], partition)
        run_until(worker, lambda: offsets.committed(source) >= offset, f"offset {offset} of {source}")


def stop(worker: Worker) -> None:
    """Stop cleanly: commit everything with its state, and leave the group."""
    worker.stop()
    worker.run()


def make_topic(bootstrap: str, name: str, partitions: int = 1, **configs: object) -> None:
    """Create a topic without retention; underscores in the names of its configuration stand for dots."""
    given = {"retention.ms": "-1"} | {key.replace("_", "."): str(value) for key, value in configs.items()}
    with closing(admin(bootstrap)) as client:
        client.create_topics([NewTopic(name, partitions, 1, topic_configs=given)])
        client.wait_for_topics([name], timeout_ms=10_000)


def configure_topic(bootstrap: str, name: str, **configs: object) -> None:
    """Change the configuration of a topic."""
    given = {key.replace("_", "."): str(value) for key, value in configs.items()}
    with closing(admin(bootstrap)) as client:
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=given)])


def delete_topic(bootstrap: str, name: str) -> None:
    """Delete a topic and wait until it is gone."""
    deadline = time.monotonic() + PATIENCE
    with closing(admin(bootstrap)) as client:
        client.delete_topics([name])
        while name in client.list_topics():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def observations(first: int, end: int) -> list[Record]:
    """Return the observations `first` to `end`, excluding it, of one series, a second apart."""
    return [
        Record("", 0, -1, T + n, b"k", b'{"series":"s","time":%d,"a":%d.5}' % (T + 1000 * n, n))
        for n in range(first, end)
    ]
