"""The guards against defects of kafka-python 3.0.12, each against the defect that it is for."""

import gc
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import errors
from kafka.producer.transaction_manager import ProducerIdAndEpoch, TransactionalRequestResult
from support.broker import Broker, missing
from support.worlds import KafkaWorld, gather, join

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Topic
from streamrnn.log.kafka import KafkaLog
from streamrnn.log.kafka.writer import KafkaTransaction, Membership, harden
from streamrnn.records import Output, Record, TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
REFUSED_SOCKETS = pytest.mark.filterwarnings(r"ignore:unclosed <socket.socket .*'0\.0\.0\.0', \d+\)>:ResourceWarning")
"""The library leaves the socket of a refused connection, which has no other end, to the garbage collector."""


@pytest.fixture
def world(broker: str) -> KafkaWorld:
    """The shared broker."""
    return KafkaWorld(broker)


@pytest.fixture
def log(world: KafkaWorld, name: str) -> Iterator[KafkaLog]:
    """A log that owns one partition of an input topic."""
    with closing(world.open(name)) as opened:
        opened.create([Topic(name, 1), Topic(f"{name}.out", 1)])
        join(opened, name)
        yield opened


@pytest.fixture
def transaction(log: KafkaLog, name: str) -> Iterator[KafkaTransaction]:
    """The writer of that partition, with one output sent."""
    with closing(log.transaction(TopicPartition(name, 0))) as opened:
        opened.send([Output(f"{name}.out", 0, b"", b"value", 0)])
        yield opened


class Failed:
    """A record's future, as the client leaves it when the record has expired within a transaction."""

    exception = errors.KafkaTimeoutError("Expiring 1 record(s)")

    def succeeded(self) -> bool:
        """No."""
        return False


def test_a_record_that_expired_fails_the_commit(
    world: KafkaWorld, log: KafkaLog, transaction: KafkaTransaction, name: str
) -> None:
    """A commit does not succeed without a record that was not acknowledged, though the client would let it."""
    transaction._futures.append(Failed())
    with pytest.raises(LogError, match="Expiring 1 record"):
        transaction.commit(1, "")
    transaction.close()
    assert world.read(f"{name}.out") == []
    assert log.committed(TopicPartition(name, 0)) is None


def test_a_new_epoch_is_no_commit(
    log: KafkaLog, transaction: KafkaTransaction, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit during which the client took a new epoch is not reported as one: its end was never sent."""
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


def test_an_aborted_offset_does_not_go_out_later(log: KafkaLog, transaction: KafkaTransaction, name: str) -> None:
    """After a refused offset the next writer commits its own and nothing of the refused one."""
    partition = TopicPartition(name, 0)
    good = log._owned[partition]
    stale = Membership(good.generation + 1, good.member)
    transaction._joined = stale
    transaction._membership = lambda: stale  # the guard on our side is passed: the broker must refuse it
    with pytest.raises(Fenced):
        transaction.commit(99, "stale")
    with pytest.raises(LogError, match="open a new one"):
        transaction.send([])
    transaction.close()
    with closing(log.transaction(partition)) as following:
        following.send([Output(f"{name}.out", 0, b"", b"next", 0)])
        following.commit(1, "next")
    assert log.committed(partition) == (1, "next")


def test_a_node_that_is_not_ready_is_no_exception() -> None:
    """Where waiting for a broker raises, the client is told that it is not ready, and puts its request back."""

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


def test_every_writer_is_hardened(transaction: KafkaTransaction) -> None:
    """The guard stands in the client that the library's thread really uses."""
    assert transaction._sender._client.await_ready.__module__ == "streamrnn.log.kafka.writer"


@pytest.mark.parametrize("now", [None, Membership(-1, ""), "other"])
def test_no_commit_outside_the_membership(
    log: KafkaLog, transaction: KafkaTransaction, name: str, now: Membership | str | None
) -> None:
    """A commit needs the very place in the group in which the writer was opened: not lost, not another one."""
    joined = transaction._joined
    assert joined is not None
    assert joined.generation >= 0
    found = joined._replace(generation=joined.generation + 1) if now == "other" else now
    transaction._membership = lambda: found
    with pytest.raises(Fenced, match="does not belong to this process"):
        transaction.commit(1, "")
    transaction.close()
    assert log.committed(TopicPartition(name, 0)) is None


def test_a_membership_without_a_generation_is_refused(log: KafkaLog, name: str) -> None:
    """A writer opened without a generation cannot commit, though the broker would take it without a check."""
    partition = TopicPartition(name, 0)
    log._owned[partition] = Membership(-1, "")
    log._membership = lambda: Membership(-1, "")
    with closing(log.transaction(partition)) as transaction, pytest.raises(Fenced):
        transaction.commit(1, "")


@pytest.fixture
def own_broker(broker: str) -> Iterator[Broker]:
    """A broker of the test's own, which it may kill."""
    del broker  # it decides on skip or failure
    if missing():
        pytest.skip("a broker of its own is needed: install Java 17 and Maven")
    with Broker() as started:
        yield started


@REFUSED_SOCKETS
@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_a_broker_that_goes_away_never_hangs_a_commit(own_broker: Broker, name: str, fault: str) -> None:
    """A commit to a broker that is gone or frozen ends in time; once it is back, all goes on, with nothing doubled."""
    world = KafkaWorld(own_broker.bootstrap)
    partition = TopicPartition(name, 0)
    with closing(
        KafkaLog(bootstrap_servers=own_broker.bootstrap, app=name, request_timeout=2.0, transaction_timeout=4.0)
    ) as log:
        log.create([Topic(name, 1), Topic(f"{name}.out", 1)])
        join(log, name)
        world.produce(name, [Record("", 0, -1, 0, b"", b"1")])
        transaction = log.transaction(partition)
        transaction.send([Output(f"{name}.out", 0, b"", b"first", 0)])
        transaction.commit(1, "first")
        transaction.send([Output(f"{name}.out", 0, b"", b"second", 0)])
        getattr(own_broker, fault)()
        started = time.monotonic()
        with pytest.raises(LogError, match=f"cannot commit {name}/0"):
            transaction.commit(2, "second")
        assert time.monotonic() - started < 15
        transaction.close()
        for _ in range(3):
            log.poll(0.2, 10)
        own_broker.start() if fault == "kill" else own_broker.resume()
        deadline = time.monotonic() + 60
        while True:
            try:
                transaction = log.transaction(partition)
                break
            except LogError:
                assert time.monotonic() < deadline
        with closing(transaction):
            committed = log.committed(partition)
            assert committed in [(1, "first"), (2, "second")]
            expected = [b"first", b"second"][: committed.offset]
            assert [each.value for each in world.read(f"{name}.out")] == expected
            own = {partition}
            while True:
                poll = log.poll(0.2, 10)
                own = (own - set(poll.revoked)) | set(poll.assigned)
                if own and not poll.assigned and log._membership_of(partition) is not None:
                    break
                assert time.monotonic() < deadline
            log.seek(partition, 0)
            assert [each.value for each in gather(log, 1)] == [b"1"]
        with closing(log.transaction(partition)) as transaction:
            transaction.commit(3, "third")
        assert log.committed(partition) == (3, "third")
    gc.collect()  # here, where the warnings about refused connections are expected
