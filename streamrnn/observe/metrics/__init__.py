"""Prometheus metrics of one process, updated by the worker's events.

`catalogue` declares the metrics. Only the metrics of `selected` have the name of a series as a label.
"""

import json
import logging
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from streamrnn.observe.catalogue import BY_BLOCKED, BY_HORIZON, BY_LEARNER, METRICS, RELOAD_RESULTS, TASK, task_labels
from streamrnn.observe.metrics.quality import Quality
from streamrnn.observe.metrics.selected import SelectedSeries, SelectionRule
from streamrnn.observe.metrics.series import SeriesTable
from streamrnn.records import HEAD, WHOLE, Observer, StepReport, TopicPartition
from streamrnn.version import VERSION

LEARNERS = [(HEAD,), (WHOLE,)]
END = b"# EOF\n"
"""Last line of OpenMetrics text."""
MAX_COUNT = 1000
"""Largest number of series in one answer of /series."""

logger = logging.getLogger(__name__)
disable_created_metrics()  # type: ignore[no-untyped-call]  # creation times add half as much text, and nothing reads them

Handler = TypeVar("Handler", bound=Callable[..., None])


def _never_raises(handler: Handler) -> Handler:
    """Log every exception of an event handler: a wrong metric is better than no forecasts."""

    @wraps(handler)
    def guarded(*arguments: Any) -> None:
        try:
            handler(*arguments)
        except Exception:
            logger.exception("metrics_failed", extra={"in": handler.__name__})

    return cast("Handler", guarded)


