"""Online learning of the head on fixed recurrent layers, without backpropagation through time.

The forward and backward passes are compiled loops, because the overhead of torch exceeds the arithmetic of a step on
about fifty examples. A test compares them with torch's gradients. Sums are in the order of the examples, so that equal
steps give equal bits.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.config import LearningConfig
from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.learning.replay_buffer import LABEL_CLIP, Examples
from streamrnn.core.learning.step import ANCHOR, BETAS, LearningResult
from streamrnn.core.network.head import (
    Head,
    HeadBlock,
    allocate_block,
    fill_advice,
    fill_head,
    flatten_head,
    forward_block,
    head_views,
    padded_size,
)
from streamrnn.core.network.kernels import copy_matrix
from streamrnn.core.network.shapes import LABEL_WEIGHTS
from streamrnn.core.vector_math import ONE, ZERO, exponential
from streamrnn.core.vector_products import add_products

LABEL_LIMIT = np.float32(LABEL_CLIP)  # largest |label|, units
MIN_WEIGHT, MAX_WEIGHT = np.float32(LABEL_WEIGHTS[0]), np.float32(LABEL_WEIGHTS[1])
ANCHOR_SHARE = np.float32(ANCHOR)
BLOCK_ROWS = 32  # examples per block
EPSILON = np.float32(1e-8)  # of Adam: the step is finite even if all gradients were 0

ARRAYS = ("weights", "first_moment", "second_moment")  # names of the rows of a learner's state


@compiled
def example_weight(trust: Singles) -> np.float32:
    """Return the weight of an example, which is larger for a predictable series, because the relative error counts."""
    best = trust[0]
    for e in range(1, len(trust)):
        best = min(best, trust[e])
    return min(max(exponential(-best), MIN_WEIGHT), MAX_WEIGHT)


@compiled
def pinball_gradient(
    label: np.float32, weight: np.float32, levels: Singles, example: int, block: HeadBlock, gradient: Singles
) -> np.float32:
    """Return an example's pinball loss, summed over knots; fill its `gradient` (P,) with respect to the outputs."""
    experts, loss, slope, center = len(block.points), ZERO, ZERO, ZERO
    target, total = min(max(label, -LABEL_LIMIT), LABEL_LIMIT), block.total[0, example]
    for q in range(len(levels)):
        error = target - (block.total[1, example] + block.columns[experts + 1 + q, example])
        loss += max(levels[q] * error, (levels[q] - ONE) * error)
        side = weight * (ONE - levels[q] if error < ZERO else -levels[q])
        gradient[experts + 1 + q] = side
        slope += side
    for e in range(experts):
        center += block.columns[e, example] / total * block.points[e, example]
    for e in range(experts):
        gradient[e] = slope * (block.columns[e, example] / total) * (block.points[e, example] - center)
    gradient[experts] = -slope * (block.columns[experts, example] / total) * center
    return loss


@compiled
def backpropagate(
    y: Singles, weights: Singles, gradient: Head, block: HeadBlock, slopes: Singles, hidden: Singles
) -> None:
    """Add the contribution of a block to the gradient of the loss with respect to the head.

    Args:
        y: Encodings, (R, U).
        weights: O, padded, (P, V).
        gradient: Gradient with respect to the head; updated.
        block: Results of the forward pass.
        slopes: Gradients with respect to the outputs, (R, P).
        hidden: Scratch, (R, V); filled with the gradients with respect to the preactivations.
    """
    rows, width = len(y), hidden.shape[1]
    for r in range(rows):
        for i in range(width):
            hidden[r, i] = ZERO
    add_products(hidden[:rows], slopes[:rows], weights)
    for r in range(rows):
        for i in range(width):
            inner = ONE + block.preactivation[r, i] * (ONE - block.sigmoid[r, i])
            hidden[r, i] = hidden[r, i] * block.sigmoid[r, i] * inner
        for i in range(width):
            gradient.bias[0, i] += hidden[r, i]
        for i in range(gradient.out_bias.shape[1]):
            gradient.out_bias[0, i] += slopes[r, i]
    add_products(gradient.out, block.hidden[:rows, : len(gradient.out)].T, slopes[:rows])
    add_products(gradient.advice, block.advice[:rows].T, hidden[:rows])
    add_products(gradient.recurrent, y.T, hidden[:rows])


class LearnerWorkspace(NamedTuple):
    """The weights of a head, their gradient, and scratch for BLOCK_ROWS examples. Letters as in `head`."""

    levels: Singles  # (L,) of the knots
    head: Head  # weights
    out: Singles  # (P, V) O, padded
    gradient: Head
    block: HeadBlock
    outputs: Singles  # (BLOCK_ROWS, P)
    hidden: Singles  # (BLOCK_ROWS, V)


@compiled
def loss_gradient(
    y: Singles, points: Singles, trust: Singles, lead: Singles, label: Singles, workspace: Handle[LearnerWorkspace]
) -> float:
    """Return the weighted mean pinball loss over labelled examples, and add its gradient to that of the workspace.

    Args:
        y: Encodings, (B, U).
        points: Expert forecasts, (B, 1, E); see Examples.
        trust: See Examples, (B, 1, E).
        lead: See Examples, (B, 1, 3).
        label: Labels, units, none of them NaN, (B,).
        workspace: Weights, gradient and scratch.
    """
    loss, stored = np.float64(0), contents(workspace)
    levels, head, out, gradient = stored.levels, stored.head, stored.out, stored.gradient
    block, outputs, hidden = stored.block, stored.outputs, stored.hidden
    for first in range(0, len(label), BLOCK_ROWS):
        end = min(first + BLOCK_ROWS, len(label))
        fill_advice(points[first:end], trust[first:end], lead[first:end], block)
        forward_block(y[first:end], 1, head, block)
        for b in range(first, end):
            weight = example_weight(trust[b, 0]) / np.float32(len(label) * len(levels))
            part = pinball_gradient(label[b], weight, levels, b - first, block, outputs[b - first])
            loss += np.float64(weight * part)
        backpropagate(y[first:end], out, gradient, block, outputs, hidden)
    return loss


