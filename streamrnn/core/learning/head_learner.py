"""Online learning of the head on top of fixed recurrent layers, without backpropagation through time.

Forward and backward pass are compiled loops, because torch's overhead exceeds the arithmetic of a step on some fifty
examples. A test compares them with torch's gradients. Sums run in the order of the examples, so that the same steps
give the same bits.
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

LABEL_LIMIT = np.float32(LABEL_CLIP)  # units; larger labels are clipped to it
MIN_WEIGHT, MAX_WEIGHT = np.float32(LABEL_WEIGHTS[0]), np.float32(LABEL_WEIGHTS[1])
ANCHOR_SHARE = np.float32(ANCHOR)
BLOCK = 32  # examples
EPSILON = np.float32(1e-8)  # of Adam: keeps the step finite while there was no gradient

ARRAYS = ("weights", "first_moment", "second_moment")  # saved arrays, in the order of the rows of a learner's state


@compiled
def example_weight(trust: Singles) -> np.float32:
    """Return the weight of an example; a predictable series weighs more, because the relative error counts."""
    best = trust[0]
    for e in range(1, len(trust)):
        best = min(best, trust[e])
    return min(max(exponential(-best), MIN_WEIGHT), MAX_WEIGHT)


@compiled
def pinball_gradient(
    label: np.float32, weight: np.float32, levels: Singles, example: int, block: HeadBlock, gradient: Singles
) -> np.float32:
    """Return one example's pinball loss, summed over the knots; fill `gradient` (P,) of the outputs with its slope."""
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
    """Add to `gradient` what follows from the gradients of a block's outputs.

    Args:
        y: Encodings, (R, U).
        weights: O, padded, (P, V).
        gradient: Of the head; updated.
        block: From the forward pass.
        slopes: Gradients of the outputs, (R, P).
        hidden: Scratch, (R, V); becomes the gradients of the preactivations.
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
    """The weights of a head, their gradient, and scratch for BLOCK examples."""

    levels: Singles  # of the knots, (L,)
    head: Head  # weights
    out: Singles  # O, padded, (P, V)
    gradient: Head
    block: HeadBlock
    outputs: Singles  # (BLOCK, P)
    hidden: Singles  # (BLOCK, V)


@compiled
def loss_gradient(
    y: Singles, points: Singles, trust: Singles, lead: Singles, label: Singles, workspace: Handle[LearnerWorkspace]
) -> float:
    """Return the weighted mean pinball loss over labelled examples; add its gradient.

    Args:
        y: Encodings, (B, U).
        points: As in Examples, (B, 1, E).
        trust: As in Examples, (B, 1, E).
        lead: As in Examples, (B, 1, 3).
        label: As in Examples, without NaN, (B,).
        workspace: Weights, gradient and scratch.
    """
    loss, (levels, head, out, gradient, block, outputs, hidden) = np.float64(0), contents(workspace)
    for first in range(0, len(label), BLOCK):
        end = min(first + BLOCK, len(label))
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
    """Return the Euclidean norm of a vector; in single precision the squares may overflow."""
    total = 0.0
    for number in numbers:
        total += np.float64(number) * np.float64(number)
    return math.sqrt(total)


@compiled
def adam_step(
    state: Singles, start: Singles, gradient: Singles, clip: float, rate: np.float32, root: np.float32,
    betas: Singles, result: Singles,
) -> tuple[bool, float]:  # fmt: skip
    """Take an Adam step, and pull the weights to `start`; return False, without a change, if a result is not finite.

    The second result is the norm of the gradient before clipping.

    Args:
        state: Weights, first and second moments, (3, n); updated.
        start: The first weights, (n,).
        gradient: Of the loss, (n,).
        clip: Largest norm of the gradient.
        rate: Learning rate, corrected for the first moment's start at zero.
        root: Square root of the same correction for the second moment.
        betas: Decays of the moments, and one minus each, (2, 2).
        result: Scratch, (3, n).
    """
    size = norm(gradient)
    scale = np.float32(min(1.0, clip / (size + 1e-6)))  # a gradient that is not finite gives NaN
    for i in range(len(gradient)):
        slope = gradient[i] * scale
        first = state[1, i] + betas[1, 0] * (slope - state[1, i])
        second = betas[0, 1] * state[2, i] + betas[1, 1] * slope * slope
        result[0, i] = state[0, i] - rate * (first / (np.sqrt(second) / root + EPSILON))
        result[1, i], result[2, i] = first, second
    wild = 0
    for row in range(len(result)):
        for i in range(result.shape[1]):
            wild += not math.isfinite(result[row, i])
    if wild == 0:
        copy_matrix(result, state)
        for i in range(len(start)):
            state[0, i] += ANCHOR_SHARE * (start[i] - state[0, i])
    return wild == 0, size


class HeadLearner:
    """A copy of a head that learns, and its optimizer (Adam, Kingma & Ba 2015).

    `start` is the flat tail of the network's weights; `hidden`, `experts` and `width` are the U, E and W of the head;
    `levels` (L,) are those of the knots; `clip_norm` is the largest norm of a gradient.
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
        """The trained head; its arrays are changed in place."""
        self.steps = 0
        self._result, self._gradient = np.empty_like(self._state), np.zeros_like(self._state[0])
        self._out = np.zeros((self.head.out.shape[1], self.head.bias.shape[1]), np.float32)
        workspace = LearnerWorkspace(
            np.array(levels, np.float32), self.head, self._out, head_views(self._gradient, *shape),
            allocate_block(BLOCK, 1, *shape[1:]), *(np.zeros((BLOCK, size), np.float32) for size in self._out.shape),
        )  # fmt: skip
        self._workspace = Handle(workspace)
        fill_head(self.head, start)
        self._start = self._state[0].copy()

    def learn(self, examples: Examples) -> LearningResult:
        """Take one optimizer step; if loss, gradient or weights are not finite, skip it and change nothing."""
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

    def _fill_gradient(self, examples: Examples) -> float:
        y, points, trust, lead, label = examples
        self._gradient[:], self._out[:, : len(self.head.out)] = 0, self.head.out.T
        return loss_gradient(y, points[:, None], trust[:, None], lead[:, None], label, self._workspace)

    def _advance(self) -> tuple[bool, float]:
        first, second = (1 - beta ** (self.steps + 1) for beta in BETAS)
        rate, root = np.float32(self._rate / first), np.float32(math.sqrt(second))
        return adam_step(self._state, self._start, self._gradient, self._clip, rate, root, self._betas, self._result)
