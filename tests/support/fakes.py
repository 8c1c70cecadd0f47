"""A small forecaster in place of the real one: its forecasts depend on every part of its state."""
# ruff: noqa: D102 -- the methods are those of the real one

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamrnn.columns.lifetimes import SeriesRules
from streamrnn.core.forecaster import Counts, Forecasts
from streamrnn.core.learning.step import LearningResult
from streamrnn.formats import FieldRule, Layout
from streamrnn.formats.json import Json
from streamrnn.mapping.decoder import MappingRules, RecordDecoder
from streamrnn.mapping.times import TimeRule
from streamrnn.records import HEAD, Observation, OutputTopics, Record, TopicPartition
from streamrnn.runtime.task import Task
from streamrnn.wire import OutputEncoder

HORIZONS = (1, 3)
QUANTILES = (0.1, 0.5, 0.9)
INPUT = TopicPartition("sensors", 0)
TOPICS = OutputTopics("sensors.forecasts", "sensors.dead-letters", "app.state")


class FakeForecaster:
    """Forecasts a mix of a series' mean, the shared weight and the count of observations; learns at learning points."""

    def __init__(self, *, every: int = 3, most: int = 16, size: int = 4, version: int = 1, **layout: int) -> None:
        self.names: list[str] = []
        self.layout: dict[str, Any] = {"version": version, "size": size, **layout}
        self.numerics = {"arithmetic": "exact"}
        self.row_bytes = 24 + 8 * size
        self.waves: list[list[int]] = []
        """Rows of each step, for tests to look at."""
        self._every, self._most, self._size = every, most, size
        self._count: list[int] = []
        self._total: list[float] = []
        self._time: list[int] = []
        self._since, self._live = 0, 1
        self._seen = 0.0
        self._weight = 1.0
        self._counts = Counts(0, 0)

    @property
    def model(self) -> str:
        return f"{self._weight:.6f}"

    learner = HEAD

    def add(self, names: Sequence[str]) -> Any:
        self.names += names
        self._count += [0] * len(names)
        self._total += [0.0] * len(names)
        self._time += [-1] * len(names)
        return np.arange(len(self.names) - len(names), len(self.names))

    def keep(self, rows: Any) -> None:
        kept = rows.tolist()
        for name in ("names", "_count", "_total", "_time"):
            setattr(self, name, [getattr(self, name)[row] for row in kept])

    def set_back(self, row: int, time: int) -> None:
        assert time < self._time[row]
        self._time[row] = time

    def last_time(self, row: int) -> int:
        return self._time[row]

    def latest(self, rows: Any) -> tuple[Any, Any]:
        return np.array(self._time, np.int64)[rows], np.array(self._total)[rows]

    def bounds(self, rows: Any) -> tuple[Any, Any]:
        return np.full(len(rows), -np.inf), np.full(len(rows), np.inf)

    def forecast(self, rows: Any) -> Forecasts:
        means = [self._total[row] / self._count[row] for row in rows.tolist()]
        quantiles = np.array([[[mean + h * (q - 0.5) for q in QUANTILES] for h in HORIZONS] for mean in means])
        targets = np.array([[self._time[row] + 1000 * h for h in HORIZONS] for row in rows.tolist()])
        warming, calm = np.array([self._count[row] < 3 for row in rows.tolist()]), np.zeros(len(rows), bool)
        skill = np.zeros((len(rows), len(HORIZONS)))
        return Forecasts(targets, quantiles, np.zeros(len(rows)), skill, warming, calm, f"{self._weight:.6f}")

    @property
    def until_due(self) -> int:
        return min(self._every * self._live, self._most) - self._since

    def step(self, rows: Any, values: Any, times: Any) -> tuple[Forecasts, Any]:
        assert len(set(rows.tolist())) == len(rows) > 0
        self.waves.append(rows.tolist())
        k, q = len(HORIZONS), len(QUANTILES)
        quantiles, targets = np.empty((len(rows), k, q)), np.empty((len(rows), k), np.int64)
        for b, (row, value, time) in enumerate(zip(rows.tolist(), values.tolist(), times.tolist(), strict=True)):
            assert time > self._time[row]
            self._count[row] += 1
            self._total[row] += value * self._weight
            self._time[row] = time
            self._since += 1
            self._seen += value % 1.0
            mean = self._total[row] / self._count[row]
            quantiles[b] = [[mean + h * (level - 0.5) for level in QUANTILES] for h in HORIZONS]
            targets[b] = [time + 1000 * h for h in HORIZONS]
        anomaly = np.array([self._count[row] / 100 for row in rows])
        warming = np.array([self._count[row] < 3 for row in rows])
        ones = np.ones(k)
        self._counts = Counts(self._counts.drift_alarms + 1, self._counts.expert_failures + len(rows))
        calm = np.zeros(len(rows), bool)
        skill = np.zeros((len(rows), k))
        forecasts = Forecasts(targets, quantiles, anomaly, skill, warming, calm, f"{self._weight:.6f}")
        quality = 0.5 * ones, 4 * ones, 3 * ones, ones
        return forecasts, np.stack([ones * len(rows), ones, 2 * ones, ones * len(rows), *quality])

    def take_counts(self) -> Counts:
        taken, self._counts = self._counts, Counts(0, 0)
        return taken

    def learn(self) -> LearningResult | None:
        self._weight = 0.9 * self._weight + 0.01 * self._seen + 0.001 * len(self.names)
        self._since, self._live, self._seen = 0, len(self.names), 0.0
        return LearningResult(
            self._weight, skipped=False, gradient_norm=2.0, weight_norm=self._weight, learner=self.learner
        )

    def save_rows(self, first: int, count: int) -> dict[str, Any]:
        chosen = slice(first, first + count)
        return {
            "count": np.array(self._count[chosen], np.int64),
            "total": np.array(self._total[chosen], np.float64),
            "time": np.array(self._time[chosen], np.int64),
            "pad": np.zeros((len(self._count[chosen]), self._size)),
        }

    def save_pickles(self, first: int, count: int) -> dict[str, Any]:
        del first, count
        return {}

    def copy_rows(self, rows: Any) -> dict[str, Any]:
        every = self.save_rows(0, len(self.names))
        return {name: array[rows] for name, array in every.items()}

    def save_shared(self) -> dict[str, Any]:
        return {
            "waiting": np.array([self._since, self._live]),
            "weights": np.array([self._seen, self._weight, *[0.0] * self._size]),
        }

    def describe_migration(self, layout: Mapping[str, Any]) -> str:
        changed = {key for key in {*layout, *self.layout} if layout.get(key) != self.layout.get(key)}
        return f"the {changed.pop()}" if changed in ({"tempo"}, {"feedback"}) else ""

    def load(
        self,
        shared: dict[str, Any],
        pages: Sequence[dict[str, Any]],
        names: Sequence[str],
        layout: Mapping[str, Any] | None = None,
    ) -> None:
        assert not self.names
        assert layout is None or layout == self.layout or self.describe_migration(layout)
        self.names = list(names)
        for page in pages:
            self._count += page["count"].tolist()
            self._total += page["total"].tolist()
            self._time += page["time"].tolist()
        self._since, self._live = shared["waiting"].tolist()
        self._seen, self._weight = shared["weights"][:2].tolist()


