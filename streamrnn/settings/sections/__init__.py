"""The sections of the configuration: keys, defaults and allowed values."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from streamrnn.core.config import (
    CellName,
    DetectorName,
    EncoderKind,
    LearningConfig,
    ModelConfig,
    VariantName,
)
from streamrnn.mapping.paths import check_path
from streamrnn.settings import units, validators
from streamrnn.settings.durations import AS_OPTIONAL_DURATION, optional_seconds
from streamrnn.settings.section import Section
from streamrnn.settings.sections.mapping import CsvSettings, FieldSettings, NumberSettings, Paths, TimeSettings
from streamrnn.settings.sections.timing import WindowSettings
from streamrnn.timing.rules import MAX_HELD

FormatName = Literal[
    "json", "csv", "influx", "telegraf", "prometheus", "otlp", "senml", "sparkplug", "json_schema", "avro", "protobuf",
    "connect", "debezium", "cloudevents",
]  # fmt: skip
"""Formats of input records; see `formats.catalogue`."""


def _quantity(parse: Callable[[str], float], least: str, most: str) -> BeforeValidator:
    """Parse a number with a unit and require it to lie between `least` and `most`."""

    def parsed(value: object) -> float:
        number = parse(str(value))
        if not parse(least) <= number <= parse(most):
            raise ValueError(f"must be from {least} to {most}")
        return number

    return BeforeValidator(parsed)


def _short_for(key: str) -> BeforeValidator:
    """Accept a value in place of a group of keys, as that of `key`."""
    return BeforeValidator(lambda value: value if isinstance(value, Section | dict) else {key: value})


def _seconds(least: str, most: str) -> BeforeValidator:
    return _quantity(units.parse_duration, least, most)


def _seconds_or_auto(least: str, most: str) -> BeforeValidator:
    """Parse as `_seconds` does, with None for `auto`."""
    parsed = _seconds(least, most).func
    return BeforeValidator(lambda value: None if value in (None, "auto") else parsed(value))  # type: ignore[call-arg]


def _duration_or_auto(seconds: float | None) -> str:
    return "auto" if seconds is None else units.format_duration(seconds)


_AS_DURATION_OR_AUTO = PlainSerializer(_duration_or_auto, return_type=str, when_used="json")
_AS_DURATION = PlainSerializer(units.format_duration, return_type=str, when_used="json")
_AS_SIZE = PlainSerializer(units.format_size, return_type=str, when_used="json")


class KafkaSettings(Section):
    """The Kafka cluster and this process's credentials."""

    bootstrap_servers: Annotated[str, AfterValidator(validators.check_servers)] = "localhost:9092"
    """`host:port`, several separated by commas."""
    client: Literal["auto", "kafka-python", "confluent"] = "auto"
    """Client library; `auto` uses the faster confluent-kafka if it is installed, else kafka-python."""
    instance: Annotated[str, AfterValidator(validators.check_app)] | None = None
    """Static group membership: a process that returns under this name within `session_timeout` gets its partitions
    back without a rebalance. Each process of an app needs its own."""
    group_protocol: Literal["classic", "consumer"] = "classic"
    """Rebalance protocol; `consumer` (KIP-848) needs Kafka 4.0 or later and confluent-kafka, and moves only the
    partitions that have to move. The brokers then set the session timeout."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Encryption and authentication of the connections."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """How the client authenticates; required with a SASL protocol."""
    sasl_username: str | None = None
    """With OAUTHBEARER: the id of the client."""
    sasl_password: SecretStr | None = None
    """With OAUTHBEARER: the secret of the client."""
    sasl_token_url: Annotated[str, AfterValidator(validators.check_token_url)] | None = None
    """Where OAUTHBEARER gets its tokens: the token endpoint of an identity provider (OIDC client credentials)."""
    sasl_scope: str | None = None
    """Scope of the tokens, if the identity provider needs one."""
    sasl_token_provider: Annotated[str, AfterValidator(validators.check_function)] | None = None
    """Instead of `sasl_token_url`: a function, `package.module:function`, that returns a token and when it expires."""
    ssl_cafile: Path | None = None
    """PEM file; absent: the certificate authorities that the system trusts."""
    ssl_certfile: Path | None = None
    """PEM file with the client certificate, for mutual TLS."""
    ssl_keyfile: Path | None = None
    """PEM file with the private key of the client certificate."""
    ssl_keyfile_password: SecretStr | None = None
    """Password of that file."""
    session_timeout: Annotated[float, _seconds("6s", "30m"), _AS_DURATION] = 45.0
    """Seconds without a heartbeat after which the group reassigns this process's partitions."""
    request_timeout: Annotated[float, _seconds("1s", "5m"), _AS_DURATION] = 10.0
    """Seconds to wait for a broker's answer."""
    transaction_timeout: Annotated[float, _seconds("1s", "15m"), _AS_DURATION] = 15.0
    """Seconds after which the broker aborts an open transaction."""


