"""The whole configuration, and the checks across its sections."""

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streamrnn.settings import units, validators
from streamrnn.settings.sections import (
    CommitSettings,
    ForecastSettings,
    InputSettings,
    KafkaSettings,
    LearningSettings,
    LoggingSettings,
    MetricsSettings,
    ModelSettings,
    OutputSettings,
    PageSettings,
    Section,
    SqliteSettings,
    TracesSettings,
)

active_sources: ContextVar[tuple[PydanticBaseSettingsSource, ...]] = ContextVar("active_sources", default=())
"""Sources of the settings being loaded; empty: only the arguments of `Settings`."""


class Settings(Section, BaseSettings):
    """The whole configuration. The constructor reads no files and no environment; `load` does."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    app: Annotated[str, AfterValidator(validators.check_app)] = "streamrnn"
    """Name of the application: of its consumer group, its transactional ids and its state topic."""
    log: Literal["kafka", "sqlite"] = "kafka"
    kafka: KafkaSettings = KafkaSettings()
    sqlite: SqliteSettings = SqliteSettings()
    input: InputSettings = InputSettings()
    output: OutputSettings = OutputSettings()
    forecast: ForecastSettings = ForecastSettings()
    model: ModelSettings = ModelSettings()
    learning: LearningSettings = LearningSettings()
    experts: Annotated[tuple[dict[str, Any], ...], BeforeValidator(validators.parse_experts)] = ()
    """Additional experts, each a river model: `{river: class, argument: value, ...}`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    numerics: Literal["lenient", "strict"] = "lenient"
    """`strict` rejects state saved under another numeric fingerprint (versions, instruction set, device)."""
    commit: CommitSettings = CommitSettings()
    metrics: MetricsSettings = MetricsSettings()
    logging: LoggingSettings = LoggingSettings()
    traces: TracesSettings = TracesSettings()
    page: PageSettings = PageSettings()
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that share the partitions; each serves its metrics on its own port, starting at `metrics.port`."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: object, **__: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources that `load` has set, else the arguments only."""
        del settings_cls
        return active_sources.get() or (init_settings,)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        conflicts = list(_conflicts(self))
        if conflicts:
            text = "; ".join(f"{key}: {problem}" for key, problem in conflicts)
            raise PydanticCustomError("conflict", "{text}", {"text": text, "conflicts": conflicts})
        return self


def _conflicts(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each key that contradicts another one, with the problem."""
    yield from _security(settings.kafka)
    yield from _intervals(settings)
    yield from _names(settings)
    yield from _ports(settings)
    yield from _model(settings)


def _security(kafka: KafkaSettings) -> Iterator[tuple[str, str]]:
    sasl, ssl = kafka.security_protocol.startswith("SASL"), kafka.security_protocol.endswith("SSL")
    given = {name for name in KafkaSettings.model_fields if getattr(kafka, name) is not None}
    protocol = f"kafka.security_protocol is {kafka.security_protocol}"
    for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
        if sasl and name not in given:
            yield f"kafka.{name}", f"is missing: {protocol}"
        if not sasl and name in given:
            yield f"kafka.{name}", f"has no effect: {protocol}; SASL_SSL or SASL_PLAINTEXT would use it"
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_keyfile_password"):
        if not ssl and name in given:
            yield f"kafka.{name}", f"has no effect: {protocol}; SSL or SASL_SSL would use it"
    for name, other in (("ssl_keyfile", "ssl_certfile"), ("ssl_keyfile_password", "ssl_keyfile")):
        if name in given and other not in given:
            yield f"kafka.{name}", f"requires kafka.{other}"


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
        for key in ("forecasts", "dead_letters", "state"):
            name = getattr(settings.output, key).format(topic=topic, app=settings.app)
            try:
                validators.check_topic(name)
            except ValueError as error:
                yield f"output.{key}", str(error)
            if name in used:
                remedy = "each needs its own topic; include {topic} in the name"
                yield f"output.{key}", f"for {topic} it is {name}, the topic of {used[name]}: {remedy}"
            used[name] = f"output.{key} for {topic}"
    for key in ("key", "time"):
        if settings.input.fields != "*" and getattr(settings.input, key) in settings.input.fields:
            yield "input.fields", f"must not name the field of input.{key}"


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
    for key, given in full_only.items():
        if model.variant == "lean" and given:
            yield key, "requires model.variant: full"
    forecast = () if read.fields == "*" else read.fields
    for name in sorted({*read.covariates} & {read.key, read.time, *forecast}):
        yield "input.covariates", f"must not name {name!r}, which input.key, input.time or input.fields names"
