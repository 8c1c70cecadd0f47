"""Brokers with settings of their own: limits of timeouts, and identities and connections that expire in a silence."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from support.broker import Broker
from support.kafka_probe import admin
from support.kafka_workers import kafka_worker, make_topic, observations, run_to, run_until, settings_of
from support.log_backends import KafkaWorld, kafka_log

from streamrnn import app
from streamrnn.errors import ConfigError

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120), pytest.mark.usefixtures("bare_environment")]

SHORT = "kafka.session_timeout=6s", "kafka.transaction_timeout=7s", "kafka.request_timeout=3s"


@pytest.fixture(scope="module")
def strict(java: None) -> Iterator[str]:
    """Yield the address of a broker that accepts only short timeouts, and forgets idle producers within seconds."""
    made = Broker()
    made.settings |= {
        "group.max.session.timeout.ms": 8000,
        "transaction.max.timeout.ms": 8000,
        "transactional.id.expiration.ms": 1000,
        "transaction.remove.expired.transaction.cleanup.interval.ms": 200,
        "producer.id.expiration.ms": 500,
        "producer.id.expiration.check.interval.ms": 200,
        "connections.max.idle.ms": 1000,
    }
    with made:
        yield made.bootstrap


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> str:
    """Return each of Kafka's client libraries."""
    kafka_log(request.param)
    return str(request.param)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (SHORT[1:], r"do not accept kafka.session_timeout: .* group.max.session.timeout.ms"),
        (
            (SHORT[0], "kafka.transaction_timeout=10s"),
            r"do not accept kafka.transaction_timeout: .*transaction.max.timeo",
        ),
    ],
    ids=["session", "transaction"],
)
def test_a_timeout_beyond_the_limit_of_the_brokers(
    strict: str, client: str, name: str, given: tuple[str, ...], told: str
) -> None:
    """It is an error in the configuration, at once, which names the key and the brokers' setting."""
    settings = settings_of(strict, client, name, *given)
    make_topic(strict, name)
    with closing(kafka_worker(settings)) as worker, pytest.raises(ConfigError, match=told):
        run_until(worker, lambda: False)


@pytest.mark.long
@pytest.mark.parametrize("client", [pytest.param("kafka-python", marks=pytest.mark.long), "confluent"])
def test_a_silence_outlasts_producers_and_connections(strict: str, client: str, name: str) -> None:
    """Where the brokers have forgotten the producer, the first commit after the silence is tried again by a new one."""
    settings, world = settings_of(strict, client, name, *SHORT), KafkaWorld(strict)
    make_topic(strict, name)
    forecasts = app.output_topics(settings, name).forecasts
    with closing(kafka_worker(settings)) as worker, closing(admin(strict)) as brokers:
        for end in (20, 40, 60):
            world.produce(name, observations(end - 20, end))
            run_to(worker, settings, end)
            run_until(worker, lambda: not own(brokers.list_transactions(), name), "the producer to expire")
    assert [json.loads(each.value or b"")["source"]["offset"] for each in world.read(forecasts)] == list(range(60))


def own(listed: object, name: str) -> bool:
    """Return whether the brokers know a producer of this application."""
    return name in str(listed)
