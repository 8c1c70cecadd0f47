"""A broker that creates topics on demand: an application creates its outputs and no other topic."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest
from support.broker import Broker
from support.kafka_probe import Offsets, admin, create_topics
from support.kafka_workers import kafka_worker
from support.log_backends import PATIENCE, KafkaWorld, join

from streamrnn import app, cli
from streamrnn.errors import LogError
from streamrnn.log import Topic
from streamrnn.records import Output, Record, TopicPartition
from streamrnn.settings import Settings, load

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120), pytest.mark.usefixtures("bare_environment")]

Topics = Callable[[], set[str]]


@pytest.fixture(scope="module")
def creating() -> Iterator[str]:
    """Yield the address of a broker that creates every requested topic, unless the client forbids it."""
    broker = Broker()
    broker.settings["auto.create.topics.enable"] = "true"
    with broker:
        yield broker.bootstrap


@pytest.fixture
def topics(java: None, creating: str, name: str) -> Topics:
    """Return a function that lists the topics of this test: those whose names begin with its name."""

    def listed() -> set[str]:
        with closing(admin(creating)) as client:
            return {topic for topic in client.list_topics() if topic.startswith(name)}

    return listed


def overrides(bootstrap: str, client: str, name: str) -> list[str]:
    """Return the configuration under test as values of `--set`; the application is not named like a topic."""
    kafka = [f"kafka.bootstrap_servers={bootstrap}", f"kafka.client={client}"]
    return [*kafka, f"app={name}.app", f"input.topics={name}.in", "commit.interval=100ms"]


def test_check_creates_no_topic(
    creating: str, client: str, name: str, topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check --connect` finds no input topic, and leaves the broker without one."""
    options = [word for each in overrides(creating, client, name) for word in ("--set", each)]
    assert cli.main(["check", "--connect", *options]) == 0
    assert f"{name}.in: does not exist yet" in capsys.readouterr().out
    assert topics() == set()


def test_a_worker_creates_only_its_outputs(creating: str, client: str, name: str, topics: Topics) -> None:
    """A worker waits for its input topic without creating it; later, it creates its outputs and nothing else."""
    settings = load(None, overrides(creating, client, name))
    source = TopicPartition(f"{name}.in", 0)
    found: list[set[str]] = []

    def wait(seconds: float) -> None:
        if not found:
            found.append(topics())
            create_topics(creating, source.topic, partitions=1)
            KafkaWorld(creating).produce(source.topic, [Record("", 0, -1, 1_700_000_000_000, b"key", b'{"value": 1}')])
        time.sleep(seconds)

    with closing(kafka_worker(settings, sleep=wait)) as running, closing(Offsets(creating, settings.app)) as offsets:
        deadline = time.monotonic() + PATIENCE
        while not offsets.committed(source):
            running.run_once()
            assert time.monotonic() < deadline, running.not_ready_reason
    assert found == [set()]
    assert topics() == {source.topic, *app.output_topics(settings, source.topic).names}


def targets(settings: Settings, topic: str) -> dict[str, str]:
    """Return the names of the topics that a task writes to."""
    outputs = app.output_topics(settings, topic)
    return {"forecasts": outputs.forecasts, "dead_letters": outputs.dead_letters}


def test_requests_about_missing_topics_create_none(creating: str, client: str, name: str, topics: Topics) -> None:
    """No request about a missing topic creates it, whether of a reader, a writer or the group."""
    missing = TopicPartition(f"{name}.missing", 0)
    world = KafkaWorld(creating, client)
    with closing(world.open(f"{name}.app", request_timeout=2.0)) as log:
        log.create([Topic(f"{name}.in", 1)])
        (source,) = join(log, f"{name}.in")
        with closing(log.transaction(source)) as transaction, pytest.raises(LogError):
            transaction.send([Output(missing.topic, 0, b"key", b"value", 1_700_000_000_000)])
        assert log.partitions(missing.topic) == 0
        assert log.committed(missing) is None
        for request in (log.bounds, log.read_state, partial(read, world, f"{name}.app")):
            with pytest.raises(LogError):
                request(missing)
        with pytest.raises(LogError):
            log.subscribe([missing.topic])
    assert topics() == {f"{name}.in"}


def read(world: KafkaWorld, app: str, partition: TopicPartition) -> None:
    """Read a record of a topic that was deleted after its bounds were read."""
    with closing(world.open(app, transaction_timeout=1.0)) as log, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "bounds", lambda _: (0, 1))
        list(log.read(partition, 0, 1))