class SqliteSettings(Section):
    """The embedded log: topics, offsets and state in one file."""

    path: Path = Path("streamrnn.db")
    """The file; created if absent."""


class SchemaRegistrySettings(Section):
    """Where the schemas of Avro and Protobuf records come from."""

    url: Annotated[str, AfterValidator(validators.check_registry)] | None = None
    """Address of a registry with Confluent's API, such as `http://registry:8081`."""
    username: str | None = None
    """Name for basic authentication."""
    password: SecretStr | None = None
    """Password for basic authentication."""
    ssl_cafile: Path | None = None
    """PEM file; absent: the certificate authorities that the system trusts."""
    folder: Path | None = None
    """Instead of a registry: a folder with files such as `schema-42.avsc`."""


class InputSettings(Section):
    """The input topics and the fields of their records."""

    topics: Annotated[tuple[str, ...], BeforeValidator(validators.parse_topics)] = ()
    """The only required key, except where files are read."""
    format: FormatName = "json"
    """Format of the records' values."""
    schema_file: Path | None = Field(default=None, alias="schema")
    """With `avro` and `protobuf`: file with the schema of values that do not name one."""
    message: str | None = None
    """With `protobuf`: name of the message in that file."""
    payload: Literal["json", "avro", "protobuf", "json_schema"] = "json"
    """With `debezium` and `cloudevents`: format of the payload."""
    observations: Annotated[str, AfterValidator(check_path)] | None = None
    """Path of the parts of a record that make one observation each, such as `data[*]`; absent: the whole record."""
    key: Paths = ()
    """Path of the key that identifies a group of series; the texts at several paths are joined by slashes; absent: the
    format's, or else the record's Kafka key."""
    time: Annotated[TimeSettings, _short_for("from")] = TimeSettings()
    fields: Annotated[FieldSettings, _short_for("only")] = FieldSettings()
    numbers: NumberSettings = NumberSettings()
    csv: CsvSettings = CsvSettings()
    where: Annotated[tuple[str, ...], BeforeValidator(validators.parse_conditions)] = ()
    """Conditions that an observation must meet, such as `k.x == true`; others are dropped and counted."""
    covariates: Annotated[tuple[str, ...], BeforeValidator(validators.parse_names)] = ()
    """Fields that serve as inputs for the other fields of their key, as with `model.joint`, and are not forecast."""
    planned: Annotated[tuple[str, ...], BeforeValidator(validators.parse_names)] = ()
    """Fields whose values are known in advance: each is planned for the event time of its record, which may lie ahead,
    and serves as a covariate of the forecasts for that time."""
    max_ahead: Annotated[float | None, optional_seconds("1s", "3650d"), AS_OPTIONAL_DURATION] = None
    """Furthest that an event time may lie ahead of its record's timestamp, and where that is absent or as far ahead
    itself, of the partition's event time; beyond it an observation is a dead letter. Absent: no limit."""
    grace: Annotated[float, _seconds("0s", "7d"), _AS_DURATION] = 0.0
    """How late an observation may be and still be put in order of event time: each waits this long for earlier ones.
    A later one is a dead letter."""
    duplicates: Literal["first", "last", "error", "all"] = "first"
    """Which of several waiting values of one series and time counts: `first`, `last` (a correction), none but the
    first, and a dead letter (`error`), or each as an event of its own (`all`, only with `window`)."""
    max_held: int = Field(default=MAX_HELD, ge=1, le=10_000_000)
    """Largest number of waiting values of a partition; beyond it the oldest ones are released early. The same number of
    planned values is stored; further ones are dead letters."""
    window: Annotated[WindowSettings, _short_for("every")] = WindowSettings()
    heartbeat: Annotated[float | None, optional_seconds("1s", "1d"), AS_OPTIONAL_DURATION] = None
    """Advance time in a partition without a record for this long: the daemon then writes a heartbeat to
    `output.heartbeat`, each time. Absent: only records advance time."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where to start reading a partition without a committed offset."""
    max_record: Annotated[int, _quantity(units.parse_size, "1KiB", "1MiB"), _AS_SIZE] = 64 * 1024
    """Largest record value in bytes; a larger one is a dead letter."""
    max_series: int = Field(default=100_000, ge=1, le=10_000_000)
    """Largest number of series per partition; a record that would add one more is a dead letter."""


