"""The choice of the Kafka client library, and refusals of the group."""

from collections.abc import Callable
from importlib.machinery import ModuleSpec

import pytest

from streamrnn import app, cli
from streamrnn.errors import ConfigError, InstanceInUse
from streamrnn.log import kafka_common
from streamrnn.log.kafka_common import choose_client
from streamrnn.log.kafka_common.errors import group_refused
from streamrnn.settings import load


def finder(*installed: str) -> Callable[[str], ModuleSpec | None]:
    """Return a substitute for `find_spec` that finds only these libraries."""
    return lambda name: ModuleSpec(name, None) if name in installed else None


@pytest.mark.parametrize(
    ("client", "expected"), [("auto", "confluent"), ("confluent", "confluent"), ("kafka-python", "kafka-python")]
)
def test_the_faster_client_is_chosen_if_installed(monkeypatch: pytest.MonkeyPatch, client: str, expected: str) -> None:
    """`auto` prefers confluent-kafka; an explicit choice is respected."""
    monkeypatch.setattr(kafka_common, "find_spec", finder("confluent_kafka"))
    assert choose_client(client) == expected


@pytest.mark.parametrize("client", ["auto", "kafka-python"])
def test_the_required_client_is_chosen_otherwise(monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    """Without confluent-kafka the choice is kafka-python."""
    monkeypatch.setattr(kafka_common, "find_spec", finder())
    assert choose_client(client) == "kafka-python"


def test_the_protocol_consumer_needs_the_faster_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` does not choose a client library without the configured group protocol."""
    assert choose_client("auto", "consumer") == "confluent"
    monkeypatch.setattr(kafka_common, "find_spec", finder())
    with pytest.raises(ConfigError, match=r"kafka\.group_protocol: 'consumer' needs"):
        choose_client("auto", "consumer")


@pytest.mark.usefixtures("bare_environment")
def test_a_missing_client_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`confluent` without its library is an error that names the installation command, in `check` and the daemon."""
    monkeypatch.setattr(kafka_common, "find_spec", finder())
    overrides = ["input.topics=sensors", "kafka.client=confluent"]
    with pytest.raises(ConfigError, match=r"kafka\.client.*pip install 'streamrnn\[confluent\]'"):
        app.open_log(load(None, overrides))
    assert cli.main(["check", *(word for each in overrides for word in ("--set", each))]) == 78
    assert "pip install 'streamrnn[confluent]'" in capsys.readouterr().err


def test_a_group_refuses_a_member() -> None:
    """Brokers without the protocol end the daemon with the remedy; a name in use is waited for, or a conflict."""
    found = [group_refused("cannot read", code, "text") for code in (35, -165, 111, 82)]
    assert [type(each) for each in found] == [ConfigError, ConfigError, InstanceInUse, ConfigError]
    assert ["use classic" in str(each) for each in found] == [True, True, False, False]
    assert "kafka.instance" in str(found[3])
