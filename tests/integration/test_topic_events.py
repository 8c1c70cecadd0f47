"""Topics with lives of their own on a real broker: deleted, created again, extended, limited, emptied by retention."""

import json
import random
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from confluent_kafka import TopicPartition as ConfluentPartition
from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaPartition
from support.kafka_probe import admin
from support.kafka_workers import (
    configure_topic,
    delete_topic,
    kafka_worker,
    make_topic,
    run_to,
    run_until,
    settings_of,
    stop,
)
from support.log_backends import KafkaWorld, join, kafka_log
from support.raw_records import RawBatch, RawProducer, RawRecord
from support.worker_harness import RecordingObserver

from streamrnn import app
from streamrnn.commands.check import describe_log
from streamrnn.errors import ConfigError, OutputRefused, StateError
from streamrnn.log import Transaction
from streamrnn.log.confluent import reader as confluent_reader
from streamrnn.log.kafka import reader as kafka_reader
from streamrnn.records import Output, Record, TopicPartition
from streamrnn.runtime.topics import INPUT_SECONDS
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("bare_environment"),
]

T = 1_700_000_000_000


@pytest.fixture(params=[pytest.param("kafka-python", marks=pytest.mark.long), "confluent"])
def client(request: pytest.FixtureRequest) -> str:
    """Return each of Kafka's client libraries."""
    kafka_log(request.param)
    return str(request.param)


@pytest.fixture
def settings(broker: str, client: str, name: str) -> Settings:
    """Return a configuration of its own."""
    return settings_of(broker, client, name)


def numbers(count: int, *, first: int = 0, partition: int = 0, start: int = T) -> list[Record]:
    """Return observations of one series."""
    return [
        Record("", partition, -1, start + n, b"k", b'{"series":"s","time":%d,"a":%d.5}' % (start + 1000 * n, n))
        for n in range(first, first + count)
    ]


def produce(settings: Settings, records: list[Record]) -> None:
    """Write input."""
    KafkaWorld(settings.kafka.bootstrap_servers).produce(settings.input.topics[0], records)


def outputs(settings: Settings, kind: str = "forecasts") -> list[Record]:
    """Return what is published."""
    names = app.output_topics(settings, settings.input.topics[0])._asdict()
    return KafkaWorld(settings.kafka.bootstrap_servers).read(names[kind])


def sources(records: list[Record]) -> list[int]:
    """Return the offsets that forecasts were made from."""
    return [json.loads(each.value or b"")["source"]["offset"] for each in records]


def test_the_input_topic_is_created_again_while_the_process_stands_still(settings: Settings, broker: str) -> None:
    """Nothing of the new topic is committed at the old offset; the flag keeps the state and reads it from its start."""
    (topic,) = settings.input.topics
    make_topic(broker, topic)
    produce(settings, numbers(50))
    with closing(kafka_worker(settings)) as worker:
        run_to(worker, settings, 50)
        delete_topic(broker, topic)
        make_topic(broker, topic)
        produce(settings, numbers(150, first=50))
        time.sleep(INPUT_SECONDS)  # the process stands still
        with pytest.raises(StateError, match=f"topic {topic} was deleted and created again: .*--accept-new-topic"):
            run_until(worker, lambda: False)
    assert sources(outputs(settings)) == list(range(50))
    with closing(kafka_worker(settings)) as worker, pytest.raises(StateError, match="was deleted and created again"):
        run_until(worker, lambda: False)
    with closing(kafka_worker(settings, accept_new_topic=True)) as worker:
        run_to(worker, settings, 150)
        stop(worker)
    assert sources(outputs(settings)) == [*range(50), *range(150)]
    with closing(kafka_worker(settings)) as worker:  # from now on without the flag
        produce(settings, numbers(5, first=200))
        run_to(worker, settings, 155)


