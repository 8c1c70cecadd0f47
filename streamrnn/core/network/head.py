"""The head of a network, shared by all horizons: it gates the experts' forecasts and adds quantile offsets.

    hidden = silu(A y + C [signed_log(points), trust, lead] + c)
    o      = O hidden + b
    gate   = softmax(o[:E+1])            the last entry is persistence, whose point is 0
    center = sum_e gate[e] points[e]
    knots  = center + o[E+1:]

y (U,) is the encoding; there are E experts, W units of the head, L knots and K horizons. All arithmetic is float32, and
every element is summed in a fixed order, so that its bits depend only on the weights and the inputs of its row.
"""

import math
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Singles, compiled
from streamrnn.core.series.state import LEAD
from streamrnn.core.vector_math import ONE, ZERO, exponential
from streamrnn.core.vector_products import LANES, add_products
from streamrnn.errors import StateError


class Head(NamedTuple):
    """Weights of a head, laid out for contiguous inner loops; V and P are W and E+1+L, padded with zeros to LANES."""

    recurrent: Singles  # (U, V), A transposed
    advice: Singles  # (2E+3, V), C transposed
    bias: Singles  # (1, V), c
    out: Singles  # (W, P), O transposed
    out_bias: Singles  # (1, E+1+L), b


def head_views(flat: Singles, hidden: int, experts: int, width: int, knots: int) -> Head:
    """Return the parts of a head as views of `flat`, which has `padded_size` numbers."""
    sizes = _sizes(hidden, experts, width, knots)
    ends = list(accumulate(math.prod(size) for size in sizes))
    return Head(*(part.reshape(size) for part, size in zip(np.split(flat, ends[:-1]), sizes, strict=True)))


def padded_size(hidden: int, experts: int, width: int, knots: int) -> int:
    """Return the number of weights of a head, padding included."""
    return sum(math.prod(size) for size in _sizes(hidden, experts, width, knots))


