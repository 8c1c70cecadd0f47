"""One step of the recurrent layers for a block of rows, in compiled loops.

The bits of a row do not depend on its block; see `vector_products`. For the few rows of a typical wave, the loops are
ten times faster than torch. Tests compare them with the network in torch.
"""

from typing import NamedTuple

import numpy as np

from streamrnn.core.handle import Handle, contents
from streamrnn.core.jit import Integers, Singles, compiled, compiled_allocating
from streamrnn.core.vector_math import ONE, ZERO, exponential
from streamrnn.core.vector_products import add_products

HIDDEN_LIMIT = 1e3  # largest |state|; larger states, which only a ReLU network can reach, are reset to zero
LIMIT = np.float32(HIDDEN_LIMIT)
BLOCK_ROWS = 16  # rows per block: their states and gates, and a part of the weights, fit into the L1 cache
TWO = np.float32(2)
CODES = {"rnn_tanh": 0, "rnn_relu": 1, "gru": 2, "lstm": 3}  # numbers of the cells


@compiled
def sigmoid(x: np.float32) -> np.float32:
    """Return the logistic function of x, without overflow."""
    return ONE / (ONE + exponential(-x))


@compiled
def tanh(x: np.float32) -> np.float32:
    """Return the hyperbolic tangent of x, within an error of 2e-7."""
    return ONE - TWO / (ONE + exponential(x + x))


@compiled
def step_gru(state: Singles, into: Singles, within: Singles) -> None:
    """Advance `state` (1, U); see `step_cell`."""
    size = state.shape[1]
    for i in range(2 * size):
        into[i] = sigmoid(into[i] + within[i])
    for i in range(size):
        reset, update = into[i], into[size + i]
        new = tanh(into[2 * size + i] + reset * within[2 * size + i])
        state[0, i] = new + update * (state[0, i] - new)


@compiled
def step_lstm(state: Singles, into: Singles, within: Singles) -> None:
    """Advance `state` (2, U); see `step_cell`."""
    size = state.shape[1]
    for i in range(2 * size):
        into[i] = sigmoid(into[i] + within[i])
    for i in range(2 * size, 3 * size):
        into[i] = tanh(into[i] + within[i])
    for i in range(3 * size, 4 * size):
        into[i] = sigmoid(into[i] + within[i])
    for i in range(size):
        state[1, i] = into[size + i] * state[1, i] + into[i] * into[2 * size + i]
    for i in range(size):
        within[i] = tanh(state[1, i])
    for i in range(size):
        state[0, i] = into[3 * size + i] * within[i]


@compiled
def step_cell(cell: int, state: Singles, into: Singles, within: Singles) -> None:
    """Advance the `state` (N, U) of one row in place.

    The sums of the gates (G*U,) are `into` (the contribution of the inputs) plus `within` (that of the state); both are
    overwritten. The loops are split so that none reads an array at one index and writes it at another, which would
    prevent vectorization.
    """
    if cell == 0:
        for i in range(state.shape[1]):
            state[0, i] = tanh(into[i] + within[i])
    elif cell == 1:
        for i in range(state.shape[1]):
            state[0, i] = max(into[i] + within[i], ZERO)
    elif cell == 2:
        step_gru(state, into, within)
    else:
        step_lstm(state, into, within)


class LayerWeights(NamedTuple):
    """Weights of D recurrent layers of n encoders, laid out for contiguous inner loops; M is G*U, padded with zeros."""

    into: Singles  # (n, F + (D-1) U, M) weights of the inputs of the layers
    within: Singles  # (n, D*U, M) weights of the states
    biases: Singles  # (n, 2D, M) biases of inputs and state of each layer
    decay: Singles  # (n, 2D, U) decay rates of the layers, then decay starts; (n, 0, U) without decay


