"""Online learning of the head on top of fixed recurrent layers, without backpropagation through time.

Forward and backward pass are compiled loops, because torch's overhead exceeds the arithmetic of a step on some fifty
examples. A test compares them with torch's gradients. Sums run in the order of the examples, so that the same steps
give the same bits.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Floats, Singles, compiled, compiled_allocating
from streamrnn.core.learning.replay_buffer import LABEL_CLIP, Examples
from streamrnn.core.learning.step import ANCHOR, BETAS, WEIGHTS, LearningStep
from streamrnn.core.network.head import (
    Head,
    HeadActivations,
    allocate_activations,
    fill_head,
    flatten_head,
    forward_head,
    head_views,
    padded_size,
    project_encoding,
)
from streamrnn.core.vector_math import ONE, ZERO, add_product, exponential

LABEL_LIMIT = np.float32(LABEL_CLIP)
"""Units; larger labels are clipped to it."""
MIN_WEIGHT, MAX_WEIGHT = np.float32(WEIGHTS[0]), np.float32(WEIGHTS[1])
ANCHOR_SHARE = np.float32(ANCHOR)
EPSILON = np.float32(1e-8)
"""Of Adam: keeps the step finite while there was no gradient."""

ARRAYS = ("weights", "first_moment", "second_moment")
"""Saved arrays, in the order of the rows of a learner's state."""


@compiled
def example_weight(trust: Singles, row: int) -> np.float32:
    """Return the weight of an example; a predictable series weighs more, because the relative error counts."""
    best = trust[row, 0]
    for e in range(1, trust.shape[1]):
        best = min(best, trust[row, e])
    return min(max(exponential(-best), MIN_WEIGHT), MAX_WEIGHT)


@compiled
def add_outer(out: Singles, left: Singles, right: Singles) -> None:
    """Add the outer product of `left` (N,) and `right` (M,) to `out` (N, M)."""
    for i in range(len(left)):
        x = left[i]
        for j in range(len(right)):
            out[i, j] += x * right[j]


@compiled
def pinball_gradient(
    points: Singles, row: int, label: np.float32, weight: np.float32, levels: Singles, knots: Singles,
    work: HeadActivations, back: HeadActivations,
) -> np.float32:  # fmt: skip
    """Return one example's pinball loss, summed over knots[row] (L,); fill back.out (P,) with its weighted gradient."""
    experts, loss, slope, center = points.shape[1], ZERO, ZERO, ZERO
    target = min(max(label, -LABEL_LIMIT), LABEL_LIMIT)
    for q in range(len(levels)):
        error = target - knots[row, q]
        loss += max(levels[q] * error, (levels[q] - ONE) * error)
        side = weight * (ONE - levels[q] if error < ZERO else -levels[q])
        back.out[experts + 1 + q] = side
        slope += side
    for e in range(experts):
        center += work.out[e] * points[row, e]
    for e in range(experts):
        back.out[e] = slope * work.out[e] * (points[row, e] - center)
    back.out[experts] = -slope * work.out[experts] * center
    return loss


@compiled
def backpropagate(y: Singles, out: Singles, gradient: Head, work: HeadActivations, back: HeadActivations) -> None:
    """Add to `gradient` what follows from the gradient in back.out; `out` (P, W) is O, padded."""
    for i in range(len(back.hidden)):
        back.hidden[i] = ZERO
    add_product(back.hidden, back.out, out)
    for i in range(len(back.hidden)):
        inner = ONE + work.preactivation[i] * (ONE - work.sigmoid[i])
        back.preactivation[i] = back.hidden[i] * work.sigmoid[i] * inner
        gradient.bias[i] += back.preactivation[i]
    for i in range(len(gradient.out_bias)):
        gradient.out_bias[i] += back.out[i]
    add_outer(gradient.out, work.hidden, back.out)
    add_outer(gradient.advice, work.advice, back.preactivation)
    add_outer(gradient.recurrent, y, back.preactivation)


@compiled_allocating
def loss_gradient(
    examples: Examples, levels: Singles, head: Head, out: Singles, gradient: Head, work: HeadActivations,
    back: HeadActivations,
) -> float:  # fmt: skip
    """Return the weighted mean pinball loss over the labelled examples, NaN if there are none; add its gradient.

    `out` as in `backpropagate`; `work` and `back` are scratch.
    """
    known, loss = 0, np.float64(0)
    for label in examples.label:
        known += not math.isnan(label)
    knots = np.empty((len(examples.label), len(levels)), np.float32)
    for b in range(len(examples.label)):
        label = examples.label[b]
        if math.isnan(label):
            continue
        weight = example_weight(examples.trust, b) / np.float32(known * len(levels))
        project_encoding(examples.y, b, head, work)
        forward_head(examples.points, examples.trust, examples.lead, b, head, knots, work)
        loss += np.float64(weight * pinball_gradient(examples.points, b, label, weight, levels, knots, work, back))
        backpropagate(examples.y[b], out, gradient, work, back)
    return float(loss) if known else math.nan