def decoder(
    *, key: str | None = "series", time: str | None = "time", fields: Any = "*", covariates: Any = (),
    max_record: int = 65536, **rules: Any,
) -> RecordDecoder:  # fmt: skip
    """Return a decoder of JSON for the field names of these tests."""
    only = None if fields == "*" else (*fields, *covariates)
    keys, times = (() if path is None else (path,) for path in (key, time))
    layout = Layout(key=keys, time=times, fields=FieldRule(only=only))
    rules = {"times": TimeRule(unit="ms"), **rules}
    return RecordDecoder(Json(), MappingRules(layout=layout, max_record=max_record, **rules))


def observe(decoder: RecordDecoder, given: Record) -> Observation:
    """Return the only observation of a record, or raise its error."""
    decoded = decoder.decode_one(given)
    if decoded.error is not None:
        raise decoded.error
    (observation,) = decoded.observations
    return observation


def make_task(
    forecaster: Any = None,
    *,
    decode: Any = None,
    partition: TopicPartition = INPUT,
    topics: OutputTopics = TOPICS,
    max_series: int = 1000,
    rules: SeriesRules | None = None,
    **changes: Any,
) -> Task:
    """Return a task, by default with a fake forecaster."""
    task = Task(
        **{
            "decoder": decode or decoder(),
            "encode": OutputEncoder(partition=partition, topics=topics, horizons=HORIZONS, quantiles=QUANTILES),
            "forecaster": forecaster or FakeForecaster(),
            "max_series": max_series,
            **changes,
        }
    )
    if rules is not None:
        task.configure_series(**rules._asdict())
    return task


def record(
    offset: int, value: bytes | None, *, key: bytes | None = b"k", timestamp: int = 7, partition: int = 0
) -> Record:
    """An input record."""
    return Record("sensors", partition, offset, timestamp, key, value)
