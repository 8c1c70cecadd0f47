"""Which Kafka client is taken, and what the clients share."""

from collections.abc import Callable
from importlib.machinery import ModuleSpec

import pytest

from streamrnn import app, cli
from streamrnn.errors import ConfigError
from streamrnn.log import kafka_common
from streamrnn.log.kafka_common import chosen
from streamrnn.settings import load


def finder(*installed: str) -> Callable[[str], ModuleSpec | None]:
    """Stand in for a look at what is installed."""
    return lambda name: ModuleSpec(name, None) if name in installed else None


@pytest.mark.parametrize(
    ("client", "taken"), [("auto", "confluent"), ("confluent", "confluent"), ("kafka-python", "kafka-python")]
)
def test_the_faster_client_is_taken_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, client: str, taken: str
) -> None:
    """`auto` is confluent-kafka if it is there; a client that is named is taken."""
    monkeypatch.setattr(kafka_common, "find_spec", finder("confluent_kafka"))
    assert chosen(client) == taken


@pytest.mark.parametrize("client", ["auto", "kafka-python"])
def test_the_required_client_is_taken_elsewhere(monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    """Without confluent-kafka it is kafka-python."""
    monkeypatch.setattr(kafka_common, "find_spec", finder())
    assert chosen(client) == "kafka-python"


@pytest.mark.usefixtures("bare_environment")
def test_a_client_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`confluent` without its library is an error that says how to install it, for `check` and for the daemon."""
    monkeypatch.setattr(kafka_common, "find_spec", finder())
    overrides = ["input.topics=sensors", "kafka.client=confluent"]
    with pytest.raises(ConfigError, match=r"kafka\.client.*pip install 'streamrnn\[confluent\]'"):
        app.open_log(load(None, overrides))
    assert cli.main(["check", *(word for each in overrides for word in ("--set", each))]) == 78
    assert "pip install 'streamrnn[confluent]'" in capsys.readouterr().err
