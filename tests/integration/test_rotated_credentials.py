"""Credentials that are changed while the daemon runs, on a real broker."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion
from support.broker import Broker
from support.kafka_probe import Offsets
from support.kafka_workers import kafka_worker, make_topic, observations, run_until, settings_of
from support.log_backends import KafkaWorld, kafka_log

from streamrnn.errors import LogError
from streamrnn.records import TopicPartition
from streamrnn.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120), pytest.mark.usefixtures("bare_environment")]

USER = "rotated"


@pytest.fixture
def scram(java: None) -> Iterator[Broker]:
    """Yield a broker whose passwords can be changed."""
    made = Broker(secured=True)
    made.settings |= {
        "sasl.enabled.mechanisms": "SCRAM-SHA-256",
        "listener.name.guarded.scram-sha-256.sasl.jaas.config":
            "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "super.users": f"User:ANONYMOUS;User:{USER}",
    }  # fmt: skip
    with made:
        yield made


@pytest.fixture(params=[pytest.param("kafka-python", marks=pytest.mark.long), "confluent"])
def client(request: pytest.FixtureRequest) -> str:
    """Return each of Kafka's client libraries."""
    kafka_log(request.param)
    return str(request.param)


def set_password(broker: Broker, password: str) -> None:
    """Make this the only password of the user."""
    changed = UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_256, password=password)
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as brokers:
        assert brokers.alter_user_scram_credentials([changed]) == {USER: None}


def settings_with(broker: Broker, client: str, name: str, password: str) -> Settings:
    """Return a configuration with a password."""
    given = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": USER, "sasl_password": password}
    keys = {"security_protocol": "SASL_PLAINTEXT", "session_timeout": "6s", **given}
    return settings_of(broker.guarded, client, name, *(f"kafka.{key}={value}" for key, value in keys.items()))


def test_a_password_is_changed(scram: Broker, client: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once connections are new, the refusal is named and the loop ends; with the new password it continues."""
    set_password(scram, "first")
    make_topic(scram.bootstrap, name)
    source, world = TopicPartition(name, 0), KafkaWorld(scram.bootstrap)
    with (
        closing(kafka_worker(settings_with(scram, client, name, "first"), unavailable_after=5.0)) as worker,
        closing(Offsets(scram.bootstrap, name)) as offsets,
    ):
        world.produce(name, observations(0, 20))
        run_until(worker, lambda: offsets.committed(source) == 20, "offset 20")
        set_password(scram, "second")
        scram.kill()
        scram.start()
        world.produce(name, observations(20, 40))
        with pytest.raises(LogError, match=r"kafka\.sasl_username and kafka\.sasl_password"):
            run_until(worker, lambda: False)
    assert {"log_unavailable", "task_failed"} & set(caplog.messages)
    with (
        closing(kafka_worker(settings_with(scram, client, name, "second"))) as worker,
        closing(Offsets(scram.bootstrap, name)) as offsets,
    ):
        run_until(worker, lambda: offsets.committed(source) == 40, "offset 40")
    assert len(world.read(f"{name}.forecasts")) == 40