def test_partitions_are_added_to_the_input(settings: Settings, broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output topics grow; the other partitions are forecast all the time."""
    # 10 s by default
    monkeypatch.setitem(confluent_reader._READING, "topic.metadata.refresh.interval.ms", 500)
    monkeypatch.setitem(kafka_reader._READING, "metadata_max_age_ms", 500)
    (topic,) = settings.input.topics
    make_topic(broker, topic, partitions=2)
    with closing(kafka_worker(settings)) as worker:
        produce(settings, numbers(20))
        run_to(worker, settings, 20)
        with closing(admin(broker)) as brokers:
            brokers.create_partitions({topic: 3})
        run_until(worker, lambda: outputs_have(settings, 3), "partitions")
        produce(settings, [*numbers(20, partition=2), *numbers(20, first=20)])
        run_to(worker, settings, 20, partition=2)
        run_to(worker, settings, 40)
    assert sorted({each.partition for each in outputs(settings)}) == [0, 2]


def outputs_have(settings: Settings, count: int) -> bool:
    """Return whether all output topics have `count` partitions."""
    names = app.output_topics(settings, settings.input.topics[0])
    with closing(admin(settings.kafka.bootstrap_servers)) as client:
        return all(len(found["partitions"]) == count for found in client.describe_topics(names.names))


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(["state"], marks=pytest.mark.long),
        pytest.param(["forecasts"], marks=pytest.mark.long),
        ["forecasts", "dead_letters", "state"],
    ],
)
def test_output_topics_are_deleted_under_the_daemon(settings: Settings, broker: str, kinds: list[str]) -> None:
    """They are created again; nothing that was learned is lost, and no input is left out."""
    (topic,) = settings.input.topics
    names = app.output_topics(settings, topic)._asdict()
    make_topic(broker, topic)
    observer = RecordingObserver()
    with closing(kafka_worker(settings, observer=observer)) as worker:
        produce(settings, numbers(30))
        run_to(worker, settings, 30)
        for kind in kinds:
            delete_topic(broker, names[kind])
        produce(settings, [*numbers(30, first=30), Record("", 0, -1, T, None, b"bad")])
        run_to(worker, settings, 61)
        state = TopicPartition(names["state"], 0)
        with closing(app.open_log(settings)) as log:
            run_until(worker, lambda: log.partitions(state.topic) > 0 and bool(log.read_state(state)), "the state")
    before = 0 if "forecasts" not in kinds else 30
    assert sources(outputs(settings)) == list(range(before, 60))
    assert len(outputs(settings, "dead_letters")) == 1
    with closing(kafka_worker(settings)) as worker:
        produce(settings, numbers(10, first=60))
        run_to(worker, settings, 71)


@pytest.mark.parametrize(
    ("limit", "start"),
    [("message_timestamp_after_max_ms", 2 * 3600_000), ("message_timestamp_before_max_ms", -365 * 86_400_000)],
)
def test_a_forecasts_topic_that_limits_timestamps(settings: Settings, broker: str, limit: str, start: int) -> None:
    """Records an hour away from now are written with the nearest timestamp allowed, and counted; `check` warns."""
    (topic,) = settings.input.topics
    make_topic(broker, topic, message_timestamp_after_max_ms=2**63 - 1)
    names, observer = app.output_topics(settings, topic), RecordingObserver()
    for each in names[:2]:
        make_topic(broker, each, **{limit: 3_600_000})
    now = time.time_ns() // 1_000_000
    produce(settings, [*numbers(5, start=now + start), Record("", 0, -1, now + start, None, b"bad")])
    with closing(kafka_worker(settings, observer=observer)) as worker:
        run_to(worker, settings, 6)
    found = outputs(settings)
    assert [json.loads(each.value or b"")["time"] for each in found] == [now + start + 1000 * n for n in range(5)]
    assert all(3_300_000 < abs(each.timestamp - now) < 3_660_000 for each in found)
    assert sum(report.moved_timestamps for report in observer.reports) == 6
    key = limit.replace("_", ".")
    assert any(f"topic {names.forecasts} has " in line and f"{key}=3600000" in line for line in describe_log(settings))
    assert any(f"--entity-name {names.forecasts} --add-config " in line for line in describe_log(settings))


def test_limits_that_change_while_the_daemon_runs(settings: Settings, broker: str) -> None:
    """After the refusal, the new limits are read, and the outputs fit them."""
    (topic,) = settings.input.topics
    make_topic(broker, topic)
    names = app.output_topics(settings, topic)
    with closing(kafka_worker(settings)) as worker:
        produce(settings, numbers(5))
        run_to(worker, settings, 5)
        configure_topic(broker, names.forecasts, message_timestamp_before_max_ms=3_600_000)
        configure_topic(broker, names.dead_letters, max_message_bytes=40_000)
        produce(settings, [*numbers(5, first=5), Record("", 0, -1, T, None, bytes(range(256)) * 400)])
        run_to(worker, settings, 11)
    assert sources(outputs(settings)) == list(range(10))
    (letter,) = outputs(settings, "dead_letters")
    assert 30_000 < len(letter.value or b"") < 40_000


def test_a_topic_that_refuses_for_good(settings: Settings, broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon ends with 78, the topic and the command, as when its clock is hours away from the broker's."""
    (topic,) = settings.input.topics
    make_topic(broker, topic)
    names = app.output_topics(settings, topic)
    make_topic(broker, names.forecasts, message_timestamp_before_max_ms=3_600_000)
    monkeypatch.setattr("streamrnn.log.outbox.time", Clock(-5 * 3600))
    produce(settings, numbers(5))
    words = rf"{names.forecasts} has refused it: .*kafka-configs.sh .* --entity-name {names.forecasts} --add-config "
    with (
        closing(kafka_worker(settings, refused_after=1.0)) as worker,
        pytest.raises(OutputRefused, match=words) as raised,
    ):
        run_until(worker, lambda: False)
    assert raised.value.exit_code == 78


def test_topics_of_the_wrong_kind(settings: Settings, broker: str) -> None:
    """State in a topic that deletes it, and dead letters without a key in a compacted one: 78 and what to run."""
    (topic,) = settings.input.topics
    make_topic(broker, topic)
    names = app.output_topics(settings, topic)
    make_topic(broker, names.dead_letters, cleanup_policy="compact")
    make_topic(broker, names.state, cleanup_policy="compact,delete")
    with closing(kafka_worker(settings)) as worker, pytest.raises(ConfigError, match=r"add-config cleanup\.policy=co"):
        run_until(worker, lambda: False)
    configure_topic(broker, names.state, cleanup_policy="compact")
    produce(settings, [*numbers(5), Record("", 0, -1, T, None, b"no JSON")])
    words = rf"{names.dead_letters} has refused it: a record has no key, .* --add-config cleanup.policy=delete$"
    with closing(kafka_worker(settings, refused_after=1.0)) as worker, pytest.raises(OutputRefused, match=words):
        run_until(worker, lambda: False)
    configure_topic(broker, names.dead_letters, cleanup_policy="delete")
    with closing(kafka_worker(settings)) as worker:
        run_to(worker, settings, 6)


def test_a_refusal_that_arrives_between_two_writes(broker: str, client: str, name: str) -> None:
    """It is the error of the next write, or else of the commit: not that of a transaction that cannot go on."""
    make_topic(broker, name)
    make_topic(broker, f"{name}.forecasts", message_timestamp_before_max_ms=3_600_000)
    output = Output(f"{name}.forecasts", 0, b"k", b"value", T)
    with closing(KafkaWorld(broker, client).open(name)) as log:
        (partition,) = join(log, name)
        with closing(log.transaction(partition)) as writer, pytest.raises(OutputRefused, match="has refused it"):
            write_for(3.0, writer, output)


def write_for(seconds: float, writer: Transaction, output: Output) -> None:
    """Write an output again and again, and commit."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        writer.send([output])
    writer.commit(1, "")


class Clock:
    """A clock that is wrong by some seconds."""

    def __init__(self, error: int) -> None:
        self._error = error

    def time_ns(self) -> int:
        """Return the time in nanoseconds."""
        return time.time_ns() + self._error * 10**9


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_large_unusable_records(settings: Settings, broker: str, codec: str) -> None:
    """A record of more than a topic accepts by default becomes one dead letter, and the partition continues."""
    (topic,) = settings.input.topics
    make_topic(broker, topic, max_message_bytes=3_000_000)
    noise = random.Random(1).randbytes(600_000) if codec == "none" else bytes(range(256)) * 2344
    with closing(kafka_worker(settings)) as worker, closing(RawProducer(broker)) as producer:
        for key, value in [(noise, noise), (None, noise * 2), (noise, None)]:
            assert producer.produce(topic, 0, RawBatch([RawRecord(key, value)], codec).encoded()) == 0
        produce(settings, numbers(3))
        run_to(worker, settings, 6)
    assert sources(outputs(settings)) == [3, 4, 5]
    letters = outputs(settings, "dead_letters")
    assert [dict(each.headers)["__streams.errors.offset"] for each in letters] == [b"0", b"1", b"2"]
    assert all(250_000 < len(each.key or b"") + len(each.value or b"") < 262_144 for each in letters)


def test_a_state_topic_that_accepts_little(settings: Settings, broker: str) -> None:
    """Pieces of state are cut to fit; the state is read again."""
    (topic,) = settings.input.topics
    make_topic(broker, topic)
    names = app.output_topics(settings, topic)
    make_topic(broker, names.state, cleanup_policy="compact", max_message_bytes=100_000)
    values = [(each.value or b"").replace(b'"s"', b'"s%d"' % n) for n, each in enumerate(numbers(20))]
    series = [each._replace(value=value) for each, value in zip(numbers(20), values, strict=True)]
    with closing(kafka_worker(settings, size=20_000)) as worker:
        produce(settings, series)
        run_to(worker, settings, 20)
        stop(worker)
    with closing(kafka_worker(settings, size=20_000)) as worker:
        produce(settings, numbers(5, first=20))
        run_to(worker, settings, 25)
    assert sources(outputs(settings)) == list(range(25))


def test_retention_has_passed_the_committed_offset(settings: Settings, broker: str) -> None:
    """After a clean stop the task continues with the first record there, and counts those that are gone."""
    (topic,) = settings.input.topics
    make_topic(broker, topic)
    with closing(kafka_worker(settings)) as worker:
        produce(settings, numbers(20))
        run_to(worker, settings, 20)
        stop(worker)
    produce(settings, numbers(60, first=20))
    with closing(admin(broker)) as brokers:
        brokers.delete_records({KafkaPartition(topic, 0): 50})
    observer = RecordingObserver()
    with closing(kafka_worker(settings, observer=observer)) as worker:
        run_to(worker, settings, 80)
    assert sources(outputs(settings)) == [*range(20), *range(50, 80)]
    assert sum(report.missing_records for report in observer.reports) == 30


def test_retention_overtakes_the_daemon(settings: Settings, broker: str) -> None:
    """A daemon whose next record is deleted continues with the first one there, with what it has learned since."""
    (topic,) = settings.input.topics
    make_topic(broker, topic)
    observer = RecordingObserver()
    with closing(kafka_worker(settings, observer=observer)) as worker:
        produce(settings, numbers(20))
        run_to(worker, settings, 20)  # the state was saved before
        with not_fetching(worker, topic):
            produce(settings, numbers(60, first=20))
            with closing(admin(broker)) as brokers:
                brokers.delete_records({KafkaPartition(topic, 0): 50})
        run_to(worker, settings, 80)
    assert sources(outputs(settings)) == [*range(20), *range(50, 80)]
    assert sum(report.missing_records for report in observer.reports) == 30


@contextmanager
def not_fetching(worker: Worker, topic: str) -> Iterator[None]:
    """Let the client fetch nothing meanwhile, also in its threads; what it has fetched is discarded."""
    consumer = worker._log._consumer  # type: ignore[union-attr]
    kind = KafkaPartition if isinstance(consumer, KafkaConsumer) else ConfluentPartition
    paused = [kind(topic, 0)]
    given = [paused] if kind is ConfluentPartition else paused
    consumer.pause(*given)
    yield
    consumer.resume(*given)


def test_two_applications_write_to_one_topic(settings: Settings, broker: str, client: str, name: str) -> None:
    """`check --connect` warns that readers get the forecasts of both."""
    make_topic(broker, name)
    produce(settings, numbers(5))
    with closing(kafka_worker(settings)) as worker:
        run_to(worker, settings, 5)
    other = settings_of(broker, client, name, f"app={name}.other")
    assert any(f"app {name} forecasts {name} into {name}.forecasts as well" in line for line in describe_log(other))
    assert not any("as well" in line for line in describe_log(settings))
    own = settings_of(broker, client, name, f"app={name}.other", "output.forecasts={topic}.{app}")
    assert not any("as well" in line for line in describe_log(own))
