"""The network's head, the same for every horizon: it weighs the experts' forecasts and spreads quantiles round them.

    mid    = silu(A y + C [squash(points), trust, lead] + c)
    o      = O mid + b
    gate   = softmax(o[:E+1])            the last entry is persistence, whose point is 0
    center = sum_e gate[e] points[e]
    knots  = center + o[E+1:]

H hidden units, E experts, W the head's width, L knots, K horizons. All arithmetic is float32, and every element is summed
in a fixed order: its bits depend on nothing but the row's own numbers and the weights.
"""

import math
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from streamrnn.core.compiled import Singles, compiled
from streamrnn.errors import StateError

LEADS = 3
"""Numbers that tell a horizon to the head."""
LANES = 8
"""The outputs are padded with zeros to a multiple of it: odd ends of a loop cost more than whole ones."""
ZERO, ONE = np.float32(0), np.float32(1)  # a bare 1.0 would turn the arithmetic round it to float64


class Head(NamedTuple):
    """Weights, float32, laid out so that the innermost loops run over neighbours; P is E+1+L, padded."""

    recurrent: Singles
    """(H, W), A transposed."""
    given: Singles
    """(2E+3, W), C transposed."""
    bias: Singles
    """(W,), c."""
    out: Singles
    """(W, P), O transposed; zero from column E+1+L on."""
    out_bias: Singles
    """(E+1+L,), b."""


def views_of(buffer: Singles, hidden: int, experts: int, width: int, knots: int) -> Head:
    """Lay the parts of a head over a flat `buffer` of `padded_size` numbers; they share its memory."""
    sizes = _sizes(hidden, experts, width, knots)
    ends = list(accumulate(math.prod(size) for size in sizes))
    return Head(*(part.reshape(size) for part, size in zip(np.split(buffer, ends[:-1]), sizes, strict=True)))


def padded_size(hidden: int, experts: int, width: int, knots: int) -> int:
    """How many numbers a head's parts hold, padding included."""
    return sum(math.prod(size) for size in _sizes(hidden, experts, width, knots))


def head_of(flat: Singles, hidden: int, experts: int, width: int, knots: int) -> Head:
    """Head from the tail of a network's flat weights: A, C, c, O, b, each C-contiguous; the numbers are copied.

    Raises:
        StateError: the number of weights is not that of this shape.
    """
    head = views_of(np.zeros(padded_size(hidden, experts, width, knots), np.float32), hidden, experts, width, knots)
    fill(head, flat)
    return head


def fill(head: Head, flat: Singles) -> None:
    """Overwrite `head` with the numbers of a flat tail.

    Raises:
        StateError: the number of weights is not that of this head.
    """
    (hidden, width), given, outputs = head.recurrent.shape, len(head.given), len(head.out_bias)
    sizes = ((width, hidden), (width, given), (width,), (outputs, width), (outputs,))
    ends = list(accumulate(math.prod(size) for size in sizes))
    if flat.shape != (ends[-1],):
        raise StateError(
            f"weights of a head: an array of shape {flat.shape}, but {hidden} hidden units, {(given - LEADS) // 2} experts, "
            f"width {width} and {outputs} outputs make ({ends[-1]},): use the state or the model that was saved for this shape"
        )
    parts = [part.reshape(size) for part, size in zip(np.split(flat, ends[:-1]), sizes, strict=True)]
    for target, part in zip((head.recurrent, head.given, head.bias, head.out[:, :outputs], head.out_bias), parts, strict=True):
        target[...] = part.T


def flat_of(head: Head) -> Singles:
    """Flat tail of a head, a copy: what `head_of` takes."""
    parts = (head.recurrent, head.given, head.bias, head.out[:, : len(head.out_bias)], head.out_bias)
    return np.concatenate([part.T.ravel() for part in parts], dtype=np.float32)


def work_of(head: Head) -> Singles:
    """Room that `read_head` and `respond` write to, the same for every row: 5 rows, one for each vector on the way."""
    return np.zeros((5, max(*head.given.shape, head.out.shape[1])), np.float32)


def _sizes(hidden: int, experts: int, width: int, knots: int) -> tuple[tuple[int, ...], ...]:
    outputs = experts + 1 + knots
    padded = -(-outputs // LANES) * LANES
    return (hidden, width), (2 * experts + LEADS, width), (width,), (width, padded), (outputs,)


@compiled
def add_product(out: Singles, vector: Singles, weight: Singles) -> None:
    """out (M,) += vector (N,) @ weight (N, M), each element summed in the order of N."""
    size, whole = len(vector), len(vector) // 4 * 4
    for i in range(0, whole, 4):  # four at a time: the same order, and a fourth of the loads and stores of `out`
        w, x, y, z = vector[i], vector[i + 1], vector[i + 2], vector[i + 3]
        for j in range(len(out)):
            out[j] = (((out[j] + w * weight[i, j]) + x * weight[i + 1, j]) + y * weight[i + 2, j]) + z * weight[i + 3, j]
    for i in range(whole, size):
        for j in range(len(out)):
            out[j] += vector[i] * weight[i, j]


@compiled
def respond(base: Singles, points: Singles, trust: Singles, lead: Singles, head: Head, knots: Singles, work: Singles) -> None:
    """`knots` (L,) of one horizon from base = c + A y (W,); leaves in `work` what a gradient needs.

    The rows of `work`: the inputs (2E+3,), the sum before silu (W,), its logistic function (W,), mid (W,), and the gate (E+1,).
    """
    experts, width, outputs = len(points), len(base), len(head.out_bias)
    given, before, share = work[0, : 2 * experts + LEADS], work[1, :width], work[2, :width]
    mid, out = work[3, :width], work[4, : head.out.shape[1]]
    for e in range(experts):
        given[e] = math.copysign(math.log1p(abs(points[e])), points[e])
        given[experts + e] = trust[e]
    given[2 * experts :] = lead
    before[:] = base
    add_product(before, given, head.given)
    for i in range(width):
        share[i] = ONE / (ONE + math.exp(-before[i]))
        mid[i] = before[i] * share[i]
    out[:outputs] = head.out_bias
    out[outputs:] = ZERO
    add_product(out, mid, head.out)
    largest = out[experts]
    for e in range(experts):
        largest = max(largest, out[e])
    total = ZERO
    for e in range(experts + 1):
        out[e] = math.exp(out[e] - largest)
        total += out[e]
    center = ZERO
    for e in range(experts + 1):
        out[e] /= total
        if e < experts:
            center += out[e] * points[e]
    for q in range(len(knots)):
        knots[q] = center + out[experts + 1 + q]


@compiled
def read_head(
    y: Singles, points: Singles, trust: Singles, lead: Singles, head: Head, base: Singles, knots: Singles, work: Singles
) -> None:
    """Fill `knots` (K, L), in units relative to the value, for one row and all its horizons.

    `y` (H,) is the top layer's output, `points` and `trust` (K, E), `lead` (K, 3); `base` (W,) and `work` (see work_of)
    are written over.
    """
    base[:] = head.bias
    add_product(base, y, head.recurrent)
    for k in range(len(points)):
        respond(base, points[k], trust[k], lead[k], head, knots[k], work)
