"""The forecaster of a task: a bank of series, networks that they share, and the way from one to the other."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.core.adaptation import HeadLearner
from streamrnn.core.bank import FIRST_CAPACITY, Bank, Described, longer
from streamrnn.core.compiled import Booleans, Floats, Integers, Singles
from streamrnn.core.head import Head, flat_of, work_of
from streamrnn.core.learner import Learned, Learner, device_of
from streamrnn.core.ledger import Ledger, allocate_ledger, settle
from streamrnn.core.memory import Rows, Tapes
from streamrnn.core.network import KNOTS, Shape
from streamrnn.core.publish import publish, read_back
from streamrnn.core.series import EXPERTS, INPUTS, Series, allocate
from streamrnn.core.stepper import Body, answer, body_of, head_from, reading

torch.set_num_threads(1)  # more would change the order of sums, and serve no matrix of this size

SCORE_DIGITS = 4
"""Decimals of anomaly score and skill."""
VERSION = 2
"""Of the arithmetic and of the layout of the state."""
MIXED = ("naive_short", "naive_long", "smooth_fast", "smooth_slow", "holt_winters", "regression", "ridge")
"""Experts that are members of the mixture, beside persistence and the networks."""
PRIOR_POINT, PRIOR_NETWORK, YOUNG_NETWORK = 1.0, 10.0, 300.0
"""Shares in the mixture's prior, not yet divided by their sum: of a point, of a network, and of one in youth."""


class Forecasts(NamedTuple):
    """Of one wave: B rows, K horizons, Q quantiles."""

    target_times: Integers  # (B, K) ms
    quantiles: Floats  # (B, K, Q) in the field's unit
    anomaly: Floats  # (B,) of the observation itself; 1 is the edge of the 99% interval forecast for it
    skill: Floats  # (B, K) 1 - error / error of persistence, recent
    warming: Booleans  # (B,)
    model: str  # version of the networks


class Scores(NamedTuple):
    """What the labels that matured in one wave said, by horizon (K,)."""

    matured: Floats  # how many
    error: Floats  # sum of |error| of the median, units of each series' scale
    persistence_error: Floats  # the same of persistence
    covered: Floats  # how many lay inside the outermost interval


