"""The head learns online, while the recurrent layers below it stay as they are: no backpropagation through time.

Forward and backward are loops of our own, because torch takes longer to arrange a step on some fifty examples than to
do it. A test ties them to torch's gradients. Sums over examples go in the given order, so the same steps
give the same bits.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Floats, Singles, compiled, compiled_allocating
from streamrnn.core.learning.replay_buffer import LABEL_CLIP, Examples
from streamrnn.core.learning.step import ANCHOR, BETAS, WEIGHTS, Learned
from streamrnn.core.network.head import Head, Work, fill, flat_of, padded_size, recall, respond, views_of, work_of
from streamrnn.core.vector_math import ONE, ZERO, add_product, exponential

LABEL_LIMIT = np.float32(LABEL_CLIP)
"""In units: a label beyond it teaches as one at it."""
LIGHTEST, HEAVIEST = np.float32(WEIGHTS[0]), np.float32(WEIGHTS[1])
"""Of the weights of examples."""
PULL = np.float32(ANCHOR)
EPSILON = np.float32(1e-8)
"""Adam's: keeps the step finite where there was no gradient yet."""

SAVED = ("weights", "first_moment", "second_moment")
"""Names of the saved arrays, in the order of the rows of a learner's state."""


@compiled
def weight_of(trust: Singles, row: int) -> np.float32:
    """Weight of an example: relative, not absolute, error is what counts, so a series that can be foretold has more."""
    best = trust[row, 0]
    for e in range(1, trust.shape[1]):
        best = min(best, trust[row, e])
    return min(max(exponential(-best), LIGHTEST), HEAVIEST)


@compiled
def add_outer(out: Singles, left: Singles, right: Singles) -> None:
    """out (N, M) += left (N,) right (M,)."""
    for i in range(len(left)):
        x = left[i]
        for j in range(len(right)):
            out[i, j] += x * right[j]


@compiled
def miss(
    points: Singles,
    row: int,
    label: np.float32,
    weight: np.float32,
    levels: Singles,
    knots: Singles,
    work: Work,
    pull: Work,
) -> np.float32:
    """Pinball loss of one example, summed over knots[row] (L,); pull.out (P,) gets `weight` times its slopes."""
    experts, loss, slope, center = points.shape[1], ZERO, ZERO, ZERO
    target = min(max(label, -LABEL_LIMIT), LABEL_LIMIT)
    for q in range(len(levels)):
        error = target - knots[row, q]
        loss += max(levels[q] * error, (levels[q] - ONE) * error)
        side = weight * (ONE - levels[q] if error < ZERO else -levels[q])
        pull.out[experts + 1 + q] = side
        slope += side
    for e in range(experts):
        center += work.out[e] * points[row, e]
    for e in range(experts):
        pull.out[e] = slope * work.out[e] * (points[row, e] - center)
    pull.out[experts] = -slope * work.out[experts] * center
    return loss


@compiled
def descend(y: Singles, back: Singles, slopes: Head, work: Work, pull: Work) -> None:
    """Carry the slopes in pull.out down to every weight, and add them to `slopes`; `back` (P, W) is O, padded."""
    for i in range(len(pull.mid)):
        pull.mid[i] = ZERO
    add_product(pull.mid, pull.out, back)
    for i in range(len(pull.mid)):
        pull.before[i] = pull.mid[i] * work.share[i] * (ONE + work.before[i] * (ONE - work.share[i]))
        slopes.bias[i] += pull.before[i]
    for i in range(len(slopes.out_bias)):
        slopes.out_bias[i] += pull.out[i]
    add_outer(slopes.out, work.mid, pull.out)
    add_outer(slopes.given, work.given, pull.before)
    add_outer(slopes.recurrent, y, pull.before)


@compiled_allocating
def gradient_of(
    examples: Examples, levels: Singles, head: Head, back: Singles, slopes: Head, work: Work, pull: Work
) -> float:
    """Mean over the known examples of weight times mean pinball loss, NaN if none is; adds its gradient to `slopes`."""
    known, loss = 0, np.float64(0)
    for label in examples.label:
        known += not math.isnan(label)
    knots = np.empty((len(examples.label), len(levels)), np.float32)
    for b in range(len(examples.label)):
        label = examples.label[b]
        if math.isnan(label):
            continue
        weight = weight_of(examples.trust, b) / np.float32(known * len(levels))
        recall(examples.y, b, head, work)
        respond(examples.points, examples.trust, examples.lead, b, head, knots, work)
        loss += np.float64(weight * miss(examples.points, b, label, weight, levels, knots, work, pull))
        descend(examples.y[b], back, slopes, work, pull)
    return float(loss) if known else math.nan


