"""The network's head, the same for every horizon: it weighs the experts' forecasts and spreads quantiles round them.

    mid    = silu(A y + C [squash(points), trust, lead] + c)
    o      = O mid + b
    gate   = softmax(o[:E+1])            the last entry is persistence, whose point is 0
    center = sum_e gate[e] points[e]
    knots  = center + o[E+1:]

H hidden units, E experts, W the head's width, L knots, K horizons. All arithmetic is float32, and every element is
summed in a fixed order: its bits depend on nothing but the row's own numbers and the weights.
"""

import math
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Singles, compiled
from streamrnn.core.vector_math import ONE, ZERO, add_product, exponential
from streamrnn.errors import StateError

LEADS = 3
"""Numbers that tell a horizon to the head."""
LANES = 8
"""The outputs are padded with zeros to a multiple of it: odd ends of a loop cost more than whole ones."""


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
            f"weights of a head: an array of shape {flat.shape}, but {hidden} hidden units, {(given - LEADS) // 2} "
            f"experts, width {width} and {outputs} outputs make ({ends[-1]},): "
            "use the state or the model that was saved for this shape"
        )
    parts = [part.reshape(size) for part, size in zip(np.split(flat, ends[:-1]), sizes, strict=True)]
    for target, part in zip(
        (head.recurrent, head.given, head.bias, head.out[:, :outputs], head.out_bias), parts, strict=True
    ):
        target[...] = part.T


def flat_of(head: Head) -> Singles:
    """Flat tail of a head, a copy: what `head_of` takes."""
    parts = (head.recurrent, head.given, head.bias, head.out[:, : len(head.out_bias)], head.out_bias)
    return np.concatenate([part.T.ravel() for part in parts], dtype=np.float32)


class Work(NamedTuple):
    """Room that `read_head` writes to, the same for every row; what `respond` leaves there is what a gradient needs."""

    base: Singles
    """(W,), c + A y."""
    given: Singles
    """(2E+3,), the inputs besides y."""
    before: Singles
    """(W,), what silu is taken of."""
    share: Singles
    """(W,), the logistic function of it."""
    mid: Singles
    """(W,), their product: silu."""
    out: Singles
    """(P,), first the gate (E+1), then the offsets (L)."""


def work_of(head: Head) -> Work:
    """Room for `head`."""
    given, width = head.given.shape
    return Work(*(np.zeros(size, np.float32) for size in (width, given, width, width, width, head.out.shape[1])))


def _sizes(hidden: int, experts: int, width: int, knots: int) -> tuple[tuple[int, ...], ...]:
    outputs = experts + 1 + knots
    padded = -(-outputs // LANES) * LANES
    return (hidden, width), (2 * experts + LEADS, width), (width,), (width, padded), (outputs,)


@compiled
def recall(y: Singles, row: int, head: Head, work: Work) -> None:
    """work.base (W,) = c + A y[row], what all horizons take from the top layer's output `y` (B, H)."""
    for i in range(len(work.base)):
        work.base[i] = head.bias[i]
    add_product(work.base, y[row], head.recurrent)


@compiled
def respond(points: Singles, trust: Singles, lead: Singles, row: int, head: Head, knots: Singles, work: Work) -> None:
    """Fill knots[row] from work.base and the row of `points` and `trust` (B, E) and `lead` (B, 3)."""
    experts = points.shape[1]
    for e in range(experts):
        work.given[e] = math.copysign(math.log1p(abs(points[row, e])), points[row, e])
        work.given[experts + e] = trust[row, e]
    for i in range(LEADS):
        work.given[2 * experts + i] = lead[row, i]
    for i in range(len(work.base)):
        work.before[i] = work.base[i]
    add_product(work.before, work.given, head.given)
    for i in range(len(work.base)):
        work.share[i] = ONE / (ONE + exponential(-work.before[i]))
        work.mid[i] = work.before[i] * work.share[i]
    for i in range(len(work.out)):
        work.out[i] = head.out_bias[i] if i < len(head.out_bias) else ZERO
    add_product(work.out, work.mid, head.out)
    center = weigh(work.out, points, row)
    for q in range(knots.shape[1]):
        knots[row, q] = center + work.out[experts + 1 + q]


@compiled
def weigh(out: Singles, points: Singles, row: int) -> np.floating:
    """Softmax of the first E+1 of `out`, in place, and the mean of points[row] (E,) under it; persistence is at 0."""
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
def read_head(
    y: Singles, points: Singles, trust: Singles, lead: Singles, row: int, head: Head, knots: Singles, work: Work
) -> None:
    """Fill knots[row] (K, L), in units relative to the value, for one row of a wave; the knots may be out of order.

    `y` (B, H) is the top layer's output, `points` and `trust` are (B, K, E), `lead` is (B, K, 3), `knots` (B, K, L);
    `work` is written over.
    """
    recall(y, row, head, work)
    for k in range(points.shape[1]):
        respond(points[row], trust[row], lead[row], k, head, knots[row], work)
