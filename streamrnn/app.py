"""The composition root: from the settings to the parts that the commands need.

The core and the clients of the logs are imported where they are needed: they take long to load.
"""

import json
import logging
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from streamrnn.core.config import AlertConfig, LearningConfig
from streamrnn.errors import ConfigError
from streamrnn.formats import FieldRule, Layout
from streamrnn.formats.catalogue import FormatOptions, make_format, make_key_format
from streamrnn.log import Log
from streamrnn.log.kafka_common import Connection, choose_client
from streamrnn.mapping.decoder import MappingRules, RecordDecoder
from streamrnn.mapping.names import field_name
from streamrnn.mapping.numbers import NumberRule, parse_missing
from streamrnn.observe import logging as logs
from streamrnn.records import OutputTopics, Timed, TopicPartition
from streamrnn.settings import Settings
from streamrnn.settings.sections import InputSettings, SchemaRegistrySettings
from streamrnn.timing.rules import TimingRule, WindowRule, planned_names
from streamrnn.version import BUILD
from streamrnn.weights import base_path
from streamrnn.whole_learning import log_missing_torch

if TYPE_CHECKING:
    from streamrnn.core.forecaster import CoreForecaster
    from streamrnn.core.jit import Singles
    from streamrnn.formats.schemas import SchemaSource
    from streamrnn.formats.schemas.registry import SchemaRegistry
    from streamrnn.runtime.task import Task
    from streamrnn.timing.order import EventOrder

logger = logging.getLogger(__name__)


def open_log(settings: Settings, *, create: bool = False) -> Log:
    """Open the configured log; with `create` also an embedded one that has no file yet.

    Raises:
        ConfigError: its library is not installed, a certificate is invalid, or the file does not exist.
        LogError: it is unavailable.
    """
    if settings.log == "sqlite":
        from streamrnn.log.sqlite import SqliteLog  # noqa: PLC0415 -- see the module docstring

        if not (create or settings.sqlite.path.exists()):
            raise ConfigError(f"sqlite.path: {settings.sqlite.path} does not exist; a daemon or a producer creates it")
        return SqliteLog(path=settings.sqlite.path, app=settings.app)
    options = settings.kafka.model_dump(exclude={"client"}) | {"app": settings.app}
    for name in ("sasl_password", "ssl_keyfile_password"):
        options[name] = options[name] and options[name].get_secret_value()
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        options[name] = options[name] and str(options[name])
    if choose_client(settings.kafka.client, settings.kafka.group_protocol) == "confluent":
        from streamrnn.log.confluent import ConfluentLog  # noqa: PLC0415

        return ConfluentLog(Connection(**options))
    from streamrnn.log.kafka import KafkaLog  # noqa: PLC0415

    return KafkaLog(Connection(**options))


def hidden_fields(settings: Settings) -> list[str]:
    """Return the field names of the covariates, whose forecasts are shown nowhere, as the names of series have them."""
    planned = planned_names(settings.input.planned, settings.forecast.horizons)
    return [field_name(name) for name in (*settings.input.covariates, *planned)]


def output_topics(settings: Settings, topic: str) -> OutputTopics:
    """Return the topics that belong to an input topic."""
    names = {"topic": topic, "app": settings.app}
    return OutputTopics(**{each: text.format(**names) for each, text in settings.output_templates.items()})


def with_json_forecasts(settings: Settings) -> Settings:
    """Return the settings with every forecast published, as JSON, for what stays in this process or goes to a file."""
    output = settings.output.model_copy(update={"format": "json", "every": 0, "on_change": False})
    return settings.model_copy(update={"output": output})


def with_events(settings: Settings) -> Settings:
    """Return the settings with a topic of events, if there is none."""
    output = settings.output.model_copy(update={"events": settings.output.events or "{topic}.events"})
    return settings.model_copy(update={"output": output})


def register_forecasts(settings: Settings, topic: str) -> int:
    """Register the schema of an input topic's forecasts, once in a process; return its number. 0 without a registry.

    Raises:
        ConfigError: the registry does not accept the schema.
        LogError: it is unavailable.
    """
    if settings.output.format != "avro":
        return 0
    subject = f"{output_topics(settings, topic).forecasts}-value"
    members = {"thresholds": bool(settings.forecast.thresholds), "joint": settings.anomaly.joint}
    return _register(settings.schema_registry, subject, **members)