class Metrics(Observer):
    """An observer of the worker that updates the metrics, in a registry of its own.

    Args:
        horizons: Horizons in steps.
        quantiles: Levels of the quantiles, ascending.
        max_series: Largest number of series of a task.
        selection: Selects the series to export individually; None: none.
        whole_learning: Whether whole networks learn.
    """

    def __init__(
        self,
        *,
        horizons: Sequence[int],
        quantiles: Sequence[float],
        max_series: int,
        selection: SelectionRule | None = None,
        whole_learning: bool = True,
    ) -> None:
        self._horizons, self._levels = [str(horizon) for horizon in horizons], len(quantiles)
        self._event_times: dict[TopicPartition, int] = {}
        self._blocked: defaultdict[TopicPartition, set[str]] = defaultdict(set)
        """Topics that `blocked` was called with, by partition."""
        self._table = SeriesTable(horizons=self._horizons)
        self._quality = Quality(horizons=self._horizons, nominal=quantiles[-1] - quantiles[0])
        self._selected: SelectedSeries | None = None
        if selection is not None:
            self._selected = SelectedSeries(selection, horizons=self._horizons, quantiles=quantiles)
        registry = self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        build = Info("streamrnn_build", "Version of the program and of Python", registry=registry)
        build.info({"version": VERSION, "python": platform.python_version()})
        own = [m for m in METRICS if m.labels != BY_HORIZON]
        self._counters = {m.name: Counter(*m.declared, registry=registry) for m in own if m.kind == "counter"}
        self._gauges = {m.name: Gauge(*m.declared, registry=registry) for m in own if m.kind == "gauge"}
        self._histograms = {
            m.name: Histogram(*m.declared, buckets=m.bounds, registry=registry) for m in own if m.kind == "histogram"
        }
        self._children: dict[tuple[str, ...], Any] = {}
        """Cache of counters and gauges by name and label values; the library's lookup takes longer than an update."""
        self._stopwatches = {
            name.removesuffix("_seconds"): _Stopwatch(histogram) for name, histogram in self._histograms.items()
        }
        registry.register(_DistributionCollector(self._table))
        registry.register(_QualityCollector(self._quality))
        self._gauges["series_limit"].set(max_series)
        self._gauges["whole_learning"].set(whole_learning)
        for result in RELOAD_RESULTS:
            self._child("reloads", result)

    def configure(self, *, quantiles: Sequence[float], max_series: int) -> None:
        """Replace the quantiles and the limit of series."""
        self._levels, self._quality.nominal = len(quantiles), quantiles[-1] - quantiles[0]
        if self._selected is not None:
            self._selected.configure(quantiles)
        self._gauges["series_limit"].set(max_series)

    def reloaded(self, result: str) -> None:
        """Count a reload of the configuration, by one of RELOAD_RESULTS."""
        self._child("reloads", result).inc()
        if result in ("applied", "unchanged"):
            self._gauges["last_reload_seconds"].set_to_current_time()

    def watch(self, *, age: Callable[[], float], unready: Callable[[], str]) -> None:
        """Export `age`, the seconds since the loop's last iteration, and whether `unready` returns an empty text."""
        self._gauges["loop_age_seconds"].set_function(age)
        self._gauges["ready"].set_function(lambda: not unready())

    def timed(self, work: str) -> AbstractContextManager[object]:
        """Return a context manager that times "decode", "step" or "learn"; it must not be nested in itself."""
        return self._stopwatches[work]

    @_never_raises
    def assigned(self, partition: TopicPartition) -> None:
        """See `Observer.assigned`. Counters start at 0, so that Prometheus sees their first increase."""
        task = task_labels(partition)
        for metric in METRICS:
            if metric.kind == "counter" and metric.labels == TASK:
                self._child(metric.name, *task)
        self._quality.assigned(partition)
        self._child("assigned_partitions", *task).inc()

    @_never_raises
    def restored(self, partition: TopicPartition, seconds: float) -> None:  # noqa: ARG002 -- the histogram has no labels
        """See `Observer.restored`."""
        self._histograms["restore_seconds"].observe(seconds)

    @_never_raises
    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        report, task = report.of_shape(len(self._horizons), self._levels), task_labels(report.partition)
        self._count(
            task,
            records=report.records,
            forecasts=report.forecasts,
            new_series=report.new_series,
            learning_steps=report.learning_steps,
            skipped_learning_steps=report.skipped_steps,
            learning_taken_back=report.rollbacks,
            drift_alarms=report.drift_alarms,
            expert_failures=report.expert_failures,
            anomalies=self._table.stepped(report),
            joint_anomalies=report.joint_anomalies,
            cut_dead_letters=report.cut_dead_letters,
            moved_timestamps=report.moved_timestamps,
            missing_records=report.missing_records,
            early_values=report.released_early,
            clocks_set_back=report.clocks_set_back,
            stale_forecasts=report.stale_forecasts,
            heartbeats=report.heartbeats,
        )
        self._table.removed(report.partition, report.removed_rows)
        if self._selected is not None:
            self._selected.stepped(report)
            self._selected.removed(report.partition, report.removed_rows)
        by_kind = {
            "dead_letters": report.dead_letters, "drops": report.drops, "removed_series": report.removed_series,
            "events": report.events,
        }  # fmt: skip
        for name, counts in by_kind.items():
            for kind, count in counts.items():
                self._child(name, *task, kind).inc(count)
        self._child("series", *task).set(report.series)
        self._child("held_values", *task).set(report.held)
        self._child("state_bytes", *task).set(report.state_bytes)
        for learner, step in report.learned.items():
            for name, value in step._asdict().items():
                self._child(name, *task, learner).set(value)
        if report.event_time != -1:
            self._set_age(report.partition, report.event_time)
        self._quality.stepped(report)

    def _child(self, name: str, *labels: str) -> Any:
        child = self._children.get((name, *labels))
        if child is None:
            family = self._counters.get(name) or self._gauges[name]
            child = self._children[(name, *labels)] = family.labels(*labels)
        return child

    def _count(self, task: tuple[str, str], **amounts: int) -> None:
        for name, amount in amounts.items():
            if amount:
                self._child(name, *task).inc(amount)

    def _set_age(self, partition: TopicPartition, event_time: int) -> None:
        known = partition in self._event_times
        self._event_times[partition] = event_time
        if not known:
            age = self._child("lag_seconds", *task_labels(partition))
            age.set_function(lambda: time.time() - self._event_times.get(partition, event_time) / 1e3)

    @_never_raises
    def committed(self, partition: TopicPartition, seconds: float, saved: int) -> None:
        """See `Observer.committed`."""
        self._histograms["commit_seconds"].observe(seconds)
        self._count(task_labels(partition), state_written_bytes=saved)

    @_never_raises
    def aborted(self, partition: TopicPartition) -> None:
        """See `Observer.aborted`."""
        self._count(task_labels(partition), aborted_transactions=1)

    @_never_raises
    def lag(self, partition: TopicPartition, records: int) -> None:
        """See `Observer.lag`."""
        self._child("lag_records", *task_labels(partition)).set(records)

    @_never_raises
    def blocked(self, partition: TopicPartition, topic: str, seconds: float) -> None:
        """See `Observer.blocked`."""
        self._blocked[partition].add(topic)
        self._child("blocked_seconds", *task_labels(partition), topic).set(seconds)

    @_never_raises
    def restarted(self, partition: TopicPartition) -> None:
        """See `Observer.restarted`."""
        self._count(task_labels(partition), task_restarts=1)
        if self._table.restarted(partition) and self._selected is not None:
            self._selected.released(partition)

    @_never_raises
    def released(self, partition: TopicPartition) -> None:
        """See `Observer.released`. The gauges of the task are removed, its counters stay."""
        task = task_labels(partition)
        self._count(task, released_partitions=1)
        blocked = [(topic,) for topic in self._blocked.pop(partition, ())]
        further_labels: dict[tuple[str, ...], Sequence[tuple[str, ...]]] = {
            TASK: [()], BY_LEARNER: LEARNERS, BY_BLOCKED: blocked,
        }  # fmt: skip
        for metric in METRICS:
            if metric.kind == "gauge":
                for labels in further_labels.get(metric.labels, []):
                    self._gauges[metric.name].remove(*task, *labels)
                    self._children.pop((metric.name, *task, *labels), None)
        self._event_times.pop(partition, None)
        self._quality.released(partition)
        self._table.released(partition)
        if self._selected is not None:
            self._selected.released(partition)

    @_never_raises
    def iterated(self, seconds: float, restoring: int) -> None:
        """See `Observer.iterated`."""
        self._counters["loop_busy_seconds"].inc(seconds)
        self._gauges["restoring_tasks"].set(restoring)

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the text of all metrics, in the format that an Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        text = encode(self._registry)
        if self._selected is not None:
            end = END if text.endswith(END) else b""
            text = text.removesuffix(end) + self._selected.exposition().encode() + end
        return content_type, text

    def worst(self, query: dict[str, str]) -> bytes:
        """Return the worst series as JSON, by the parameters `by`, `horizon`, `topic` and `count`.

        Raises:
            ValueError: an invalid parameter; the message lists what is allowed.
        """
        unknown = query.keys() - {"by", "horizon", "topic", "count"}
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]}: unknown parameter; allowed are by, horizon, topic and count")
        count = query.get("count", "20")
        if not (count.isdecimal() and 1 <= int(count) <= MAX_COUNT):
            raise ValueError(f"count={count}: must be from 1 to {MAX_COUNT}")
        worst = self._table.worst(
            query.get("by", "skill"),
            horizon=query.get("horizon", self._horizons[0]),
            count=int(count),
            topic=query.get("topic"),
        )
        return json.dumps(worst, indent=1).encode()


