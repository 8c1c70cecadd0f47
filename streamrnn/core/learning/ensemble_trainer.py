"""The networks of a task, at three speeds of learning, and what they learn from.

With a base there are three: the base as it came, the base with a head that adapts to these series often, and a copy all
of which learns by truncated backpropagation through time. Without one, only the last, from random weights.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.ensemble.forecast_scores import COUNT, NAIVE, NETWORK
from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.learning.effective_series import EffectiveSeries
from streamrnn.core.learning.head_learner import HeadLearner
from streamrnn.core.learning.lazy_learner import LazyLearner
from streamrnn.core.learning.replay_buffer import RowBuffer, WindowBuffer
from streamrnn.core.learning.rollback import Rollback
from streamrnn.core.learning.step import Learned
from streamrnn.core.network.device import device_of
from streamrnn.core.network.encoder_cpu import WaveEncoder, body_of
from streamrnn.core.network.head import Head, flat_of, work_of
from streamrnn.core.network.kernels import answer, head_from, reading
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.series.wave import Described

HEAD, WHOLE = 0, 1
"""The learners, in the order of their learning points."""
NEVER = -1
"""Mark of a series that has not been seen."""


class EnsembleTrainer:
    """One to three networks, and one hidden state of each recurrent part per series."""

    def __init__(
        self, *, horizons: Integers, quantiles: Sequence[float], shape: Shape, seed: int, base: Singles | None,
        enabled: bool, head: bool, head_every: int, head_most: int, head_rate: float, whole: bool, window: int,
        every: int, most: int, batch: int, replay: int, learning_rate: float, clip_norm: float, warm_up: int,
        averaging: float, device: str,
    ) -> None:  # fmt: skip
        """Arguments as in the configuration; `horizons` (K,) are those of the plan."""
        self._horizons, self._seed, self._reading = horizons, seed, reading(tuple(quantiles))
        self._shape, where = shape, device_of(device)
        self._every, self._most = (head_every, every), (head_most, most)
        self._batch, self._replay = batch, replay
        self._bodies: list[WaveEncoder] = []
        self._base = None if base is None else head_from(base.copy(), self._shape)
        self._head: HeadLearner | None = None
        self._learner: LazyLearner | None = None
        if base is not None:
            self._bodies.append(body_of(self._shape, where))
            self._bodies[0].load(base)
            if enabled and head:
                self._head = HeadLearner(
                    start=base[-shape.head_size :], hidden=shape.encoder.top, experts=shape.experts,
                    width=shape.width, levels=KNOTS, learning_rate=head_rate, clip_norm=clip_norm,
                )  # fmt: skip
        if base is None or (enabled and whole):
            self._bodies.append(body_of(self._shape, where))
            self._learner = LazyLearner(
                self._shape, start=base, seed=seed, learning_rate=learning_rate, clip_norm=clip_norm, warm_up=warm_up,
                averaging=averaging, device=where,
            )  # fmt: skip
        self._learns = (self._head is not None, enabled and whole)
        self._rows = RowBuffer(horizons=horizons, shape=self._shape)
        self._tapes = WindowBuffer(length=window, horizons=horizons, shape=self._shape)
        self._hidden, self._kept = self._room(0)
        self._activity, self._marks = EffectiveSeries(), np.zeros((0, 2), np.int64)
        self._since = np.zeros(0, np.int64)  # rows stepped since the last learning point of the whole network
        self._points = np.zeros((2, 2), np.int64)  # rows since the last learning point, and such points so far
        self._digests = [b"", b""]
        self.version = ""
        """Of the weights, all of them."""
        self._adopt(HEAD)
        self._adopt(WHOLE)
        self._work = work_of(self._heads()[0][0])
        self._guards = [Rollback(self._flat(learner)) for learner in (HEAD, WHOLE)]

    @property
    def count(self) -> int:
        """EnsembleTrainer, N."""
        return len(self._heads())

    def grow(self, capacity: int) -> None:
        """Room for `capacity` more series."""
        hidden, kept = self._room(capacity)
        self._hidden = [np.concatenate(pair) for pair in zip(self._hidden, hidden, strict=True)]
        self._kept = np.concatenate([self._kept, kept])
        self._marks = np.concatenate([self._marks, np.full((capacity, 2), NEVER, np.int64)])

    def grow_to(self, rows: int) -> None:
        """Room for as many series: twice as much as there is, where it is full."""
        if rows > len(self._marks):
            self.grow(len(self._marks))

    def due(self, pending: int) -> bool:
        """Whether a learning point is reached once `pending` more observations have been stepped.

        That of the head is reached after `head_every` observations per live series, at the latest after `head_most` of
        the task; that of the whole network after `every`, at the latest after `most`.
        """
        return any(self._due(learner, pending) for learner in (HEAD, WHOLE))

    def step(self, rows: Integers, seen: Integers, truths: Singles, described: Described) -> Singles:
        """One wave: quantiles (N, B, K, Q) in units.

        `seen` (B,) observations came before; `truths` (B, K) are the labels that came with the wave, NaN: none.
        """
        before = self._hidden[-1][rows] if self._learns[WHOLE] else self._hidden[-1][:0]
        bodies = zip(self._bodies, self._hidden, strict=True)
        tops = [body.step(hidden, rows, described.inputs) for body, hidden in bodies]
        shape = described.points.shape[:2]
        knots = np.empty((*shape, len(KNOTS)), np.float32)
        said = np.empty((self.count, *shape, len(self._reading.lower)), np.float32)
        for n, (head, body) in enumerate(self._heads()):
            answer(head, self._work, self._reading, tops[body], described, knots, said[n])
        if self._learns[HEAD]:
            self._rows.take(self._kept, rows, seen, truths, tops[0], described, self._activity.live)
        if self._learns[WHOLE]:
            self._tapes.record(rows, seen, truths, described, before)
            self._since = np.concatenate([self._since, rows])
        self._points[:, 0] += len(rows)
        self._activity.hear(self._marks, rows)
        return said

    def hear(self, scores: Floats) -> None:
        """The table of scores (8 + N, K) of the labels that came with a wave."""
        sums: list[float] = scores.sum(1).tolist()
        reference = sums[NAIVE] if self._base is None else sums[NETWORK]
        for learner, own in ((HEAD, NETWORK + 1), (WHOLE, len(sums) - 1)):
            if self._learns[learner]:
                self._guards[learner].hear(sums[own], reference, sums[COUNT])

    def learn(self, seen: Integers) -> Learned | None:
        """Learn, at a learning point only, of series that have `seen` (S,) observations; None: nothing to learn yet.

        What was learned in the past is taken back first, where it has made the forecasts worse.
        """
        learned = None
        for learner, learn in ((HEAD, self._learn_head), (WHOLE, self._learn_whole)):
            if self._due(learner, 0):
                generator = np.random.default_rng([self._seed, learner, self._points[learner, 1]])
                self._points[learner] = 0, self._points[learner, 1] + 1
                learned = self._taken_back(learner) or learn(generator, seen) or learned
        self._activity.turn()
        return learned

    def save(self) -> dict[str, NDArray[np.generic]]:
        """State that the series share, by name."""
        saved: dict[str, NDArray[np.generic]] = {"points": self._points, "since": self._since}
        saved["activity"] = self._activity.save()
        if self._head is not None:
            saved |= {f"head_{name}": array for name, array in self._head.save().items()}
            saved |= self._rows.save()
        if self._learner is not None:
            saved |= {**self._learner.save(), **self._tapes.save()}
        for learner, guard in enumerate(self._guards):
            saved |= {f"guard_{learner}_{name}": array for name, array in guard.save().items()}
        return saved

    def load(self, saved: dict[str, NDArray[np.generic]], *, collect_anew: bool = False) -> None:
        """Take over what `save` gave; with `collect_anew` all but what there is to learn from."""
        self._points, self._since = np.array(saved["points"], np.int64), np.array(saved["since"], np.int64)
        self._activity.load(saved["activity"])
        if self._head is not None:
            self._head.load({name[5:]: array for name, array in saved.items() if name.startswith("head_")})
            if not collect_anew:
                self._rows.load(saved)
        if self._learner is not None:
            self._learner.load(saved)
            if not collect_anew:
                self._tapes.load(saved)
        for learner, guard in enumerate(self._guards):
            guard.load({name: saved[f"guard_{learner}_{name}"] for name in guard.save()})
        self._adopt(HEAD)
        self._adopt(WHOLE)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What is kept per series, by name."""
        return {
            "kept": self._kept,
            "marks": self._marks,
            **{f"hidden_{i}": hidden for i, hidden in enumerate(self._hidden)},
        }

    def take_over(self, arrays: dict[str, NDArray[np.generic]], *, collect_anew: bool = False) -> None:
        """Replace what is kept per series; `collect_anew` as for `load`."""
        self._kept, self._marks = np.array(arrays["kept"], np.int64), np.array(arrays["marks"], np.int64)
        if collect_anew:
            self._kept = RowBuffer.room(len(self._kept))
        self._hidden = [np.array(arrays[f"hidden_{i}"], np.float32) for i in range(len(self._bodies))]

    def _due(self, learner: int, pending: int) -> bool:
        rows = int(self._points[learner, 0]) + pending
        return self._learns[learner] and rows >= min(self._every[learner] * self._activity.live, self._most[learner])

    def _heads(self) -> list[tuple[Head, int]]:
        """Head of each network, and the number of the recurrent part that it reads."""
        heads = [] if self._base is None else [(self._base, 0)]
        if self._head is not None:
            heads.append((self._head.head, 0))
        if self._learner is not None:
            heads.append((self._live, len(self._bodies) - 1))
        return heads

    def _room(self, capacity: int) -> tuple[list[Singles], Integers]:
        hidden = [np.zeros((capacity, *self._shape.states), np.float32) for _ in self._bodies]
        return hidden, RowBuffer.room(capacity)

    def _learn_head(self, generator: np.random.Generator, _: Integers) -> Learned | None:
        examples = self._rows.draw(generator)
        if examples is None or self._head is None:
            return None
        learned = self._head.learn(examples)._replace(learner="head")
        self._adopt(HEAD)
        return learned

    def _learn_whole(self, generator: np.random.Generator, seen: Integers) -> Learned | None:
        rows, self._since = np.unique(self._since), np.zeros(0, np.int64)
        if len(rows) > self._batch:
            rows = np.sort(generator.choice(rows, self._batch, replace=False))
        windows = self._tapes.draw(self._batch, self._replay, generator)
        self._tapes.begin(rows, seen[rows], int(self._points[WHOLE, 1]))
        if windows is None or self._learner is None:
            return None
        learned = self._learner.learn(windows)._replace(learner="whole")
        self._adopt(WHOLE)
        return learned

    def _taken_back(self, learner: int) -> Learned | None:
        """Give the champion's weights back to a learner that the guard finds worse; None: it does not."""
        guard = self._guards[learner]
        if not guard.over or not guard.verdict(self._flat(learner)):
            return None
        if learner == HEAD and self._head is not None:
            self._head.restart(guard.champion)
        if learner == WHOLE and self._learner is not None:
            self._learner.restart(guard.champion)
        self._adopt(learner)
        return Learned(math.nan, skipped=False, taken_back=True)

    def _flat(self, learner: int) -> Singles:
        """What a learner forecasts with."""
        if learner == HEAD and self._head is not None:
            return flat_of(self._head.head)
        if learner == WHOLE and self._learner is not None:
            return self._learner.average
        return np.zeros(0, np.float32)

    def _adopt(self, learner: int) -> None:
        """Forecast with what was learned, from now on. Each step of a head moves all of it, so that a part tells it."""
        if learner == WHOLE and self._learner is not None:
            self._bodies[-1].load(self._learner.average)
            self._live = head_from(self._learner.average, self._shape)
        told = self._head.head.out_bias if learner == HEAD and self._head is not None else self._flat(learner)
        self._digests[learner] = hashlib.blake2b(told.tobytes(), digest_size=6).digest()
        self.version = hashlib.blake2b(b"".join(self._digests), digest_size=6).hexdigest()
