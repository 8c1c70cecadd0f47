"""The sections of the configuration: keys, defaults and allowed values."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from streamrnn.settings import units, validators


def _quantity(parse: Callable[[str], float], least: str, most: str) -> BeforeValidator:
    """Parse a number with a unit and require it to lie between `least` and `most`."""

    def parsed(value: object) -> float:
        number = parse(str(value))
        if not parse(least) <= number <= parse(most):
            raise ValueError(f"must be from {least} to {most}")
        return number

    return BeforeValidator(parsed)


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


class Section(BaseModel):
    """A frozen group of keys that rejects unknown ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: object, info: ValidationInfo) -> object:
        """Treat an empty text as null where null is the default; an environment variable has no other null."""
        field = cls.model_fields[str(info.field_name)]
        return None if value == "" and field.default is None else value


class KafkaSettings(Section):
    """The Kafka cluster and this process's credentials."""

    bootstrap_servers: Annotated[str, AfterValidator(validators.check_servers)] = "localhost:9092"
    """`host:port`, several separated by commas."""
    client: Literal["auto", "kafka-python", "confluent"] = "auto"
    """Client library; `auto` uses the faster confluent-kafka if it is installed, else kafka-python."""
    instance: Annotated[str, AfterValidator(validators.check_app)] | None = None
    """Static group membership: a process that returns under this name within `session_timeout` gets its partitions
    back without a rebalance. Each process of an app needs its own."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    """PEM file; absent: the certificate authorities that the system trusts."""
    ssl_certfile: Path | None = None
    """PEM file with the client certificate, for mutual TLS."""
    ssl_keyfile: Path | None = None
    ssl_keyfile_password: SecretStr | None = None
    session_timeout: Annotated[float, _seconds("6s", "30m"), _AS_DURATION] = 45.0
    """Seconds without a heartbeat after which the group reassigns this process's partitions."""
    request_timeout: Annotated[float, _seconds("1s", "5m"), _AS_DURATION] = 10.0
    """Seconds to wait for a broker's answer."""
    transaction_timeout: Annotated[float, _seconds("1s", "15m"), _AS_DURATION] = 15.0
    """Seconds after which the broker aborts an open transaction."""


class SqliteSettings(Section):
    """The embedded log: topics, offsets and state in one file."""

    path: Path = Path("streamrnn.db")


class InputSettings(Section):
    """The input topics and the fields of their records."""

    topics: Annotated[tuple[str, ...], BeforeValidator(validators.parse_topics)] = ()
    """The only required key, except where files are read."""
    format: Literal["json"] = "json"
    key: str | None = None
    """Field with the key that identifies a group of series; absent: the record's Kafka key."""
    time: str | None = None
    """Field with the event time; absent: the record's Kafka timestamp."""
    fields: Annotated[tuple[str, ...] | Literal["*"], BeforeValidator(validators.parse_fields)] = "*"
    """Fields to forecast, each a series; `*`: every numeric field."""
    covariates: Annotated[tuple[str, ...], BeforeValidator(validators.parse_covariates)] = ()
    """Fields that serve as inputs for the other fields of their key, as with `model.joint`, and are not forecast."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where to start reading a partition without a committed offset."""
    max_record: Annotated[int, _quantity(units.parse_size, "1KiB", "1MiB"), _AS_SIZE] = 64 * 1024
    """Largest record value in bytes; a larger one is a dead letter."""
    max_series: int = Field(default=100_000, ge=1, le=10_000_000)
    """Largest number of series per partition; a record that would add one more is a dead letter."""


class OutputSettings(Section):
    """Output topics, as templates: `{topic}` stands for the input topic, `{app}` for the application."""

    forecasts: Annotated[str, BeforeValidator(validators.check_topic_template)] = "{topic}.forecasts"
    dead_letters: Annotated[str, BeforeValidator(validators.check_topic_template)] = "{topic}.dead-letters"
    state: Annotated[str, BeforeValidator(validators.check_topic_template)] = "{app}.state"


