"""Requests of a transaction that arrive late: they must not act on the next one (KIP-890)."""

import socket
import struct
import time
from contextlib import closing
from typing import Any

import pytest
from support.kafka_probe import admin
from support.log_backends import KAFKA_CLIENTS, KafkaWorld, join, kafka_log

from streamrnn.log import Topic
from streamrnn.log.kafka_common import transactional_id
from streamrnn.records import Output, TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

END_TXN, VERSION = 26, 1
FENCED = {47, 90}
"""Codes of an invalid producer epoch and of a fenced producer."""


def end_transaction(bootstrap: str, name: str, producer: int, epoch: int) -> int:
    """Send the request that commits a producer's transaction; return the error code of the answer."""
    host, _, port = bootstrap.rpartition(":")
    body = struct.pack(">h", len(name)) + name.encode() + struct.pack(">qh?", producer, epoch, True)
    request = struct.pack(">hhih", END_TXN, VERSION, 1, -1) + body
    with socket.create_connection((host, int(port)), timeout=10) as broker:
        broker.sendall(struct.pack(">i", len(request)) + request)
        answer = broker.makefile("rb").read(4 + 4 + 4 + 2)
    (code,) = struct.unpack_from(">h", answer, 12)
    return int(code)


def values(world: KafkaWorld, topic: str) -> list[bytes | None]:
    """Return what readers of committed records see."""
    return [each.value for each in world.read(topic)]


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_a_late_end_does_not_commit_the_next_transaction(broker: str, client: str, name: str) -> None:
    """After a commit whose requests may have timed out, a new producer fences those that are still under way."""
    kafka_log(client)
    world, partition = KafkaWorld(broker, client), TopicPartition(name, 0)
    with closing(world.open(name, request_timeout=2.0)) as log:
        log.create([Topic(name, 1), Topic(f"{name}.out", 1)])
        join(log, name)
        with closing(log.transaction(partition)) as transaction:
            transaction.send([Output(f"{name}.out", 0, b"", b"first", 1)])
            slow(transaction)
            transaction.commit(1, "")
            with closing(admin(broker)) as brokers:
                (described,) = brokers.describe_transactions([transactional_id(name, partition)]).values()
            transaction.send([Output(f"{name}.out", 0, b"", b"second", 1)])
            transaction._producer.flush()
            identity = described.producer_id, described.producer_epoch
            assert end_transaction(broker, transactional_id(name, partition), *identity) in FENCED
            assert values(world, f"{name}.out") == [b"first"]
            transaction.commit(2, "")
    assert values(world, f"{name}.out") == [b"first", b"second"]


def test_a_commit_in_the_background_opens_no_producer(broker: str, name: str) -> None:
    """The new producer is open when the thread starts: one that opens after a release would fence the next writer."""
    kafka_log("confluent")
    world, partition = KafkaWorld(broker, "confluent"), TopicPartition(name, 0)
    with closing(world.open(name, request_timeout=2.0)) as log:
        log.create([Topic(name, 1)])
        join(log, name)
        with closing(log.transaction(partition)) as transaction:
            slow(transaction)
            transaction.commit(1, "")
            before = transaction._producer
            under_way = transaction.begin_commit(2, "")
            assert transaction._producer is not before
            under_way.result(30)


def slow(transaction: Any) -> None:
    """Make the next end of a transaction take longer than a request may."""
    end = transaction._end

    def slower(deadline: float) -> None:
        del transaction._end
        end(deadline)
        time.sleep(2.0)  # as if the answer to the first request had been lost, and the client had repeated it

    transaction._end = slower
