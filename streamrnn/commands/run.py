"""The daemon: its loop, with whoever watches it, from the first connection to the last commit."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from streamrnn import app
from streamrnn.observe.composite import CompositeObserver
from streamrnn.observe.health import HealthServer
from streamrnn.observe.metrics import Metrics
from streamrnn.records import Observer
from streamrnn.runtime.watchdog import ending_after
from streamrnn.runtime.worker import Worker, untraced
from streamrnn.settings import Settings

if TYPE_CHECKING:
    from streamrnn.observe.traces import Traces

logger = logging.getLogger(__name__)

LONGEST_STOP = 9.5
"""Seconds after the first signal in which the process ends by force; what was not committed is done again later."""


def run(settings: Settings, channel: int | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT. Returns the exit code, 0.

    `channel`: where this is one of several workers, the file descriptor that leads to the page they share.

    Raises:
        StreamrnnError: as `Worker.run` does, and where the port of metrics or page is taken; it holds the exit code.
    """
    app.prepare(settings)
    metrics, traces = metrics_of(settings), traces_of(settings)
    with _fed(settings, channel) as feeds:
        _work(settings, metrics, traces, CompositeObserver([metrics, *feeds]))
    logger.info("stopped")
    return 0


def _work(settings: Settings, metrics: Metrics, traces: "Traces | None", observer: Observer) -> None:
    worker = Worker(
        connect=lambda: app.open_log(settings),
        task=lambda partition: app.task(
            settings, partition, timed=traces.beside(metrics.timed, partition) if traces else metrics.timed
        ),
        outputs={topic: app.output_topics(settings, topic) for topic in settings.input.topics},
        start=settings.input.start,
        interval=settings.commit.interval,
        snapshot_interval=settings.commit.snapshot_interval,
        observer=observer,
        ready=lambda: app.warm_up(settings),
        watched=partial(ending_after, _longest_commit(settings)),
        traced=traces.span if traces else untraced,
    )
    sending = closing(traces) if traces else nullcontext()
    with sending, _served(settings, worker, metrics), _stopped_by_signals(worker.stop):
        worker.run()


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
    from streamrnn.observe.traces import exported  # noqa: PLC0415 -- an extra

    logger.info("tracing")
    return exported()


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
def paged(settings: Settings, workers: int) -> Iterator[list[socket.socket]]:
    """Run the page's process meanwhile, if that is configured: the channels to it, one for each worker.

    Raises:
        ConfigError: its port is taken, or its extra is not installed.
    """
    if not settings.page.enabled:
        yield []
        return
    from streamrnn.page.process import PageProcess  # noqa: PLC0415 -- an extra

    page = settings.page
    process = PageProcess(
        host=page.host,
        port=page.port,
        channels=workers,
        told={
            "app": settings.app,
            "topics": settings.input.topics,
            "horizons": settings.forecast.horizons,
            "quantiles": settings.forecast.quantiles,
            "token": page.token and page.token.get_secret_value(),
            "history": page.history,
            "memory": page.memory,
            "logging": settings.logging.model_dump(),
        },
    )
    logger.info("serving_page", extra={"host": page.host, "port": process.port, "token": page.token is not None})
    with closing(process):
        yield process.channels


@contextmanager
def _fed(settings: Settings, channel: int | None) -> Iterator[list[Observer]]:
    """Have the page told what happens meanwhile: an own one, or at the other end of `channel` that of all workers."""
    if not settings.page.enabled:
        yield []
        return
    from streamrnn.page.feed import Feed  # noqa: PLC0415

    with ExitStack() as stack:
        if channel is None:
            (end,) = stack.enter_context(paged(settings, 1))
        else:
            end = stack.enter_context(closing(socket.socket(fileno=channel)))
        yield [stack.enter_context(closing(Feed(end, hidden=settings.input.covariates)))]


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
