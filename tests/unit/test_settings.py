"""The sections: defaults, what is allowed, and what does not go together."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from streamrnn import app
from streamrnn.errors import ConfigError
from streamrnn.settings import Settings, load, to_yaml
from streamrnn.settings.validators import check_servers, check_topic_template

pytestmark = pytest.mark.usefixtures("bare_environment")


def problem(*overrides: str) -> str:
    """Return the message for overrides that must be refused."""
    with pytest.raises(ConfigError) as caught:
        load(None, ["input.topics=sensors", *overrides])
    return str(caught.value)


def test_every_key_but_the_topics_has_a_default() -> None:
    """Naming the topics is enough, and naming none is refused with words that say where to name them."""
    assert load(None, ["input.topics=sensors"]).input.topics == ("sensors",)
    with pytest.raises(ConfigError, match=r"input\.topics: is missing.*STREAMRNN_INPUT__TOPICS"):
        load(None, [])


def test_topics_may_be_absent_where_files_are_read() -> None:
    """With `topics_required` off, the defaults alone load."""
    assert load(None, [], topics_required=False) == Settings()


def test_the_defaults_are_those_of_the_design() -> None:
    """The values that the documentation promises are the values of an empty configuration."""
    settings = Settings()
    assert (settings.app, settings.log, settings.device, settings.workers) == ("streamrnn", "kafka", "auto", 1)
    assert settings.forecast.horizons == (1, 12, 24)
    assert settings.forecast.quantiles == (0.05, 0.1, 0.5, 0.9, 0.95)
    assert (settings.model.cell, settings.model.hidden_size, settings.model.layers) == ("gru", 64, 1)
    assert settings.model.base == "default"
    assert (settings.commit.interval, settings.commit.snapshot_interval) == (0.5, None)
    assert (settings.metrics.port, settings.page.port) == (9108, 8080)
    assert (settings.input.max_record, settings.input.max_series, settings.input.fields) == (65536, 100_000, "*")
    assert settings.input.key is None
    assert settings.input.time is None


def test_settings_are_frozen() -> None:
    """No key can be changed after loading, at the top or in a section."""
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.app = "other"
    with pytest.raises(ValidationError):
        settings.model.layers = 2


@pytest.mark.parametrize("tree", [{"kafak": {}}, {"kafka": {"cleint": "auto"}}])
def test_unknown_keys_are_refused_in_code_too(tree: dict[str, dict[str, str]]) -> None:
    """Settings built by a program refuse unknown keys, also in a section."""
    with pytest.raises(ValidationError, match="Extra inputs"):
        Settings.model_validate(tree)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("app=my app", "must be letters, digits"),
        ("app=", "must be letters, digits"),
        ("log=rabbit", "allowed are 'kafka' or 'sqlite'"),
        ("device=tpu", "allowed are 'auto', 'cpu' or 'cuda'"),
        ("workers=0", "must be a whole number from 1 to 256"),
        ("workers=true", "must be a whole number"),
        ("kafka.client=rdkafka", "allowed are"),
        ("kafka.instance=a b", "letters, digits"),
        ("kafka.bootstrap_servers=localhost", "must be host:port"),
        ("kafka.bootstrap_servers=a:1,b:70000", "must be host:port"),
        ("kafka.security_protocol=TLS", "allowed are 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
        ("kafka.session_timeout=45", "the unit is missing"),
        ("kafka.session_timeout=1s", "must be from 6s to 30m"),
        ("input.topics=a b", "is not a topic name"),
        ("input.topics=a,a", "must not name a topic twice"),
        ('input.topics=["a"', "is not a JSON list"),
        ('input.topics=[["a"]]', "must be a list"),
        ("input.topics=..", "is not a topic name"),
        ("input.format=xml", "allowed are 'json'"),
        ("input.fields=", "must be '*'"),
        ("input.fields=a,a", "distinct names"),
        ("input.fields=a/b", "without '/'"),
        ("input.fields=a\tb", "control characters"),
        ("input.fields=" + "é" * 129, "at most 256 bytes"),
        ("input.start=now", "allowed are 'earliest' or 'latest'"),
        ("input.max_record=64KB", "unknown unit KB"),
        ("input.max_record=2MiB", "must be from 1KiB to 1MiB"),
        ("input.max_series=0", "must be a whole number from 1 to 10000000"),
        ("output.forecasts={partition}", "which may contain {topic} and {app}"),
        ("output.forecasts={topic", "which may contain {topic} and {app}"),
        ("output.forecasts={topic!r}", "which may contain {topic} and {app}"),
        ("output.forecasts={topic:>9}", "which may contain {topic} and {app}"),
        ("output.forecasts={topic} forecasts", "is not a topic name"),
        ("forecast.horizons=0,1", "whole numbers of steps from 1 to 1000"),
        ("forecast.horizons=2,1", "in rising order"),
        ("forecast.horizons=1,1", "in rising order"),
        ("forecast.horizons=1001", "from 1 to 1000"),
        ("forecast.horizons=1.5", "whole numbers"),
        ("forecast.horizons=[1.5]", "whole numbers"),
        ("forecast.horizons=[]", "must be 1 to 100"),
        ("forecast.quantiles=0.1,0.9", "including 0.5"),
        ("forecast.quantiles=0,0.5", "between 0 and 1"),
        ("forecast.quantiles=0.5,1", "between 0 and 1"),
        ("forecast.quantiles=0.9,0.5", "in rising order"),
        ("forecast.quantiles=[0.5, NaN]", "in rising order"),
        ("forecast.seasons=daily", "must be a number with a unit"),
        ("forecast.seasons=7d,24h", "the shorter first"),
        ("forecast.seasons=1h,1d,7d", "one or two durations"),
        ("forecast.seasons=0h", "one or two durations"),
        ("forecast.seasons=[]", "auto, none, or one or two durations"),
        ("model.cell=transformer", "'rnn_tanh', 'rnn_relu', 'gru' or 'lstm'"),
        ("model.hidden_size=1025", "from 1 to 1024"),
        ("model.layers=9", "from 1 to 8"),
        ("learning.learning_rate=nan", "must be a number above 0 to 1"),
        ("learning.learning_rate=0", "must be a number above 0 to 1"),
        ("model.base=", "must be a text"),
        ("learning.head_rate=2", "must be a number above 0 to 1"),
        ("learning.head_every=0", "from 1 to 1000000"),
        ("learning.averaging=1", "must be a number from 0 below 1"),
        ("learning.enabled=perhaps", "must be true or false"),
        ("commit.interval=0.5", "the unit is missing"),
        ("commit.interval=soon", "must be a number with a unit"),
        ("metrics.port=65536", "from 0 to 65535"),
        ("metrics.host=", "must be a text"),
        ("page.port=-1", "from 0 to 65535"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(override: str, words: str) -> None:
    """The message is one line that holds the key, the value, its origin and what is allowed."""
    message = problem(override)
    key, _, value = override.partition("=")
    assert message.startswith(f"{key} = {value!r} (--set): ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["kafka.sasl_username=me"], "kafka.sasl_username = 'me' (--set): has no effect"),
        (["kafka.security_protocol=SASL_SSL"], "kafka.sasl_password: is missing"),
        (["kafka.ssl_cafile=ca.pem"], "kafka.ssl_cafile = 'ca.pem' (--set): has no effect"),
        (["kafka.security_protocol=SSL", "kafka.ssl_keyfile=k"], "requires kafka.ssl_certfile"),
        (["kafka.security_protocol=SSL", "kafka.ssl_keyfile_password=k"], "requires kafka.ssl_keyfile"),
        (["commit.interval=15s"], "must be shorter than kafka.transaction_timeout, which is 15s"),
        (["commit.snapshot_interval=100ms"], "must be at least commit.interval, 500ms"),
        (["learning.most=4"], "must be at least learning.every, which is 64"),
        (["learning.head_most=3"], "must be at least learning.head_every, which is 4"),
        (["page.port=9108"], "is also a metrics port"),
        (["input.key=id", "input.fields=id,value"], "must not name the field of input.key"),
        (["input.time=at", "input.fields=at"], "must not name the field of input.time"),
        (["output.forecasts=sensors"], "the topic of input.topics"),
        (["output.forecasts=x", "output.state=x"], "the topic of output.forecasts for sensors"),
        (["input.topics=a,b"], "output.state: for b it is streamrnn.state, the topic of output.state for a"),
        (["app=" + "a" * 100, "output.state={app}{app}{app}"], "is not a topic name"),
    ],
)
def test_keys_that_do_not_go_together_are_named(overrides: list[str], words: str) -> None:
    """Two keys that are each allowed, and contradict each other, are refused under the name of one of them."""
    assert words in problem(*overrides)


def test_sasl_needs_mechanism_name_and_password() -> None:
    """Each part of a SASL login that is missing has a line of its own."""
    lines = problem("kafka.security_protocol=SASL_PLAINTEXT").splitlines()
    missing = [line.partition(":")[0] for line in lines]
    assert missing == ["kafka.sasl_mechanism", "kafka.sasl_username", "kafka.sasl_password"]


def test_a_long_commit_interval_is_allowed_without_kafka() -> None:
    """Kafka's transaction timeout bounds the commit interval of Kafka only."""
    settings = load(None, ["input.topics=a", "log=sqlite", "commit.interval=20s"])
    assert settings.commit.interval == 20.0


