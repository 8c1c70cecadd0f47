"""The sections of the configuration: their keys, defaults and what is allowed; unknown keys are refused."""

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
    """Read a text with a unit, from `least` to `most`."""

    def parsed(value: object) -> float:
        number = parse(str(value))
        if not parse(least) <= number <= parse(most):
            raise ValueError(f"must be from {least} to {most}")
        return number

    return BeforeValidator(parsed)


def _seconds(least: str, most: str) -> BeforeValidator:
    return _quantity(units.duration, least, most)


def _seconds_or_auto(least: str, most: str) -> BeforeValidator:
    """As `_seconds`; None where it says `auto`."""
    parsed = _seconds(least, most).func
    return BeforeValidator(lambda value: None if value in (None, "auto") else parsed(value))  # type: ignore[call-arg]


def _duration_or_auto(seconds: float | None) -> str:
    return "auto" if seconds is None else units.duration_text(seconds)


_AS_DURATION_OR_AUTO = PlainSerializer(_duration_or_auto, return_type=str, when_used="json")
_AS_DURATION = PlainSerializer(units.duration_text, return_type=str, when_used="json")
_AS_SIZE = PlainSerializer(units.size_text, return_type=str, when_used="json")


class Section(BaseModel):
    """Frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: object, info: ValidationInfo) -> object:
        """Let an empty text leave out a key that may be left out: the way to say it in an environment variable."""
        field = cls.model_fields[str(info.field_name)]
        return None if value == "" and field.default is None else value


class Kafka(Section):
    """The Kafka cluster, and how this process proves who it is."""

    bootstrap_servers: Annotated[str, AfterValidator(validators.servers)] = "localhost:9092"
    """`host:port`, several separated by commas."""
    client: Literal["auto", "kafka-python", "confluent"] = "auto"
    """The library; `auto`: confluent-kafka if it is installed, which is faster, else kafka-python."""
    instance: Annotated[str, AfterValidator(validators.app)] | None = None
    """A name of this process that outlasts it: one that comes back within `session_timeout` gets its partitions back,
    and nothing moves meanwhile. No two processes of an app may have the same."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    """PEM; absent: the authorities that this machine trusts."""
    ssl_certfile: Path | None = None
    """PEM; the client's certificate, for mutual TLS."""
    ssl_keyfile: Path | None = None
    ssl_keyfile_password: SecretStr | None = None
    session_timeout: Annotated[float, _seconds("6s", "30m"), _AS_DURATION] = 45.0
    """Seconds without a heartbeat after which the group gives this process's partitions to others."""
    request_timeout: Annotated[float, _seconds("1s", "5m"), _AS_DURATION] = 10.0
    """Seconds that a broker has to answer."""
    transaction_timeout: Annotated[float, _seconds("1s", "15m"), _AS_DURATION] = 15.0
    """Seconds after which the broker rolls back what a dead process left open."""


class Sqlite(Section):
    """The embedded log: topics, offsets and state in one file."""

    path: Path = Path("streamrnn.db")


class Input(Section):
    """What is read, and what of a record is forecast."""

    topics: Annotated[tuple[str, ...], BeforeValidator(validators.topics)] = ()
    """The only key without a default; `load` insists on it where a daemon is to read them."""
    format: Literal["json"] = "json"
    key: str | None = None
    """Field that names the thing observed; absent: the record's Kafka key."""
    time: str | None = None
    """Field with the event time; absent: the record's Kafka timestamp."""
    fields: Annotated[tuple[str, ...] | Literal["*"], BeforeValidator(validators.fields)] = "*"
    """Fields that are forecast, each a series; `*`: every numeric one."""
    covariates: Annotated[tuple[str, ...], BeforeValidator(validators.covariates)] = ()
    """Fields that the others of their key see, as with `model.joint`, and that are not forecast."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where a partition is read from as long as nothing was committed for it."""
    max_record: Annotated[int, _quantity(units.size, "1KiB", "1MiB"), _AS_SIZE] = 64 * 1024
    """Bytes of a record's value; a longer one is a dead letter."""
    max_series: int = Field(default=100_000, ge=1, le=10_000_000)
    """Per task; a record that would add another series is a dead letter."""


class Output(Section):
    """Topics written, as templates in which `{topic}` is the input topic and `{app}` the application."""

    forecasts: Annotated[str, BeforeValidator(validators.template)] = "{topic}.forecasts"
    dead_letters: Annotated[str, BeforeValidator(validators.template)] = "{topic}.dead-letters"
    state: Annotated[str, BeforeValidator(validators.template)] = "{app}.state"


class Forecast(Section):
    """What is said about the future."""

    horizons: Annotated[tuple[int, ...], BeforeValidator(validators.horizons)] = (1, 12, 24)
    """Steps ahead."""
    quantiles: Annotated[tuple[float, ...], BeforeValidator(validators.quantiles)] = (0.05, 0.1, 0.5, 0.9, 0.95)
    seasons: Annotated[
        tuple[float, ...] | None,
        BeforeValidator(validators.seasons),
        PlainSerializer(validators.seasons_text, return_type=str | list[str], when_used="json"),
    ] = None
    """Periods, seconds; None: found from event time and values."""
    direction: bool = False
    """Whether the probabilities that a series will fall, stay or rise are said, too."""
    flat: float = Field(default=0.5, gt=0, le=10)
    """With `direction`: a change of at most so many times the series' usual one over the horizon is none."""


