"""One step of cells and head for one wave, as compiled loops.

They do each row by itself, so that its bits do not depend on the wave; they are also ten times faster than torch on the
few rows that a wave often has. Laws tie them to the network of the learner.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Integers, Singles, compiled, compiled_allocating
from streamrnn.core.network.head import Head, Work, head_of, read_head
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.series.wave import Described
from streamrnn.core.vector_math import ONE, ZERO, add_product, exponential

HIDDEN_LIMIT = 1e3
"""A state beyond it (only a ReLU network can reach it) is set back to zero."""
TWO = np.float32(2)
CODES = {"rnn_tanh": 0, "rnn_relu": 1, "gru": 2, "lstm": 3}


class Reading(NamedTuple):
    """How Q quantiles are read between the knots: linearly in the quantiles of the normal distribution."""

    lower: Integers  # (Q,) index of the knot below
    share: Singles  # (Q,) of the way to the next one; outside 0 to 1 beyond the outermost knots


def reading(quantiles: tuple[float, ...]) -> Reading:
    """For these levels."""
    knots, wanted = (np.array([NormalDist().inv_cdf(p) for p in levels]) for levels in (KNOTS, quantiles))
    lower = np.clip(np.searchsorted(knots, wanted + 1e-9) - 1, 0, len(knots) - 2).astype(np.int64)
    share = (wanted - knots[lower]) / (knots[lower + 1] - knots[lower])
    return Reading(lower, share.round(9).astype(np.float32))


@compiled
def sigmoid(x: np.float32) -> np.float32:
    """Logistic function, without overflow."""
    return ONE / (ONE + exponential(-x))


@compiled
def tanh(x: np.float32) -> np.float32:
    """Hyperbolic tangent, within 2e-7 of itself."""
    return ONE - TWO / (ONE + exponential(x + x))


@compiled
def advance(cell: int, state: Singles, given: Singles, kept: Singles) -> None:
    """Next `state` (N, H) in place from both shares (G*H,) of the gates."""
    size = state.shape[1]
    if cell == 0:
        for i in range(size):
            state[0, i] = tanh(given[i] + kept[i])
    elif cell == 1:
        for i in range(size):
            state[0, i] = max(given[i] + kept[i], ZERO)
    elif cell == 2:
        for i in range(size):
            reset = sigmoid(given[i] + kept[i])
            update = sigmoid(given[size + i] + kept[size + i])
            new = tanh(given[2 * size + i] + reset * kept[2 * size + i])
            state[0, i] = new + update * (state[0, i] - new)
    else:
        for i in range(size):
            ingate = sigmoid(given[i] + kept[i])
            forget = sigmoid(given[size + i] + kept[size + i])
            new = tanh(given[2 * size + i] + kept[2 * size + i])
            state[1, i] = forget * state[1, i] + ingate * new
            state[0, i] = sigmoid(given[3 * size + i] + kept[3 * size + i]) * tanh(state[1, i])


class Layers(NamedTuple):
    """Weights of D recurrent layers, laid out so that the innermost loop runs over neighbours; M gates in all."""

    into: Singles  # (F + (D-1) H, M)
    within: Singles  # (D*H, M)
    biases: Singles  # (D, 2, M)
    decay: Singles  # (2, D, H) rate and start; nothing where the state does not decay


@compiled_allocating
def layers_of(cell: int, state: Singles, inputs: Singles, layers: Layers, work: Singles) -> None:
    """Advance one row's `state` (D, N, H) by `inputs` (F,); `work` (2, M) is room."""
    size, first = state.shape[2], len(inputs)
    for layer in range(len(state)):
        work[0], work[1] = layers.biases[layer, 0], layers.biases[layer, 1]
        if layer == 0:
            add_product(work[0], inputs, layers.into[:first])
        else:
            at = first + (layer - 1) * size
            add_product(work[0], state[layer - 1, 0], layers.into[at : at + size])
        add_product(work[1], state[layer, 0], layers.within[layer * size : (layer + 1) * size])
        advance(cell, state[layer], work[0], work[1])


@compiled
def fade(state: Singles, late: np.float32, decay: Singles) -> None:
    """Let one row's `state` (D, N, H) decay with the time step `late`; see encoders."""
    for layer in range(len(state)):
        for i in range(state.shape[2]):
            kept = exponential(-max(decay[0, layer, i] * max(late, ZERO) + decay[1, layer, i], ZERO))
            for vector in range(state.shape[1]):
                state[layer, vector, i] *= kept


@compiled_allocating
def is_wild(state: Singles) -> bool:
    """Whether any number of a state is beyond HIDDEN_LIMIT, or none."""
    for value in state.flat:  # noqa: SIM110 - compiled code has no generators
        if not abs(value) <= HIDDEN_LIMIT:
            return True
    return False


@compiled_allocating
def step_rows(
    cell: int, gap: int, hidden: Singles, rows: Integers, inputs: Singles, top: Singles, layers: Layers
) -> None:
    """One wave: advances `hidden[rows]` (S, D, N, H) and fills `top` (B, H); `gap` as for an Encoder."""
    work = np.empty((2, layers.biases.shape[2]), np.float32)
    for b in range(len(rows)):
        state = hidden[rows[b]]
        if gap >= 0:
            fade(state, inputs[b, gap], layers.decay)
        layers_of(cell, state, inputs[b], layers, work)
        if is_wild(state):
            state[:] = 0.0
        top[b] = state[len(state) - 1, 0]


@compiled
def answer_rows(
    top: Singles, points: Singles, trust: Singles, lead: Singles, head: Head, work: Work, lower: Integers,
    share: Singles, knots: Singles, quantiles: Singles,
) -> None:  # fmt: skip
    """One wave: fills `quantiles` (B, K, Q), in units, from `top` (B, H) and the experts (B, K, E), through `knots`."""
    for b in range(len(top)):
        read_head(top, points, trust, lead, b, head, knots, work)
        for k in range(knots.shape[1]):
            ordered = knots[b, k]
            for i in range(1, len(ordered)):
                for j in range(i, 0, -1):
                    if ordered[j] < ordered[j - 1]:
                        ordered[j], ordered[j - 1] = ordered[j - 1], ordered[j]
            for q in range(len(lower)):
                below = ordered[lower[q]]
                quantiles[b, k, q] = below + share[q] * (ordered[lower[q] + 1] - below)


def answer(
    head: Head, work: Work, read: Reading, top: Singles, described: Described, knots: Singles, quantiles: Singles
) -> None:
    """What a head says of a wave: fills `quantiles` (B, K, Q), in units, and, on the way, `knots` (B, K, L)."""
    points, trust, lead = described.points, described.trust, described.lead
    answer_rows(top, points, trust, lead, head, work, *read, knots, quantiles)


def head_from(weights: Singles, shape: Shape) -> Head:
    """The head of a network's flat weights."""
    return head_of(weights[-shape.head_size :], shape.encoder.top, shape.experts, shape.width, shape.knots)
