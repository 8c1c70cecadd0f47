"""The composition root: from the settings to the parts that the commands need.

What is heavy (the numerical libraries, the Kafka client) is imported where it is needed, so that `check` stays light.
"""

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

from streamrnn.errors import LogError
from streamrnn.formats.json import JsonDecoder
from streamrnn.log import Log
from streamrnn.log.kafka_common import Connection, chosen
from streamrnn.observe import logging as logs
from streamrnn.records import TopicPartition
from streamrnn.runtime.worker import OutputTopics
from streamrnn.settings import Settings
from streamrnn.weights import base_path

if TYPE_CHECKING:
    from streamrnn.core.forecaster import Forecaster
    from streamrnn.core.jit import Singles
    from streamrnn.runtime.task import Task, Timed


def connect(settings: Settings) -> list[str]:
    """Try the log without writing to it: can it be reached, and which topics are there? Returns lines to be read.

    Raises:
        LogError: it cannot be reached, it refuses this user, or a topic that exists does not fit.
    """
    lines = []
    with closing(open_log(settings)) as log:
        lines.append(f"connected  {_place(settings)}")
        for topic in settings.input.topics:
            count = log.partitions(topic)
            lines.append(f"input      {topic}: {_partitions(count, 'the daemon will wait for it')}")
            for partition in range(count):
                log.bounds(TopicPartition(topic, partition))  # may this user read it?
            for name in output_topics(settings, topic):
                existing = log.partitions(name)
                if count and existing not in {0, count}:
                    raise LogError(
                        f"topic {name} has {existing} partitions, and its input topic {topic} has {count}: they must "
                        "have the same number; delete the topic or choose another name (output)"
                    )
                lines.append(f"output     {name}: {_partitions(existing, 'the daemon will create it')}")
    return lines


def open_log(settings: Settings) -> Log:
    """Open the log that the settings name.

    Raises:
        ConfigError: its library is not installed, or a certificate cannot be used.
        LogError: it cannot be reached.
    """
    if settings.log == "sqlite":
        from streamrnn.log.sqlite import SqliteLog  # noqa: PLC0415 -- see the module docstring

        return SqliteLog(path=settings.sqlite.path, app=settings.app)
    options = settings.kafka.model_dump(exclude={"client"}) | {"app": settings.app}
    for name in ("sasl_password", "ssl_keyfile_password"):
        options[name] = options[name] and options[name].get_secret_value()
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        options[name] = options[name] and str(options[name])
    if chosen(settings.kafka.client) == "confluent":
        from streamrnn.log.confluent import ConfluentLog  # noqa: PLC0415

        return ConfluentLog(Connection(**options))
    from streamrnn.log.kafka import KafkaLog  # noqa: PLC0415

    return KafkaLog(Connection(**options))


def output_topics(settings: Settings, topic: str) -> OutputTopics:
    """The topics that belong to an input topic."""
    output = settings.output
    return OutputTopics(
        *(
            template.format(topic=topic, app=settings.app)
            for template in (output.forecasts, output.dead_letters, output.state)
        )
    )


def forecaster(settings: Settings) -> "Forecaster":
    """A new forecaster.

    Raises:
        ConfigError: the base network cannot be read or does not fit, the device is not there, or an expert cannot be
            used.
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
    """The weights of the base network that the settings name; None: there is none.

    Raises:
        ConfigError: it cannot be read or does not fit.
    """
    from streamrnn.core.variants import shape_of  # noqa: PLC0415
    from streamrnn.weights.card import read_base  # noqa: PLC0415

    path = base_path(base=settings.model.base, **settings.model.network)
    shape = shape_of(**settings.model.network)
    return None if path is None else read_base(path, shape)


def warm_up(settings: Settings) -> None:
    """Load all that forecasts are made with, but for torch, by making a few: the first record need not wait for it.

    The garbage collector then leaves what was loaded alone.

    Raises:
        ConfigError: as `forecaster`.
    """
    from streamrnn.core.garbage import freeze_collector, loading  # noqa: PLC0415

    with loading():
        from streamrnn.core.warm_up import used  # noqa: PLC0415

        used(forecaster(settings))
    freeze_collector()


def try_river(settings: Settings) -> None:
    """Try what river is wanted for, experts and the detector of drift, before anything depends on it.

    Raises:
        ConfigError: one of them cannot be used.
    """
    if settings.experts:
        from streamrnn.core.experts.river_experts import specified  # noqa: PLC0415

        specified(settings.experts, seed=settings.model.seed)
    if settings.learning.drift != "none":
        from streamrnn.core.experts.drift import Drift  # noqa: PLC0415

        Drift(detector=settings.learning.drift)


def task(settings: Settings, partition: TopicPartition, *, timed: "Timed" = nullcontext) -> "Task":
    """A new task for one input partition; `timed` as in `Task`."""
    from streamrnn.runtime.task import Task  # noqa: PLC0415

    names = output_topics(settings, partition.topic)
    return Task(
        partition=partition,
        decode=JsonDecoder(
            key=settings.input.key,
            time=settings.input.time,
            fields=settings.input.fields,
            covariates=settings.input.covariates,
            max_record=settings.input.max_record,
        ),
        forecaster=forecaster(settings),
        horizons=settings.forecast.horizons,
        quantiles=settings.forecast.quantiles,
        max_series=settings.input.max_series,
        forecasts=names.forecasts,
        dead_letters=names.dead_letters,
        timed=timed,
        strict=settings.numerics == "strict",
        covariates=settings.input.covariates,
    )


def prepare(settings: Settings) -> None:
    """What comes before any work: logging, and a look at what can be known to fail.

    Raises:
        ConfigError: as `try_river`.
    """
    logs.configure(**settings.logging.model_dump())
    try_river(settings)


def _place(settings: Settings) -> str:
    return settings.kafka.bootstrap_servers if settings.log == "kafka" else str(settings.sqlite.path)


def _partitions(count: int, otherwise: str) -> str:
    return f"{count} partitions" if count else f"does not exist yet, {otherwise}"