class OutputSettings(Section):
    """Output topics, as templates: `{topic}` stands for the input topic, `{app}` for the application; their format."""

    format: Literal["json", "connect", "avro"] = "json"
    """Format of the forecasts: `connect` is JSON with its schema, for Kafka Connect's sinks; `avro` needs
    `schema_registry.url` and the extra `avro`."""
    forecasts: Annotated[str, BeforeValidator(validators.check_topic_template)] = "{topic}.forecasts"
    """Topic of the forecasts."""
    dead_letters: Annotated[str, BeforeValidator(validators.check_topic_template)] = "{topic}.dead-letters"
    """Topic of the records that cannot be used."""
    state: Annotated[str, BeforeValidator(validators.check_topic_template)] = "{app}.state"
    """Compacted topic of the learned state."""
    events: Annotated[str | None, BeforeValidator(validators.check_optional_template)] = None
    """Topic of the events, such as `{topic}.events`: beginnings and ends of anomalies, expected crossings, drift and
    warm-up; absent: no events are written."""
    heartbeat: Annotated[str, BeforeValidator(validators.check_topic_template)] = "{app}.{topic}.heartbeat"
    """Topic of the heartbeats of `input.heartbeat`."""
    every: int = Field(default=0, ge=0, le=1_000_000)
    """With 10: publish the first forecast of a series, the eleventh and so on; 0: all, or only those of `on_change`."""
    on_change: bool = False
    """Publish the forecasts at which an event is due, whether or not they are written, and the first of a series."""

    @property
    def needs_changes(self) -> bool:
        """Whether the core has to track beginnings and ends."""
        return self.events is not None or self.on_change or self.every > 1


class ModelSettings(Section):
    """The recurrent network that all series of a partition share."""

    variant: VariantName = ModelConfig.variant
    """`lean` needs a twentieth of the memory and less than half the time, for very many series; it is less accurate."""
    cell: CellName = ModelConfig.cell
    """Kind of the recurrent cells."""
    hidden_size: int = Field(default=ModelConfig.hidden_size, ge=1, le=1024)
    """Units of each recurrent layer."""
    layers: int = Field(default=ModelConfig.layers, ge=1, le=8)
    """Recurrent layers."""
    encoder: EncoderKind = ModelConfig.encoder
    """Input of the head: the recurrent state, alone or with a backward pass or attention over the last observations."""
    context: int = Field(default=ModelConfig.context, ge=2, le=512)
    """Observations that a bidirectional or attention encoder reads."""
    decay: bool = ModelConfig.decay
    """Decay the hidden state with the time since the last observation, as GRU-D does."""
    joint: bool = ModelConfig.joint
    """Regress each field of a key on the last values of up to six other fields."""
    base: str = Field(default="default", min_length=1)
    """Initial weights: `default` (the bundled weights for this network, random if there are none), `none` (random),
    or a file written by `streamrnn pretrain`."""
    seed: int = Field(default=ModelConfig.seed, ge=0, le=2**63 - 1)
    """Seed of the random weights; with the same input it fixes every bit of the forecasts."""

    @property
    def config(self) -> ModelConfig:
        """Configuration of the core."""
        return ModelConfig(**self.model_dump(exclude={"base"}))


