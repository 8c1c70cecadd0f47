"""Credentials that are changed while the daemon runs, on a real broker."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion
from support.broker import PASSWORDS, Broker
from support.certificates import authority_of, certificate
from support.kafka_probe import Offsets
from support.kafka_workers import kafka_worker, make_topic, observations, run_until, settings_of
from support.log_backends import PATIENCE, KafkaWorld, kafka_log

from streamrnn.errors import LogError
from streamrnn.records import TopicPartition
from streamrnn.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300), pytest.mark.usefixtures("bare_environment")]

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
    before, after = (settings_with(scram, client, name, password) for password in ("first", "second"))
    require_restart(
        scram, before, after, lambda: set_password(scram, "second"), r"kafka\.sasl_username and kafka\.sasl_p"
    )
    assert {"log_unavailable", "task_failed"} & set(caplog.messages)


@pytest.mark.long
def test_the_certificate_of_the_brokers_is_replaced(java: None, client: str, name: str, tmp_path: Path) -> None:
    """The same where the authority is another one, whose file has been replaced, too."""
    current, following = (certificate(tmp_path, each) for each in ("current", "following"))
    made = Broker(secured=True, certificate=current)
    made.settings["super.users"] = "User:ANONYMOUS;User:daemon"
    given = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "daemon"}
    given |= {
        "sasl_password": PASSWORDS["daemon"],
        "ssl_cafile": str(current),
        "session_timeout": "6s",
        "transaction_timeout": "6s",
    }
    with made:
        settings = settings_of(made.guarded, client, name, *(f"kafka.{key}={value}" for key, value in given.items()))
        require_restart(made, settings, settings, lambda: following.replace(current), r"kafka\.ssl_\* files")


@pytest.mark.long
def test_the_certificate_of_a_client_is_replaced(java: None, client: str, name: str, tmp_path: Path) -> None:
    """The same where the brokers no longer trust the client's certificate."""
    current, following = (certificate(tmp_path, each) for each in ("current", "following"))
    trusted, broker = tmp_path / "trusted.crt", certificate(tmp_path, "broker")
    shutil.copy(authority_of(current), trusted)
    made = Broker(secured=True, certificate=broker, clients=trusted)
    made.settings["super.users"] = "User:ANONYMOUS;User:CN=current;User:CN=following"
    keys = [
        "security_protocol=SSL",
        f"ssl_cafile={authority_of(broker)}",
        "session_timeout=6s",
        "transaction_timeout=6s",
    ]
    given = [f"kafka.{key}" for key in keys]

    def change() -> None:
        shutil.copy(authority_of(following), trusted)

    with made:
        before, after = (
            settings_of(made.guarded, client, name, *given, f"kafka.ssl_certfile={each}")
            for each in (current, following)
        )
        require_restart(made, before, after, change, r"kafka\.ssl_certfile names one")


def require_restart(
    broker: Broker, before: Settings, after: Settings, change: Callable[[], object], words: str
) -> None:
    """Run a worker, change what it presents or trusts, restart the broker, and run another worker."""
    name = before.app
    make_topic(broker.bootstrap, name)
    source, world = TopicPartition(name, 0), KafkaWorld(broker.bootstrap)
    with (
        closing(kafka_worker(before, unavailable_after=5.0)) as worker,
        closing(Offsets(broker.bootstrap, name)) as committed,
    ):
        world.produce(name, observations(0, 20))
        run_until(worker, lambda: committed.committed(source) == 20, "offset 20")
        change()
        broker.kill()
        broker.start()
        world.produce(name, observations(20, 40))
        with pytest.raises(LogError, match=words):
            run_until(worker, lambda: False, "the refusal", 4 * PATIENCE)
    with closing(kafka_worker(after)) as worker, closing(Offsets(broker.bootstrap, name)) as committed:
        run_until(worker, lambda: committed.committed(source) == 40, "offset 40")
    assert len(world.read(f"{name}.forecasts")) == 40