class Forecaster:
    """Forecasts of any number of series from networks that learn as they arrive.

    With a base there are three: the base as it came, the base with a head that adapts to these series, and a copy all
    of which learns by truncated backpropagation through time. Without one, only the last, from random weights.

    A pure function of what it was given: the same calls give the same bits, whatever the waves are cut into.
    """

    def __init__(
        self,
        *,
        horizons: Sequence[int],
        quantiles: Sequence[float],
        cell: str = "gru",
        hidden_size: int = 64,
        layers: int = 1,
        seed: int = 0,
        base: Singles | None = None,
        enabled: bool = True,
        head_every: int = 4,
        head_most: int = 256,
        head_rate: float = 1e-3,
        window: int = 48,
        every: int = 16,
        most: int = 4096,
        batch: int = 16,
        replay: int = 16,
        learning_rate: float = 1e-3,
        clip_norm: float = 1.0,
        warm_up: int = 30,
        averaging: float = 0.98,
        device: str = "auto",
    ) -> None:
        """Arguments as in the configuration, sections `forecast`, `model` and `learning`; `base`: flat weights."""
        self._bank = Bank(horizons=horizons, quantiles=quantiles)
        plan = self._bank.plan
        self._published = np.searchsorted(plan.horizons, np.array(horizons))
        self._shape = shape = Shape(cell, hidden_size, layers)
        self._reading = reading(tuple(quantiles))
        where = device_of(device)
        self._learner = Learner(
            shape, start=base, seed=seed, learning_rate=learning_rate, clip_norm=clip_norm, warm_up=warm_up,
            averaging=averaging, device=where,
        )  # fmt: skip
        self._bodies: list[Body] = [body_of(shape, where) for _ in range(1 if base is None else 2)]
        self._base: torch.Tensor | None = None
        self._head: HeadLearner | None = None
        if base is not None:
            self._base = torch.from_numpy(base.copy())
            self._base_head = head_from(self._base, shape)
            self._bodies[0].load(self._base)
            self._head = HeadLearner(
                start=base[-shape.head_size :], hidden=hidden_size, experts=len(EXPERTS), width=shape.width,
                levels=np.array(KNOTS), learning_rate=head_rate, clip_norm=clip_norm,
            )  # fmt: skip
        self._rows = Rows(horizons=plan.horizons, hidden=hidden_size)
        self._tapes = Tapes(length=window, horizons=plan.horizons, states=shape.states)
        self._enabled, self._seed = enabled, seed
        self._head_every, self._head_most, self._every, self._most = head_every, head_most, every, most
        self._batch, self._replay = batch, replay
        self._chosen = np.array([-1, *(EXPERTS.index(name) for name in MIXED)], np.int64)
        networks = 1 if base is None else 3
        grown = [PRIOR_POINT] * len(self._chosen) + [PRIOR_NETWORK if base is not None else PRIOR_POINT] * networks
        young = [PRIOR_POINT] * len(self._chosen) + [YOUNG_NETWORK if base is not None else PRIOR_POINT] * networks
        self._grown, self._young = np.log(grown), np.log(young)
        self._networks = networks
        self._ledger, self._kept, self._hidden = self._room(FIRST_CAPACITY)
        self._since = np.zeros(0, np.int64)  # rows stepped since the last learning point of the whole network
        self._since_head = 0
        self._points = np.zeros(2, np.int64)  # learning points so far: of the head, of the whole network
        self.layout: dict[str, object] = {
            "version": VERSION, "cell": cell, "hidden_size": hidden_size, "layers": layers, "window": window,
            "horizons": list(horizons), "quantiles": list(quantiles), "inputs": INPUTS,
            "base": None if base is None else hashlib.blake2b(base.tobytes(), digest_size=8).hexdigest(),
        }  # fmt: skip
        """What saved state must agree in."""
        self._adopt_head()
        self._adopt()
        self._work = work_of(self._live_head)

    @property
    def names(self) -> list[str]:
        """Of the series by row, in first-seen order."""
        return self._bank.names

    @property
    def row_bytes(self) -> int:
        """Bytes of state per series."""
        return sum(array[:1].nbytes for array in self._arrays().values())

    def add(self, name: str) -> int:
        """Row of a new series."""
        row = self._bank.add(name)
        if row == len(self._kept):
            ledger, kept, hidden = self._room(row)
            self._ledger, self._kept = longer(self._ledger, ledger), np.concatenate([self._kept, kept])
            self._hidden = [np.concatenate(pair) for pair in zip(self._hidden, hidden, strict=True)]
        return row

    def last_time(self, row: int) -> int:
        """Event time (ms) of the latest observation of a series; -1 before the first."""
        return int(self._bank.series.time[row])

    def due(self, pending: int) -> bool:
        """Whether a learning point is reached once `pending` more observations have been stepped.

        That of the head is reached after `head_every` observations per series held, at the latest after `head_most` of
        the task; that of the whole network after `every`, at the latest after `most`.
        """
        return self._head_due(pending) or self._whole_due(pending)

    def step(self, rows: Integers, values: Floats, times: Integers) -> tuple[Forecasts, Scores]:
        """One wave: `rows` (B,) distinct, `values` (B,) finite, `times` (B,) ms, later than each row's last."""
        bank, plan, count = self._bank, self._bank.plan, len(rows)
        anomaly, scores = np.empty(count), np.zeros((4, len(plan.horizons)))
        truths, seen = np.empty((count, len(plan.horizons)), np.float32), bank.series.seen[rows]
        settle(bank.series, self._ledger, plan, self._chosen, rows, values, truths, anomaly, scores)
        described = bank.observe(rows, values, times)
        before = self._hidden[-1][rows] if self._enabled else self._hidden[-1][:0]
        bodies = zip(self._bodies, self._hidden, strict=True)
        tops = [body.step(hidden, rows, described.inputs) for body, hidden in bodies]
        said = self._said(self._tops(tops), described)
        publish(bank.series, self._ledger, plan, self._chosen, self._young, self._grown, rows, said)
        if self._enabled:
            if self._head is not None:
                self._rows.deliver(self._kept, rows, seen, truths)
                self._rows.take(self._kept, len(self.names), rows, seen, tops[0], described)
            self._tapes.record(rows, seen, truths, described, before)
        self._since, self._since_head = np.concatenate([self._since, rows]), self._since_head + count
        return self.forecast(rows)._replace(anomaly=anomaly.round(SCORE_DIGITS)), Scores(*scores[:, self._published])

    def forecast(self, rows: Integers) -> Forecasts:
        """The latest forecast of each row (B,); changes nothing. No anomaly scores: they belong to observations."""
        plan, count = self._bank.plan, len(rows)
        k = len(plan.horizons)
        times, quantiles = np.empty((count, k), np.int64), np.empty((count, k, len(plan.levels)))
        skill, warming = np.empty((count, k)), np.empty(count, np.bool_)
        read_back(self._bank.series, self._ledger, plan, rows, times, quantiles, skill, warming)
        chosen, silence = self._published, np.zeros(count)
        skill = skill[:, chosen].round(SCORE_DIGITS)
        return Forecasts(times[:, chosen], quantiles[:, chosen], silence, skill, warming, self._model)

    def learn(self) -> Learned | None:
        """Learn, at a learning point only; None where there is nothing to learn from yet, or learning is off."""
        learned = None
        if self._head_due(0):
            learned = self._learn_head()
        if self._whole_due(0):
            learned = self._learn_whole() or learned
        return learned

    def _head_due(self, pending: int) -> bool:
        return self._since_head + pending >= min(self._head_every * len(self.names), self._head_most)

    def _whole_due(self, pending: int) -> bool:
        return len(self._since) + pending >= min(self._every * len(self.names), self._most)

    def _learn_head(self) -> Learned | None:
        generator = np.random.default_rng([self._seed, 1, self._points[0]])
        self._since_head = 0
        self._points[0] += 1
        examples = self._rows.draw(generator) if self._enabled and self._head is not None else None
        if examples is None or self._head is None:
            return None
        learned = self._head.learn(examples)
        self._adopt_head()
        return learned

    def _learn_whole(self) -> Learned | None:
        generator = np.random.default_rng([self._seed, 0, self._points[1]])
        rows, self._since = np.unique(self._since), np.zeros(0, np.int64)
        self._points[1] += 1
        if not self._enabled:
            return None
        if len(rows) > self._batch:
            rows = np.sort(generator.choice(rows, self._batch, replace=False))
        windows = self._tapes.draw(self._batch, self._replay, generator)
        self._tapes.begin(rows, self._bank.series.seen[rows], int(self._points[1]))
        if windows is None:
            return None
        learned = self._learner.learn(windows)
        self._adopt()
        return learned

    def _said(self, tops: list[Singles], described: Described) -> Singles:
        """The networks' quantiles (N, B, K, Q) in units."""
        shape = described.points.shape[:2]
        knots = np.empty((*shape, len(KNOTS)), np.float32)
        said = np.empty((self._networks, *shape, len(self._reading.lower)), np.float32)
        for n, (head, top) in enumerate(zip(self._heads, tops, strict=True)):
            answer(head, self._work, self._reading, top, described, knots, said[n])
        return said

    def _tops(self, tops: list[Singles]) -> list[Singles]:
        """What each head reads: the base's and the adapted one read the same layers."""
        return tops if self._head is None else [tops[0], *tops]

    @property
    def _heads(self) -> list[Head]:
        return [self._live_head] if self._head is None else [self._base_head, self._head.head, self._live_head]

    def save_rows(self, first: int, count: int) -> dict[str, NDArray[np.generic]]:
        """State of rows first … first + count - 1, by name."""
        end = min(first + count, len(self.names))
        return {name: array[first:end] for name, array in self._arrays().items()}

    def save_shared(self) -> dict[str, NDArray[np.generic]]:
        """State that the series share, by name."""
        own: dict[str, NDArray[np.generic]] = {
            "since": self._since,
            "since_head": np.array([self._since_head], np.int64),
            "learning_points": self._points,
        }
        head = {} if self._head is None else {f"head_{name}": array for name, array in self._head.save().items()}
        return {**self._learner.save(), **head, **self._rows.save(), **self._tapes.save(), **own}

    def load(
        self,
        shared: dict[str, NDArray[np.generic]],
        pages: Sequence[dict[str, NDArray[np.generic]]],
        names: Sequence[str],
    ) -> None:
        """Take over saved state of the same layout: `pages` in order of rows, `names` of all rows."""
        self._learner.load(shared)
        if self._head is not None:
            self._head.load({name[5:]: array for name, array in shared.items() if name.startswith("head_")})
        self._rows.load(shared)
        self._tapes.load(shared)
        self._since = np.array(shared["since"], np.int64)
        self._since_head = int(shared["since_head"].item())
        self._points = np.array(shared["learning_points"], np.int64)
        self._bank.series = allocate(FIRST_CAPACITY, self._bank.plan)
        self._ledger, self._kept, self._hidden = self._room(FIRST_CAPACITY)
        joined = {
            name: np.concatenate([*(page[name] for page in pages), spare]) for name, spare in self._arrays().items()
        }
        self._bank.series = Series(**{name: joined[f"series_{name}"] for name in Series._fields})
        self._ledger = Ledger(**{name: joined[f"ledger_{name}"] for name in Ledger._fields})
        self._kept = joined["kept"]
        self._hidden = [joined[f"hidden_{i}"] for i in range(len(self._hidden))]
        self._bank.names = list(names)
        self._adopt_head()
        self._adopt()

    def _room(self, capacity: int) -> tuple[Ledger, Integers, list[Singles]]:
        plan = self._bank.plan
        hidden = [np.zeros((capacity, *self._shape.states), np.float32) for _ in self._bodies]
        ledger = allocate_ledger(capacity, plan, len(self._chosen), self._networks)
        return ledger, Rows.room(capacity, plan.horizons), hidden

    def _arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that is kept per series, by name."""
        return {
            **{f"series_{name}": array for name, array in self._bank.series._asdict().items()},
            **{f"ledger_{name}": array for name, array in self._ledger._asdict().items()},
            **{f"hidden_{i}": array for i, array in enumerate(self._hidden)},
            "kept": self._kept,
        }

    def _adopt_head(self) -> None:
        """Name the version that has the head as it is now."""
        flat = np.zeros(0, np.float32) if self._head is None else flat_of(self._head.head)
        self._head_version = hashlib.blake2b(flat.tobytes(), digest_size=6).digest()
        self._name()

    def _adopt(self) -> None:
        """Forecast with the learner's averaged weights from now on."""
        average = self._learner.average
        self._bodies[-1].load(average)
        self._live_head = head_from(average, self._shape)
        self._version = hashlib.blake2b(average.cpu().numpy().tobytes(), digest_size=6).digest()
        self._name()

    def _name(self) -> None:
        version = self._head_version + getattr(self, "_version", b"")
        self._model = hashlib.blake2b(version, digest_size=6).hexdigest()