def _sizes(hidden: int, experts: int, width: int, knots: int) -> tuple[tuple[int, int], ...]:
    outputs = experts + 1 + knots
    columns, padded = (-(-n // LANES) * LANES for n in (width, outputs))
    return (hidden, columns), (2 * experts + LEAD, columns), (1, columns), (width, padded), (1, outputs)


def unpack_head(flat: Singles, hidden: int, experts: int, width: int, knots: int) -> Head:
    """Return a copy of the head in the tail of a network's flat weights: A, C, c, O, b, each C-contiguous.

    Raises:
        StateError: The number of weights does not match this shape.
    """
    head = head_views(np.zeros(padded_size(hidden, experts, width, knots), np.float32), hidden, experts, width, knots)
    fill_head(head, flat)
    return head


def fill_head(head: Head, flat: Singles) -> None:
    """Overwrite `head` with the tail of flat weights; see `unpack_head`.

    Raises:
        StateError: The number of weights does not match this head.
    """
    hidden, advice, width, outputs = len(head.recurrent), len(head.advice), len(head.out), head.out_bias.shape[1]
    sizes = ((width, hidden), (width, advice), (width, 1), (outputs, width), (outputs, 1))
    ends = list(accumulate(math.prod(size) for size in sizes))
    if flat.shape != (ends[-1],):
        raise StateError(
            f"weights of a head: an array of shape {flat.shape}, but {hidden} hidden units, {(advice - LEAD) // 2} "
            f"experts, width {width} and {outputs} outputs make ({ends[-1]},): "
            "use the state or the model that was saved for this shape"
        )
    parts = [part.reshape(size) for part, size in zip(np.split(flat, ends[:-1]), sizes, strict=True)]
    for target, part in zip(_unpadded(head), parts, strict=True):
        target[...] = part.T


def flatten_head(head: Head) -> Singles:
    """Return a copy of a head as the tail of flat weights; see `unpack_head`."""
    return np.concatenate([part.T.ravel() for part in _unpadded(head)], dtype=np.float32)


def _unpadded(head: Head) -> Head:
    width, outputs = len(head.out), head.out_bias.shape[1]
    recurrent, advice, bias = (part[:, :width] for part in head[:3])
    return Head(recurrent, advice, bias, head.out[:, :outputs], head.out_bias)


class HeadBlock(NamedTuple):
    """Scratch of a forward pass over C pairs of a row and a horizon, read by the backward pass; V and P as in Head."""

    projection: Singles  # (R, V) c + A y, by row
    advice: Singles  # (C, 2E+3) inputs other than y
    points: Singles  # (E, C)
    preactivation: Singles  # (C, V)
    sigmoid: Singles  # (C, V) logistic function of the preactivation
    hidden: Singles  # (C, V) silu: product of preactivation and sigmoid
    out: Singles  # (C, P) outputs: logits of the gate (E+1), then offsets (L)
    columns: Singles  # (P, C) the outputs transposed, with exponentials in place of the logits
    total: Singles  # (3, C) sum of the exponentials, mean of the points under the gate, largest logit


def allocate_block(rows: int, horizons: int, experts: int, width: int, knots: int) -> HeadBlock:
    """Allocate the scratch for numbers of rows and horizons; C is their product, padded to a multiple of LANES."""
    pairs, columns, outputs = (-(-n // LANES) * LANES for n in (rows * horizons, width, experts + 1 + knots))
    sizes = (
        (rows, columns), (pairs, 2 * experts + LEAD), (experts, pairs), (pairs, columns), (pairs, columns),
        (pairs, columns), (pairs, outputs), (outputs, pairs), (3, pairs),
    )  # fmt: skip
    return HeadBlock(*(np.zeros(size, np.float32) for size in sizes))


@compiled
def fill_advice(points: Singles, trust: Singles, lead: Singles, block: HeadBlock) -> None:
    """Fill the inputs other than the encoding from `points` and `trust` (R, K, E) and `lead` (R, K, 3)."""
    rows, horizons, experts = points.shape
    for r in range(rows):
        for k in range(horizons):
            pair = r * horizons + k
            for e in range(experts):
                point = points[r, k, e]
                block.points[e, pair] = point
                block.advice[pair, e] = math.copysign(math.log1p(abs(point)), point)
                block.advice[pair, experts + e] = trust[r, k, e]
            for i in range(LEAD):
                block.advice[pair, 2 * experts + i] = lead[r, k, i]


@compiled
def forward_block(y: Singles, horizons: int, head: Head, block: HeadBlock) -> None:
    """Compute the outputs of a head from the encodings `y` (R, U) and block.advice; see `gate_block`."""
    rows, width, outputs = len(y), head.bias.shape[1], head.out_bias.shape[1]
    pairs = rows * horizons
    for r in range(rows):
        for i in range(width):
            block.projection[r, i] = head.bias[0, i]
    add_products(block.projection[:rows], y, head.recurrent)
    for pair in range(pairs):
        for i in range(width):
            block.preactivation[pair, i] = block.projection[pair // horizons, i]
    add_products(block.preactivation[:pairs], block.advice[:pairs], head.advice)
    for pair in range(pairs):
        activate(block.preactivation[pair], block.sigmoid[pair], block.hidden[pair])
        for i in range(outputs):
            block.out[pair, i] = head.out_bias[0, i]
    add_products(block.out[:pairs], block.hidden[:pairs], head.out)
    for pair in range(pairs):
        for i in range(outputs):
            block.columns[i, pair] = block.out[pair, i]
    gate_block(pairs, block)


@compiled
def activate(preactivation: Singles, sigmoid: Singles, hidden: Singles) -> None:
    """Fill the logistic function and silu of `preactivation` (V,)."""
    for i in range(len(preactivation)):
        sigmoid[i] = ONE / (ONE + exponential(-preactivation[i]))
    for i in range(len(preactivation)):
        hidden[i] = preactivation[i] * sigmoid[i]


@compiled
def gate_block(pairs: int, block: HeadBlock) -> None:
    """Replace the logits in the first E+1 columns by exponentials, and fill block.total."""
    experts, lanes = len(block.points), -(-pairs // LANES) * LANES  # whole vectors; results of the padding are unused
    total, center, largest = block.total[0], block.total[1], block.total[2]
    for i in range(lanes):
        largest[i], center[i] = block.columns[experts, i], ZERO
    for e in range(experts):
        for i in range(lanes):
            largest[i] = max(largest[i], block.columns[e, i])
    for e in range(experts + 1):
        for i in range(lanes):
            block.columns[e, i] = exponential(block.columns[e, i] - largest[i])
    for i in range(lanes):
        total[i] = block.columns[experts, i]
    for e in range(experts):
        for i in range(lanes):
            total[i] += block.columns[e, i]
            center[i] += block.columns[e, i] * block.points[e, i]
    for i in range(lanes):
        center[i] /= total[i]
