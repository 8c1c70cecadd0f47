"""The choice of the Kafka client library, and refusals of the group."""

from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamrnn import app, cli
from streamrnn.errors import ConfigError, Fenced, InstanceInUse, LogError, OutputRefused
from streamrnn.log import Topic, kafka_common
from streamrnn.log.kafka_common import choose_client
from streamrnn.log.kafka_common.errors import group_refused
from streamrnn.log.kafka_common.log import BaseKafkaTransaction
from streamrnn.log.kafka_common.topics import KafkaTopics
from streamrnn.records import TopicPartition
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


def test_a_host_without_an_address_and_a_missing_permission_come_with_a_remedy() -> None:
    """The first is usually a name that only the brokers' own network knows; rights are listed in an example."""
    confluent_kafka = pytest.importorskip("confluent_kafka")
    from streamrnn.log.confluent.client import confluent_error

    codes = confluent_kafka.KafkaError
    for code, words in (
        (codes._RESOLVE, "check kafka.bootstrap_servers, and that this machine can resolve the names of the brokers"),
        (codes.TOPIC_AUTHORIZATION_FAILED, "those needed are in the comments of `streamrnn init --example secure`"),
    ):
        error = confluent_error("cannot connect", confluent_kafka.KafkaException(codes(code)))
        assert str(error).endswith(words)


@pytest.mark.parametrize(("error", "hint"), [(LogError, True), (Fenced, False), (OutputRefused, False)])
def test_only_a_commit_that_times_out_is_explained_by_a_slow_line(
    monkeypatch: pytest.MonkeyPatch, error: type[LogError], *, hint: bool
) -> None:
    """More time helps neither against another owner nor a topic that refuses a record, however long they took."""
    monkeypatch.setattr("streamrnn.log.kafka_common.log.SLOW_COMMIT", 0.0)

    class Failing(BaseKafkaTransaction[bytes]):
        def _membership(self) -> bytes:
            raise error("failed")

    monkeypatch.setattr(Failing, "__abstractmethods__", frozenset())
    log = SimpleNamespace(
        app="app", transaction_timeout=1.0, request_timeout=1.0, translate=None, reassign_later=lambda _: None
    )
    transaction = Failing(cast("Any", log), TopicPartition("in", 0), b"")
    with pytest.raises(error, match="failed") as caught:
        transaction.commit(1, "")
    assert ("raise kafka.transaction_timeout" in str(caught.value)) == hint


def test_the_limits_of_an_input_are_not_those_of_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that is only read may accept records too small for any output."""
    monkeypatch.setattr(KafkaTopics, "__abstractmethods__", frozenset())
    sizes = {"in": "1000", "out": "100000"}
    monkeypatch.setattr(KafkaTopics, "partitions", lambda *_: 1)
    monkeypatch.setattr(
        KafkaTopics, "_configurations", lambda _, names: {each: {"max.message.bytes": sizes[each]} for each in names}
    )
    topics = KafkaTopics("broker:9092", 1.0)  # type: ignore[abstract]
    topics.create([Topic("out", 1)])
    assert topics.limits("in").max_bytes == 1000
    assert topics.batch_bytes == topics.limits("out").largest > 90_000
