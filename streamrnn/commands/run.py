"""`streamrnn run`: the daemon, from the first connection to the last commit."""

import argparse
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from streamrnn.records import Observer
from streamrnn.runtime.processes import run_workers, stop_with_parent
from streamrnn.runtime.watchdog import deadline, time_limit
from streamrnn.settings import Settings, load

if TYPE_CHECKING:
    from streamrnn.observe.metrics import Metrics
    from streamrnn.observe.traces import Traces
    from streamrnn.runtime.worker import Worker

logger = logging.getLogger(__name__)

STOP_SECONDS = 9.5
"""Seconds after the first signal in which the process exits by force; the next start replays uncommitted records."""


def add_run_command(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Add the command to the subparsers; `configured` has the options of every command with a configuration."""
    run = commands.add_parser("run", parents=[configured], help="the daemon; SIGTERM ends it cleanly")
    run.add_argument("--with-parent", action="store_true", help="end when standard input does")
    run.add_argument("--channel", type=int, metavar="FD", help="a descriptor that leads to the page")
    run.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = load(arguments.config, arguments.overrides)
    if settings.workers > 1:
        return _run_workers(settings, arguments)
    if arguments.with_parent:
        stop_with_parent()
    return run_daemon(settings, arguments.channel)


def _run_workers(settings: Settings, arguments: argparse.Namespace) -> int:
    from streamrnn import app  # noqa: PLC0415 -- the numerical libraries

    app.prepare(settings)
    options = ["--config", str(arguments.config)] if arguments.config else []
    options += [part for override in arguments.overrides for part in ("--set", override)]
    with _page_process(settings, settings.workers) as channels:
        port, instance, fds = settings.metrics.port, settings.kafka.instance, [each.fileno() for each in channels]
        return run_workers(options, count=settings.workers, port=port, instance=instance, channels=fds)


def run_daemon(settings: Settings, channel: int | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT. Returns the exit code 0.

    `channel` is the file descriptor that leads to the shared page, if this is one of several workers.

    Raises:
        StreamrnnError: as `Worker.run` does, or the port of metrics or page is in use.
    """
    from streamrnn import app  # noqa: PLC0415 -- the numerical libraries
    from streamrnn.observe.composite import CompositeObserver  # noqa: PLC0415
    from streamrnn.observe.logging import ReportLogger  # noqa: PLC0415
    from streamrnn.runtime.options import CommitPolicy, Hooks, no_span  # noqa: PLC0415
    from streamrnn.runtime.worker import Worker  # noqa: PLC0415

    app.prepare(settings)
    metrics, traces = make_metrics(settings), make_traces(settings)
    with _page_feed(settings, channel) as feeds:
        worker = Worker(
            connect=lambda: app.open_log(settings),
            make_task=lambda partition: app.task(
                settings, partition, timed=traces.with_spans(metrics.timed, partition) if traces else metrics.timed
            ),
            outputs={topic: app.output_topics(settings, topic) for topic in settings.input.topics},
            start=settings.input.start,
            commits=CommitPolicy(**settings.commit.model_dump()),
            hooks=Hooks(
                observer=CompositeObserver([metrics, ReportLogger(), *feeds]),
                warm_up=lambda: app.warm_up(settings),
                limit_commit=partial(time_limit, _commit_seconds(settings)),
                span=traces.span if traces else no_span,
            ),
        )
        with (
            closing(traces) if traces else nullcontext(),
            _health_server(settings, worker, metrics),
            _stopped_by_signals(worker.stop),
        ):
            worker.run()
    logger.info("stopped")
    return 0


def make_metrics(settings: Settings) -> "Metrics":
    """Return new metrics of the configured forecasts."""
    from streamrnn.observe.metrics import Metrics  # noqa: PLC0415 -- numpy

    forecast = settings.forecast
    return Metrics(horizons=forecast.horizons, quantiles=forecast.quantiles, max_series=settings.input.max_series)


def make_traces(settings: Settings) -> "Traces | None":
    """Return a recorder of spans, or None if traces are not enabled. Raises ConfigError without their libraries."""
    if not settings.traces.enabled:
        return None
    from streamrnn.observe.traces import otlp_traces  # noqa: PLC0415 -- an extra

    logger.info("tracing")
    return otlp_traces()


@contextmanager
def _health_server(settings: Settings, worker: "Worker", metrics: "Metrics") -> Iterator[None]:
    """Serve metrics and health, if enabled."""
    if not settings.metrics.enabled:
        yield
        return
    from streamrnn.observe.health import HealthServer  # noqa: PLC0415

    state: dict[str, Any] = {
        "age": lambda: time.monotonic() - worker.heartbeat,
        "unready": lambda: worker.not_ready_reason,
    }
    metrics.watch(**state)
    host, port = settings.metrics.host, settings.metrics.port
    server = HealthServer(host=host, port=port, exposition=metrics.exposition, worst=metrics.worst, **state)
    logger.info("serving", extra={"host": host, "port": server.port})
    with closing(server):
        yield


@contextmanager
def _page_process(settings: Settings, workers: int) -> Iterator[list[socket.socket]]:
    """Run the page's process, if enabled; yield its channels, one per worker."""
    if not settings.page.enabled:
        yield []
        return
    from streamrnn.page.process import PageProcess  # noqa: PLC0415 -- an extra

    page = settings.page
    config = {
        "app": settings.app,
        "topics": settings.input.topics,
        "horizons": settings.forecast.horizons,
        "quantiles": settings.forecast.quantiles,
        "token": page.token and page.token.get_secret_value(),
        "history": page.history,
        "memory": page.memory,
        "logging": settings.logging.model_dump(),
    }
    process = PageProcess(host=page.host, port=page.port, channels=workers, config=config)
    logger.info("serving_page", extra={"host": page.host, "port": process.port, "token": page.token is not None})
    with closing(process):
        yield process.channels


@contextmanager
def _page_feed(settings: Settings, channel: int | None) -> Iterator[list[Observer]]:
    """Yield the observer that feeds the page, if enabled: the page at the end of `channel`, or else one of its own."""
    if not settings.page.enabled:
        yield []
        return
    from streamrnn.page.data.feed import PageFeed  # noqa: PLC0415 -- numpy

    with ExitStack() as stack:
        if channel is None:
            (end,) = stack.enter_context(_page_process(settings, 1))
        else:
            end = stack.enter_context(closing(socket.socket(fileno=channel)))
        yield [stack.enter_context(closing(PageFeed(end, hidden=settings.input.covariates)))]


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first SIGTERM or SIGINT; the second ends the process at once, without losing a commit.

    If the block has not ended STOP_SECONDS after the first, the process exits with code 70.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        stop()
        forced_exit.start()

    handled = (signal.SIGTERM, signal.SIGINT)
    forced_exit = deadline(STOP_SECONDS, "stop")
    before = [signal.signal(each, handle) for each in handled]
    try:
        yield
    finally:
        forced_exit.cancel()
        for each, handler in zip(handled, before, strict=True):
            signal.signal(each, handler)


def _commit_seconds(settings: Settings) -> float:
    """Return the time limit of a commit: more than the sum of the time limits of its requests."""
    return 2 * (settings.kafka.request_timeout + settings.kafka.transaction_timeout)