@cache
def _register(registry: SchemaRegistrySettings, subject: str, *, thresholds: bool, joint: bool) -> int:
    """Register the schema of forecasts under a subject, as Confluent's TopicNameStrategy names it."""
    from streamrnn.formats.schemas import Schema  # noqa: PLC0415
    from streamrnn.wire.schemas import avro_schema  # noqa: PLC0415

    schema = json.dumps(avro_schema(thresholds=thresholds, joint=joint), separators=(",", ":"))
    return _registry(registry).register(subject, Schema(subject, "AVRO", schema))


@cache
def _registry(registry: SchemaRegistrySettings) -> "SchemaRegistry":
    """Return a client of the registry, one for all formats of a process."""
    from streamrnn.formats.schemas.registry import SchemaRegistry  # noqa: PLC0415

    return SchemaRegistry(
        url=registry.url or "",
        username=registry.username,
        password=None if registry.password is None else registry.password.get_secret_value(),
        ca_file=registry.ssl_cafile,
    )


def _schema_source(registry: SchemaRegistrySettings) -> "SchemaSource | None":
    if registry.folder is not None:
        from streamrnn.formats.schemas.folder import SchemaFolder  # noqa: PLC0415

        return SchemaFolder(folder=registry.folder)
    return None if registry.url is None else _registry(registry)


def forecaster(settings: Settings) -> "CoreForecaster":
    """Return a new forecaster.

    Raises:
        ConfigError: the base network cannot be read or does not fit, the device is missing, or an expert is invalid.
    """
    from streamrnn.core.forecaster import CoreForecaster  # noqa: PLC0415

    model = settings.model.config
    return CoreForecaster(
        settings.forecast.config,
        replace(model, joint=model.joint or bool(settings.input.covariates or settings.input.planned)),
        LearningConfig(**settings.learning.model_dump()),
        base=base(settings),
        experts=settings.experts,
        device=settings.device,
        alerts=AlertConfig(settings.anomaly.rules, changes=settings.output.needs_changes, joint=settings.anomaly.joint),
    )


def base(settings: Settings) -> "Singles | None":
    """Return the weights of the configured base network; None if there is none.

    Raises:
        ConfigError: it cannot be read or does not fit.
    """
    from streamrnn.core.variants import shape_of  # noqa: PLC0415
    from streamrnn.weights.card import read_base  # noqa: PLC0415

    model = settings.model.config
    path = base_path(settings.model.base, model)
    return None if path is None else read_base(path, shape_of(model))


def warm_up(settings: Settings) -> None:
    """Make a few forecasts, which loads all libraries but torch, so that the first record need not wait for them.

    Afterwards the garbage collector ignores the loaded objects. Raises as `forecaster` does.
    """
    from streamrnn.core.garbage import collector_paused, freeze_collector  # noqa: PLC0415
    from streamrnn.core.jit import log_compiled  # noqa: PLC0415

    with collector_paused():
        from streamrnn.core.series.calendar import round_cadence  # noqa: PLC0415
        from streamrnn.runtime.warm_up import load_kernels  # noqa: PLC0415

        load_kernels(warm_up_task(settings))
        round_cadence(0.0)  # the only loop that explanations call, and no task
    log_compiled()
    freeze_collector()


def warm_up_task(settings: Settings) -> "Task":
    """Return a task to be discarded, whose kernels are those of tasks of these settings in any format."""
    from streamrnn.runtime.warm_up import LEARNING  # noqa: PLC0415 -- the numerical libraries

    learning = settings.learning.model_copy(update=LEARNING)
    plain = {"input": InputSettings(topics=settings.input.topics), "learning": learning}
    return task(with_json_forecasts(settings.model_copy(update=plain)), TopicPartition("warm-up", 0))


def try_river(settings: Settings) -> None:
    """Raise ConfigError if a configured expert or drift detector of river is invalid, or river is not installed."""
    if settings.experts:
        from streamrnn.core.experts.river_experts import specified  # noqa: PLC0415

        specified(settings.experts, seed=settings.model.seed)
    if settings.learning.drift != "none":
        from streamrnn.core.experts.drift import Drift  # noqa: PLC0415

        Drift(detector=settings.learning.drift)


def decoder(settings: Settings) -> RecordDecoder:
    """Return a new decoder of the configured format and mapping.

    Raises:
        ConfigError: a library that the format needs is not installed, or its schema cannot be used.
    """
    read = settings.input
    source = make_format(read.format, format_options(settings))
    numbers = read.numbers.model_dump()
    numbers["missing"] = parse_missing(read.numbers.missing)
    rules = MappingRules(
        layout=_layout(read, source.layout),
        times=read.time.rule(),
        numbers=NumberRule(**numbers),
        where=read.where,
        max_record=read.max_record,
        zone=settings.forecast.zone_paths,
    )
    return RecordDecoder(source, rules, keys=make_key_format(read.format, format_options(settings)))