def test_several_topics_are_allowed_with_a_state_topic_each() -> None:
    """`{topic}` in every template keeps the topics of several inputs apart."""
    settings = load(None, ["input.topics=a,b", "output.state={app}.{topic}.state"])
    assert settings.input.topics == ("a", "b")


def test_all_problems_are_reported_at_once() -> None:
    """Three mistakes give three lines."""
    lines = problem("model.cell=x", "device=x", "kafka.cleint=auto").splitlines()
    assert len(lines) == 3


@pytest.mark.parametrize("seasons", ["auto", "none", "90s", "24h,7d"])
def test_what_describe_prints_loads_as_the_same_settings(tmp_path: Path, seasons: str) -> None:
    """The printed configuration is a configuration file with the same content."""
    path = tmp_path / "effective.yaml"
    overrides = ["input.topics=a", "commit.interval=1ms", "kafka.session_timeout=90s", "input.fields=no,0123,null"]
    overrides.append(f"forecast.seasons={seasons}")
    settings = load(None, overrides)
    path.write_text(to_yaml(settings))
    assert load(path, []) == settings


def test_describe_lists_every_section_and_key() -> None:
    """Nothing of the settings is left out of the printed configuration."""
    assert yaml.safe_load(to_yaml(Settings())).keys() == Settings.model_fields.keys()


