"""The sections: defaults, what is allowed, and what does not go together."""

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from streamrnn import app
from streamrnn.errors import ConfigError
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import Settings, from_sections, load, to_yaml
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
    assert (settings.input.max_record, settings.input.max_series, settings.input.fields.only) == (65536, 100_000, "*")
    assert settings.input.key == ()
    assert settings.input.time.source == ()


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("input.time_unit", "input.time.unit"),
        ("input.timezone", "input.time.zone"),
        ("input.fields.exept", "input.fields.except"),
        ("input.time.earliestt", "input.time.earliest"),
        ("kafka.bootstrap_server", "kafka.bootstrap_servers"),
        ("input.timestamp", "input.time.from"),
        ("input.ts", "input.time.from"),
        ("input.time_field", "input.time.from"),
        ("input.key_field", "input.key"),
        ("series_key", "input.key"),
        ("key", "input.key"),
        ("time.from", "input.time.from"),
        ("topic", "input.topics"),
        ("input.topic", "input.topics"),
        ("kafka.topics", "input.topics"),
        ("brokers", "kafka.bootstrap_servers"),
        ("kafka.brokers", "kafka.bootstrap_servers"),
        ("kafka.bootstrap", "kafka.bootstrap_servers"),
        ("kafka.bootstrap.servers", "kafka.bootstrap_servers"),
        ("kafka.group_id", "app"),
        ("fields_only", "input.fields.only"),
        ("input.exclude", "input.fields.except"),
        ("interval", "commit.interval"),
        ("horizon", "forecast.horizon"),
        ("input.horizons", "forecast.horizons"),
        ("forecast.quantile", "forecast.quantiles"),
        ("input.filter", "input.where"),
        ("kafka.username", "kafka.sasl_username"),
        ("metrics.prt", "metrics.port"),
        ("input.tiem", "input.time"),
        ("input.na_values", "input.numbers.missing"),
    ],
)
def test_the_right_form_of_an_unknown_key(key: str, meant: str) -> None:
    """A misspelt key is answered with the one that was meant, whatever separates its words."""
    assert f"did you mean {meant} (" in problem(f"{key}=x")


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
        ("kafka.group_protocol=share", "allowed are 'classic' or 'consumer'"),
        ("kafka.session_timeout=1s", "must be from 6s to 30m"),
        ("input.topics=a b", "is not a topic name"),
        ("input.topics=a,a", "must not name a topic twice"),
        ('input.topics=["a"', "is not a JSON list"),
        ('input.topics=[["a"]]', "must be a list"),
        ("input.topics=..", "is not a topic name"),
        ("input.format=xml", "allowed are 'json'"),
        ("input.fields=", "must be '*'"),
        ("input.fields=a,a", "distinct names"),
        ("input.fields=" + "é" * 129, "of 1 to 256 bytes"),
        ("input.key=a..b", "'a..b' is not a path; allowed are names separated by dots"),
        ("input.key=tags[x", "is not a path"),
        ("input.key=record:offset", "'record:offset' is no part of a record; allowed are record:key"),
        ("input.key=header:", "needs the name of a header"),
        ("input.observations=[", "is not a path"),
        ("input.time.unit=sec", "allowed are 'auto', 's', 'ms', 'us' or 'ns'"),
        ("input.time.zone=CEST", "must be a time zone of the IANA database"),
        ("input.time.format=%d.%m.%y", "has no year of four digits"),
        ("input.time.format=%Q", "is not a pattern of strptime"),
        ("input.time.earliest=0", "must be a day such as 1970-01-01"),
        ("input.numbers.decimal=;", "allowed are '.' or ','"),
        ("input.numbers.text=perhaps", "must be true or false"),
        ("input.where=temperature", "must be a path, ==, !=, <, <=, > or >=, and a value"),
        ("input.where=a < true", "allowed are numbers and text"),
        ("input.grace=60", "the unit is missing"),
        ("input.grace=8d", "must be from 0s to 7d"),
        ("input.window=50ms", "must be a whole number of milliseconds from 100ms to 1d"),
        ("input.window.how=median", "must be mean, sum, count, last, min, max, rate, ohlc"),
        ('input.window.how={"a": "sum"}', "must end with the pattern '*'"),
        ("forecast.horizon=soon", "must be a number of steps or a duration"),
        ("forecast.step=0s", "must be a whole number of milliseconds from 1ms to 366d"),
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
        ("forecast.horizons=[]", "must be 1 to 1000"),
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


