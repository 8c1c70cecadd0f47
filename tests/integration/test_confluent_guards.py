"""What is checked of librdkafka's promises, and what it cannot do."""

import time
from collections.abc import Iterator
from contextlib import closing
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from support.log_backends import KafkaWorld, join

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Topic
from streamrnn.records import Output, TopicPartition

confluent_kafka = pytest.importorskip("confluent_kafka")
KafkaError, KafkaException = confluent_kafka.KafkaError, confluent_kafka.KafkaException

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest.fixture
def world(broker: str) -> KafkaWorld:
    """The shared broker."""
    return KafkaWorld(broker, "confluent")


@pytest.fixture
def log(world: KafkaWorld, name: str) -> Iterator[Any]:
    """A log that owns one partition of an input topic."""
    with closing(world.open(name)) as opened:
        opened.create([Topic(name, 1), Topic(f"{name}.out", 1)])
        join(opened, name)
        yield opened


@pytest.fixture
def transaction(log: Any, name: str) -> Iterator[Any]:
    """The writer of that partition, with one output sent."""
    with closing(log.transaction(TopicPartition(name, 0))) as opened:
        opened.send([Output(f"{name}.out", 0, b"", b"value", 0)])
        yield opened


def test_a_record_without_a_report_fails_the_commit(world: KafkaWorld, log: Any, transaction: Any, name: str) -> None:
    """A commit does not succeed without a report on every record."""
    transaction._sent += 1
    with pytest.raises(LogError, match="1 of 2 records were not acknowledged"):
        transaction.commit(1, "")
    transaction.close()
    assert world.read(f"{name}.out") == []
    assert log.committed(TopicPartition(name, 0)) is None


def test_a_membership_without_a_generation_is_refused(world: KafkaWorld, name: str) -> None:
    """A writer opened under the place of one who is in no group cannot commit, though the broker would let it."""
    partition = TopicPartition(name, 0)
    with closing(world.open(name)) as log:
        log.create([Topic(name, 1)])
        log._owned[partition] = log._group.place
        with closing(log.transaction(partition)) as transaction, pytest.raises(Fenced):
            transaction.commit(1, "")
        assert log.committed(partition) is None


def test_the_beginning_of_1970_is_a_millisecond_late(world: KafkaWorld, transaction: Any, name: str) -> None:
    """The library would write the time of day instead of 0."""
    transaction.commit(1, "")
    assert [each.timestamp for each in world.read(f"{name}.out")] == [1]


class Hanging:
    """A producer that does not come back from adding offsets."""

    def __init__(self, producer: Any) -> None:
        self._producer, self.released = producer, Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def send_offsets_to_transaction(self, *_: object) -> None:
        """Forget the time limit."""
        self.released.wait()


def test_a_library_that_hangs_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, world: KafkaWorld, log: Any, transaction: Any, name: str
) -> None:
    """The commit fails in time, and another writer does what it could not."""
    monkeypatch.setattr("streamrnn.log.confluent.writer.ADDING", 0.2)
    partition = TopicPartition(name, 0)
    transaction._producer = hanging = Hanging(transaction._producer)
    begun = time.monotonic()
    with pytest.raises(LogError, match=r"has not come back from send_offsets_to_transaction within 0\.7 s"):
        transaction.commit(1, "")
    assert time.monotonic() - begun < 3.0
    transaction.close()
    with closing(log.transaction(partition)) as another:
        assert log.committed(partition) is None
        another.send([Output(f"{name}.out", 0, b"", b"other", 1)])
        another.commit(1, "")
    assert [each.value for each in world.read(f"{name}.out")] == [b"other"]
    hanging.released.set()


def test_an_error_that_the_library_has_lost_is_asked_for_again(
    world: KafkaWorld, log: Any, transaction: Any, name: str
) -> None:
    """A call that ends without saying why is made once more; where that says no more, the commit fails in words."""
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
def test_a_leader_that_has_changed_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, log: Any, name: str, code: int | None
) -> None:
    """After a broker was lost, the bounds can be told once the topic's leader has been asked for; None: no error."""
    asked = []
    real, ask = log._answer, log._admin.list_topics

    def answer(futures: Any) -> Any:
        if asked:
            return real(futures)
        if code is None:
            return SimpleNamespace(offset=confluent_kafka.OFFSET_INVALID)
        raise KafkaException(KafkaError(code))

    class Admin:
        def __getattr__(self, name: str) -> Any:
            return getattr(admin, name)

        def list_topics(self, topic: str, timeout: float) -> Any:
            asked.append(topic)
            return ask(topic, timeout)

    admin = log._admin
    monkeypatch.setattr(log, "_admin", Admin())
    monkeypatch.setattr(log, "_answer", answer)
    assert log.bounds(TopicPartition(name, 0)) == (0, 0)
    assert asked == [name]


def test_an_answer_without_an_offset_is_none(monkeypatch: pytest.MonkeyPatch, log: Any, name: str) -> None:
    """It is not taken for the end of a topic that was created anew, on which a daemon ends."""
    monkeypatch.setattr(log, "_answer", lambda _: SimpleNamespace(offset=confluent_kafka.OFFSET_INVALID))
    with pytest.raises(LogError, match="no offset in the answer"):
        log.bounds(TopicPartition(name, 0))