@compiled_allocating
def adam_step(
    state: Singles, gradient: Singles, clip: float, rate: np.float32, root: np.float32, betas: Singles, result: Singles
) -> bool:
    """Take an Adam step; return False, without a change, if the result is not finite.

    Args:
        state: Weights, first and second moments, (3, n); updated.
        gradient: Of the loss, (n,).
        clip: Largest norm of the gradient.
        rate: Learning rate, corrected for the first moment's start at zero.
        root: Square root of the same correction for the second moment.
        betas: Decays of the moments, and one minus each, (2, 2).
        result: Scratch, (3, n).
    """
    total = 0.0
    for slope in gradient:
        total += np.float64(slope) * np.float64(slope)
    scale = np.float32(min(1.0, clip / (math.sqrt(total) + 1e-6)))  # a gradient that is not finite gives NaN
    for i in range(len(gradient)):
        slope = gradient[i] * scale
        first = state[1, i] + betas[1, 0] * (slope - state[1, i])
        second = betas[0, 1] * state[2, i] + betas[1, 1] * slope * slope
        result[0, i] = state[0, i] - rate * (first / (np.sqrt(second) / root + EPSILON))
        result[1, i], result[2, i] = first, second
    for value in result.flat:
        if not math.isfinite(value):
            return False
    state[:] = result
    return True


class HeadLearner:
    """A copy of a head that learns, and its optimizer (Adam, Kingma & Ba 2015).

    Args:
        start: Flat tail of the network's weights, float32; copied.
        hidden: H of the head.
        experts: E of the head.
        width: W of the head.
        levels: Quantile levels of the knots, (L,).
        learning_rate: Of Adam.
        betas: Of Adam.
        clip_norm: Largest norm of a gradient.
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
        self._parts = {name: head_views(row, *shape) for name, row in zip(ARRAYS, self._state, strict=True)}
        self.head = self._parts["weights"]
        """The trained head; its arrays are changed in place."""
        self.steps = 0
        self._result, self._gradient = np.empty_like(self._state), np.zeros_like(self._state[0])
        self._gradient_parts = head_views(self._gradient, *shape)
        self._work, self._back = allocate_activations(self.head), allocate_activations(self.head)
        fill_head(self.head, start)
        self._start = self._state[0].copy()

    def learn(self, examples: Examples) -> LearningStep:
        """Take one optimizer step; if loss, gradient or weights are not finite, skip it and change nothing."""
        contiguous = Examples(*(np.ascontiguousarray(part, np.float32) for part in examples))
        self._gradient[:] = 0
        out, scratch = np.ascontiguousarray(self.head.out.T), (self._work, self._back)
        loss = loss_gradient(contiguous, self._levels, self.head, out, self._gradient_parts, *scratch)
        if np.isnan(contiguous.label).all():
            return LearningStep(math.nan, skipped=False)
        norm = float(np.linalg.norm(self._gradient.astype(np.float64)))  # in float32 the squares may overflow
        if not (math.isfinite(loss) and self._advance()):
            return LearningStep(loss, skipped=True, gradient_norm=norm, weight_norm=self._weight_norm())
        self._state[0] += ANCHOR_SHARE * (self._start - self._state[0])
        self.steps += 1
        return LearningStep(loss, skipped=False, gradient_norm=norm, weight_norm=self._weight_norm())

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return copies of the arrays by name: weights and moments as flat tails, and the number of steps."""
        saved: dict[str, NDArray[np.generic]] = {name: flatten_head(part) for name, part in self._parts.items()}
        return {**saved, "steps": np.array([self.steps], np.int64)}

    def load(self, saved: dict[str, NDArray[np.generic]]) -> None:
        """Restore what `save` returned.

        Raises:
            StateError: The arrays belong to a head of another shape.
        """
        for name, part in self._parts.items():
            fill_head(part, saved[name].astype(np.float32))
        self.steps = int(saved["steps"][0])

    def restart(self, weights: Singles) -> None:
        """Continue from these flat weights with a reset optimizer."""
        self._state[:] = 0
        fill_head(self.head, weights)
        self.steps = 0

    def _weight_norm(self) -> float:
        return float(np.linalg.norm(self._state[0]))

    def _advance(self) -> bool:
        first, second = (1 - beta ** (self.steps + 1) for beta in self._decays)
        rate, root = np.float32(self._rate / first), np.float32(math.sqrt(second))
        return adam_step(self._state, self._gradient, self._clip, rate, root, self._betas, self._result)
