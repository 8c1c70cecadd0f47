"""Prometheus metrics of one process, made of what the worker reports. No label carries a series' name.

The names and meanings are in `catalogue`.
"""

import json
import logging
import platform
import time
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

from streamrnn.observe.catalogue import BY_HORIZON, BY_LEARNER, METRICS, TASK, task_labels
from streamrnn.observe.quality import Quality
from streamrnn.observe.series import SeriesTable
from streamrnn.records import HEAD, WHOLE, Observer, StepReport, TopicPartition
from streamrnn.version import VERSION

LEARNERS = [(HEAD,), (WHOLE,)]
MOST_LISTED = 1000
"""Series that /series names at once."""

logger = logging.getLogger(__name__)
disable_created_metrics()  # type: ignore[no-untyped-call]  # when a counter was born: half as much text again, which nothing here reads

Told = TypeVar("Told", bound=Callable[..., None])


def _harmless(told: Told) -> Told:
    """Keep a defect of the metrics out of the worker's loop; it is logged."""

    @wraps(told)
    def called(*arguments: Any) -> None:
        try:
            told(*arguments)
        except Exception:  # it was told and has no way to answer: a wrong number is better than no forecasts
            logger.exception("metrics_failed", extra={"in": told.__name__})

    return cast("Told", called)


class Metrics(Observer):
    """An observer of the worker. Each has a registry of its own.

    `horizons` are those of the forecasts, in steps; `quantiles` their levels, ascending; `max_series` bounds the series
    of a task.
    """

    def __init__(self, *, horizons: Sequence[int], quantiles: Sequence[float], max_series: int) -> None:
        self._horizons = [str(horizon) for horizon in horizons]
        self._event_times: dict[TopicPartition, int] = {}
        self._table = SeriesTable(horizons=horizons)
        self._quality = Quality(horizons=horizons, nominal=quantiles[-1] - quantiles[0])
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
        """Of counters and gauges, by name and labels: the library takes longer to find one than to change it."""
        self._watches = {
            name.removesuffix("_seconds"): _Stopwatch(histogram) for name, histogram in self._histograms.items()
        }
        registry.register(_Distributions(self._table))
        registry.register(_ByHorizon(self._quality))
        self._gauges["series_limit"].set(max_series)

    def watch(self, *, age: Callable[[], float], unready: Callable[[], str]) -> None:
        """Tell at each scrape how long ago the loop came round, and whether it is ready: `unready` is empty."""
        self._gauges["loop_age_seconds"].set_function(age)
        self._gauges["ready"].set_function(lambda: not unready())

    def timed(self, work: str) -> AbstractContextManager[object]:
        """Time a piece of a task's work: "decode", "step" or "learn"; none lies inside of another of its name."""
        return self._watches[work]

    @_harmless
    def assigned(self, partition: TopicPartition) -> None:
        """See `Observer.assigned`. Its counters begin at 0, so that their first increase is seen as one."""
        task = task_labels(partition)
        for metric in METRICS:
            if metric.kind == "counter" and metric.labels == TASK:
                self._at(metric.name, *task)
        self._quality.assigned(partition)
        self._at("assigned_partitions", *task).inc()

    @_harmless
    def restored(self, partition: TopicPartition, seconds: float) -> None:  # noqa: ARG002 -- the histogram has no labels
        """See `Observer.restored`."""
        self._histograms["restore_seconds"].observe(seconds)

    @_harmless
    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        task = task_labels(report.partition)
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
        )
        for name, counts in (("dead_letters", report.dead_letters), ("drops", report.drops)):
            for reason, count in counts.items():
                self._at(name, *task, reason).inc(count)
        self._at("series", *task).set(report.series)
        self._at("state_bytes", *task).set(report.state_bytes)
        for learner, step in report.learned.items():
            for name, value in step._asdict().items():
                self._at(name, *task, learner).set(value)
        if report.event_time != -1:
            self._dated(report.partition, report.event_time)
        self._quality.stepped(report)

    def _at(self, name: str, *labels: str) -> Any:
        child = self._children.get((name, *labels))
        if child is None:
            family = self._counters.get(name) or self._gauges[name]
            child = self._children[(name, *labels)] = family.labels(*labels)
        return child

    def _count(self, task: tuple[str, str], **amounts: int) -> None:
        for name, amount in amounts.items():
            if amount:
                self._at(name, *task).inc(amount)

    def _dated(self, partition: TopicPartition, event_time: int) -> None:
        known = partition in self._event_times
        self._event_times[partition] = event_time
        if not known:
            age = self._at("lag_seconds", *task_labels(partition))
            age.set_function(lambda: time.time() - self._event_times.get(partition, event_time) / 1e3)

    @_harmless
    def committed(self, partition: TopicPartition, seconds: float, saved: int) -> None:
        """See `Observer.committed`."""
        self._histograms["commit_seconds"].observe(seconds)
        self._count(task_labels(partition), state_written_bytes=saved)

    @_harmless
    def aborted(self, partition: TopicPartition) -> None:
        """See `Observer.aborted`."""
        self._count(task_labels(partition), aborted_transactions=1)

    @_harmless
    def lag(self, partition: TopicPartition, records: int) -> None:
        """See `Observer.lag`."""
        self._at("lag_records", *task_labels(partition)).set(records)

    @_harmless
    def restarted(self, partition: TopicPartition) -> None:
        """See `Observer.restarted`."""
        self._count(task_labels(partition), task_restarts=1)

    @_harmless
    def released(self, partition: TopicPartition) -> None:
        """See `Observer.released`; what stands for the present of a task goes, what counts stays."""
        task = task_labels(partition)
        self._count(task, released_partitions=1)
        beside: dict[tuple[str, ...], Sequence[tuple[str, ...]]] = {
            TASK: [()],
            BY_LEARNER: LEARNERS,
        }
        for metric in METRICS:
            if metric.kind == "gauge":
                for labels in beside.get(metric.labels, []):
                    self._gauges[metric.name].remove(*task, *labels)
                    self._children.pop((metric.name, *task, *labels), None)
        self._event_times.pop(partition, None)
        self._quality.released(partition)
        self._table.released(partition)

    @_harmless
    def iterated(self, seconds: float, restoring: int) -> None:
        """See `Observer.iterated`."""
        self._counters["loop_busy_seconds"].inc(seconds)
        self._gauges["restoring_tasks"].set(restoring)

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """All metrics as text, in the format that an Accept header asks for: its content type, and the text."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)

    def worst(self, query: dict[str, str]) -> bytes:
        """The worst series as JSON; `query` may say `by`, `horizon`, `topic` and `count`. See `SeriesTable.worst`.

        Raises:
            ValueError: a part of the query cannot be understood; says what is allowed.
        """
        unknown = query.keys() - {"by", "horizon", "topic", "count"}
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]}: not known; there are by, horizon, topic and count")
        count = query.get("count", "20")
        if not (count.isdecimal() and 1 <= int(count) <= MOST_LISTED):
            raise ValueError(f"count={count}: must be from 1 to {MOST_LISTED}")
        horizon = query.get("horizon", self._horizons[0])
        if horizon not in self._horizons:
            raise ValueError(f"horizon={horizon}: must be one of {', '.join(self._horizons)}")
        found = self._table.worst(
            query.get("by", "skill"), horizon=int(horizon), count=int(count), topic=query.get("topic")
        )
        return json.dumps(found, indent=1).encode()


class _Stopwatch:
    """Enters how long it was entered for into a histogram; less work than the library's own."""

    def __init__(self, histogram: Histogram) -> None:
        self._observe = histogram.observe
        self._begun = 0.0

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._observe(time.perf_counter() - self._begun)


