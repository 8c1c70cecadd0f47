"""Observers of the daemon: metrics and health, traces, the live page, and the loading of the learner."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from streamrnn.records import Observer
from streamrnn.settings import Settings
from streamrnn.whole_learning import whole_networks_learn

if TYPE_CHECKING:
    from streamrnn.explanation.explainer import SeriesExplainer
    from streamrnn.observe.metrics import Metrics
    from streamrnn.observe.traces import Traces
    from streamrnn.page.data.feed import PageFeed
    from streamrnn.page.data.workers import WorkerState
    from streamrnn.runtime.worker import Worker

logger = logging.getLogger(__name__)

LOADING_DELAY = 0.5
"""Seconds from the first commit with all partitions restored to the loading of torch."""


class LearnerLoading(Observer):
    """Calls `load` in a thread, soon after the first commit, once every partition is restored.

    torch takes seconds to load: a restarted process forecasts first, and the loop is not blocked when a network first
    learns.
    """

    def __init__(self, load: Callable[[], None]) -> None:
        self._timer = threading.Timer(LOADING_DELAY, load)
        self._committed = self._started = False

    def committed(self, *_: object) -> None:
        """See Observer."""
        self._committed = True

    def iterated(self, seconds: float, restoring: int) -> None:
        """See Observer."""
        del seconds
        if self._committed and not restoring and not self._started:
            self._started = True
            self._timer.start()

    def close(self) -> None:
        """Cancel the call, or wait for it: a library must not be loading when the process ends."""
        self._timer.cancel()
        if self._started:
            self._timer.join()


def make_metrics(settings: Settings) -> "Metrics":
    """Return new metrics of the configured forecasts."""
    from streamrnn import app  # noqa: PLC0415 -- the formats
    from streamrnn.observe.metrics import Metrics  # noqa: PLC0415 -- numpy
    from streamrnn.observe.metrics.selected import SelectionRule  # noqa: PLC0415

    forecast, shown = settings.forecast, settings.metrics
    rule = SelectionRule(shown.series, shown.max_series, hidden=app.hidden_fields(settings))
    return Metrics(
        horizons=forecast.horizons,
        quantiles=forecast.quantiles,
        max_series=settings.input.max_series,
        selection=rule if shown.enabled and shown.series else None,
        whole_learning=whole_networks_learn(settings),
    )


def make_traces(settings: Settings) -> "Traces | None":
    """Return a recorder of spans, or None if traces are not enabled. Raises ConfigError without their libraries."""
    if not settings.traces.enabled:
        return None
    from streamrnn.observe.traces import otlp_traces  # noqa: PLC0415 -- an extra

    logger.info("tracing")
    return otlp_traces()


@contextmanager
def health_server(settings: Settings, worker: "Worker", metrics: "Metrics") -> Iterator[None]:
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
def page_process(settings: Settings, workers: int) -> Iterator[list[socket.socket]]:
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
def page_feed(settings: Settings, channel: int | None, explainer: "SeriesExplainer") -> Iterator[list["PageFeed"]]:
    """Yield the observer that feeds the page, if enabled: the page behind `channel`, or a new one without it."""
    if not settings.page.enabled:
        yield []
        return
    from streamrnn import app  # noqa: PLC0415 -- the formats
    from streamrnn.page.data.feed import PageFeed  # noqa: PLC0415 -- numpy

    with ExitStack() as stack:
        if channel is None:
            (end,) = stack.enter_context(page_process(settings, 1))
        else:
            end = stack.enter_context(closing(socket.socket(fileno=channel)))
        shape = len(settings.forecast.horizons), len(settings.forecast.quantiles)
        feed = PageFeed(
            end, hidden=app.hidden_fields(settings), explain=explainer.explain, path=explainer.path, shape=shape
        )
        yield [stack.enter_context(closing(feed))]


def worker_state(worker: "Worker") -> "WorkerState":
    """Return the state of the worker that the page shows."""
    from streamrnn.page.data.workers import WorkerState  # noqa: PLC0415 -- numpy

    return WorkerState(worker.not_ready_reason, worker.warming_up, time.monotonic() - worker.heartbeat)
