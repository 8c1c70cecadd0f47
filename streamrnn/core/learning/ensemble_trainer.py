"""The networks of a task, their learners, and the replay buffers.

With base weights there are three networks: the base, which does not learn; the base with a head that learns often; and
a copy that learns as a whole, by truncated backpropagation through time. Without base weights there is only the last,
with random initial weights.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.config import LearningConfig
from streamrnn.core.ensemble.forecast_scores import COUNT, NAIVE, NETWORK
from streamrnn.core.handle import Handle
from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.learning.effective_series import EffectiveSeries
from streamrnn.core.learning.head_learner import HeadLearner
from streamrnn.core.learning.lazy_learner import LazyLearner
from streamrnn.core.learning.replay_buffer import RowBuffer
from streamrnn.core.learning.rollback import Rollback
from streamrnn.core.learning.step import LearningResult
from streamrnn.core.learning.window_buffer import WindowBuffer
from streamrnn.core.network.device import resolve_device
from streamrnn.core.network.encoder_cpu import make_encoders
from streamrnn.core.network.head import flatten_head
from streamrnn.core.network.head_stack import HeadStack, network_head
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.row_table import RowTable
from streamrnn.core.series.wave import WaveUpdate

HEAD, WHOLE = 0, 1  # indexes of the learners, in the order of their learning points
NEVER = 2**62  # observations until the learning point of a learner that is off
EARLY_POINTS = 128
"""Number of learning points of the head after 1 observation per series, then after 2 and so on, up to `head_every`."""
LOW_WORD = 2**32 - 1
UNSEEN = -1  # mark of a series without observations


def make_generator(seed: int, *numbers: int) -> np.random.Generator:
    """Return `np.random.default_rng([seed, *numbers])`, in two thirds of its time; `numbers` are below 2^32."""
    words = [seed & LOW_WORD, seed >> 32] if seed > LOW_WORD else [seed]
    return np.random.default_rng(np.array([*words, *numbers], np.uint32))


class EnsembleTrainer:
    """One to three networks, and a hidden state per series and encoder."""

    def __init__(
        self, horizons: Integers, quantiles: Sequence[float], shape: Shape, learning: LearningConfig, *, seed: int,
        base: Singles | None, device: str,
    ) -> None:  # fmt: skip
        """Create the networks without series; `horizons` (K,) are those of the plan."""
        self._seed, self._shape, chosen = seed, shape, resolve_device(device, units=shape.hidden_size)
        self._every, self._most = (learning.head_every, learning.every), (learning.head_most, learning.most)
        self._batch, self._replay = learning.batch, learning.replay
        whole = learning.enabled and learning.whole
        self._head: HeadLearner | None = None
        self._learner: LazyLearner | None = None
        if base is not None and learning.enabled and learning.head:
            self._head = HeadLearner(
                start=base[-shape.head_size :], hidden=shape.encoder.top, experts=shape.experts, width=shape.width,
                levels=KNOTS, learning_rate=learning.head_rate, clip_norm=learning.clip_norm,
            )  # fmt: skip
        if base is None or whole:
            self._learner = LazyLearner(shape, learning, start=base, seed=seed, device=chosen)
        first, second = ([0] if base is not None else []), ([0] if self._head is not None else [])
        last = [] if self._learner is None else [len(first)]  # it has an encoder of its own
        self._encoder_count, self._trained = len(first) + len(last), base is not None
        self._encoders = make_encoders(shape, chosen, self._encoder_count)
        self._heads = HeadStack(shape, [*first, *second, *last], len(horizons), tuple(quantiles))
        if base is not None:
            self._encoders.load(0, base)
            self._heads.load(0, network_head(base, shape))
        self._learns = (self._head is not None, whole)
        self._rows = RowBuffer(horizons=horizons, shape=shape)
        self._windows = WindowBuffer(length=learning.window, horizons=horizons, shape=shape)
        state = np.zeros((1, *shape.states), np.float32)
        self._hidden = [f"hidden_{i}" for i in range(self._encoder_count)]
        hidden = dict.fromkeys(self._hidden, state)
        marks = np.full((1, 2), UNSEEN, np.int64)
        self._table = RowTable({"kept": RowBuffer.initial_last(1), "marks": marks, **hidden}, dict[str, Any])
        self._series = EffectiveSeries()
        self._since = [np.zeros(0, np.int64)]  # rows of the waves since the last learning point of the whole network
        self._waiting, self._points = [0, 0], [0, 0]  # per learner: observations since its last learning point; points
        self._due = [0, 0]  # per learner: value of `_waiting` at its next learning point
        self._digests = [b"", b""]
        self.version = ""
        """Version of the weights of all networks."""
        self._use_learned(HEAD)
        self._use_learned(WHOLE)
        self._set_due()
        self._rollbacks = [Rollback(self._forecasting_weights(learner)) for learner in (HEAD, WHOLE)]

    @property
    def count(self) -> int:
        """Number of networks, N."""
        return len(self._heads)

    def add(self, count: int) -> None:
        """Add `count` new series."""
        self._table.append(count)

    @property
    def until_due(self) -> int:
        """Number of observations until the next learning point; 0 or less if it is reached.

        The head has a learning point after `head_every` observations per live series, at first after fewer, and after
        `head_most` observations of the task at the latest; the whole network after `every`, and `most` at the latest.
        """
        return min(self._due[HEAD] - self._waiting[HEAD], self._due[WHOLE] - self._waiting[WHOLE])

    def step(self, rows: Integers, wave: Handle[WaveUpdate]) -> Singles:
        """Advance by one wave, with the bank's result `wave`; return the quantiles (N, B, K, Q) in units."""
        state, features = self._table.rows, wave.content.features
        hidden = [state[name] for name in self._hidden]
        before = hidden[-1][rows] if self._learns[WHOLE] and self._windows.recording else None
        tops = self._encoders.step(hidden, rows, features.inputs)
        outputs = self._heads.forecast(tops, features)
        if self._learns[HEAD]:
            self._rows.add(state["kept"], rows, wave, tops[0], self._series.live)
        if before is not None:
            self._windows.record(rows, wave, before, self._table.count)
        if self._learns[WHOLE]:
            self._since.append(rows)
        self._waiting[HEAD] += len(rows)
        self._waiting[WHOLE] += len(rows)
        self._series.add(state["marks"], rows)
        return outputs

    def track_errors(self, scores: Floats) -> None:
        """Add the scores (8 + N,) of the labels that arrived with a wave to the trials of both learners."""
        sums: list[float] = scores.tolist()
        reference = sums[NETWORK] if self._trained else sums[NAIVE]
        for learner, own in ((HEAD, NETWORK + 1), (WHOLE, len(sums) - 1)):
            if self._learns[learner]:
                self._rollbacks[learner].add_errors(sums[own], reference, sums[COUNT])

    def learn(self, seen: Integers) -> LearningResult | None:
        """Let the learners whose learning point is reached learn; return the last result, None if there is none.

        `seen` (S,) are the numbers of steps of the series. A learner whose trial has failed is rolled back instead.
        """
        result = None
        for learner, learn in ((HEAD, self._learn_head), (WHOLE, self._learn_whole)):
            if self._waiting[learner] >= self._due[learner]:
                generator = make_generator(self._seed, learner, self._points[learner])
                self._waiting[learner], self._points[learner] = 0, self._points[learner] + 1
                result = self._roll_back(learner) or learn(generator, seen) or result
        self._series.end_period()
        self._set_due()
        return result

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return the state that the series share, by name."""
        self._since = [np.concatenate(self._since)]
        points = np.array([self._waiting, self._points], np.int64).T.copy()
        saved: dict[str, NDArray[np.generic]] = {"points": points, "since": self._since[0]}
        saved["activity"] = self._series.save()
        if self._head is not None:
            saved |= {f"head_{name}": array for name, array in self._head.save().items()}
            saved |= self._rows.save()
        if self._learner is not None:
            saved |= {**self._learner.save(), **self._windows.save()}
        for learner, rollback in enumerate(self._rollbacks):
            saved |= {f"guard_{learner}_{name}": array for name, array in rollback.save().items()}
        return saved

    def load(self, saved: dict[str, NDArray[np.generic]], *, reset_buffers: bool = False) -> None:
        """Restore what `save` returned; with `reset_buffers`, without the replay buffers."""
        self._waiting, self._points = saved["points"].T.tolist()
        self._since = [np.array(saved["since"], np.int64)]
        self._series.load(saved["activity"])
        if self._head is not None:
            self._head.load({name[5:]: array for name, array in saved.items() if name.startswith("head_")})
            if not reset_buffers:
                self._rows.load(saved)
        if self._learner is not None:
            self._learner.load(saved)
            if not reset_buffers:
                self._windows.load(saved)
        for learner, rollback in enumerate(self._rollbacks):
            rollback.load({name: saved[f"guard_{learner}_{name}"] for name in rollback.save()})
        self._use_learned(HEAD)
        self._use_learned(WHOLE)
        self._set_due()

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the state per series, by name."""
        return dict(self._table.arrays)

    def clear(self) -> None:
        """Remove all series."""
        self._table.clear()

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        moved = np.full(self._table.count, UNSEEN, np.int64)
        moved[rows] = np.arange(len(rows))
        since = moved[np.concatenate(self._since)]
        self._since = [since[since != UNSEEN]]
        self._windows.keep(moved)
        self._table.keep(rows)

    def extend(self, saved: Mapping[str, Any], *, reset_buffers: bool = False) -> None:
        """Add series with saved arrays, named as by `arrays`; `reset_buffers` as in `load`."""
        names = self._table.arrays.keys() - ({"kept"} if reset_buffers else set())
        self._table.extend({name: saved[name] for name in names})

    def _set_due(self) -> None:
        """Set the next learning points; they change only at learning points."""
        early = min(self._every[HEAD], 1 + self._points[HEAD] // EARLY_POINTS)
        for learner, every in ((HEAD, early), (WHOLE, self._every[WHOLE])):
            due = min(every * self._series.live, self._most[learner])
            self._due[learner] = due if self._learns[learner] else NEVER

    def _learn_head(self, generator: np.random.Generator, _: Integers) -> LearningResult | None:
        examples = self._rows.draw(generator)
        if examples is None or self._head is None:
            return None
        result = self._head.learn(examples)._replace(learner="head")
        self._use_learned(HEAD)
        return result

    def _learn_whole(self, generator: np.random.Generator, seen: Integers) -> LearningResult | None:
        observed = np.zeros(len(seen), np.bool_)
        observed[np.concatenate(self._since)] = True
        rows, self._since = np.flatnonzero(observed), [np.zeros(0, np.int64)]
        if len(rows) > self._batch:
            rows = np.sort(generator.choice(rows, self._batch, replace=False))
        windows = self._windows.draw(self._batch, self._replay, generator)
        self._windows.open(rows, seen[rows], self._points[WHOLE])
        if windows is None or self._learner is None:
            return None
        result = self._learner.learn(windows)
        if result is None:
            return None
        self._use_learned(WHOLE)
        return result._replace(learner="whole")

    def _roll_back(self, learner: int) -> LearningResult | None:
        """Restore the champion's weights and return a result if the learner's trial has ended and failed; else None."""
        rollback = self._rollbacks[learner]
        if not rollback.complete or not rollback.end_trial(self._forecasting_weights(learner)):
            return None
        if learner == HEAD and self._head is not None:
            self._head.restart(rollback.champion)
        if learner == WHOLE and self._learner is not None:
            self._learner.restart(rollback.champion)
        self._use_learned(learner)
        return LearningResult(math.nan, skipped=False, rolled_back=True)

    def _forecasting_weights(self, learner: int) -> Singles:
        if learner == HEAD and self._head is not None:
            return flatten_head(self._head.head)
        if learner == WHOLE and self._learner is not None:
            return self._learner.average
        return np.zeros(0, np.float32)

    def _use_learned(self, learner: int) -> None:
        """Copy a learner's current weights to the networks that forecast, and update the version."""
        if learner == HEAD and self._head is not None:
            self._heads.load(1, self._head.head)
            weights = self._head.head.out_bias  # every step changes this part, so that it identifies the head
        else:
            weights = self._forecasting_weights(learner)
            if len(weights):
                self._encoders.load(self._encoder_count - 1, weights)
                self._heads.load(self.count - 1, network_head(weights, self._shape))
        self._digests[learner] = hashlib.blake2b(weights.tobytes(), digest_size=6).digest()
        self.version = hashlib.blake2b(b"".join(self._digests), digest_size=6).hexdigest()