@compiled
def step_layers(
    cell: int, n: int, state: Singles, inputs: Singles, layers: LayerWeights, into: Singles, within: Singles
) -> None:
    """Advance the first B rows of a block's `state` (D, R, N, U) in encoder n by `inputs` (B, F).

    `into` and `within` (R, M) are scratch: the contributions of inputs and states to the sums of the gates.
    """
    (count, first), size = inputs.shape, state.shape[3]
    for layer in range(len(state)):
        for r in range(count):
            for i in range(into.shape[1]):
                into[r, i] = layers.biases[n, 2 * layer, i]
            for i in range(into.shape[1]):
                within[r, i] = layers.biases[n, 2 * layer + 1, i]
        if layer == 0:
            add_products(into[:count], inputs, layers.into[n][:first])
        else:
            at = first + (layer - 1) * size
            add_products(into[:count], state[layer - 1][:count, 0], layers.into[n][at : at + size])
        at = layer * size
        add_products(within[:count], state[layer][:count, 0], layers.within[n][at : at + size])
        for r in range(count):
            step_cell(cell, state[layer, r], into[r], within[r])


@compiled
def decay_state(state: Singles, gap: np.float32, decay: Singles) -> None:
    """Decay the `state` (D, N, U) of one row by the time step `gap`, with the weights `decay` (2D, U); see encoders."""
    depth = len(state)
    for layer in range(depth):
        for i in range(state.shape[2]):
            factor = exponential(-max(decay[layer, i] * max(gap, ZERO) + decay[depth + layer, i], ZERO))
            for vector in range(state.shape[1]):
                state[layer, vector, i] *= factor


@compiled_allocating
def exceeds_limit(state: Singles) -> bool:
    """Return whether a number of a state is NaN or beyond HIDDEN_LIMIT."""
    for value in state.flat:  # noqa: SIM110 - compiled code has no generators
        if not abs(value) <= LIMIT:
            return True
    return False


@compiled
def copy_matrix(source: Singles, target: Singles) -> None:
    """Copy a matrix in loops, which take a tenth of the compilation time of a slice assignment."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@compiled
def read_block(hidden: Singles, rows: Integers, state: Singles) -> None:
    """Copy `hidden[rows]` (S, D, N, U) to the first rows of `state` (D, R, N, U)."""
    for r in range(len(rows)):
        source = hidden[rows[r]]
        for layer in range(len(source)):
            copy_matrix(source[layer], state[layer, r])


@compiled
def write_block(state: Singles, hidden: Singles, rows: Integers, top: Singles) -> None:
    """Copy a block's `state` to `hidden[rows]`, zeros for rows beyond HIDDEN_LIMIT; fill the encodings `top` (B, U)."""
    for r in range(len(rows)):
        target, beyond = hidden[rows[r]], 0
        for layer in range(len(target)):
            copy_matrix(state[layer, r], target[layer])
            for vector in range(target.shape[1]):
                for i in range(target.shape[2]):
                    beyond += not abs(state[layer, r, vector, i]) <= LIMIT
        if beyond:
            target[:] = ZERO
        for i in range(target.shape[2]):
            top[r, i] = target[len(target) - 1, 0, i]


class EncoderWorkspace(NamedTuple):
    """The weights of n encoders, and scratch for R rows."""

    layers: LayerWeights
    state: Singles  # (D, R, N, U)
    into: Singles  # (R, M) contributions of the inputs to the sums of the gates
    within: Singles  # (R, M) contributions of the states


@compiled
def step_encoders(
    cell: int, gap: int, hidden: tuple[Singles, ...], rows: Integers, inputs: Singles, tops: Singles,
    workspace: Handle[EncoderWorkspace],
) -> None:  # fmt: skip
    """Advance all encoders by one wave, in blocks of R rows.

    Args:
        cell: Number of the cell in CODES.
        gap: Index of the time step among the inputs; negative: no decay.
        hidden: States of each encoder, (S, D, N, U), updated at `rows`.
        rows: Rows of the wave, (B,).
        inputs: Inputs of the recurrent layers, (B, F).
        tops: Filled with the encodings, (n, B, U).
        workspace: Weights and scratch.
    """
    stored = contents(workspace)
    layers, state = stored.layers, stored.state
    block = state.shape[1]
    for n in range(len(hidden)):
        for first in range(0, len(rows), block):
            part = rows[first : first + block]
            if gap >= 0:
                for r in range(len(part)):
                    decay_state(hidden[n][part[r]], inputs[first + r, gap], layers.decay[n])
            read_block(hidden[n], part, state)
            step_layers(cell, n, state, inputs[first : first + block], layers, stored.into, stored.within)
            write_block(state, hidden[n], part, tops[n][first : first + block])
