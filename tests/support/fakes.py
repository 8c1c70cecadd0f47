"""A small forecaster with the manners of the real one: what it says depends on every part of its state."""
# ruff: noqa: D102 -- the methods are those of the real one

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from streamrnn.core.forecaster import Counts, Forecasts, Scores
from streamrnn.core.learning.step import Learned
from streamrnn.formats.json import JsonDecoder
from streamrnn.records import HEAD, Record, TopicPartition
from streamrnn.runtime.task import Task
from streamrnn.wire import OutputEncoder, OutputTopics

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
        self._since = 0
        self._seen = 0.0
        self._weight = 1.0
        self._counts = Counts(0, 0)

    @property
    def model(self) -> str:
        return f"{self._weight:.6f}"

    learner = HEAD

    def add(self, name: str) -> int:
        self.names.append(name)
        self._count.append(0)
        self._total.append(0.0)
        self._time.append(-1)
        return len(self.names) - 1

    def last_time(self, row: int) -> int:
        return self._time[row]

    def due(self, pending: int) -> bool:
        return self._since + pending >= min(self._every * len(self.names), self._most)

    def step(self, rows: Any, values: Any, times: Any) -> tuple[Forecasts, Scores]:
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
        return forecasts, Scores(ones * len(rows), ones, 2 * ones, ones * len(rows), *quality)

    def take_counts(self) -> Counts:
        taken, self._counts = self._counts, Counts(0, 0)
        return taken

    def learn(self) -> Learned | None:
        self._weight = 0.9 * self._weight + 0.01 * self._seen + 0.001 * len(self.names)
        self._since, self._seen = 0, 0.0
        return Learned(self._weight, skipped=False, gradient_norm=2.0, weight_norm=self._weight, learner=self.learner)

    def save_rows(self, first: int, count: int) -> dict[str, Any]:
        chosen = slice(first, first + count)
        return {
            "count": np.array(self._count[chosen]),
            "total": np.array(self._total[chosen]),
            "time": np.array(self._time[chosen]),
            "pad": np.zeros((len(self._count[chosen]), self._size)),
        }

    def save_shared(self) -> dict[str, Any]:
        return {
            "since": np.array([self._since]),
            "weights": np.array([self._seen, self._weight, *[0.0] * self._size]),
        }

    def carries(self, layout: Mapping[str, Any]) -> str:
        changed = {key for key in {*layout, *self.layout} if layout.get(key) != self.layout.get(key)}
        return "the tempo" if changed == {"tempo"} else ""

    def load(
        self,
        shared: dict[str, Any],
        pages: Sequence[dict[str, Any]],
        names: Sequence[str],
        layout: Mapping[str, Any] | None = None,
    ) -> None:
        assert not self.names
        assert layout is None or layout == self.layout or self.carries(layout)
        self.names = list(names)
        for page in pages:
            self._count += page["count"].tolist()
            self._total += page["total"].tolist()
            self._time += page["time"].tolist()
        self._since = int(shared["since"][0])
        self._seen, self._weight = shared["weights"][:2].tolist()


def decoder(**changes: Any) -> JsonDecoder:
    """A decoder for the field names of these tests."""
    return JsonDecoder(
        **{"key": "series", "time": "time", "fields": "*", "covariates": (), "max_record": 65536, **changes}
    )


def make_task(
    forecaster: Any = None,
    *,
    decode: Callable[[Record], Any] | None = None,
    topics: OutputTopics = TOPICS,
    max_series: int = 1000,
    **changes: Any,
) -> Task:
    """Return a task, by default with a fake forecaster."""
    return Task(
        **{
            "partition": INPUT,
            "decode": decode or decoder(),
            "encode": OutputEncoder(topics=topics, horizons=HORIZONS, quantiles=QUANTILES),
            "forecaster": forecaster or FakeForecaster(),
            "max_series": max_series,
            **changes,
        }
    )


def record(
    offset: int, value: bytes | None, *, key: bytes | None = b"k", timestamp: int = 7, partition: int = 0
) -> Record:
    """An input record."""
    return Record("sensors", partition, offset, timestamp, key, value)