class Model(Section):
    """The recurrent network that the series of a task share, and what is known of each series."""

    variant: Literal["full", "lean"] = "full"
    """`lean`: a twentieth of the state and a third of the time, for very many series; less accurate."""
    cell: Literal["rnn_tanh", "rnn_relu", "gru", "lstm"] = "gru"
    hidden_size: int = Field(default=64, ge=1, le=1024)
    layers: int = Field(default=1, ge=1, le=8)
    encoder: Literal["recurrent", "bidirectional", "attention"] = "recurrent"
    """What is read of the past: the recurrent state, and beside it the last observations backwards, or by attention."""
    context: int = Field(default=16, ge=2, le=512)
    """Observations that a bidirectional encoder or attention looks back upon."""
    decay: bool = False
    """Whether the hidden state decays with the time since the last observation, as in GRU-D."""
    joint: bool = False
    """Whether the fields of a key see each other: each by a regression on the last values of up to six others."""
    base: str = Field(default="default", min_length=1)
    """Weights to start from: `default`, those that come with the package for this network, random ones if none do;
    `none`, random ones; or a file that `streamrnn pretrain` wrote."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)

    @property
    def network(self) -> dict[str, Any]:
        """The keys that say what the network is, and so which weights fit."""
        return self.model_dump(exclude={"joint", "base", "seed"})


class Learning(Section):
    """What is learned online, at learning points that the data define."""

    enabled: bool = True
    head: bool = True
    """Whether the head of the base adapts, as one member of the mixture."""
    head_every: int = Field(default=4, ge=1, le=1_000_000)
    """It does so after this many observations per live series ..."""
    head_most: int = Field(default=256, ge=1, le=1_000_000)
    """... but after this many observations of the task at the latest."""
    head_rate: float = Field(default=0.001, gt=0, le=1)
    """Learning rate of the head."""
    whole: bool = True
    """Whether a copy of the whole network learns by truncated backpropagation through time, as another member."""
    window: int = Field(default=48, ge=2, le=4096)
    """Observations of a series that one of its gradients goes back through."""
    every: int = Field(default=64, ge=1, le=1_000_000)
    """It learns after this many observations per live series ..."""
    most: int = Field(default=4096, ge=1, le=1_000_000)
    """... but after this many observations of the task at the latest."""
    batch: int = Field(default=16, ge=1, le=4096)
    """Windows that have just been completed, per learning step of the whole network."""
    replay: int = Field(default=16, ge=0, le=4096)
    """Windows drawn from memory, per learning step of the whole network."""
    learning_rate: float = Field(default=0.002, gt=0, le=1)
    """Of the whole network."""
    clip_norm: float = Field(default=1.0, gt=0, le=1e6)
    """Largest norm of a gradient."""
    warm_up: int = Field(default=30, ge=0, le=1_000_000)
    """Learning steps over which the learning rate of the whole network rises."""
    averaging: float = Field(default=0.98, ge=0, lt=1)
    """Of the weights that forecast: the share of the old average that each learning step of the whole network keeps."""
    drift: Literal["none", "adwin", "page_hinkley", "kswin"] = "none"
    """Detector of drift, fed with the errors of each series; after an alarm its mixture forgets. It needs river."""


class Commit(Section):
    """How often what was done becomes visible, and the state is saved."""

    interval: Annotated[float, _seconds("1ms", "5m"), _AS_DURATION] = 0.5
    snapshot_interval: Annotated[float | None, _seconds_or_auto("1ms", "1h"), _AS_DURATION_OR_AUTO] = None
    """None: `auto`, as often as is worth it at about 1 MB of state per second."""


class Metrics(Section):
    """The HTTP server of /metrics, /healthz and /readyz."""

    enabled: bool = True
    host: str = Field(default="127.0.0.1", min_length=1)
    """Address listened on. The default answers this machine only; the container image sets 0.0.0.0."""
    port: int = Field(default=9108, ge=0, le=65535)
    """0: any free port."""


class Logging(Section):
    """What is written to standard error."""

    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, else one JSON object a line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Of what this program says; of the libraries only warnings are written, whose debug level has payloads."""


class Traces(Section):
    """Spans of the loop's work, by OpenTelemetry."""

    enabled: bool = False
    """They are sent where the environment says (OTEL_EXPORTER_OTLP_ENDPOINT and its like)."""


class Page(Section):
    """The live page and its HTTP API, in a process of their own."""

    enabled: bool = False
    """Needs the extra `page`."""
    host: str = Field(default="127.0.0.1", min_length=1)
    """Address listened on. The default answers this machine only."""
    port: int = Field(default=8080, ge=0, le=65535)
    """0: any free port."""
    token: Annotated[SecretStr, AfterValidator(validators.token)] | None = None
    """What who wants to see the page must know; None: whoever reaches the port sees it."""
    history: int = Field(default=240, ge=10, le=100_000)
    """Observations of a series that are shown and scored."""
    memory: Annotated[int, _quantity(units.size, "1MiB", "64GiB"), _AS_SIZE] = 512 * 1024 * 1024
    """Bytes for all histories; of more series than it can hold the page shows those that were seen lately."""