class ForecastSettings(Section):
    """The forecasts to publish."""

    horizons: Annotated[tuple[int, ...], BeforeValidator(validators.parse_horizons)] = (1, 12, 24)
    """Steps ahead."""
    quantiles: Annotated[tuple[float, ...], BeforeValidator(validators.parse_quantiles)] = (0.05, 0.1, 0.5, 0.9, 0.95)
    seasons: Annotated[
        tuple[float, ...] | None,
        BeforeValidator(validators.parse_seasons),
        PlainSerializer(validators.format_seasons, return_type=str | list[str], when_used="json"),
    ] = None
    """Seasonal periods in seconds; None: detect them from event times and values."""
    direction: bool = False
    """Also publish the probabilities that a series falls, stays flat or rises."""
    flat: float = Field(default=0.5, gt=0, le=10)
    """With `direction`: a change counts as flat up to this multiple of the series' typical change over the horizon."""


class ModelSettings(Section):
    """The recurrent network that all series of a partition share."""

    variant: Literal["full", "lean"] = "full"
    """`lean` needs a twentieth of the memory and a third of the time, for very many series; it is less accurate."""
    cell: Literal["rnn_tanh", "rnn_relu", "gru", "lstm"] = "gru"
    hidden_size: int = Field(default=64, ge=1, le=1024)
    layers: int = Field(default=1, ge=1, le=8)
    encoder: Literal["recurrent", "bidirectional", "attention"] = "recurrent"
    """Input of the head: the recurrent state, alone or with a backward pass or attention over the last observations."""
    context: int = Field(default=16, ge=2, le=512)
    """Observations that a bidirectional or attention encoder reads."""
    decay: bool = False
    """Decay the hidden state with the time since the last observation, as GRU-D does."""
    joint: bool = False
    """Regress each field of a key on the last values of up to six other fields."""
    base: str = Field(default="default", min_length=1)
    """Initial weights: `default` (the bundled weights for this network, random if there are none), `none` (random),
    or a file written by `streamrnn pretrain`."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)

    @property
    def network(self) -> dict[str, Any]:
        """The keys that define the network, and so which weights fit."""
        return self.model_dump(exclude={"joint", "base", "seed"})


class LearningSettings(Section):
    """Online learning, at learning points that depend on the data only."""

    enabled: bool = True
    head: bool = True
    """Adapt the head of the pretrained network, as one expert of the ensemble."""
    head_every: int = Field(default=4, ge=1, le=1_000_000)
    """Observations per active series between two steps of the head ..."""
    head_most: int = Field(default=256, ge=1, le=1_000_000)
    """... and the largest number of observations of the partition between them."""
    head_rate: float = Field(default=0.001, gt=0, le=1)
    """Learning rate of the head."""
    whole: bool = True
    """Train a copy of the whole network by truncated backpropagation through time, as another expert."""
    window: int = Field(default=48, ge=2, le=4096)
    """Steps of truncated backpropagation."""
    every: int = Field(default=64, ge=1, le=1_000_000)
    """Observations per active series between two steps of the whole network ..."""
    most: int = Field(default=4096, ge=1, le=1_000_000)
    """... and the largest number of observations of the partition between them."""
    batch: int = Field(default=16, ge=1, le=4096)
    """New windows per optimizer step of the whole network."""
    replay: int = Field(default=16, ge=0, le=4096)
    """Windows from the replay buffer per optimizer step of the whole network."""
    learning_rate: float = Field(default=0.002, gt=0, le=1)
    """Learning rate of the whole network."""
    clip_norm: float = Field(default=1.0, gt=0, le=1e6)
    """Gradient clipping: the largest norm."""
    warm_up: int = Field(default=30, ge=0, le=1_000_000)
    """Optimizer steps over which the learning rate of the whole network rises."""
    averaging: float = Field(default=0.98, ge=0, lt=1)
    """Decay of the exponential moving average of the weights that forecast, per optimizer step of the whole network."""
    drift: Literal["none", "adwin", "page_hinkley", "kswin"] = "none"
    """Drift detector on the errors of each series; an alarm discounts the series' past regrets. Needs river."""


class CommitSettings(Section):
    """Intervals between commits and between snapshots."""

    interval: Annotated[float, _seconds("1ms", "5m"), _AS_DURATION] = 0.5
    snapshot_interval: Annotated[float | None, _seconds_or_auto("1ms", "1h"), _AS_DURATION_OR_AUTO] = None
    """None: `auto`, which limits the state written to about 1 MB per second."""


class MetricsSettings(Section):
    """The HTTP server for /metrics, /healthz and /readyz."""

    enabled: bool = True
    host: str = Field(default="127.0.0.1", min_length=1)
    """Listening address. The default accepts local connections only; the container image sets 0.0.0.0."""
    port: int = Field(default=9108, ge=0, le=65535)
    """0: any free port."""


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