def format_options(settings: Settings) -> FormatOptions:
    """Return the configured options and services of the input format.

    Raises:
        ConfigError: the schema registry's address or certificates cannot be used.
    """
    read = settings.input
    csv = read.csv.model_dump(exclude={"skip", "encoding"})
    return FormatOptions(_schema_source(settings.schema_registry), read.schema_file, read.message, read.payload, csv)


def mapping_layout(settings: Settings) -> Layout:
    """Return the layout of documents (key, time, fields): as configured, and else as the format has them.

    Raises:
        ConfigError: as for `decoder`.
    """
    return _layout(settings.input, make_format(settings.input.format, format_options(settings)).layout)


def _layout(read: InputSettings, layout: Layout) -> Layout:
    """Return a format's layout, with each configured key in place of the format's own."""
    chosen, default = read.fields, layout.fields
    if chosen.name and chosen.value:
        default = FieldRule(name=chosen.name, value=chosen.value)
    only = default.only if chosen.only == "*" else (*chosen.only, *read.covariates, *read.planned)
    fields = default._replace(
        under=default.under if chosen.under is None else chosen.under,
        only=only,
        excluded=(*default.excluded, *chosen.excluded),
    )
    return Layout(
        observations=read.observations or layout.observations,
        key=read.key or layout.key,
        time=read.time.source or layout.time,
        fields=fields,
    )


def task(settings: Settings, partition: TopicPartition, *, timed: Timed = nullcontext) -> "Task":
    """Return a new task for an input partition; `timed` is that of `Task`."""
    from streamrnn.runtime.task import Task  # noqa: PLC0415
    from streamrnn.timing.planned_inputs import PlannedInputs  # noqa: PLC0415
    from streamrnn.wire import OutputEncoder  # noqa: PLC0415

    topics, forecast = output_topics(settings, partition.topic), settings.forecast
    made = Task(
        decoder=decoder(settings),
        encode=OutputEncoder(
            partition=partition, topics=topics, horizons=forecast.horizons, quantiles=forecast.quantiles,
            format=settings.output.format, schema_id=partial(register_forecasts, settings, partition.topic),
            every=settings.output.every, on_change=settings.output.on_change,
        ),
        forecaster=forecaster(settings), max_series=settings.input.max_series, covariates=hidden_fields(settings),
        event_order=event_order(settings), strict=settings.numerics == "strict", timed=timed,
    )  # fmt: skip
    if settings.input.planned:
        fields = list(map(field_name, settings.input.planned))
        made.configure_plans(PlannedInputs(fields, forecast.horizons, max_held=settings.input.max_held))
    spans = {"max_ahead": settings.input.max_ahead, "ttl": settings.series.ttl, "stale": settings.series.stale}
    limits = {name: None if seconds is None else round(1000 * seconds) for name, seconds in spans.items()}
    made.configure_series(**limits, evict=settings.series.evict)
    return made


def event_order(settings: Settings) -> "EventOrder | None":
    """Return a new stage that puts observations in order of event time; None where none is configured."""
    read = settings.input
    window = None
    if read.window.every is not None:
        window = WindowRule(every=round(1000 * read.window.every), how=read.window.how, empty=read.window.empty)
    grace = round(1000 * read.grace)
    if not grace and window is None:
        return None
    from streamrnn.timing.order import EventOrder  # noqa: PLC0415 -- numpy

    return EventOrder(TimingRule(grace=grace, duplicates=read.duplicates, max_held=read.max_held, window=window))


def prepare(settings: Settings) -> None:
    """Configure logging, and log the start.

    Raises:
        ConfigError: river, Avro, the time zone, the calendar or torch cannot be used, and is needed.
    """
    logs.configure(**settings.logging.model_dump())
    logger.info("starting", extra={"version": BUILD, "app": settings.app, "topics": settings.input.topics})
    log_missing_torch(settings)
    try_river(settings)
    try_avro(settings)
    try_calendar(settings)


def try_calendar(settings: Settings) -> None:
    """Raise ConfigError if the configured time zone or calendar does not exist, or `holidays` is not installed."""
    forecast = settings.forecast
    if forecast.timezone != "UTC" or forecast.calendar is not None:
        from streamrnn.core.clock.season_clock import make_clocks  # noqa: PLC0415 -- see the module docstring

        make_clocks(forecast.timezone, forecast.calendar)


def try_avro(settings: Settings) -> None:
    """Raise ConfigError if the output format is Avro and fastavro is not installed."""
    if settings.output.format == "avro":
        from streamrnn.wire.avro import fastavro_library  # noqa: PLC0415

        fastavro_library()
