"""The daemon of one process: its worker, the observers of the worker, and the changes at SIGHUP."""

import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from streamrnn.commands.run.observers import (
    LearnerLoading,
    health_server,
    make_metrics,
    make_traces,
    page_feed,
    worker_state,
)
from streamrnn.commands.run.reload import Reloader, check_tasks
from streamrnn.core.garbage import collector_paused
from streamrnn.observe.progress import ProgressLogger
from streamrnn.records import TopicPartition
from streamrnn.runtime.options import CommitPolicy, Hooks, Limits, StartPolicy, WorkerChange, no_span
from streamrnn.runtime.signals import StopSignals, exit_stopped
from streamrnn.runtime.time_limits import deadline, time_limit
from streamrnn.settings import Settings
from streamrnn.settings.changes import SettingChange
from streamrnn.whole_learning import load_learner

if TYPE_CHECKING:
    from streamrnn.explanation.explainer import SeriesExplainer
    from streamrnn.log import Log
    from streamrnn.observe.metrics import Metrics
    from streamrnn.observe.traces import Traces
    from streamrnn.runtime.task import Task
    from streamrnn.runtime.worker import Worker

logger = logging.getLogger(__name__)

STOP_SECONDS = 9.5
"""Seconds after the first signal in which the process exits by force; the next start replays uncommitted records."""

CONNECT_SECONDS = 2.0
"""Seconds after the first signal in which a process that is still connecting exits: it has nothing to commit."""

_LOOPS = {"full": (300, 156), "lean": (210, 91)}
"""Loops that a process compiles, about, on one core and on more, where a second process compiles the others."""


class _Watchers(NamedTuple):
    """The observers of the tasks of the process."""

    metrics: "Metrics"
    traces: "Traces | None"
    explainer: "SeriesExplainer"

    def make_task(self, settings: Settings, partition: TopicPartition) -> "Task":
        """Return an observed task, after registering its output schemas; raises LogError if the registry is down."""
        from streamrnn import app  # noqa: PLC0415 -- the numerical libraries

        app.register_forecasts(settings, partition.topic)
        timed = self.traces.with_spans(self.metrics.timed, partition) if self.traces else self.metrics.timed
        task = app.task(settings, partition, timed=timed)
        self.explainer.watch(partition, task)
        return task


def run_daemon(
    settings: Settings, signals: StopSignals, channel: int | None, *, start: StartPolicy, read: Callable[[], Settings]
) -> int:
    """Run the daemon until a signal ends it, and return the exit code, 0.

    Args:
        settings: The configuration.
        signals: The signals that stop or reload the daemon.
        channel: File descriptor that leads to the shared page, if this is one of several workers.
        start: Where partitions without a committed offset start, and whether a recreated topic is accepted.
        read: Reads the settings again, see `Reloader`.

    Raises:
        StreamrnnError: as `Worker.run` does, or the port of metrics or page is in use.
    """
    with collector_paused():
        from streamrnn import app  # noqa: PLC0415 -- the formats

    app.prepare(settings)
    with closing(ProgressLogger(partial(_compiling, settings.model.variant))) as progress:
        worker = _run_worker(settings, signals, channel, start, read, progress)
    if worker.loading.running:  # a library is loading or compiling, and the interpreter cannot end meanwhile
        exit_stopped()
    logger.info("stopped")
    return 0