@compiled
def norm(numbers: Singles) -> float:
    """Return the Euclidean norm of a vector, in double precision, because squares may overflow in single precision."""
    total = 0.0
    for number in numbers:
        total += np.float64(number) * np.float64(number)
    return math.sqrt(total)


@compiled
def adam_step(
    state: Singles, start: Singles, gradient: Singles, clip: float, rate: np.float32, root: np.float32,
    betas: Singles, result: Singles,
) -> tuple[bool, float]:  # fmt: skip
    """Take an Adam step and pull the weights towards `start`, unless a result is not finite.

    Returns whether the step was taken, and the norm of the gradient before clipping.

    Args:
        state: Weights, first and second moments, (3, n); updated.
        start: Weights at the start, (n,).
        gradient: Gradient of the loss, (n,).
        clip: Largest norm of the gradient; larger ones are scaled down.
        rate: Learning rate over the bias correction of the first moment.
        root: Square root of the bias correction of the second moment.
        betas: Decays of the moments, and one minus each, (2, 2).
        result: Scratch, (3, n).
    """
    size = norm(gradient)
    scale = np.float32(min(1.0, clip / (size + 1e-6)))  # NaN if the gradient is not finite
    for i in range(len(gradient)):
        slope = gradient[i] * scale
        first = state[1, i] + betas[1, 0] * (slope - state[1, i])
        second = betas[0, 1] * state[2, i] + betas[1, 1] * slope * slope
        result[0, i] = state[0, i] - rate * (first / (np.sqrt(second) / root + EPSILON))
        result[1, i], result[2, i] = first, second
    infinite = 0  # number of results that are not finite
    for row in range(len(result)):
        for i in range(result.shape[1]):
            infinite += not math.isfinite(result[row, i])
    if infinite == 0:
        copy_matrix(result, state)
        for i in range(len(start)):
            state[0, i] += ANCHOR_SHARE * (start[i] - state[0, i])
    return infinite == 0, size


class HeadLearner:
    """A copy of a head that learns, and its optimizer (Adam, Kingma & Ba 2015).

    `start` is the head's part of the network's flat weights, the tail. `hidden`, `experts` and `width` are U, E and W
    of the head, `levels` (L,) those of its knots. `clip_norm` is the largest norm of a gradient.
    """

    def __init__(
        self, *, start: Singles, hidden: int, experts: int, width: int, levels: Sequence[float] | Floats,
        learning_rate: float = LearningConfig.head_rate, clip_norm: float = LearningConfig.clip_norm,
    ) -> None:  # fmt: skip
        shape = (hidden, experts, width, len(levels))
        self._rate, self._clip = learning_rate, clip_norm
        self._betas = np.array([BETAS, [1 - beta for beta in BETAS]], np.float32)
        self._state = np.zeros((3, padded_size(*shape)), np.float32)
        self._parts = {name: head_views(row, *shape) for name, row in zip(ARRAYS, self._state, strict=True)}
        self.head = self._parts["weights"]
        """The head that learns; its arrays are updated in place."""
        self.steps = 0
        self._result, self._gradient = np.empty_like(self._state), np.zeros_like(self._state[0])
        self._out = np.zeros((self.head.out.shape[1], self.head.bias.shape[1]), np.float32)
        workspace = LearnerWorkspace(
            np.array(levels, np.float32), self.head, self._out, head_views(self._gradient, *shape),
            allocate_block(BLOCK_ROWS, 1, *shape[1:]),
            *(np.zeros((BLOCK_ROWS, size), np.float32) for size in self._out.shape),
        )  # fmt: skip
        self._workspace = Handle(workspace)
        fill_head(self.head, start)
        self._start = self._state[0].copy()

    def learn(self, examples: Examples) -> LearningResult:
        """Take one optimizer step, or skip it without a change if loss, gradient or weights are not finite."""
        unknown = np.isnan(examples.label)
        missing = np.count_nonzero(unknown)
        if missing == len(unknown):
            return LearningResult(math.nan, skipped=False)
        if missing:
            examples = Examples(*(part.compress(~unknown, 0) for part in examples))
        loss = self._fill_gradient(examples)
        moved, size = self._advance() if math.isfinite(loss) else (False, norm(self._gradient))
        self.steps += moved
        return LearningResult(loss, skipped=not moved, gradient_norm=size, weight_norm=norm(self._state[0]))

    def save(self) -> dict[str, NDArray[np.generic]]:
        """Return copies of the arrays by name: weights and moments as flat vectors, and the number of steps."""
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

    def _fill_gradient(self, examples: Examples) -> float:
        y, points, trust, lead, label = examples
        self._gradient[:], self._out[:, : len(self.head.out)] = 0, self.head.out.T
        return loss_gradient(y, points[:, None], trust[:, None], lead[:, None], label, self._workspace)

    def _advance(self) -> tuple[bool, float]:
        first, second = (1 - beta ** (self.steps + 1) for beta in BETAS)
        rate, root = np.float32(self._rate / first), np.float32(math.sqrt(second))
        return adam_step(self._state, self._start, self._gradient, self._clip, rate, root, self._betas, self._result)
