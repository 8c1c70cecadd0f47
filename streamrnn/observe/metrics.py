"""Prometheus metrics of one process, made of what the worker reports. No label carries a series' name."""

import platform
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from streamrnn.records import StepReport, TopicPartition
from streamrnn.version import VERSION

TASK = ("topic", "partition")
HALF_LIFE = 1000.0
"""Matured forecasts over which skill and coverage forget half."""
SHORT = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Seconds; bounds of a step's and a learning step's histogram."""
LONG = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Seconds; bounds of a commit's."""


class Metrics:
    """An observer of the worker. Each has a registry of its own. `horizons` are those of the forecasts, in steps."""

    def __init__(self, *, horizons: Sequence[int]) -> None:
        self._horizons = [str(horizon) for horizon in horizons]
        self._recent: dict[TopicPartition, list[tuple[float, float, float, float]]] = {}
        """By horizon, fading sums of: matured, error, persistence error, covered."""
        self._event_times: dict[TopicPartition, int] = {}
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        build = Info("streamrnn_build", "Version of the program and of Python", registry=registry)
        build.info({"version": VERSION, "python": platform.python_version()})

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"streamrnn_{name}", words, (*TASK, *labels), registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"streamrnn_{name}", words, (*TASK, *labels), registry=registry)

        def histogram(name: str, words: str, bounds: Sequence[float]) -> Histogram:
            return Histogram(f"streamrnn_{name}", words, buckets=bounds, registry=registry)

        self._records = counter("records", "Input records taken in")
        self._forecasts = counter("forecasts", "Forecast records made")
        self._dead_letters = counter("dead_letters", "Input records that became dead letters", "reason")
        self._drops = counter("drops", "Input records counted and not forecast", "reason")
        self._learning_steps = counter("learning_steps", "Learning steps")
        self._skipped = counter("skipped_learning_steps", "Learning steps thrown away: something was not finite")
        self._taken_back = counter(
            "learning_taken_back", "Times that earlier weights came back: what was learned was worse"
        )
        self._alarms = counter("drift_alarms", "Alarms of the detectors of drift (learning.drift)")
        self._failures = counter("expert_failures", "Forecasts that a configured expert has failed to make (experts)")
        self._restarts = counter("task_restarts", "Tasks thrown away after a failure of the log")
        self._matured = counter("matured_forecasts", "Forecasts whose truth has arrived", "horizon")
        self._error = counter("error", "Their absolute errors, in units of each series' scale", "horizon")
        self._naive = counter("persistence_error", "The same of persistence", "horizon")
        self._covered = counter("covered_forecasts", "Those with the truth inside the outermost interval", "horizon")
        self._skill = gauge("skill_ratio", "1 - error / error of persistence, recent", "horizon")
        self._coverage = gauge("coverage_ratio", "Share of covered among matured forecasts, recent", "horizon")
        self._series = gauge("series", "Series held")
        self._loss = gauge("loss", "Pinball loss of the last learning step, in units of each series' scale")
        self._lag = gauge("lag_records", "Input records that wait to be taken in")
        self._lag_seconds = gauge("lag_seconds", "Age of the latest event time taken in")
        self._step = histogram("step_seconds", "Forecasting one wave", SHORT)
        self._learn = histogram("learn_seconds", "One learning step", SHORT)
        self._commit = histogram("commit_seconds", "Committing one task", LONG)

    def timed(self, work: str) -> AbstractContextManager[object]:
        """Time a piece of a task's work: "step" or "learn"."""
        return {"step": self._step, "learn": self._learn}[work].time()

    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        task = _labels(report.partition)
        self._records.labels(*task).inc(report.records)
        self._forecasts.labels(*task).inc(report.forecasts)
        for reason, count in report.dead_letters.items():
            self._dead_letters.labels(*task, reason).inc(count)
        for reason, count in report.drops.items():
            self._drops.labels(*task, reason).inc(count)
        self._series.labels(*task).set(report.series)
        self._learning_steps.labels(*task).inc(report.learning_steps)
        self._skipped.labels(*task).inc(report.skipped_steps)
        self._taken_back.labels(*task).inc(report.taken_back_steps)
        self._alarms.labels(*task).inc(report.drift_alarms)
        self._failures.labels(*task).inc(report.expert_failures)
        if report.loss is not None:
            self._loss.labels(*task).set(report.loss)
        if report.event_time != -1:
            self._event_times[report.partition] = report.event_time
            self._lag_seconds.labels(*task).set_function(
                lambda: time.time() - self._event_times[report.partition] / 1e3
            )
        self._score(report)

    def _score(self, report: StepReport) -> None:
        if not report.matured:
            return
        recent = self._recent.setdefault(report.partition, [(0.0, 0.0, 0.0, 0.0)] * len(self._horizons))
        new = zip(report.matured, report.error, report.persistence_error, report.covered, strict=True)
        counters = (self._matured, self._error, self._naive, self._covered)
        for k, (horizon, sums) in enumerate(zip(self._horizons, new, strict=True)):
            labels = (*_labels(report.partition), horizon)
            for each, amount in zip(counters, sums, strict=True):
                each.labels(*labels).inc(amount)
            fade = 0.5 ** (sums[0] / HALF_LIFE)
            matured, error, naive, covered = (fade * old + more for old, more in zip(recent[k], sums, strict=True))
            recent[k] = (matured, error, naive, covered)
            if naive > 0:
                self._skill.labels(*labels).set(1 - error / naive)
            if matured > 0:
                self._coverage.labels(*labels).set(covered / matured)

    def committed(self, partition: TopicPartition, seconds: float) -> None:  # noqa: ARG002 -- the histogram has no labels
        """See `Observer.committed`."""
        self._commit.observe(seconds)

    def lag(self, partition: TopicPartition, records: int) -> None:
        """See `Observer.lag`."""
        self._lag.labels(*_labels(partition)).set(records)

    def restarted(self, partition: TopicPartition) -> None:
        """See `Observer.restarted`."""
        self._restarts.labels(*_labels(partition)).inc()

    def released(self, partition: TopicPartition) -> None:
        """See `Observer.released`; what stands for the present of a task goes, what counts stays."""
        task = _labels(partition)
        for gauge in (self._series, self._loss, self._lag, self._lag_seconds):
            gauge.remove(*task)
        for gauge in (self._skill, self._coverage):
            for horizon in self._horizons:
                gauge.remove(*task, horizon)
        self._recent.pop(partition, None)

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """All metrics as text, in the format that an Accept header asks for: its content type, and the text."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)


def _labels(partition: TopicPartition) -> tuple[str, str]:
    return partition.topic, str(partition.partition)
