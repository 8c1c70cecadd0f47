"""The guards against defects of kafka-python 3.0.12: one test per defect."""

import time
import zlib
from contextlib import closing

import pytest
from kafka import errors
from kafka.producer.transaction_manager import ProducerIdAndEpoch, TransactionalRequestResult
from support.log_backends import PATIENCE, KafkaWorld

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Topic
from streamrnn.log.kafka import KafkaLog
from streamrnn.log.kafka.writer import KafkaTransaction, Membership, harden
from streamrnn.records import TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest.fixture
def world(broker: str) -> KafkaWorld:
    """Return the shared broker, accessed through kafka-python."""
    return KafkaWorld(broker)


class Failed:
    """A record's future after the record has expired within a transaction."""

    exception = errors.KafkaTimeoutError("Expiring 1 record(s)")

    def succeeded(self) -> bool:
        """Return False, as for every failed record."""
        return False


def test_a_record_that_expired_fails_the_commit(
    world: KafkaWorld, log: KafkaLog, transaction: KafkaTransaction, name: str
) -> None:
    """A commit fails if a record was not acknowledged, although the client would commit without it."""
    transaction._futures.append(Failed())
    with pytest.raises(LogError, match="Expiring 1 record"):
        transaction.commit(1, "")
    transaction.close()
    assert world.read(f"{name}.out") == []
    assert log.committed(TopicPartition(name, 0)) is None


def test_a_new_epoch_fails_the_commit(
    log: KafkaLog, transaction: KafkaTransaction, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit during which the client took a new epoch fails: the end of the transaction was never sent."""
    manager = transaction._manager

    def bump() -> TransactionalRequestResult:
        old = manager.producer_id_and_epoch
        manager.producer_id_and_epoch = ProducerIdAndEpoch(old.producer_id, old.epoch + 1)
        result = TransactionalRequestResult()
        result.done()
        return result

    monkeypatch.setattr(manager, "begin_commit", bump)
    with pytest.raises(LogError, match="epoch"):
        transaction.commit(1, "")
    monkeypatch.undo()
    transaction.close()
    log.transaction(TopicPartition(name, 0)).close()
    assert log.committed(TopicPartition(name, 0)) is None


def test_an_unreachable_node_is_not_ready() -> None:
    """If waiting for a broker raises, the hardened client reports it as not ready: the request is queued again."""

    class Client:
        answers = iter([True, errors.KafkaConnectionError("gone"), False])

        def await_ready(self, node: int, timeout_ms: int = 0) -> bool:
            answer = next(self.answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

    client = Client()
    harden(client)
    assert [client.await_ready(1, timeout_ms=5) for _ in range(3)] == [True, False, False]


def test_a_join_that_outlasts_a_poll_is_completed(world: KafkaWorld, log: KafkaLog, name: str) -> None:
    """A member that joins again because the topic has more partitions gets them by polls that never wait."""
    log.create([Topic(name, 2)])
    log._consumer._cluster.request_update()
    own, deadline = {TopicPartition(name, 0)}, time.monotonic() + PATIENCE
    while own != {TopicPartition(name, 0), TopicPartition(name, 1)}:
        assert time.monotonic() < deadline, own
        polled = log.poll(0, 1)
        own = own - set(polled.revoked) | set(polled.assigned)


def test_every_writer_is_hardened(transaction: KafkaTransaction) -> None:
    """The network client of the library's own thread is hardened."""
    assert transaction._sender._client.await_ready.__module__ == "streamrnn.log.kafka.writer"


@pytest.mark.parametrize("now", [None, Membership(-1, ""), "other"])
def test_no_commit_outside_the_membership(
    log: KafkaLog, transaction: KafkaTransaction, name: str, now: Membership | str | None
) -> None:
    """A commit requires the membership under which the writer was opened."""
    joined = transaction._joined
    assert joined is not None
    assert joined.generation >= 0
    found = joined._replace(generation=joined.generation + 1) if now == "other" else now
    log.membership_of = lambda _: found
    with pytest.raises(Fenced, match="does not belong to this process"):
        transaction.commit(1, "")
    transaction.close()
    assert log.committed(TopicPartition(name, 0)) is None


def test_a_membership_without_a_generation_is_refused(log: KafkaLog, name: str) -> None:
    """A writer opened without a generation cannot commit, although the broker would accept it unchecked."""
    partition = TopicPartition(name, 0)
    log._owned[partition] = Membership(-1, "")
    log._membership = lambda: Membership(-1, "")
    with closing(log.transaction(partition)) as transaction, pytest.raises(Fenced):
        transaction.commit(1, "")


def test_a_failed_poll_is_not_retried(
    world: KafkaWorld, log: KafkaLog, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a batch that cannot be decoded, which the client would retry forever, the log repeats its first error."""
    calls = []

    def broken(**_: object) -> None:
        calls.append(1)
        raise zlib.error("incorrect header check")

    monkeypatch.setattr(log._consumer, "poll", broken)
    for _ in range(2):
        with pytest.raises(LogError, match=rf"{world.bootstrap}.*incorrect header check"):
            log.poll(0.1, 10)
    assert calls == [1]


@pytest.mark.parametrize("step", ["send_offsets_to_transaction", "begin_commit"])
def test_no_step_of_a_commit_waits_forever(
    log: KafkaLog, transaction: KafkaTransaction, name: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A request that the client has lost fails the commit at the time limit, which is named."""
    monkeypatch.setattr("streamrnn.log.kafka_common.log.SLOW_COMMIT", 0.4)
    monkeypatch.setattr(transaction._manager, step, lambda *_: TransactionalRequestResult())
    transaction._timeout = 0.5
    started = time.monotonic()
    with pytest.raises(LogError, match=r"was not acknowledged within 0\.5 s.* raise kafka\.transaction_timeout"):
        transaction.commit(1, "")
    assert time.monotonic() - started < 5
    monkeypatch.undo()
    transaction.close()
    assert log.committed(TopicPartition(name, 0)) is None
