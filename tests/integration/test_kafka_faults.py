"""Faults below the Kafka logs, with either client library: lost brokers and ended memberships."""

import gc
import sys
import time
from contextlib import closing, suppress
from typing import Any

import pytest
from support.broker import Broker
from support.log_backends import KafkaWorld, join

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Topic, Transaction
from streamrnn.records import Output, TopicPartition

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(120),
    # kafka-python, which the tests also use as an observer, leaves sockets of a lost broker to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
]


@pytest.fixture
def world(broker: str, client: str) -> KafkaWorld:
    """Return the shared broker, accessed through each of the clients."""
    return KafkaWorld(broker, client)


def test_no_commit_after_the_membership_ended(log: Any, name: str) -> None:
    """A writer cannot commit once its process has left the group."""
    partition = TopicPartition(name, 0)
    with closing(log.transaction(partition)) as transaction:
        transaction.commit(1, "member")
        log._consumer.unsubscribe()
        deadline = time.monotonic() + 30
        while log.membership_of(partition) is not None:
            log.poll(0.1, 10)
            assert time.monotonic() < deadline
        with pytest.raises(Fenced, match="does not belong to this process"):
            transaction.commit(2, "outsider")
    assert log.committed(partition) == (1, "member")


def stale(joined: Any) -> Any:
    """Return the same membership with another generation."""
    if isinstance(joined, bytes):  # librdkafka's format: seven letters, and the generation in four bytes
        return joined[:7] + (int.from_bytes(joined[7:11], sys.byteorder) + 1).to_bytes(4, sys.byteorder) + joined[11:]
    return joined._replace(generation=joined.generation + 1)


def test_an_aborted_offset_is_not_committed_later(log: Any, name: str) -> None:
    """The broker rejects a wrong generation; the next writer commits its own offset, not the rejected one."""
    partition = TopicPartition(name, 0)
    transaction = log.transaction(partition)
    transaction.send([Output(f"{name}.out", 0, b"", b"value", 0)])
    wrong = transaction._joined = stale(log._owned[partition])
    transaction._membership = lambda: wrong  # disables the guard
    with pytest.raises(Fenced):
        transaction.commit(99, "stale")
    with pytest.raises(LogError, match="open a new one"):
        transaction.send([])
    transaction.close()
    with closing(log.transaction(partition)) as following:
        following.send([Output(f"{name}.out", 0, b"", b"next", 0)])
        following.commit(1, "next")
    assert log.committed(partition) == (1, "next")


@pytest.mark.parametrize(
    ("fault", "moment"),
    [
        pytest.param("kill", "_membership", marks=pytest.mark.long),
        pytest.param("kill", "_end", marks=pytest.mark.long),
        ("pause", "_end"),
    ],
)
@pytest.mark.parametrize("client", [pytest.param("kafka-python", marks=pytest.mark.long), "confluent"], indirect=True)
def test_a_lost_broker_never_hangs_a_commit(
    own_broker: Broker, client: str, name: str, monkeypatch: pytest.MonkeyPatch, fault: str, moment: str
) -> None:
    """A commit during which the broker dies or freezes ends within its time limit and is atomic."""
    world = KafkaWorld(own_broker.bootstrap, client)
    partition = TopicPartition(name, 0)
    options = {"request_timeout": 2.0, "transaction_timeout": 4.0}
    with closing(world.open(name, **options)) as log:
        log.create([Topic(name, 1), Topic(f"{name}.out", 1)])
        join(log, name)
        transaction = log.transaction(partition)
        transaction.send([Output(f"{name}.out", 0, b"", b"first", 0)])
        transaction.commit(1, "first")
        transaction.send([Output(f"{name}.out", 0, b"", b"second", 0)])
        reach = getattr(transaction, moment)

        def strike(*arguments: object) -> object:
            getattr(own_broker, fault)()
            return reach(*arguments)

        monkeypatch.setattr(transaction, moment, strike)
        started = time.monotonic()
        with pytest.raises(LogError, match=f"cannot commit {name}/0"):
            transaction.commit(2, "second")
        assert time.monotonic() - started < 10
        transaction.close()
        assert log.poll(0.2, 10).records == {}
        own_broker.start() if fault == "kill" else own_broker.resume()
        with closing(opened_again(log, partition)):
            committed = log.committed(partition)
            assert committed in [(1, "first"), (2, "second")]
            assert [each.value for each in world.read(f"{name}.out")] == [b"first", b"second"][: committed.offset]
        transaction = opened_again(log, partition)
        with closing(transaction):
            transaction.commit(3, "third")
        assert log.committed(partition) == (3, "third")
    gc.collect()  # here, where the warnings about sockets are expected


def opened_again(log: Any, partition: TopicPartition) -> Transaction:
    """Poll, as a worker does, until the partition is assigned and its writer can be opened."""
    deadline = time.monotonic() + 60
    while True:
        log.poll(0.2, 10)
        if log.membership_of(partition) is not None:
            with suppress(LogError):
                return log.transaction(partition)
        assert time.monotonic() < deadline


@pytest.mark.parametrize("client", ["kafka-python", pytest.param("confluent", marks=pytest.mark.long)], indirect=True)
def test_closing_never_hangs(own_broker: Broker, client: str, name: str) -> None:
    """With a frozen broker, an open transaction and unsent records, closing takes seconds."""
    world = KafkaWorld(own_broker.bootstrap, client)
    log = world.open(name, request_timeout=2.0, transaction_timeout=4.0)
    log.create([Topic(name, 1), Topic(f"{name}.out", 1)])
    join(log, name)
    transaction = log.transaction(TopicPartition(name, 0))
    transaction.send([Output(f"{name}.out", 0, b"", b"value", 0)])
    own_broker.pause()
    transaction.send([Output(f"{name}.out", 0, b"", b"value", 0)])
    started = time.monotonic()
    transaction.close()
    log.close()
    assert time.monotonic() - started < 10
    own_broker.resume()
    gc.collect()
