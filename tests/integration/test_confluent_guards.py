"""The guards around librdkafka, and its limits."""

import random
import time
from contextlib import closing
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from support.log_backends import KafkaWorld

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Topic
from streamrnn.records import Output, TopicPartition

confluent_kafka = pytest.importorskip("confluent_kafka")
KafkaError, KafkaException = confluent_kafka.KafkaError, confluent_kafka.KafkaException

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest.fixture
def world(broker: str) -> KafkaWorld:
    """Return the shared broker, accessed through confluent-kafka."""
    return KafkaWorld(broker, "confluent")


def test_an_unacknowledged_record_fails_the_commit(world: KafkaWorld, log: Any, transaction: Any, name: str) -> None:
    """A commit fails unless every record was acknowledged."""
    transaction._producer = Waiting(transaction._producer)
    with pytest.raises(LogError, match="1 records were not acknowledged"):
        transaction.commit(1, "")
    transaction.close()
    assert world.read(f"{name}.out") == []
    assert log.committed(TopicPartition(name, 0)) is None


def test_a_refused_record_fails_the_commit(world: KafkaWorld, log: Any, transaction: Any, name: str) -> None:
    """The error of a record that the broker refuses arrives, although successes are not reported."""
    transaction.send([Output(f"{name}.out", 0, b"", random.Random(0).randbytes(3 * 1024 * 1024), 0)])
    with pytest.raises(LogError, match=r"has refused it: a record is larger than the topic allows; run kafka-configs"):
        transaction.commit(1, "")
    transaction.close()
    assert world.read(f"{name}.out") == []
    assert log.committed(TopicPartition(name, 0)) is None


def test_a_membership_without_a_generation_is_refused(world: KafkaWorld, name: str) -> None:
    """A writer opened without a generation cannot commit, although the broker would accept it unchecked."""
    partition = TopicPartition(name, 0)
    with closing(world.open(name)) as log:
        log.create([Topic(name, 1)])
        log._owned[partition] = log._group.membership
        with closing(log.transaction(partition)) as transaction, pytest.raises(Fenced):
            transaction.commit(1, "")
        assert log.committed(partition) is None


def test_timestamp_0_is_written_as_1(world: KafkaWorld, transaction: Any, name: str) -> None:
    """The library would replace a timestamp of 0 by the current time."""
    transaction.commit(1, "")
    assert [each.timestamp for each in world.read(f"{name}.out")] == [1]


class Waiting:
    """A producer that reports one more record as waiting than there is."""

    def __init__(self, producer: Any) -> None:
        self.producer = producer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.producer, name)

    def flush(self, limit: float) -> int:
        """Return the number of records that wait, and one more."""
        return int(self.producer.flush(limit)) + 1


class Hanging:
    """A producer that never returns from adding offsets."""

    def __init__(self, producer: Any) -> None:
        self._producer, self.released = producer, Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def send_offsets_to_transaction(self, *_: object) -> None:
        """Ignore the time limit."""
        self.released.wait()


def test_a_hanging_call_fails_the_commit(
    monkeypatch: pytest.MonkeyPatch, world: KafkaWorld, log: Any, transaction: Any, name: str
) -> None:
    """The commit fails within its time limit, which is named, and another writer can commit."""
    monkeypatch.setattr("streamrnn.log.kafka_common.log.SLOW_COMMIT", 0.4)
    monkeypatch.setattr("streamrnn.log.confluent.writer.OFFSET_SHARE", 0.2 / log.transaction_timeout)
    partition = TopicPartition(name, 0)
    transaction._producer = hanging = Hanging(transaction._producer)
    begun = time.monotonic()
    with pytest.raises(LogError, match=r"did not return from .* within 0\.7 s; .* raise kafka\.transaction_timeout"):
        transaction.commit(1, "")
    assert time.monotonic() - begun < 3.0
    transaction.close()
    with closing(log.transaction(partition)) as another:
        assert log.committed(partition) is None
        another.send([Output(f"{name}.out", 0, b"", b"other", 1)])
        another.commit(1, "")
    assert [each.value for each in world.read(f"{name}.out")] == [b"other"]
    hanging.released.set()


def test_a_call_is_repeated_if_the_library_lost_its_error(
    world: KafkaWorld, log: Any, transaction: Any, name: str
) -> None:
    """A call that fails without a cause is repeated once; if it fails again, the commit fails with an explanation."""
    real, lost = transaction._producer, [1, 2]

    def flush(limit: float) -> Any:
        if lost:
            lost.pop()
            raise SystemError("<method 'flush'> returned NULL without setting an exception")
        return real.flush(limit)

    calls = ("begin_transaction", "produce", "poll", "send_offsets_to_transaction", "commit_transaction")
    transaction._producer = SimpleNamespace(flush=flush, **{call: getattr(real, call) for call in calls})
    transaction.send([Output(f"{name}.out", 0, b"k", b"v", 1)])
    lost.pop()
    transaction.commit(1, "")
    assert [record.value for record in world.read(f"{name}.out")] == [b"value", b"v"]
    lost += [1, 2]
    transaction.send([Output(f"{name}.out", 0, b"k", b"w", 2)])
    with pytest.raises(LogError, match=f"cannot commit {name}/0 .*without setting an exception"):
        transaction.commit(2, "")


@pytest.mark.parametrize(
    "code", [KafkaError.FENCED_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._NOENT, None]
)
def test_a_changed_leader_is_looked_up_again(
    monkeypatch: pytest.MonkeyPatch, log: Any, name: str, code: int | None
) -> None:
    """After a broker was lost, reading the bounds looks up the leader and retries; None: no error, no offset."""
    requested = []
    answered, list_topics = log._answer, log._admin.list_topics

    def answer(futures: Any) -> Any:
        if requested:
            return answered(futures)
        if code is None:
            return SimpleNamespace(offset=confluent_kafka.OFFSET_INVALID)
        raise KafkaException(KafkaError(code))

    class Admin:
        def __getattr__(self, name: str) -> Any:
            return getattr(admin, name)

        def list_topics(self, topic: str, timeout: float) -> Any:
            requested.append(topic)
            return list_topics(topic, timeout)

    admin = log._admin
    monkeypatch.setattr(log, "_admin", Admin())
    monkeypatch.setattr(log, "_answer", answer)
    assert log.bounds(TopicPartition(name, 0)) == (0, 0)
    assert requested == [name]


def test_an_answer_without_an_offset_is_an_error(monkeypatch: pytest.MonkeyPatch, log: Any, name: str) -> None:
    """It is not mistaken for the end of a recreated topic, at which a daemon exits."""
    monkeypatch.setattr(log, "_answer", lambda _: SimpleNamespace(offset=confluent_kafka.OFFSET_INVALID))
    with pytest.raises(LogError, match="no offset in the answer"):
        log.bounds(TopicPartition(name, 0))
