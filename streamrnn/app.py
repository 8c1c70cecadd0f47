"""The composition root: from the settings to a running daemon, and to the parts that other commands need.

What is heavy (the numerical libraries, the Kafka client) is imported where it is needed, so that `check` stays light.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from streamrnn.base import base_path
from streamrnn.errors import LogError
from streamrnn.formats.json import JsonDecoder
from streamrnn.log import Log
from streamrnn.log.brokers import chosen
from streamrnn.observe import logs
from streamrnn.observe.health import HealthServer
from streamrnn.observe.metrics import Metrics
from streamrnn.records import TopicPartition
from streamrnn.settings import Settings
from streamrnn.watchdog import ending_after
from streamrnn.worker import OutputTopics, Worker, untraced

if TYPE_CHECKING:
    from streamrnn.core.compiled import Singles
    from streamrnn.core.forecaster import Forecaster
    from streamrnn.observe.traces import Traces
    from streamrnn.task import Task, Timed

logger = logging.getLogger(__name__)

LONGEST_STOP = 9.5
"""Seconds after the first signal in which the process ends by force; what was not committed is done again later."""


def run(settings: Settings) -> int:
    """Run the daemon until SIGTERM or SIGINT. Returns the exit code, 0.

    Raises:
        StreamrnnError: as `Worker.run` does, and where the metrics' port is taken; it holds the exit code.
    """
    prepare(settings)
    metrics, traces = metrics_of(settings), traces_of(settings)
    worker = Worker(
        connect=lambda: open_log(settings),
        task=lambda partition: task(
            settings, partition, timed=traces.beside(metrics.timed, partition) if traces else metrics.timed
        ),
        outputs={topic: output_topics(settings, topic) for topic in settings.input.topics},
        start=settings.input.start,
        interval=settings.commit.interval,
        snapshot_interval=settings.commit.snapshot_interval,
        observer=metrics,
        watched=partial(ending_after, _longest_commit(settings)),
        traced=traces.span if traces else untraced,
    )
    sending = closing(traces) if traces else nullcontext()
    with sending, _served(settings, worker, metrics), _stopped_by_signals(worker.stop):
        worker.run()
    logger.info("stopped")
    return 0


def metrics_of(settings: Settings) -> Metrics:
    """The metrics of a process with these settings."""
    forecast = settings.forecast
    return Metrics(horizons=forecast.horizons, quantiles=forecast.quantiles, max_series=settings.input.max_series)


def traces_of(settings: Settings) -> "Traces | None":
    """The traces of a process with these settings; None: it has none.

    Raises:
        ConfigError: their libraries are not installed.
    """
    if not settings.traces.enabled:
        return None
    from streamrnn.observe.traces import exported  # noqa: PLC0415 -- see the module docstring

    logger.info("tracing")
    return exported()


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
    options = settings.kafka.model_dump(exclude={"client"})
    for name in ("sasl_password", "ssl_keyfile_password"):
        options[name] = options[name] and options[name].get_secret_value()
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        options[name] = options[name] and str(options[name])
    if chosen(settings.kafka.client) == "confluent":
        from streamrnn.log.confluent import ConfluentLog  # noqa: PLC0415

        return ConfluentLog(app=settings.app, **options)
    from streamrnn.log.kafka import KafkaLog  # noqa: PLC0415

    return KafkaLog(app=settings.app, **options)


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
        **settings.model.model_dump(exclude={"base", "joint"}),
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
    from streamrnn.core.variant import shape_of  # noqa: PLC0415
    from streamrnn.pretrain.card import read_base  # noqa: PLC0415

    path = base_path(**settings.model.model_dump(exclude={"seed", "joint"}))
    shape = shape_of(**settings.model.model_dump(exclude={"seed", "base", "joint"}))
    return None if path is None else read_base(path, shape)


def try_river(settings: Settings) -> None:
    """Try what river is wanted for, experts and the detector of drift, before anything depends on it.

    Raises:
        ConfigError: one of them cannot be used.
    """
    if settings.experts:
        from streamrnn.core.guests import specified  # noqa: PLC0415

        specified(settings.experts, seed=settings.model.seed)
    if settings.learning.drift != "none":
        from streamrnn.core.drift import Drift  # noqa: PLC0415

        Drift(detector=settings.learning.drift)


def task(settings: Settings, partition: TopicPartition, *, timed: "Timed" = nullcontext) -> "Task":
    """A new task for one input partition; `timed` as in `Task`."""
    from streamrnn.task import Task  # noqa: PLC0415

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


@contextmanager
def _served(settings: Settings, worker: Worker, metrics: Metrics) -> Iterator[None]:
    """Serve metrics and health meanwhile, if that is configured."""
    if not settings.metrics.enabled:
        yield
        return

    def age() -> float:
        return time.monotonic() - worker.heartbeat

    def unready() -> str:
        return worker.unready

    metrics.watch(age=age, unready=unready)
    server = HealthServer(
        host=settings.metrics.host,
        port=settings.metrics.port,
        exposition=metrics.exposition,
        worst=metrics.worst,
        age=age,
        unready=unready,
    )
    logger.info("serving", extra={"host": settings.metrics.host, "port": server.port})
    with closing(server):
        yield


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first SIGTERM or SIGINT; the second ends the process at once, which loses nothing."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        stop()
        ending.start()

    handled = (signal.SIGTERM, signal.SIGINT)
    ending = threading.Timer(LONGEST_STOP, os._exit, [0])
    ending.daemon = True
    before = [signal.signal(each, handle) for each in handled]
    try:
        yield
    finally:
        ending.cancel()
        for each, handler in zip(handled, before, strict=True):
            signal.signal(each, handler)


def _longest_commit(settings: Settings) -> float:
    """Seconds after which a commit hangs for certain: all of its waits have time limits, which add up to less."""
    return 2 * (settings.kafka.request_timeout + settings.kafka.transaction_timeout)


def _place(settings: Settings) -> str:
    return settings.kafka.bootstrap_servers if settings.log == "kafka" else str(settings.sqlite.path)


def _partitions(count: int, otherwise: str) -> str:
    return f"{count} partitions" if count else f"does not exist yet, {otherwise}"
