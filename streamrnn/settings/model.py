"""The whole configuration, and the checks across its sections."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from streamrnn.formats.catalogue import ENVELOPES
from streamrnn.mapping.patterns import is_pattern
from streamrnn.settings import units, validators
from streamrnn.settings.section import Section
from streamrnn.settings.sections import (
    CommitSettings,
    InputSettings,
    KafkaSettings,
    LearningSettings,
    LoggingSettings,
    ModelSettings,
    OutputSettings,
    PageSettings,
    SchemaRegistrySettings,
    SqliteSettings,
    TracesSettings,
)
from streamrnn.settings.sections.alerts import AnomalySettings
from streamrnn.settings.sections.forecast import ForecastSettings
from streamrnn.settings.sections.metrics import MetricsSettings
from streamrnn.settings.sections.series import SeriesSettings, conflicts_of_series
from streamrnn.settings.sections.timing import WindowSettings, in_steps
from streamrnn.settings.sources import environment_name
from streamrnn.timing.rules import FILLED, MAX_FIELDS

_MAX_NUMBERS = 45_000
"""Numbers in a forecast record, each of up to 20 bytes: brokers refuse records over 1 MiB."""


class Settings(Section):
    """The whole configuration."""

    app: Annotated[str, AfterValidator(validators.check_app)] = "streamrnn"
    """Name of the application: of its consumer group, its transactional ids and its state topic."""
    log: Literal["kafka", "sqlite"] = "kafka"
    """What holds records, forecasts, offsets and state."""
    kafka: KafkaSettings = KafkaSettings()
    sqlite: SqliteSettings = SqliteSettings()
    input: InputSettings = InputSettings()
    series: SeriesSettings = SeriesSettings()
    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()
    output: OutputSettings = OutputSettings()
    forecast: ForecastSettings = ForecastSettings()
    anomaly: AnomalySettings = AnomalySettings()
    model: ModelSettings = ModelSettings()
    learning: LearningSettings = LearningSettings()
    experts: Annotated[tuple[dict[str, Any], ...], BeforeValidator(validators.parse_experts)] = ()
    """Additional experts, each a river model: `{river: class, argument: value, ...}`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks step and learn; `auto`: on a GPU, where there is one, with 128 units or more."""
    numerics: Literal["lenient", "strict"] = "lenient"
    """`strict` rejects state saved under another numeric fingerprint (versions, instruction set, device)."""
    commit: CommitSettings = CommitSettings()
    metrics: MetricsSettings = MetricsSettings()
    logging: LoggingSettings = LoggingSettings()
    traces: TracesSettings = TracesSettings()
    page: PageSettings = PageSettings()
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that share the partitions; each serves its metrics on its own port, starting at `metrics.port`."""

    @property
    def output_templates(self) -> dict[str, str]:
        """Names of the topics that are written, before `{topic}` and `{app}` are replaced."""
        output = self.output
        names = {"forecasts": output.forecasts, "dead_letters": output.dead_letters, "state": output.state}
        if output.events is not None:
            names["events"] = output.events
        return names if self.input.heartbeat is None else {**names, "heartbeat": output.heartbeat}

    @property
    def log_address(self) -> str:
        """Where the log is: the brokers of Kafka, or the file."""
        return self.kafka.bootstrap_servers if self.log == "kafka" else str(self.sqlite.path)

    @model_validator(mode="before")
    @classmethod
    def _horizons_in_steps(cls, tree: Any) -> Any:
        return in_steps(tree)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        conflicts = list(_conflicts(self))
        if conflicts:
            text = "; ".join(f"{key}: {problem}" for key, problem in conflicts)
            raise PydanticCustomError("conflict", "{text}", {"text": text, "conflicts": conflicts})
        return self


