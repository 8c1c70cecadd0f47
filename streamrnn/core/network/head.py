"""The head of the network, the same for every horizon: it gates the experts' forecasts and adds quantile offsets.

    hidden = silu(A y + C [signed_log(points), trust, lead] + c)
    o      = O hidden + b
    gate   = softmax(o[:E+1])            the last entry is persistence, whose point is 0
    center = sum_e gate[e] points[e]
    knots  = center + o[E+1:]

y (H,) is the encoding, E the number of experts, W the units of the head, L the knots, K the horizons. All arithmetic is
float32, and every element is summed in a fixed order: its bits depend only on the row's own numbers and the weights.
"""

import math
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Singles, compiled
from streamrnn.core.series.state import LEAD
from streamrnn.core.vector_math import ONE, ZERO, add_product, exponential
from streamrnn.errors import StateError

LANES = 8
"""The outputs are padded with zeros to a multiple of it, because the remainder of a vectorized loop is slow."""


class Head(NamedTuple):
    """Weights, float32, with the innermost loop over adjacent numbers; P is E+1+L, padded."""

    recurrent: Singles  # (H, W), A transposed
    advice: Singles  # (2E+3, W), C transposed
    bias: Singles  # (W,), c
    out: Singles  # (W, P), O transposed; zero from column E+1+L on
    out_bias: Singles  # (E+1+L,), b


class HeadActivations(NamedTuple):
    """Scratch of a forward pass over one row and horizon; a backward pass reads it."""

    projection: Singles  # (W,), c + A y
    advice: Singles  # (2E+3,), inputs besides y
    preactivation: Singles  # (W,)
    sigmoid: Singles  # (W,), logistic function of the preactivation
    hidden: Singles  # (W,), silu: their product
    out: Singles  # (P,), the gate (E+1), then the offsets (L)


def head_views(buffer: Singles, hidden: int, experts: int, width: int, knots: int) -> Head:
    """Return the parts of a head as views of a flat `buffer` of `padded_size` numbers."""
    sizes = _sizes(hidden, experts, width, knots)
    ends = list(accumulate(math.prod(size) for size in sizes))
    return Head(*(part.reshape(size) for part, size in zip(np.split(buffer, ends[:-1]), sizes, strict=True)))


def padded_size(hidden: int, experts: int, width: int, knots: int) -> int:
    """Return the number of weights of a head, padding included."""
    return sum(math.prod(size) for size in _sizes(hidden, experts, width, knots))


def unpack_head(flat: Singles, hidden: int, experts: int, width: int, knots: int) -> Head:
    """Copy a head from the tail of a network's flat weights: A, C, c, O, b, each C-contiguous.

    Raises:
        StateError: The number of weights does not match this shape.
    """
    head = head_views(np.zeros(padded_size(hidden, experts, width, knots), np.float32), hidden, experts, width, knots)
    fill_head(head, flat)
    return head


def fill_head(head: Head, flat: Singles) -> None:
    """Overwrite `head` with a flat tail; see `unpack_head`.

    Raises:
        StateError: The number of weights does not match this head.
    """
    (hidden, width), advice, outputs = head.recurrent.shape, len(head.advice), len(head.out_bias)
    sizes = ((width, hidden), (width, advice), (width,), (outputs, width), (outputs,))
    ends = list(accumulate(math.prod(size) for size in sizes))
    if flat.shape != (ends[-1],):
        raise StateError(
            f"weights of a head: an array of shape {flat.shape}, but {hidden} hidden units, {(advice - LEAD) // 2} "
            f"experts, width {width} and {outputs} outputs make ({ends[-1]},): "
            "use the state or the model that was saved for this shape"
        )
    parts = [part.reshape(size) for part, size in zip(np.split(flat, ends[:-1]), sizes, strict=True)]
    targets = head.recurrent, head.advice, head.bias, head.out[:, :outputs], head.out_bias
    for target, part in zip(targets, parts, strict=True):
        target[...] = part.T


def flatten_head(head: Head) -> Singles:
    """Return a copy of a head as a flat tail; see `unpack_head`."""
    parts = (head.recurrent, head.advice, head.bias, head.out[:, : len(head.out_bias)], head.out_bias)
    return np.concatenate([part.T.ravel() for part in parts], dtype=np.float32)


def allocate_activations(head: Head) -> HeadActivations:
    """Allocate the scratch for a forward or backward pass of `head`."""
    advice, width = head.advice.shape
    sizes = width, advice, width, width, width, head.out.shape[1]
    return HeadActivations(*(np.zeros(size, np.float32) for size in sizes))


def _sizes(hidden: int, experts: int, width: int, knots: int) -> tuple[tuple[int, ...], ...]:
    outputs = experts + 1 + knots
    padded = -(-outputs // LANES) * LANES
    return (hidden, width), (2 * experts + LEAD, width), (width,), (width, padded), (outputs,)


@compiled
def project_encoding(y: Singles, row: int, head: Head, work: HeadActivations) -> None:
    """Set work.projection (W,) to c + A y[row], which all horizons share; `y` is (B, H)."""
    for i in range(len(work.projection)):
        work.projection[i] = head.bias[i]
    add_product(work.projection, y[row], head.recurrent)


@compiled
def forward_head(
    points: Singles, trust: Singles, lead: Singles, row: int, head: Head, knots: Singles, work: HeadActivations
) -> None:
    """Fill knots[row] from work.projection and the row of `points` and `trust` (B, E) and `lead` (B, 3)."""
    experts = points.shape[1]
    for e in range(experts):
        work.advice[e] = math.copysign(math.log1p(abs(points[row, e])), points[row, e])
        work.advice[experts + e] = trust[row, e]
    for i in range(LEAD):
        work.advice[2 * experts + i] = lead[row, i]
    for i in range(len(work.projection)):
        work.preactivation[i] = work.projection[i]
    add_product(work.preactivation, work.advice, head.advice)
    for i in range(len(work.projection)):
        work.sigmoid[i] = ONE / (ONE + exponential(-work.preactivation[i]))
        work.hidden[i] = work.preactivation[i] * work.sigmoid[i]
    for i in range(len(work.out)):
        work.out[i] = head.out_bias[i] if i < len(head.out_bias) else ZERO
    add_product(work.out, work.hidden, head.out)
    center = gate_experts(work.out, points, row)
    for q in range(knots.shape[1]):
        knots[row, q] = center + work.out[experts + 1 + q]


@compiled
def gate_experts(out: Singles, points: Singles, row: int) -> np.floating:
    """Turn the first E+1 of `out` into their softmax; return the mean of points[row] (E,) and persistence under it."""
    experts = points.shape[1]
    largest = out[experts]
    for e in range(experts):
        largest = max(largest, out[e])
    for e in range(experts + 1):
        out[e] = exponential(out[e] - largest)
    total, center = out[experts], ZERO
    for e in range(experts):
        total += out[e]
        center += out[e] * points[row, e]
    for e in range(experts + 1):
        out[e] /= total
    return np.float32(center / total)


@compiled
def fill_knots(
    y: Singles, points: Singles, trust: Singles, lead: Singles, row: int, head: Head, knots: Singles,
    work: HeadActivations,
) -> None:  # fmt: skip
    """Fill knots[row] (K, L), unsorted, in units relative to the value, for one row of a wave.

    `y` (B, H) is the encoding, `points` and `trust` are (B, K, E), `lead` is (B, K, 3), `knots` (B, K, L).
    """
    project_encoding(y, row, head, work)
    for k in range(points.shape[1]):
        forward_head(points[row], trust[row], lead[row], k, head, knots[row], work)