class LearningSettings(Section):
    """Online learning, at learning points that depend on the data only."""

    enabled: bool = LearningConfig.enabled
    """Learn from the records; otherwise the networks keep the weights of the base."""
    head: bool = LearningConfig.head
    """Adapt the head of the pretrained network, as one expert of the ensemble."""
    head_every: int = Field(default=LearningConfig.head_every, ge=1, le=1_000_000)
    """Observations per active series between two steps of the head, fewer at first ..."""
    head_most: int = Field(default=LearningConfig.head_most, ge=1, le=1_000_000)
    """... and the largest number of observations of the partition between them."""
    head_rate: float = Field(default=LearningConfig.head_rate, gt=0, le=1)
    """Learning rate of the head."""
    whole: bool = LearningConfig.whole
    """Train a copy of the whole network by truncated backpropagation through time, as another expert. Needs the extra
    `torch`: without it the copy stays as it is, which the log, `check` and the saved state's fingerprint say."""
    window: int = Field(default=LearningConfig.window, ge=2, le=4096)
    """Steps of truncated backpropagation."""
    every: int = Field(default=LearningConfig.every, ge=1, le=1_000_000)
    """Observations per active series between two steps of the whole network ..."""
    most: int = Field(default=LearningConfig.most, ge=1, le=1_000_000)
    """... and the largest number of observations of the partition between them."""
    batch: int = Field(default=LearningConfig.batch, ge=1, le=4096)
    """New windows per optimizer step of the whole network."""
    replay: int = Field(default=LearningConfig.replay, ge=0, le=4096)
    """Windows from the replay buffer per optimizer step of the whole network."""
    learning_rate: float = Field(default=LearningConfig.learning_rate, gt=0, le=1)
    """Learning rate of the whole network."""
    clip_norm: float = Field(default=LearningConfig.clip_norm, gt=0, le=1e6)
    """Gradient clipping: the largest norm."""
    warm_up: int = Field(default=LearningConfig.warm_up, ge=0, le=1_000_000)
    """Optimizer steps over which the learning rate of the whole network rises."""
    averaging: float = Field(default=LearningConfig.averaging, ge=0, lt=1)
    """Decay of the exponential moving average of the weights that forecast, per optimizer step of the whole network."""
    drift: DetectorName = LearningConfig.drift
    """Drift detector on the errors of each series; an alarm discounts the series' past regrets. Needs river."""
    level_shifts: bool = LearningConfig.level_shifts
    """Detect changes of a series' level or unit, convert its state to the new one, and mark it as drifting."""


class CommitSettings(Section):
    """Intervals between commits and between snapshots."""

    interval: Annotated[float, _seconds("1ms", "5m"), _AS_DURATION] = 0.5
    """Time between two commits, below `kafka.transaction_timeout`."""
    snapshot_interval: Annotated[float | None, _seconds_or_auto("1ms", "1h"), _AS_DURATION_OR_AUTO] = None
    """None: `auto`, which limits the state written to about 1 MB per second."""


class LoggingSettings(Section):
    """Log output on standard error."""

    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, else one JSON object per line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Level of this program's events; libraries log warnings only, as their debug level contains payloads."""


class TracesSettings(Section):
    """OpenTelemetry spans of the worker loop."""

    enabled: bool = False
    """The exporter reads its endpoint from the environment (OTEL_EXPORTER_OTLP_ENDPOINT)."""


class PageSettings(Section):
    """The live page and its HTTP API, in a separate process."""

    enabled: bool = False
    """Needs the extra `page`."""
    host: str = Field(default="127.0.0.1", min_length=1)
    """Listening address. The default accepts local connections only."""
    port: int = Field(default=8080, ge=0, le=65535)
    """0: any free port."""
    token: Annotated[SecretStr, AfterValidator(validators.check_token)] | None = None
    """Access token of the page; None: no authentication."""
    history: int = Field(default=240, ge=10, le=100_000)
    """Observations per series to show and score."""
    memory: Annotated[int, _quantity(units.parse_size, "1MiB", "64GiB"), _AS_SIZE] = 512 * 1024 * 1024
    """Largest memory of all histories in bytes; the least recently updated series are dropped beyond it."""
