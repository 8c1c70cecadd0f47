"""The sections of the configuration: keys, defaults and allowed values."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

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

from streamrnn.core.config import (
    CellName,
    DetectorName,
    EncoderKind,
    ForecastConfig,
    LearningConfig,
    ModelConfig,
    VariantName,
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

    horizons: Annotated[tuple[int, ...], BeforeValidator(validators.parse_horizons)] = ForecastConfig.horizons
    """Steps ahead."""
    quantiles: Annotated[tuple[float, ...], BeforeValidator(validators.parse_quantiles)] = ForecastConfig.quantiles
    seasons: Annotated[
        tuple[float, ...] | None,
        BeforeValidator(validators.parse_seasons),
        PlainSerializer(validators.format_seasons, return_type=str | list[str], when_used="json"),
    ] = ForecastConfig.seasons
    """Seasonal periods in seconds; None: detect them from event times and values."""
    direction: bool = ForecastConfig.direction
    """Also publish the probabilities that a series falls, stays flat or rises."""
    flat: float = Field(default=ForecastConfig.flat, gt=0, le=10)
    """With `direction`: a change counts as flat up to this multiple of the series' typical change over the horizon."""

    @property
    def config(self) -> ForecastConfig:
        """Configuration of the core."""
        return ForecastConfig(**self.model_dump())


class ModelSettings(Section):
    """The recurrent network that all series of a partition share."""

    variant: VariantName = ModelConfig.variant
    """`lean` needs a twentieth of the memory and a third of the time, for very many series; it is less accurate."""
    cell: CellName = ModelConfig.cell
    hidden_size: int = Field(default=ModelConfig.hidden_size, ge=1, le=1024)
    layers: int = Field(default=ModelConfig.layers, ge=1, le=8)
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

    @property
    def config(self) -> ModelConfig:
        """Configuration of the core."""
        return ModelConfig(**self.model_dump(exclude={"base"}))


class LearningSettings(Section):
    """Online learning, at learning points that depend on the data only."""

    enabled: bool = LearningConfig.enabled
    head: bool = LearningConfig.head
    """Adapt the head of the pretrained network, as one expert of the ensemble."""
    head_every: int = Field(default=LearningConfig.head_every, ge=1, le=1_000_000)
    """Observations per active series between two steps of the head ..."""
    head_most: int = Field(default=LearningConfig.head_most, ge=1, le=1_000_000)
    """... and the largest number of observations of the partition between them."""
    head_rate: float = Field(default=LearningConfig.head_rate, gt=0, le=1)
    """Learning rate of the head."""
    whole: bool = LearningConfig.whole
    """Train a copy of the whole network by truncated backpropagation through time, as another expert."""
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

    @property
    def config(self) -> LearningConfig:
        """Configuration of the core."""
        return LearningConfig(**self.model_dump())


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