def test_a_program_gets_seconds_and_bytes_and_a_reader_gets_units() -> None:
    """Dumped for a program, durations and sizes are numbers; dumped as JSON, they are as one writes them."""
    settings = Settings()
    assert settings.commit.model_dump() == {"interval": 0.5, "snapshot_interval": None}
    assert settings.input.model_dump()["max_record"] == 65536
    assert settings.commit.model_dump(mode="json") == {"interval": "500ms", "snapshot_interval": "auto"}
    assert settings.input.model_dump(mode="json")["max_record"] == "64KiB"


@pytest.mark.parametrize("address", ["a:1", "10.0.0.1:9092,b.example.com:9093", "[::1]:9092", "a:1, b:2"])
def test_addresses_of_every_usual_form_are_allowed(address: str) -> None:
    """Names, IPv4 and bracketed IPv6 addresses, one or several."""
    assert check_servers(address) == address


def test_a_template_may_be_constant() -> None:
    """A template need not hold a placeholder."""
    assert check_topic_template("forecasts") == "forecasts"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["input.covariates=a/b"], "must be distinct names without '/'"),
        (["input.covariates=a,a"], "must be distinct names"),
        (["input.covariates=a", "input.fields=a,b"], "must not name 'a', which input.key"),
        (["input.covariates=k", "input.key=k"], "must not name 'k'"),
        (["input.covariates=a", "model.variant=lean"], "requires model.variant: full"),
        (["model.joint=true", "model.variant=lean"], "requires model.variant: full"),
        (["model.encoder=bidirectional", "model.layers=2"], "must be 1 with model.encoder: bidirectional"),
        (["model.encoder=backwards"], "allowed are 'recurrent', 'bidirectional' or 'attention'"),
        (["model.context=1"], "from 2 to 512"),
    ],
)
def test_models_and_covariates_that_cannot_be(overrides: list[str], words: str) -> None:
    """Each is refused with what is allowed."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        load(None, ["input.topics=t", *overrides])


def test_covariates_bring_the_others_sight_with_them() -> None:
    """A task with covariates is one whose fields see each other."""
    settings = load(None, ["input.topics=t", "input.covariates=wind", "model.hidden_size=4", "device=cpu"])
    assert app.forecaster(settings).layout["joint"] is True
    plain = load(None, ["input.topics=t", "model.hidden_size=4", "device=cpu"])
    assert "joint" not in app.forecaster(plain).layout
