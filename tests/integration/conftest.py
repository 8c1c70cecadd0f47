"""Fixtures of the tests with a broker."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from support.log_backends import KAFKA_CLIENTS, KafkaWorld, join, kafka_log

from streamrnn.log import Topic
from streamrnn.records import Output, TopicPartition


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Yield a stack that closes whatever a test opens, latest first."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture(params=KAFKA_CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """Return each of Kafka's client libraries."""
    kafka_log(request.param)
    return str(request.param)


@pytest.fixture
def log(world: KafkaWorld, name: str) -> Iterator[Any]:
    """Yield a log that owns one partition of an input topic; `world` is the test's module's."""
    with closing(world.open(name)) as opened:
        opened.create([Topic(name, 1), Topic(f"{name}.out", 1)])
        join(opened, name)
        yield opened


@pytest.fixture
def transaction(log: Any, name: str) -> Iterator[Any]:
    """Yield the writer of that partition, with one output sent."""
    with closing(log.transaction(TopicPartition(name, 0))) as opened:
        opened.send([Output(f"{name}.out", 0, b"", b"value", 0)])
        yield opened
