"""The networks of a task, which learn at three speeds, and the data that they learn from.

With a base there are three: the base as it was trained, the base with a head that learns often, and a copy that learns
as a whole, by truncated backpropagation through time. Without a base there is only the last, with random first weights.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.config import LearningConfig
from streamrnn.core.ensemble.forecast_scores import COUNT, NAIVE, NETWORK
from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.learning.effective_series import EffectiveSeries
from streamrnn.core.learning.head_learner import HeadLearner
from streamrnn.core.learning.lazy_learner import LazyLearner
from streamrnn.core.learning.replay_buffer import RowBuffer, WindowBuffer
from streamrnn.core.learning.rollback import Rollback
from streamrnn.core.learning.step import LearningStep
from streamrnn.core.network.device import resolve_device
from streamrnn.core.network.encoder_cpu import WaveEncoder, make_encoder
from streamrnn.core.network.head import Head, allocate_activations, flatten_head
from streamrnn.core.network.kernels import forecast_wave, knot_interpolation, network_head
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.series.wave import WaveFeatures

HEAD, WHOLE = 0, 1
"""The learners, in the order of their learning points."""
UNSEEN = -1
"""Mark of a series without observations."""


class EnsembleTrainer:
    """One to three networks, and a hidden state per series and encoder."""

    def __init__(
        self,
        horizons: Integers,
        quantiles: Sequence[float],
        shape: Shape,
        learning: LearningConfig,
        *,
        seed: int,
        base: Singles | None,
        device: str,
    ) -> None:
        """Create the networks, without series; `horizons` (K,) are those of the plan."""
        self._seed, self._interpolation = seed, knot_interpolation(tuple(quantiles))
        self._shape, place = shape, resolve_device(device)
        self._every, self._most = (learning.head_every, learning.every), (learning.head_most, learning.most)
        self._batch, self._replay = learning.batch, learning.replay
        whole = learning.enabled and learning.whole
        self._encoders: list[WaveEncoder] = []
        self._base = None if base is None else network_head(base.copy(), shape)
        self._head: HeadLearner | None = None
        self._learner: LazyLearner | None = None
        if base is not None:
            self._encoders.append(make_encoder(shape, place))
            self._encoders[0].load(base)
            if learning.enabled and learning.head:
                self._head = HeadLearner(
                    start=base[-shape.head_size :], hidden=shape.encoder.top, experts=shape.experts,
                    width=shape.width, levels=KNOTS, learning_rate=learning.head_rate, clip_norm=learning.clip_norm,
                )  # fmt: skip
        if base is None or whole:
            self._encoders.append(make_encoder(shape, place))
            self._learner = LazyLearner(shape, learning, start=base, seed=seed, device=place)
        self._learns = (self._head is not None, whole)
        self._rows = RowBuffer(horizons=horizons, shape=shape)
        self._windows = WindowBuffer(length=learning.window, horizons=horizons, shape=shape)
        self._hidden, self._last_stored = self._initial_states(0)
        self._series, self._marks = EffectiveSeries(), np.zeros((0, 2), np.int64)
        self._since = np.zeros(0, np.int64)  # rows stepped since the last learning point of the whole network
        self._points = np.zeros((2, 2), np.int64)  # per learner: rows since its last learning point, and its points
        self._digests = [b"", b""]
        self.version = ""
        """Version of the weights of all networks."""
        self._use_learned(HEAD)
        self._use_learned(WHOLE)
        self._work = allocate_activations(self._heads()[0][0])
        self._rollbacks = [Rollback(self._forecasting_weights(learner)) for learner in (HEAD, WHOLE)]

    @property
    def count(self) -> int:
        """Number of networks, N."""
        return len(self._heads())

    def grow(self, capacity: int) -> None:
        """Add `capacity` series."""
        hidden, last_stored = self._initial_states(capacity)
        self._hidden = [np.concatenate(pair) for pair in zip(self._hidden, hidden, strict=True)]
        self._last_stored = np.concatenate([self._last_stored, last_stored])
        self._marks = np.concatenate([self._marks, np.full((capacity, 2), UNSEEN, np.int64)])

    def grow_to(self, rows: int) -> None:
        """Double the capacity if it is below `rows`."""
        if rows > len(self._marks):
            self.grow(len(self._marks))

    def due(self, pending: int) -> bool:
        """Return whether a learning point is reached after `pending` more observations.

        The head has one after `head_every` observations per live series, at the latest after `head_most` of the task;
        the whole network after `every`, at the latest after `most`.
        """
        return any(self._due(learner, pending) for learner in (HEAD, WHOLE))

    def step(self, rows: Integers, seen: Integers, truths: Singles, features: WaveFeatures) -> Singles:
        """Advance by one wave; return the quantiles (N, B, K, Q) in units.

        `seen` (B,) are the numbers of earlier observations, `truths` (B, K) the labels that mature, NaN: none.
        """
        before = self._hidden[-1][rows] if self._learns[WHOLE] else self._hidden[-1][:0]
        encoders = zip(self._encoders, self._hidden, strict=True)
        tops = [encoder.step(hidden, rows, features.inputs) for encoder, hidden in encoders]
        shape = features.points.shape[:2]
        knots = np.empty((*shape, len(KNOTS)), np.float32)
        outputs = np.empty((self.count, *shape, len(self._interpolation.lower)), np.float32)
        for n, (head, encoder) in enumerate(self._heads()):
            forecast_wave(head, self._work, self._interpolation, tops[encoder], features, knots, outputs[n])
        if self._learns[HEAD]:
            self._rows.add(self._last_stored, rows, seen, truths, tops[0], features, self._series.live)
        if self._learns[WHOLE]:
            self._windows.record(rows, seen, truths, features, before)
            self._since = np.concatenate([self._since, rows])
        self._points[:, 0] += len(rows)
        self._series.add(self._marks, rows)
        return outputs

    def track_errors(self, scores: Floats) -> None:
        """Add the scores (8 + N, K) of the labels that matured in a wave to the trials of both learners."""
        sums: list[float] = scores.sum(1).tolist()
        reference = sums[NAIVE] if self._base is None else sums[NETWORK]
        for learner, own in ((HEAD, NETWORK + 1), (WHOLE, len(sums) - 1)):
            if self._learns[learner]:
                self._rollbacks[learner].add_errors(sums[own], reference, sums[COUNT])

    def learn(self, seen: Integers) -> LearningStep | None:
        """Learn if a learning point is reached; None: not reached, or no data yet.

        `seen` (S,) are the numbers of observations. A learner whose trial has failed is rolled back instead.
        """
        result = None
        for learner, learn in ((HEAD, self._learn_head), (WHOLE, self._learn_whole)):
            if self._due(learner, 0):
                generator = np.random.default_rng([self._seed, learner, self._points[learner, 1]])
                self._points[learner] = 0, self._points[learner, 1] + 1
                result = self._roll_back(learner) or learn(generator, seen) or result
        self._series.end_period()
        return result

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return the state that the series share, by name."""
        saved: dict[str, NDArray[np.generic]] = {"points": self._points, "since": self._since}
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
        """Restore what `save` returned, with `reset_buffers` all but the replay buffers."""
        self._points, self._since = np.array(saved["points"], np.int64), np.array(saved["since"], np.int64)
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

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the state per series, by name."""
        hidden = {f"hidden_{i}": hidden for i, hidden in enumerate(self._hidden)}
        return {"kept": self._last_stored, "marks": self._marks, **hidden}

    def load_arrays(self, arrays: dict[str, NDArray[np.generic]], *, reset_buffers: bool = False) -> None:
        """Replace the state per series; `reset_buffers` as in `load`."""
        self._last_stored, self._marks = np.array(arrays["kept"], np.int64), np.array(arrays["marks"], np.int64)
        if reset_buffers:
            self._last_stored = RowBuffer.initial_last(len(self._last_stored))
        self._hidden = [np.array(arrays[f"hidden_{i}"], np.float32) for i in range(len(self._encoders))]

    def _due(self, learner: int, pending: int) -> bool:
        rows = int(self._points[learner, 0]) + pending
        return self._learns[learner] and rows >= min(self._every[learner] * self._series.live, self._most[learner])

    def _heads(self) -> list[tuple[Head, int]]:
        """Return the head of each network and the index of its encoder."""
        heads = [] if self._base is None else [(self._base, 0)]
        if self._head is not None:
            heads.append((self._head.head, 0))
        if self._learner is not None:
            heads.append((self._whole_head, len(self._encoders) - 1))
        return heads

    def _initial_states(self, capacity: int) -> tuple[list[Singles], Integers]:
        hidden = [np.zeros((capacity, *self._shape.states), np.float32) for _ in self._encoders]
        return hidden, RowBuffer.initial_last(capacity)

    def _learn_head(self, generator: np.random.Generator, _: Integers) -> LearningStep | None:
        examples = self._rows.draw(generator)
        if examples is None or self._head is None:
            return None
        result = self._head.learn(examples)._replace(learner="head")
        self._use_learned(HEAD)
        return result

    def _learn_whole(self, generator: np.random.Generator, seen: Integers) -> LearningStep | None:
        rows, self._since = np.unique(self._since), np.zeros(0, np.int64)
        if len(rows) > self._batch:
            rows = np.sort(generator.choice(rows, self._batch, replace=False))
        windows = self._windows.draw(self._batch, self._replay, generator)
        self._windows.open(rows, seen[rows], int(self._points[WHOLE, 1]))
        if windows is None or self._learner is None:
            return None
        result = self._learner.learn(windows)._replace(learner="whole")
        self._use_learned(WHOLE)
        return result

    def _roll_back(self, learner: int) -> LearningStep | None:
        """Restore the champion's weights if the learner's trial has ended and failed; else None."""
        rollback = self._rollbacks[learner]
        if not rollback.complete or not rollback.end_trial(self._forecasting_weights(learner)):
            return None
        if learner == HEAD and self._head is not None:
            self._head.restart(rollback.champion)
        if learner == WHOLE and self._learner is not None:
            self._learner.restart(rollback.champion)
        self._use_learned(learner)
        return LearningStep(math.nan, skipped=False, rolled_back=True)

    def _forecasting_weights(self, learner: int) -> Singles:
        if learner == HEAD and self._head is not None:
            return flatten_head(self._head.head)
        if learner == WHOLE and self._learner is not None:
            return self._learner.average
        return np.zeros(0, np.float32)

    def _use_learned(self, learner: int) -> None:
        """Forecast with a learner's current weights, and update the version."""
        if learner == WHOLE and self._learner is not None:
            self._encoders[-1].load(self._learner.average)
            self._whole_head = network_head(self._learner.average, self._shape)
        if learner == HEAD and self._head is not None:
            weights = self._head.head.out_bias  # each step changes all of a head, so that a part identifies it
        else:
            weights = self._forecasting_weights(learner)
        self._digests[learner] = hashlib.blake2b(weights.tobytes(), digest_size=6).digest()
        self.version = hashlib.blake2b(b"".join(self._digests), digest_size=6).hexdigest()