class _ByHorizon(Collector):
    """Counters and gauges that have a horizon, made when they are asked for."""

    def __init__(self, quality: Quality) -> None:
        self._quality = quality

    def collect(self) -> Iterator[Any]:
        """One family for each of the catalogue."""
        kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        families: dict[str, Any] = {}
        for metric in METRICS:
            if metric.labels == BY_HORIZON:
                name, words, labels = metric.declared
                families[metric.name] = kinds[metric.kind](name, words, labels=labels)
        for name, where, value in self._quality.samples():
            families[name].add_metric(where, value)
        yield from families.values()


class _Distributions(Collector):
    """Histograms over the series as they stand, made when they are asked for."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table

    def collect(self) -> Iterator[Any]:
        """One family for each distribution in the catalogue."""
        for metric in METRICS:
            if metric.kind != "distribution":
                continue
            name, words, labels = metric.declared
            family = GaugeHistogramMetricFamily(name, words, labels=labels)
            bounds = [*map(str, metric.bounds), "+Inf"]
            measure = metric.name.removeprefix("series_").removesuffix("_seconds")
            for where, values in self._table.values(measure):
                # a few comparisons of all values take less than finding the place of each
                counts = [int(np.count_nonzero(values <= bound)) for bound in metric.bounds] + [len(values)]
                family.add_metric(where, list(zip(bounds, counts, strict=True)), float(values.sum()))
            yield family