OAUTH = ["kafka.security_protocol=SASL_SSL", "kafka.sasl_mechanism=OAUTHBEARER", "kafka.sasl_username=me"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["kafka.sasl_username=me"], "kafka.sasl_username = 'me' (--set): has no effect"),
        (
            ["kafka.security_protocol=SASL_SSL"],
            "kafka.sasl_password: is missing: kafka.security_protocol is SASL_SSL; set it in a secrets file or in "
            "STREAMRNN_KAFKA__SASL_PASSWORD",
        ),
        ([*OAUTH, "kafka.sasl_password=s"], "kafka.sasl_token_url: is needed for OAUTHBEARER"),
        ([*OAUTH, "kafka.sasl_token_url=https://x/token"], "kafka.sasl_password: is missing"),
        (
            [*OAUTH, "kafka.sasl_password=s", "kafka.sasl_token_url=https://x", "kafka.sasl_token_provider=a:b"],
            "not both",
        ),
        (["kafka.sasl_scope=x", *OAUTH, "kafka.sasl_mechanism=PLAIN", "kafka.sasl_password=s"], "not OAUTHBEARER"),
        (["kafka.sasl_token_url=https://x"], "kafka.sasl_token_url = 'https://x' (--set): has no effect"),
        (["kafka.group_protocol=consumer", "kafka.client=kafka-python"], "consumer needs kafka.client: confluent"),
        (["kafka.group_protocol=consumer", "kafka.session_timeout=6s"], "the brokers' (group.consumer.session.timeout"),
        (["kafka.ssl_cafile=ca.pem"], "kafka.ssl_cafile = 'ca.pem' (--set): has no effect"),
        (["series.ttl=5d"], "series.ttl = '5d' (--set): needs input.max_ahead, such as 1d"),
        (["series.stale=5d"], "series.stale = '5d' (--set): needs input.max_ahead, such as 1d"),
        (["series.stale=5d", "input.max_ahead=1d", "series.ttl=5d"], "series.stale = '5d' (--set): has no effect"),
        (["input.heartbeat=1m"], "input.heartbeat = '1m' (--set): needs input.grace, input.window or input.max_ahead"),
        (
            ["input.heartbeat=1m", "input.grace=1s", "output.heartbeat={app}.state"],
            "output.heartbeat = '{app}.state' (--set): for sensors it is",
        ),
        (
            ["series.ttl=70s", "input.max_ahead=1d", "input.grace=10s", "input.window.every=1m"],
            "series.ttl = '70s' (--set): must be longer than input.grace and a window of input.window together, which",
        ),
        (["kafka.security_protocol=SSL", "kafka.ssl_keyfile=k"], "requires kafka.ssl_certfile"),
        (["kafka.security_protocol=SSL", "kafka.ssl_keyfile_password=k"], "requires kafka.ssl_keyfile"),
        (["commit.interval=15s"], "must be shorter than kafka.transaction_timeout, which is 15s"),
        (["commit.snapshot_interval=100ms"], "must be at least commit.interval, 500ms"),
        (["input.duplicates=last"], "needs input.grace or input.window"),
        (["input.grace=1s", "input.duplicates=all"], "all needs input.window"),
        (["input.window.how=sum"], "needs input.window.every"),
        (["input.window=1m", "input.window.empty=zero"], "zero needs an aggregation of count and sum"),
        (["input.window=1m", "forecast.step=5m"], "a step is input.window.every"),
        (["forecast.horizons=15m"], "15m is a duration: set input.window.every, or forecast.step"),
        (["forecast.horizon=24h", "input.window=7m"], "24h is no whole number of steps, which are 7m long"),
        (["forecast.horizon=24h", "input.window=1m"], "24h is 1,440 steps; allowed are 1 to 1000"),
        (["forecast.horizon=0"], "must be from 1 to 1000 steps"),
        (["forecast.horizon=2", "forecast.horizons=1,2"], "leave out this key or forecast.horizons"),
        (
            ["forecast.horizon=1000", "forecast.quantiles=" + ",".join(str(i / 100) for i in range(2, 51))],
            "horizons; 8",
        ),
        (["learning.most=4"], "must be at least learning.every, which is 32"),
        (["learning.head_most=3"], "must be at least learning.head_every, which is 4"),
        (["page.port=9108"], "is also a metrics port"),
        (["input.key=id", "input.fields=id,value"], "must not name the field of input.key"),
        (["input.time=at", "input.fields=at"], "must not name the field of input.key or input.time"),
        (["input.fields.name=metric"], "needs both name and value"),
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
        (["input.covariates=a,a"], "must be distinct names"),
        (["input.covariates=a", "input.fields=a,b"], "must not name 'a', which input.key"),
        (["input.covariates=k", "input.key=k"], "must not name 'k'"),
        (["input.covariates=a", "model.variant=lean"], "requires model.variant: full"),
        (["input.planned=a", "model.variant=lean"], "input.planned"),
        (["input.planned=a", "input.fields=a,b"], "must not name 'a', which input.key"),
        (["input.planned=a", "input.covariates=a"], "input.fields or input.covariates names"),
        (["input.planned=temp_*"], "'temp_*' is a pattern"),
        (["input.planned=a,b,c,d,e,f,g"], "must be at most 6 fields"),
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