def _run_worker(
    settings: Settings, signals: StopSignals, channel: int | None, start: StartPolicy,
    read: Callable[[], Settings], progress: ProgressLogger,
) -> "Worker":  # fmt: skip
    with collector_paused():
        from streamrnn.explanation.explainer import SeriesExplainer  # noqa: PLC0415 -- the numerical libraries
        from streamrnn.observe.composite import CompositeObserver  # noqa: PLC0415
        from streamrnn.observe.logging import ReportLogger  # noqa: PLC0415
        from streamrnn.runtime.worker import Worker  # noqa: PLC0415

    watchers = _Watchers(make_metrics(settings), make_traces(settings), SeriesExplainer())
    metrics, traces, explainer = watchers
    with (
        page_feed(settings, channel, explainer) as feeds,
        closing(LearnerLoading(partial(load_learner, settings))) as loading,
    ):
        change = _change(settings, watchers.make_task, start)
        worker = Worker(
            connect=lambda: _open_log(settings),
            make_task=change.source,
            outputs=change.outputs,
            start=start,
            commits=change.commits,
            limits=Limits(heartbeat_after=settings.input.heartbeat),
            hooks=Hooks(
                observer=CompositeObserver([metrics, ReportLogger(), progress, loading, *feeds]),
                warm_up=partial(_warm_up, settings),
                limit_commit=partial(time_limit, _commit_seconds(settings)),
                span=traces.span if traces else no_span,
            ),
        )
        for feed in feeds:
            feed.watch(partial(worker_state, worker))
        progress.reason = lambda: "the compiled loops to load" if worker.warming_up else worker.not_ready_reason
        apply = partial(_apply, worker, watchers, start)
        reloader = Reloader(settings, read=read, check=check_tasks, apply=apply, count=metrics.reloaded)
        with (
            closing(traces) if traces else nullcontext(),
            health_server(settings, worker, metrics),
            signals.calling(partial(_stop, worker), reloader),
        ):
            _run(worker)
    return worker


def _run(worker: "Worker") -> None:
    """Run the worker; an error waits for libraries that are loading, as the interpreter cannot end meanwhile."""
    try:
        worker.run()
    except BaseException:
        if worker.loading.running:
            with suppress(Exception):
                worker.loading.finish(lambda: True)
        raise


def _warm_up(settings: Settings) -> None:
    from streamrnn import app  # noqa: PLC0415 -- the numerical libraries
    from streamrnn.commands.run.second_compiler import compile_in_two  # noqa: PLC0415

    gc.freeze()  # collections during the warm-up then only visit its own objects: a tenth of the time
    compile_in_two(settings)
    app.warm_up(settings)


def _change(settings: Settings, make: "Callable[[Settings, TopicPartition], Task]", start: StartPolicy) -> WorkerChange:
    """Return the parts of settings that the worker uses."""
    from streamrnn import app  # noqa: PLC0415 -- the numerical libraries
    from streamrnn.commands.configured_tasks import task_source  # noqa: PLC0415

    return WorkerChange(
        source=task_source(settings, make),
        outputs={topic: app.output_topics(settings, topic) for topic in settings.input.topics},
        start=replace(start, position=settings.input.start),
        commits=CommitPolicy(**settings.commit.model_dump()),
    )


def _apply(
    worker: "Worker", watchers: _Watchers, start: StartPolicy, settings: Settings, changes: Sequence[SettingChange]
) -> None:
    """Apply new settings to the worker, the log and the metrics."""
    from streamrnn.observe import logging as logs  # noqa: PLC0415

    if any(change.key.startswith("logging.") for change in changes):
        logs.configure(**settings.logging.model_dump())
    watchers.metrics.configure(quantiles=settings.forecast.quantiles, max_series=settings.input.max_series)
    worker.reload(_change(settings, watchers.make_task, start))


def _compiling(variant: str) -> tuple[int, int] | None:
    """Return the number of loops that this process has compiled, and about how many it will; None if it compiles none.

    None also before the compiler is loaded.
    """
    jit = sys.modules.get("streamrnn.core.jit")
    done: int | None = jit.compiling() if jit is not None and hasattr(jit, "compiling") else None
    return None if done is None else (done, _LOOPS[variant][len(os.sched_getaffinity(0)) > 1])


def _open_log(settings: Settings) -> "Log":
    """Open the configured log, and create it if it is a file."""
    from streamrnn import app  # noqa: PLC0415

    logger.info("connecting", extra={"address": settings.log_address})
    return app.open_log(settings, create=True)


def _stop(worker: "Worker") -> None:
    """Stop the worker, and end the process by force if that takes too long. A commit is never lost."""
    worker.stop()
    deadline(CONNECT_SECONDS, "stop", lambda *_: None if worker.joined else exit_stopped()).start()
    deadline(STOP_SECONDS, "stop").start()


def _commit_seconds(settings: Settings) -> float:
    """Return the time limit of a commit: more than the sum of the time limits of its requests."""
    return 2 * (settings.kafka.request_timeout + settings.kafka.transaction_timeout)
