"""The whole configuration: its sections, and which of their keys do not go together."""

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streamrnn.settings import units, validators
from streamrnn.settings.sections import (
    Commit,
    Forecast,
    Input,
    Kafka,
    Learning,
    Logging,
    Metrics,
    Model,
    Output,
    Page,
    Section,
    Sqlite,
    Traces,
)

sources: ContextVar[tuple[PydanticBaseSettingsSource, ...]] = ContextVar("sources", default=())
"""For the settings that are being loaded."""


class Settings(Section, BaseSettings):
    """The whole configuration. Made by itself it reads nothing; `load` gives it its sources."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    app: Annotated[str, AfterValidator(validators.app)] = "streamrnn"
    """Names the consumer group, the transactional ids and the state topic."""
    log: Literal["kafka", "sqlite"] = "kafka"
    kafka: Kafka = Kafka()
    sqlite: Sqlite = Sqlite()
    input: Input = Input()
    output: Output = Output()
    forecast: Forecast = Forecast()
    model: Model = Model()
    learning: Learning = Learning()
    experts: Annotated[tuple[dict[str, Any], ...], BeforeValidator(validators.experts)] = ()
    """More experts for the mixture, models of river: `{river: class, argument: value, ...}` each."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    numerics: Literal["lenient", "strict"] = "lenient"
    """`strict`: state that was saved under other arithmetic (versions, instruction set, device) is refused."""
    commit: Commit = Commit()
    metrics: Metrics = Metrics()
    logging: Logging = Logging()
    traces: Traces = Traces()
    page: Page = Page()
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that share the partitions; each has a port of its own for its metrics, from `metrics.port` on."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: object, **__: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What `load` reads, the strongest first; else what a program passes, with no environment behind its back."""
        del settings_cls
        return sources.get() or (init_settings,)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        conflicts = list(_conflicts(self))
        if conflicts:
            text = "; ".join(f"{key}: {words}" for key, words in conflicts)
            raise PydanticCustomError("conflict", "{text}", {"text": text, "conflicts": conflicts})
        return self


def _conflicts(settings: Settings) -> Iterator[tuple[str, str]]:
    """Find them all: each as a key, and what is wrong with it."""
    yield from _security(settings.kafka)
    yield from _intervals(settings)
    yield from _names(settings)
    yield from _ports(settings)
    yield from _model(settings)


def _security(kafka: Kafka) -> Iterator[tuple[str, str]]:
    sasl, ssl = kafka.security_protocol.startswith("SASL"), kafka.security_protocol.endswith("SSL")
    given = {name for name in Kafka.model_fields if getattr(kafka, name) is not None}
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
            yield f"kafka.{name}", f"needs kafka.{other} beside it"


def _intervals(settings: Settings) -> Iterator[tuple[str, str]]:
    commit, timeout = settings.commit, settings.kafka.transaction_timeout
    if settings.log == "kafka" and commit.interval >= timeout:
        limit = units.duration_text(timeout)
        yield "commit.interval", f"must be shorter than kafka.transaction_timeout, which is {limit}"
    if commit.snapshot_interval is not None and commit.snapshot_interval < commit.interval:
        yield "commit.snapshot_interval", f"must be at least commit.interval, {units.duration_text(commit.interval)}"
    for most, every in (("most", "every"), ("head_most", "head_every")):
        least = getattr(settings.learning, every)
        if getattr(settings.learning, most) < least:
            yield f"learning.{most}", f"must be at least learning.{every}, which is {least}"


def _names(settings: Settings) -> Iterator[tuple[str, str]]:
    """Find topics that two things share: the input would not determine the order of the records there."""
    taken = dict.fromkeys(settings.input.topics, "input.topics")
    for topic in settings.input.topics:
        for key in ("forecasts", "dead_letters", "state"):
            name = getattr(settings.output, key).format(topic=topic, app=settings.app)
            try:
                validators.topic(name)
            except ValueError as error:
                yield f"output.{key}", str(error)
            if name in taken:
                words = f"the topic of {taken[name]}; each needs its own: write {{topic}} into it"
                yield f"output.{key}", f"for {topic} it is {name}, {words}"
            taken[name] = f"output.{key} for {topic}"
    for key in ("key", "time"):
        if settings.input.fields != "*" and getattr(settings.input, key) in settings.input.fields:
            yield "input.fields", f"must not name the field of input.{key}"


def _ports(settings: Settings) -> Iterator[tuple[str, str]]:
    first, count = settings.metrics.port, settings.workers
    if settings.metrics.enabled and first and first <= settings.page.port < first + count:
        yield "page.port", "is a port of metrics already (metrics.port and workers); choose another"
    if settings.metrics.enabled and first + count - 1 > 65535:
        yield "metrics.port", f"leaves no room for {count} ports, one for each of workers"
    if settings.log == "sqlite" and count > 1:
        yield "workers", "must be 1 with log: sqlite, whose file one process holds"


def _model(settings: Settings) -> Iterator[tuple[str, str]]:
    model, read = settings.model, settings.input
    if model.encoder == "bidirectional" and model.layers > 1:
        yield (
            "model.layers",
            "must be 1 with model.encoder: bidirectional; the second would read the first one's future",
        )
    members = {"experts": settings.experts, "model.joint": model.joint, "input.covariates": read.covariates}
    for key, given in members.items():
        if model.variant == "lean" and given:
            yield key, "need model.variant: full; the mixture of the lean one has no place for them"
    forecast = () if read.fields == "*" else read.fields
    for name in sorted({*read.covariates} & {read.key, read.time, *forecast}):
        yield "input.covariates", f"must not name {name!r}, which input.key, input.time or input.fields names"
