"""The forecaster of a task: a bank of series, a network that they share, and the way from one to the other."""

import hashlib
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.core.compiled import Booleans, Floats, Integers
from streamrnn.core.learner import Learned, Learner, device_of
from streamrnn.core.ledger import observe
from streamrnn.core.memory import Memory, joined, remember, window
from streamrnn.core.network import Shape
from streamrnn.core.publish import publish, read_back
from streamrnn.core.series import INPUTS, SEASONALS, Past, Series, allocate, allocate_past, plan
from streamrnn.core.stepper import CompiledStepper, Stepper, TorchStepper

torch.set_num_threads(1)  # more would change the order of sums, and serve no matrix of this size

SCORE_DIGITS = 4
"""Decimals of anomaly score and skill."""
FIRST_CAPACITY = 8
"""Rows; doubled whenever they are full."""
VERSION = 1
"""Of the arithmetic and of the layout of the state."""


class Forecasts(NamedTuple):
    """Of one wave: B rows, K horizons, Q quantiles."""

    target_times: Integers  # (B, K) ms
    quantiles: Floats  # (B, K, Q) in the field's unit
    anomaly: Floats  # (B,) of the observation itself; 1 is the edge of the 99% interval forecast for it
    skill: Floats  # (B, K) 1 - error / error of persistence, recent
    warming: Booleans  # (B,)
    model: str  # version of the network


class Scores(NamedTuple):
    """What the labels that matured in one wave said, by horizon (K,)."""

    matured: Floats  # how many
    error: Floats  # sum of |error| of the median, units of each series' scale
    persistence_error: Floats  # the same of persistence
    covered: Floats  # how many lay inside the outermost interval


Arrays = TypeVar("Arrays", Series, Past)


def longer(held: Arrays, more: Arrays) -> Arrays:
    """The rows of `held`, then those of `more`."""
    pairs: Any = zip(held, more, strict=True)
    return type(held)(*(np.concatenate(pair) for pair in pairs))