class _Stopwatch:
    """Observes in a histogram the seconds spent in its context; cheaper than the library's timer."""

    def __init__(self, histogram: Histogram) -> None:
        self._observe = histogram.observe
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._observe(time.perf_counter() - self._start)


class _QualityCollector(Collector):
    """Exports the counters and gauges with a horizon label, built at each scrape."""

    def __init__(self, quality: Quality) -> None:
        self._quality = quality

    def collect(self) -> Iterator[Any]:
        """Yield one family per metric."""
        kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        families: dict[str, Any] = {}
        for metric in METRICS:
            if metric.labels == BY_HORIZON:
                name, description, labels = metric.declared
                families[metric.name] = kinds[metric.kind](name, description, labels=labels)
        for name, label_values, value in self._quality.samples():
            families[name].add_metric(label_values, value)
        yield from families.values()


class _DistributionCollector(Collector):
    """Exports histograms over the current series, built at each scrape."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table

    def collect(self) -> Iterator[Any]:
        """Yield one family per distribution."""
        for metric in METRICS:
            if metric.kind != "distribution":
                continue
            name, description, labels = metric.declared
            family = GaugeHistogramMetricFamily(name, description, labels=labels)
            bounds = [*map(str, metric.bounds), "+Inf"]
            measure = metric.name.removeprefix("series_").removesuffix("_seconds")
            for label_values, values in self._table.values(measure):
                # one comparison of all values per bucket is faster than searchsorted
                counts = [int(np.count_nonzero(values <= bound)) for bound in metric.bounds] + [len(values)]
                family.add_metric(label_values, list(zip(bounds, counts, strict=True)), float(values.sum()))
            yield family