@compiled_allocating
def advance(
    state: Singles, slopes: Singles, clip: float, rate: np.float32, root: np.float32, betas: Singles, fresh: Singles
) -> bool:
    """Adam's step on `state` (3, n): weights, first and second moments. False, and no change, if it is not finite.

    `rate` and `root` hold the corrections for the moments' start at zero; `betas` (2, 2) are the shares
    that the moments keep and take; `fresh` (3, n) is room for the outcome.
    """
    total = 0.0
    for slope in slopes:
        total += np.float64(slope) * np.float64(slope)
    scale = np.float32(min(1.0, clip / (math.sqrt(total) + 1e-6)))  # a slope that is not finite comes through as NaN
    for i in range(len(slopes)):
        slope = slopes[i] * scale
        first = state[1, i] + betas[1, 0] * (slope - state[1, i])
        second = betas[0, 1] * state[2, i] + betas[1, 1] * slope * slope
        fresh[0, i] = state[0, i] - rate * (first / (np.sqrt(second) / root + EPSILON))
        fresh[1, i], fresh[2, i] = first, second
    for value in fresh.flat:
        if not math.isfinite(value):
            return False
    state[:] = fresh
    return True


class HeadLearner:
    """A copy of a head that follows its task, and its optimizer (Adam, Kingma & Ba 2015).

    Args:
        start: flat tail of the network's weights, float32; copied.
        hidden, experts, width: H, E and W of the head.
        levels: of the knots, (L,).
        learning_rate, betas: Adam's.
        clip_norm: largest norm of a gradient.
    """

    def __init__(
        self,
        *,
        start: Singles,
        hidden: int,
        experts: int,
        width: int,
        levels: Sequence[float] | Floats,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = BETAS,
        clip_norm: float = 1.0,
    ) -> None:
        shape = (hidden, experts, width, len(levels))
        self._levels = np.array(levels, np.float32)
        self._rate, self._decays, self._clip = learning_rate, betas, clip_norm
        self._betas = np.array([betas, [1 - beta for beta in betas]], np.float32)
        self._state = np.zeros((3, padded_size(*shape)), np.float32)
        self._parts = {name: views_of(row, *shape) for name, row in zip(SAVED, self._state, strict=True)}
        self.head = self._parts["weights"]
        """What forecasts: the same arrays for good, changed in place by `learn` and `load`."""
        self.steps = 0
        self._fresh, self._slopes = np.empty_like(self._state), np.zeros_like(self._state[0])
        self._slopes_by_part = views_of(self._slopes, *shape)
        self._work, self._pull = work_of(self.head), work_of(self.head)
        fill(self.head, start)
        self._start = self._state[0].copy()

    def learn(self, examples: Examples) -> Learned:
        """One step; what is not finite, in loss, gradient or weights, makes it a skipped one, which changes nothing."""
        given = Examples(*(np.ascontiguousarray(part, np.float32) for part in examples))
        self._slopes[:] = 0
        back = np.ascontiguousarray(self.head.out.T)
        loss = gradient_of(given, self._levels, self.head, back, self._slopes_by_part, self._work, self._pull)
        if np.isnan(given.label).all():
            return Learned(math.nan, skipped=False)
        norm = float(np.linalg.norm(self._slopes.astype(np.float64)))  # the sum of their squares may overflow singles
        if not (math.isfinite(loss) and self._advance()):
            return Learned(loss, skipped=True, gradient_norm=norm, weight_norm=self._weight_norm())
        self._state[0] += PULL * (self._start - self._state[0])
        self.steps += 1
        return Learned(loss, skipped=False, gradient_norm=norm, weight_norm=self._weight_norm())

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name, copies: weights and moments in the order of the flat tail, and the number of steps taken."""
        saved: dict[str, NDArray[np.generic]] = {name: flat_of(part) for name, part in self._parts.items()}
        return {**saved, "steps": np.array([self.steps], np.int64)}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `save` gave: learning then goes on as if it had never stopped, bit for bit.

        Raises:
            StateError: the arrays are not those of a head of this shape.
        """
        for name, part in self._parts.items():
            fill(part, saved[name].astype(np.float32))
        self.steps = int(saved["steps"][0])

    def restart(self, weights: Singles) -> None:
        """Go on from these flat weights, with an optimizer that remembers nothing."""
        self._state[:] = 0
        fill(self.head, weights)
        self.steps = 0

    def _weight_norm(self) -> float:
        return float(np.linalg.norm(self._state[0]))

    def _advance(self) -> bool:
        first, second = (1 - beta ** (self.steps + 1) for beta in self._decays)
        rate, root = np.float32(self._rate / first), np.float32(math.sqrt(second))
        return advance(self._state, self._slopes, self._clip, rate, root, self._betas, self._fresh)