def _conflicts(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each key that contradicts another one, with the problem."""
    yield from _group(settings.kafka)
    yield from _security(settings.kafka)
    yield from _intervals(settings)
    yield from _names(settings)
    yield from _mapping(settings.input)
    yield from _timing(settings.input, settings.forecast)
    wait = settings.input.grace + (settings.input.window.every or 0)
    yield from conflicts_of_series(settings.series, settings.input.max_ahead, wait)
    if settings.anomaly.joint and settings.input.fields.name and not wait:
        yield "anomaly.joint", "needs input.grace or input.window in the long format, whose records have one field each"
    yield from _schemas(settings)
    yield from _ports(settings)
    yield from _model(settings)


def _group(kafka: KafkaSettings) -> Iterator[tuple[str, str]]:
    if kafka.group_protocol == "consumer":
        if kafka.client == "kafka-python":
            yield (
                "kafka.group_protocol",
                "consumer needs kafka.client: confluent; kafka-python has only the protocol classic",
            )
        if kafka.session_timeout != KafkaSettings().session_timeout:
            yield (
                "kafka.session_timeout",
                "has no effect with kafka.group_protocol: consumer, whose session timeout is the brokers' "
                "(group.consumer.session.timeout.ms, or consumer.session.timeout.ms of the group): remove the key",
            )


def _security(kafka: KafkaSettings) -> Iterator[tuple[str, str]]:
    sasl, ssl = kafka.security_protocol.startswith("SASL"), kafka.security_protocol.endswith("SSL")
    given = {name for name in KafkaSettings.model_fields if getattr(kafka, name) is not None}
    protocol = f"kafka.security_protocol is {kafka.security_protocol}"
    for name in sorted(given):
        if not sasl and name.startswith("sasl_"):
            yield f"kafka.{name}", f"has no effect: {protocol}; SASL_SSL or SASL_PLAINTEXT would use it"
    if sasl:
        yield from _credentials(kafka, given, protocol)
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_keyfile_password"):
        if not ssl and name in given:
            yield f"kafka.{name}", f"has no effect: {protocol}; SSL or SASL_SSL would use it"
    for name, other in (("ssl_keyfile", "ssl_certfile"), ("ssl_keyfile_password", "ssl_keyfile")):
        if name in given and other not in given:
            yield f"kafka.{name}", f"requires kafka.{other}"


def _credentials(kafka: KafkaSettings, given: set[str], protocol: str) -> Iterator[tuple[str, str]]:
    tokens = kafka.sasl_mechanism == "OAUTHBEARER"
    required = ["sasl_mechanism"]
    if not (tokens and "sasl_token_provider" in given):
        required += ["sasl_username", "sasl_password"]
    for name in required:
        if name not in given:
            secret = f"; set it in a secrets file or in {environment_name(f'kafka.{name}')}" * (name == "sasl_password")
            yield f"kafka.{name}", f"is missing: {protocol}{secret}"
    if tokens and len({"sasl_token_url", "sasl_token_provider"} & given) != 1:
        yield "kafka.sasl_token_url", "is needed for OAUTHBEARER, or else kafka.sasl_token_provider, and not both"
    for name in ("sasl_token_url", "sasl_scope", "sasl_token_provider"):
        if not tokens and name in given:
            yield f"kafka.{name}", f"has no effect: kafka.sasl_mechanism is {kafka.sasl_mechanism}, not OAUTHBEARER"


def _intervals(settings: Settings) -> Iterator[tuple[str, str]]:
    commit, timeout = settings.commit, settings.kafka.transaction_timeout
    if settings.log == "kafka" and commit.interval >= timeout:
        limit = units.format_duration(timeout)
        yield "commit.interval", f"must be shorter than kafka.transaction_timeout, which is {limit}"
    if commit.snapshot_interval is not None and commit.snapshot_interval < commit.interval:
        yield "commit.snapshot_interval", f"must be at least commit.interval, {units.format_duration(commit.interval)}"
    for most, every in (("most", "every"), ("head_most", "head_every")):
        least = getattr(settings.learning, every)
        if getattr(settings.learning, most) < least:
            yield f"learning.{most}", f"must be at least learning.{every}, which is {least}"


def _names(settings: Settings) -> Iterator[tuple[str, str]]:
    """Find topics with two uses: the order of the records in them would not depend on the input alone."""
    used = dict.fromkeys(settings.input.topics, "input.topics")
    for topic in settings.input.topics:
        for key, template in settings.output_templates.items():
            name = template.format(topic=topic, app=settings.app)
            try:
                validators.check_topic(name)
            except ValueError as error:
                yield f"output.{key}", str(error)
            if name in used:
                remedy = "each needs its own topic; include {topic} in the name"
                yield f"output.{key}", f"for {topic} it is {name}, the topic of {used[name]}: {remedy}"
            used[name] = f"output.{key} for {topic}"


def _schemas(settings: Settings) -> Iterator[tuple[str, str]]:
    registry, read = settings.schema_registry, settings.input
    if settings.output.format == "avro" and registry.url is None:
        yield "schema_registry.url", "is missing: output.format is avro, whose schema is registered there"
    if registry.url is not None and registry.folder is not None:
        yield "schema_registry.folder", "has no effect with schema_registry.url; leave one of them out"
    for name in ("username", "password", "ssl_cafile"):
        if getattr(registry, name) is not None and registry.url is None:
            yield f"schema_registry.{name}", "requires schema_registry.url"
    form = read.payload if read.format in ENVELOPES else read.format
    if read.format not in ENVELOPES and read.payload != "json":
        yield "input.payload", f"has no effect: input.format is {read.format}; debezium and cloudevents would use it"
    needs = form in ("avro", "protobuf")
    given = registry.url is not None or registry.folder is not None
    if form == "protobuf" and not given and read.schema_file is None:
        yield "input.format", "protobuf needs schema_registry.url, schema_registry.folder or input.schema"
    if read.schema_file is not None and (given or not needs):
        why = "a value names its schema where there is a registry" if needs else f"the format is {form}"
        yield "input.schema", f"has no effect: {why}"
    if read.message is not None and (form != "protobuf" or read.schema_file is None):
        yield "input.message", "requires input.schema, and the format protobuf"


def _ports(settings: Settings) -> Iterator[tuple[str, str]]:
    first, count = settings.metrics.port, settings.workers
    if settings.metrics.enabled and first and first <= settings.page.port < first + count:
        yield "page.port", "is also a metrics port (metrics.port and workers); choose another port"
    if settings.metrics.enabled and first + count - 1 > 65535:
        yield "metrics.port", f"must be at most {65535 - count + 1}: each of the {count} workers has a port"
    if settings.log == "sqlite" and count > 1:
        yield "workers", "must be 1 with log: sqlite, as one process owns the file"


def _model(settings: Settings) -> Iterator[tuple[str, str]]:
    model, read = settings.model, settings.input
    if model.encoder == "bidirectional" and model.layers > 1:
        yield "model.layers", "must be 1 with model.encoder: bidirectional, as a second layer would read the future"
    full_only = {"experts": settings.experts, "model.joint": model.joint, "input.covariates": read.covariates}
    full_only["input.planned"] = read.planned
    for key, given in full_only.items():
        if model.variant == "lean" and given:
            yield key, "requires model.variant: full"


def _mapping(read: InputSettings) -> Iterator[tuple[str, str]]:
    fields, used = read.fields, {*read.key, *read.time.source}
    listed = () if fields.only == "*" else fields.only
    if same := {*read.key} & {*read.time.source}:
        yield (
            "input.key",
            f"must not be {min(same)!r}, which is the event time: each record would be a series of its own; name what "
            "tells devices apart, or leave the key out for the record's own",
        )
    if used & {*listed}:
        yield "input.fields", "must not name the field of input.key or input.time"
    for name in sorted({*read.covariates} & {*used, *listed}):
        yield "input.covariates", f"must not name {name!r}, which input.key, input.time or input.fields names"
    for name in sorted({*read.planned} & {*used, *listed, *read.covariates}):
        keys = "input.key, input.time, input.fields or input.covariates"
        yield "input.planned", f"must not name {name!r}, which {keys} names"
    if patterns := [name for name in read.planned if is_pattern(name)]:
        yield "input.planned", f"must name fields, and {patterns[0]!r} is a pattern"
    if len(read.planned) > MAX_FIELDS:
        yield (
            "input.planned",
            f"must be at most {MAX_FIELDS} fields: a field is forecast from {MAX_FIELDS} others at most",
        )
    if bool(fields.name) != (fields.value is not None):
        yield "input.fields", "needs both name and value, where the records name their field (long format)"
    if fields.name and fields.under:
        yield "input.fields.under", "has no effect with input.fields.name"


def _timing(read: InputSettings, forecast: ForecastSettings) -> Iterator[tuple[str, str]]:
    window = read.window
    if read.duplicates != "first" and not read.grace and window.every is None:
        yield "input.duplicates", "needs input.grace or input.window: without them no earlier record waits"
    if read.duplicates == "all" and window.every is None:
        yield "input.duplicates", "all needs input.window: a series has one value at a time"
    if window.empty == "zero" and not any(how in FILLED for _, how in window.how):
        yield "input.window.empty", f"zero needs an aggregation of {' and '.join(FILLED)} in input.window.how"
    if window.every is None and window.how != WindowSettings().how:
        yield "input.window.how", "needs input.window.every"
    if read.heartbeat is not None and read.max_ahead is None and not read.grace and window.every is None:
        yield "input.heartbeat", "needs input.grace, input.window or input.max_ahead: nothing else depends on the time"
    if window.every is not None and forecast.step not in (None, window.every):
        yield "forecast.step", "has no effect: a step is input.window.every"
    lists = len(forecast.quantiles) + 2 + 6 * forecast.direction
    if len(forecast.horizons) * lists > _MAX_NUMBERS:
        most = _MAX_NUMBERS // lists
        yield "forecast.horizons", f"has {len(forecast.horizons)} horizons; {most} fit a record with these quantiles"
