"""What is checked of librdkafka's promises, and what it cannot do."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from support.worlds import KafkaWorld, join

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Topic
from streamrnn.records import Output, TopicPartition

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