class Forecaster:
    """Forecasts of any number of series from one network that learns as they arrive.

    A pure function of what it was given: the same calls give the same bits, whatever the waves are cut into.
    """

    def __init__(
        self,
        *,
        horizons: Sequence[int],
        quantiles: Sequence[float],
        cell: str = "gru",
        hidden_size: int = 32,
        layers: int = 1,
        seed: int = 0,
        enabled: bool = True,
        window: int = 48,
        every: int = 8,
        most: int = 2048,
        batch: int = 16,
        replay: int = 16,
        learning_rate: float = 3e-3,
        clip_norm: float = 1.0,
        warm_up: int = 30,
        averaging: float = 0.98,
        device: str = "auto",
    ) -> None:
        """Arguments as in the configuration, sections `forecast`, `model` and `learning`."""
        levels = np.array(quantiles, np.float64)
        outer = max(NormalDist().inv_cdf(quantiles[-1]), 0.5)
        normal = np.array([NormalDist().inv_cdf(q) * math.sqrt(math.pi / 2) for q in quantiles])
        self._plan = plan(tuple(horizons), tuple(quantiles), normal, NormalDist().inv_cdf(0.995) / outer)
        self._published = np.searchsorted(self._plan.horizons, np.array(horizons))
        k = len(self._plan.horizons)
        shape = Shape(cell, hidden_size, layers, k, len(levels), self._plan.middle)
        where = device_of(device)
        self._learner = Learner(
            shape, levels, seed=seed, learning_rate=learning_rate, clip_norm=clip_norm, warm_up=warm_up,
            averaging=averaging, device=where,
        )  # fmt: skip
        self._stepper: Stepper = TorchStepper(shape, where) if where.type == "cuda" else CompiledStepper(shape)
        self._memory = Memory(length=window, horizons=k, states=shape.states, seed=seed)
        self._window, self._states, self._seed, self._enabled = window, shape.states, seed, enabled
        self._every, self._most, self._batch, self._replay = every, most, batch, replay
        self._series, self._past = self._room(FIRST_CAPACITY)
        self.names: list[str] = []
        """Of the series by row, in first-seen order."""
        self._since = np.zeros(0, np.int64)  # rows stepped since the last learning point
        self._learning_points = 0
        self.layout: dict[str, object] = {
            "version": VERSION, "cell": cell, "hidden_size": hidden_size, "layers": layers, "window": window,
            "horizons": list(horizons), "quantiles": list(quantiles), "inputs": INPUTS,
        }  # fmt: skip
        """What saved state must agree in."""
        self._adopt()

    @property
    def row_bytes(self) -> int:
        """Bytes of state per series."""
        return sum(array[:1].nbytes for array in self._arrays().values())

    def add(self, name: str) -> int:
        """Row of a new series."""
        if len(self.names) == len(self._series.seen):
            series, past = self._room(len(self.names))
            self._series, self._past = longer(self._series, series), longer(self._past, past)
        self.names.append(name)
        return len(self.names) - 1

    def last_time(self, row: int) -> int:
        """Event time (ms) of the latest observation of a series; -1 before the first."""
        return int(self._series.time[row])

    def due(self, pending: int) -> bool:
        """Whether a learning point is reached once `pending` more observations have been stepped.

        It is reached after `every` observations per series held, at the latest after `most` of the task.
        """
        return len(self._since) + pending >= min(self._every * len(self.names), self._most)

    def step(self, rows: Integers, values: Floats, times: Integers) -> tuple[Forecasts, Scores]:
        """One wave: `rows` (B,) distinct, `values` (B,) finite, `times` (B,) ms, later than each row's last."""
        count, k = len(rows), len(self._plan.horizons)
        inputs = np.empty((count, INPUTS), np.float32)
        seasonals = np.empty((count, k, SEASONALS), np.float32)
        anomaly, scores = np.empty(count), np.zeros((4, k))
        observe(self._series, self._plan, rows, values, times, inputs, seasonals, anomaly, scores)
        remember(self._series, self._past, rows, inputs, seasonals, self._series.hidden[rows])
        network = self._stepper.step(self._series.hidden, rows, inputs, seasonals)
        publish(self._series, self._plan, rows, values, network)
        self._memory.capture(self._series, self._past, rows)
        self._since = np.concatenate([self._since, rows])
        return self.forecast(rows)._replace(anomaly=anomaly.round(SCORE_DIGITS)), Scores(*scores[:, self._published])

    def forecast(self, rows: Integers) -> Forecasts:
        """The latest forecast of each row (B,); changes nothing. No anomaly scores: they belong to observations."""
        count, k = len(rows), len(self._plan.horizons)
        times, quantiles = np.empty((count, k), np.int64), np.empty((count, k, len(self._plan.levels)))
        skill, warming = np.empty((count, k)), np.empty(count, np.bool_)
        read_back(self._series, self._plan, rows, times, quantiles, skill, warming)
        chosen, skill = self._published, skill.round(SCORE_DIGITS)
        return Forecasts(
            times[:, chosen], quantiles[:, chosen], np.zeros(count), skill[:, chosen], warming, self._model
        )

    def learn(self) -> Learned | None:
        """Learn, at a learning point only; None where there is nothing to learn from yet, or learning is off."""
        generator = np.random.default_rng([self._seed, self._learning_points])
        rows = self._freshest(generator)
        self._learning_points += 1
        self._since = np.zeros(0, np.int64)
        if not self._enabled or not len(rows):
            return None
        fresh = window(self._series, self._past, rows, self._window, self._window)
        learned = self._learner.learn(joined(fresh, self._memory.draw(self._replay, generator)))
        self._adopt()
        return learned

    def save_rows(self, first: int, count: int) -> dict[str, NDArray[np.generic]]:
        """State of rows first … first + count - 1, by name."""
        end = min(first + count, len(self.names))
        return {name: array[first:end] for name, array in self._arrays().items()}

    def save_shared(self) -> dict[str, NDArray[np.generic]]:
        """State that the series share, by name."""
        points = np.array([self._learning_points], np.int64)
        own: dict[str, NDArray[np.generic]] = {"since": self._since, "learning_points": points}
        return {**self._learner.save(), **self._memory.save(), **own}

    def load(
        self,
        shared: dict[str, NDArray[np.generic]],
        pages: Sequence[dict[str, NDArray[np.generic]]],
        names: Sequence[str],
    ) -> None:
        """Take over saved state of the same layout: `pages` in order of rows, `names` of all rows."""
        self._learner.load(shared)
        self._memory.load(shared)
        self._since = np.array(shared["since"], np.int64)
        self._learning_points = int(shared["learning_points"].item())
        self._series, self._past = self._room(FIRST_CAPACITY)
        joined_rows = {
            name: np.concatenate([*(page[name] for page in pages), spare]) for name, spare in self._arrays().items()
        }
        self._series = Series(**{name: joined_rows[name] for name in Series._fields})
        self._past = Past(**{name: joined_rows[f"past_{name}"] for name in Past._fields})
        self.names = list(names)
        self._adopt()

    def _room(self, capacity: int) -> tuple[Series, Past]:
        rows = self._window + int(self._plan.horizons[-1])
        series = allocate(capacity, self._plan, self._window, self._states)
        return series, allocate_past(capacity, rows, len(self._plan.horizons), self._states)

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that is kept per series, by name."""
        past = {f"past_{name}": array for name, array in self._past._asdict().items()}
        return {**self._series._asdict(), **past}

    def _freshest(self, generator: np.random.Generator) -> Integers:
        """Some of the series that were stepped since the last learning point and have a whole window."""
        rows = np.unique(self._since)
        rows = rows[self._series.seen[rows] >= self._window]
        if len(rows) > self._batch:
            rows = np.sort(generator.choice(rows, self._batch, replace=False))
        return np.asarray(rows, np.int64)

    def _adopt(self) -> None:
        """Forecast with the learner's averaged weights from now on."""
        self._stepper.load(self._learner.average)
        self._model = hashlib.blake2b(self._learner.average.cpu().numpy().tobytes(), digest_size=6).hexdigest()