@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        (["forecast.horizons=15m,1h,24h", "forecast.step=5m"], (3, 12, 288)),
        (['forecast.horizons=["1", "90s"]', "input.window=30s"], (1, 3)),
        (["forecast.horizon=168"], tuple(range(1, 169))),
        (["forecast.horizon=2h", "forecast.step=30m"], (1, 2, 3, 4)),
        (["forecast.step=5m"], (1, 12, 24)),
    ],
)
def test_horizons_are_steps_once_loaded(overrides: list[str], steps: tuple[int, ...]) -> None:
    """Durations become steps of the configured length, and the effective configuration reads as itself."""
    settings = load(None, ["input.topics=t", *overrides])
    assert settings.forecast.horizons == steps
    assert settings.forecast.config.horizons == steps
    again = yaml.safe_load(to_yaml(settings))
    assert from_sections({name: each for name, each in again.items() if name in ("forecast", "input")}).forecast == (
        settings.forecast
    )


def test_windows_are_written_as_they_are_read() -> None:
    """A window may be a duration, or a group with patterns, and is printed as it is read."""
    settings = load(None, ["input.topics=t", "input.window=90s", 'input.window.how={"a*": "sum", "*": "rate"}'])
    assert settings.input.window.model_dump(mode="json") == {
        "every": "90s", "how": {"a*": "sum", "*": "rate"}, "empty": "missing",
    }  # fmt: skip
    assert from_sections({"input": {"window": {"every": "90s", "how": "sum"}}}).input.window.how == (("*", "sum"),)


def test_a_thousand_horizons_fit_a_record_and_the_state() -> None:
    """With every step up to 1,000 a forecast is smaller than a broker's limit, and a saved state is restored."""
    overrides = ["model.variant=lean", "model.hidden_size=4", "model.base=none", "learning.whole=false"]
    settings = load(None, ["input.topics=t", "input.key=k", "forecast.horizon=1000", *overrides])
    partition = TopicPartition("t", 0)
    records = [
        Record("t", 0, i, 1_700_000_000_000 + 60_000 * i, None, b'{"k": "p", "a": %d}' % (i % 7)) for i in range(40)
    ]
    first = app.task(settings, partition)
    first.feed(records[:30])
    second = app.task(settings, partition)
    assert second.load({key: piece for key, piece in first.save(30) if piece is not None}) == 30
    outputs = [task.feed(records[30:])[0] for task in (first, second)]
    assert outputs[0] == outputs[1]
    assert {len(json.loads(each.value or b"")["target_time"]) for each in outputs[0]} == {1000}
    assert 50_000 < max(len(each.value or b"") for each in outputs[0]) < 2**20
