"""The offsets of the group, or all topics of an application, disappear while the daemon runs."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from support.broker import Broker
from support.kafka_workers import (
    delete_topic,
    kafka_worker,
    make_topic,
    observations,
    run_to,
    run_until,
    settings_of,
)
from support.log_backends import KafkaWorld

from streamrnn import app
from streamrnn.errors import StateError
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("bare_environment"),
]


@contextmanager
def working(broker: str, settings: Settings, name: str) -> Iterator[tuple[Worker, KafkaWorld]]:
    """Run a worker that has committed 20 records of the topic `name`, which this creates."""
    world = KafkaWorld(broker)
    make_topic(broker, name)
    with closing(kafka_worker(settings)) as worker:
        world.produce(name, observations(0, 20))
        run_to(worker, settings, 20)
        yield worker, world


def test_the_offsets_of_the_group_are_lost(own_broker: Broker, client: str, name: str) -> None:
    """Without the brokers' own topic all offsets are lost: 78, and the command that continues with the saved state."""
    broker, settings = own_broker.bootstrap, settings_of(own_broker.bootstrap, client, name)
    with working(broker, settings, name) as (worker, world):
        delete_topic(broker, "__consumer_offsets")
        world.produce(name, observations(20, 40))
        with pytest.raises(
            StateError, match=f"{name}/0 has saved state in .*, but no committed offset .* state resume"
        ):
            run_until(worker, lambda: False)


def test_all_topics_of_the_application_are_lost(own_broker: Broker, client: str, name: str) -> None:
    """Kafka deletes the committed offsets with the input: only the running daemon can notice that it is another one."""
    broker, settings = own_broker.bootstrap, settings_of(own_broker.bootstrap, client, name)
    with working(broker, settings, name) as (worker, world):
        for each in (name, *app.output_topics(settings, name).names):
            delete_topic(broker, each)
        make_topic(broker, name)
        world.produce(name, observations(100, 140))
        with pytest.raises(StateError, match=f"topic {name} was deleted and created again"):
            run_until(worker, lambda: False)
    with closing(kafka_worker(settings)) as worker:
        run_to(worker, settings, 40)
