"""One step of the recurrent layers and of the head for one wave, in compiled loops.

Each row is computed by itself, so its bits do not depend on the wave; on the few rows of a typical wave the loops are
ten times faster than torch. Laws compare them with the network in torch.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Integers, Singles, compiled, compiled_allocating
from streamrnn.core.network.head import Head, HeadActivations, fill_knots, unpack_head
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.series.wave import WaveFeatures
from streamrnn.core.vector_math import ONE, ZERO, add_product, exponential

HIDDEN_LIMIT = 1e3
"""A state beyond it, which only a ReLU network can reach, is reset to zero."""
TWO = np.float32(2)
CODES = {"rnn_tanh": 0, "rnn_relu": 1, "gru": 2, "lstm": 3}


class KnotInterpolation(NamedTuple):
    """Interpolation of Q quantiles between the knots: linear in the quantiles of the normal distribution."""

    lower: Integers  # (Q,) index of the knot below
    share: Singles  # (Q,) of the distance to the next knot; outside 0 to 1 beyond the outermost knots


def knot_interpolation(quantiles: tuple[float, ...]) -> KnotInterpolation:
    """Return the interpolation for these levels."""
    knots, wanted = (np.array([NormalDist().inv_cdf(p) for p in levels]) for levels in (KNOTS, quantiles))
    lower = np.clip(np.searchsorted(knots, wanted + 1e-9) - 1, 0, len(knots) - 2).astype(np.int64)
    share = (wanted - knots[lower]) / (knots[lower + 1] - knots[lower])
    return KnotInterpolation(lower, share.round(9).astype(np.float32))


@compiled
def sigmoid(x: np.float32) -> np.float32:
    """Return the logistic function of x, without overflow."""
    return ONE / (ONE + exponential(-x))


@compiled
def tanh(x: np.float32) -> np.float32:
    """Return the hyperbolic tangent of x, within 2e-7."""
    return ONE - TWO / (ONE + exponential(x + x))


@compiled
def step_cell(cell: int, state: Singles, into: Singles, within: Singles) -> None:
    """Advance `state` (N, H) in place; the gates (G*H,) are sums of `into`, from the inputs, and `within`."""
    size = state.shape[1]
    if cell == 0:
        for i in range(size):
            state[0, i] = tanh(into[i] + within[i])
    elif cell == 1:
        for i in range(size):
            state[0, i] = max(into[i] + within[i], ZERO)
    elif cell == 2:
        for i in range(size):
            reset = sigmoid(into[i] + within[i])
            update = sigmoid(into[size + i] + within[size + i])
            new = tanh(into[2 * size + i] + reset * within[2 * size + i])
            state[0, i] = new + update * (state[0, i] - new)
    else:
        for i in range(size):
            ingate = sigmoid(into[i] + within[i])
            forget = sigmoid(into[size + i] + within[size + i])
            new = tanh(into[2 * size + i] + within[2 * size + i])
            state[1, i] = forget * state[1, i] + ingate * new
            state[0, i] = sigmoid(into[3 * size + i] + within[3 * size + i]) * tanh(state[1, i])


class LayerWeights(NamedTuple):
    """Weights of D recurrent layers, with the innermost loop over adjacent numbers; M is G*H."""

    into: Singles  # (F + (D-1) H, M)
    within: Singles  # (D*H, M)
    biases: Singles  # (D, 2, M)
    decay: Singles  # (2, D, H) rate and start; empty without decay


@compiled_allocating
def step_layers(cell: int, state: Singles, inputs: Singles, layers: LayerWeights, gates: Singles) -> None:
    """Advance one row's `state` (D, N, H) by `inputs` (F,); `gates` (2, M) is scratch."""
    size, first = state.shape[2], len(inputs)
    for layer in range(len(state)):
        gates[0], gates[1] = layers.biases[layer, 0], layers.biases[layer, 1]
        if layer == 0:
            add_product(gates[0], inputs, layers.into[:first])
        else:
            at = first + (layer - 1) * size
            add_product(gates[0], state[layer - 1, 0], layers.into[at : at + size])
        add_product(gates[1], state[layer, 0], layers.within[layer * size : (layer + 1) * size])
        step_cell(cell, state[layer], gates[0], gates[1])


@compiled
def decay_state(state: Singles, gap: np.float32, decay: Singles) -> None:
    """Decay one row's `state` (D, N, H) by the time step `gap`; see encoders."""
    for layer in range(len(state)):
        for i in range(state.shape[2]):
            factor = exponential(-max(decay[0, layer, i] * max(gap, ZERO) + decay[1, layer, i], ZERO))
            for vector in range(state.shape[1]):
                state[layer, vector, i] *= factor


@compiled_allocating
def exceeds_limit(state: Singles) -> bool:
    """Return whether any number of a state is NaN or beyond HIDDEN_LIMIT."""
    for value in state.flat:  # noqa: SIM110 - compiled code has no generators
        if not abs(value) <= HIDDEN_LIMIT:
            return True
    return False


@compiled_allocating
def step_rows(
    cell: int, gap: int, hidden: Singles, rows: Integers, inputs: Singles, top: Singles, layers: LayerWeights
) -> None:
    """Advance `hidden[rows]` (S, D, N, H) by one wave and fill `top` (B, H); `gap` as in Encoder."""
    gates = np.empty((2, layers.biases.shape[2]), np.float32)
    for b in range(len(rows)):
        state = hidden[rows[b]]
        if gap >= 0:
            decay_state(state, inputs[b, gap], layers.decay)
        step_layers(cell, state, inputs[b], layers, gates)
        if exceeds_limit(state):
            state[:] = 0.0
        top[b] = state[len(state) - 1, 0]


@compiled
def fill_quantiles(
    top: Singles, points: Singles, trust: Singles, lead: Singles, head: Head, work: HeadActivations, lower: Integers,
    share: Singles, knots: Singles, quantiles: Singles,
) -> None:  # fmt: skip
    """Fill `quantiles` (B, K, Q) in units, from encodings `top` (B, H) and experts (B, K, E), by way of `knots`."""
    for b in range(len(top)):
        fill_knots(top, points, trust, lead, b, head, knots, work)
        for k in range(knots.shape[1]):
            ordered = knots[b, k]
            for i in range(1, len(ordered)):
                for j in range(i, 0, -1):
                    if ordered[j] < ordered[j - 1]:
                        ordered[j], ordered[j - 1] = ordered[j - 1], ordered[j]
            for q in range(len(lower)):
                below = ordered[lower[q]]
                quantiles[b, k, q] = below + share[q] * (ordered[lower[q] + 1] - below)


def forecast_wave(
    head: Head, work: HeadActivations, interpolation: KnotInterpolation, top: Singles, features: WaveFeatures,
    knots: Singles, quantiles: Singles,
) -> None:  # fmt: skip
    """Fill `knots` (B, K, L) and `quantiles` (B, K, Q), in units, with a head's forecasts of a wave."""
    points, trust, lead = features.points, features.trust, features.lead
    fill_quantiles(top, points, trust, lead, head, work, *interpolation, knots, quantiles)


def network_head(weights: Singles, shape: Shape) -> Head:
    """Copy the head from a network's flat weights."""
    return unpack_head(weights[-shape.head_size :], shape.encoder.top, shape.experts, shape.width, shape.knots)
