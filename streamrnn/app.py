"""The composition root: from the settings to the parts that the commands need.

The core and the clients of the logs are imported where they are needed: they take long to load.
"""

from contextlib import nullcontext
from typing import TYPE_CHECKING

from streamrnn.formats.json import JsonDecoder
from streamrnn.log import Log
from streamrnn.log.kafka_common import Connection, choose_client
from streamrnn.observe import logging as logs
from streamrnn.records import TopicPartition
from streamrnn.settings import Settings
from streamrnn.weights import base_path
from streamrnn.wire import OutputEncoder, OutputTopics

if TYPE_CHECKING:
    from streamrnn.core.forecaster import Forecaster
    from streamrnn.core.jit import Singles
    from streamrnn.runtime.task import Task, Timed


def open_log(settings: Settings) -> Log:
    """Open the configured log.

    Raises:
        ConfigError: its library is not installed, or a certificate is invalid.
        LogError: it is unavailable.
    """
    if settings.log == "sqlite":
        from streamrnn.log.sqlite import SqliteLog  # noqa: PLC0415 -- see the module docstring

        return SqliteLog(path=settings.sqlite.path, app=settings.app)
    options = settings.kafka.model_dump(exclude={"client"}) | {"app": settings.app}
    for name in ("sasl_password", "ssl_keyfile_password"):
        options[name] = options[name] and options[name].get_secret_value()
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        options[name] = options[name] and str(options[name])
    if choose_client(settings.kafka.client) == "confluent":
        from streamrnn.log.confluent import ConfluentLog  # noqa: PLC0415

        return ConfluentLog(Connection(**options))
    from streamrnn.log.kafka import KafkaLog  # noqa: PLC0415

    return KafkaLog(Connection(**options))


def output_topics(settings: Settings, topic: str) -> OutputTopics:
    """Return the topics that belong to an input topic."""
    templates = settings.output.model_dump()
    return OutputTopics(**{name: text.format(topic=topic, app=settings.app) for name, text in templates.items()})


def forecaster(settings: Settings) -> "Forecaster":
    """Return a new forecaster.

    Raises:
        ConfigError: the base network cannot be read or does not fit, the device is missing, or an expert is invalid.
    """
    from streamrnn.core.forecaster import Forecaster  # noqa: PLC0415

    return Forecaster(
        **settings.forecast.model_dump(),
        **settings.model.network,
        seed=settings.model.seed,
        joint=settings.model.joint or bool(settings.input.covariates),
        **settings.learning.model_dump(),
        base=base(settings),
        experts=settings.experts,
        device=settings.device,
    )


def base(settings: Settings) -> "Singles | None":
    """Return the weights of the configured base network; None if there is none.

    Raises:
        ConfigError: it cannot be read or does not fit.
    """
    from streamrnn.core.variants import shape_of  # noqa: PLC0415
    from streamrnn.weights.card import read_base  # noqa: PLC0415

    path = base_path(base=settings.model.base, **settings.model.network)
    shape = shape_of(**settings.model.network)
    return None if path is None else read_base(path, shape)


def warm_up(settings: Settings) -> None:
    """Make a few forecasts, which loads all libraries but torch, so that the first record need not wait for them.

    Afterwards the garbage collector ignores the loaded objects. Raises as `forecaster` does.
    """
    from streamrnn.core.garbage import freeze_collector, loading  # noqa: PLC0415

    with loading():
        from streamrnn.core.warm_up import used  # noqa: PLC0415

        used(forecaster(settings))
    freeze_collector()


def try_river(settings: Settings) -> None:
    """Raise ConfigError if a configured expert or drift detector of river is invalid, or river is not installed."""
    if settings.experts:
        from streamrnn.core.experts.river_experts import specified  # noqa: PLC0415

        specified(settings.experts, seed=settings.model.seed)
    if settings.learning.drift != "none":
        from streamrnn.core.experts.drift import Drift  # noqa: PLC0415

        Drift(detector=settings.learning.drift)


def task(settings: Settings, partition: TopicPartition, *, timed: "Timed" = nullcontext) -> "Task":
    """Return a new task for an input partition; `timed` is that of `Task`."""
    from streamrnn.runtime.task import Task  # noqa: PLC0415

    topics, forecast = output_topics(settings, partition.topic), settings.forecast
    return Task(
        partition=partition,
        decode=JsonDecoder(**settings.input.model_dump(exclude={"topics", "format", "start", "max_series"})),
        encode=OutputEncoder(topics=topics, horizons=forecast.horizons, quantiles=forecast.quantiles),
        forecaster=forecaster(settings),
        max_series=settings.input.max_series,
        covariates=settings.input.covariates,
        strict=settings.numerics == "strict",
        timed=timed,
    )


def prepare(settings: Settings) -> None:
    """Configure logging; raise ConfigError at once if river cannot be used."""
    logs.configure(**settings.logging.model_dump())
    try_river(settings)
