"""One step of the network for one wave: compiled loops on the CPU, torch on a GPU.

The loops do each row by itself, so its bits do not depend on the wave; they are also ten times faster than torch on the
few rows that a wave often has. A law ties both to the network of the learner.
"""

import math
from typing import Protocol

import numpy as np
import torch

from streamrnn.core.compiled import Integers, Singles, compiled
from streamrnn.core.network import Shape, heads, split, unroll

HIDDEN_LIMIT = 1e3
"""A state beyond it (only a ReLU network can reach it) is set back to zero."""
CODES = {"rnn_tanh": 0, "rnn_relu": 1, "gru": 2, "lstm": 3}


class Stepper(Protocol):
    """Carries the hidden state of a wave's rows one step on."""

    def load(self, weights: torch.Tensor) -> None:
        """Use these flat weights from now on."""

    def step(self, hidden: Singles, rows: Integers, inputs: Singles, seasonals: Singles) -> Singles:
        """Advance `hidden[rows]` (S, D, N, H) in place; quantiles (B, K, Q) in units."""


@compiled
def sigmoid(x: float) -> float:
    """Logistic function, without overflow."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    small = math.exp(x)
    return small / (1.0 + small)


@compiled
def softplus(x: float) -> float:
    """log(1 + exp(x)), without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@compiled
def affine(out: Singles, vector: Singles, weight: Singles) -> None:
    """out (M,) += vector (N,) @ weight (N, M), each element summed in the order of N."""
    for i in range(len(vector)):
        x = vector[i]
        for j in range(len(out)):
            out[j] += x * weight[i, j]


@compiled
def advance(cell: int, state: Singles, given: Singles, kept: Singles) -> None:
    """Next `state` (N, H) in place from both shares (G*H,) of the gates."""
    size = state.shape[1]
    for i in range(size):
        if cell == 0:
            state[0, i] = math.tanh(given[i] + kept[i])
        elif cell == 1:
            state[0, i] = max(given[i] + kept[i], np.float32(0.0))
        elif cell == 2:
            reset = sigmoid(given[i] + kept[i])
            update = sigmoid(given[size + i] + kept[size + i])
            new = math.tanh(given[2 * size + i] + reset * kept[2 * size + i])
            state[0, i] = new + update * (state[0, i] - new)
        else:
            ingate = sigmoid(given[i] + kept[i])
            forget = sigmoid(given[size + i] + kept[size + i])
            new = math.tanh(given[2 * size + i] + kept[2 * size + i])
            state[1, i] = forget * state[1, i] + ingate * new
            state[0, i] = sigmoid(given[3 * size + i] + kept[3 * size + i]) * math.tanh(state[1, i])


@compiled
def ordered(free: Singles, middle: int, quantiles: Singles) -> None:
    """Quantiles (Q,) from the head's free numbers: the median, and positive distances outward."""
    quantiles[middle] = free[middle]
    for q in range(middle + 1, len(free)):
        quantiles[q] = quantiles[q - 1] + softplus(free[q])
    for q in range(middle - 1, -1, -1):
        quantiles[q] = quantiles[q + 1] - softplus(free[q])


@compiled
def layers_of(
    cell: int, state: Singles, inputs: Singles, into: Singles, within: Singles, biases: Singles, work: Singles
) -> None:
    """Advance one row's `state` (D, N, H); `into` (F + (D-1) H, M), `within` (D*H, M), `biases` (D, 2, M)."""
    size, first = state.shape[2], len(inputs)
    for layer in range(len(state)):
        work[0], work[1] = biases[layer, 0], biases[layer, 1]
        if layer == 0:
            affine(work[0], inputs, into[:first])
        else:
            at = first + (layer - 1) * size
            affine(work[0], state[layer - 1, 0], into[at : at + size])
        affine(work[1], state[layer, 0], within[layer * size : (layer + 1) * size])
        advance(cell, state[layer], work[0], work[1])


@compiled
def step_rows(
    cell: int,
    middle: int,
    hidden: Singles,
    rows: Integers,
    inputs: Singles,
    seasonals: Singles,
    quantiles: Singles,
    into: Singles,
    within: Singles,
    biases: Singles,
    head: Singles,
    head_seasonals: Singles,
    head_bias: Singles,
) -> None:
    """One wave: advances `hidden[rows]` and fills `quantiles` (B, K, Q); `head` is (H + F, K*Q)."""
    size, (horizons, levels) = hidden.shape[3], head_bias.shape
    work = np.empty((2, biases.shape[2]), np.float32)
    flat = np.empty(horizons * levels, np.float32)
    for b in range(len(rows)):
        state = hidden[rows[b]]
        layers_of(cell, state, inputs[b], into, within, biases, work)
        for value in state.flat:
            if not abs(value) <= HIDDEN_LIMIT:
                state[:] = 0.0
                break
        flat[:] = 0.0
        affine(flat, state[len(state) - 1, 0], head[:size])
        affine(flat, inputs[b], head[size:])
        for k in range(horizons):
            free = flat[k * levels : (k + 1) * levels]
            for q in range(levels):
                free[q] += head_bias[k, q]
                for p in range(seasonals.shape[2]):
                    free[q] += seasonals[b, k, p] * head_seasonals[k, q, p]
            ordered(free, middle, quantiles[b, k])


class CompiledStepper:
    """The loops above, for the CPU."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def load(self, weights: torch.Tensor) -> None:
        """Lay the weights out so that the innermost loop runs over neighbours."""
        parts = {name: part.detach().cpu().numpy() for name, part in split(weights, self._shape).items()}
        layers = range(self._shape.layers)
        arrays = (
            np.concatenate([parts[f"weight_ih_l{layer}"].T for layer in layers]),
            np.concatenate([parts[f"weight_hh_l{layer}"].T for layer in layers]),
            np.stack([np.stack([parts[f"bias_ih_l{layer}"], parts[f"bias_hh_l{layer}"]]) for layer in layers]),
            np.concatenate([parts["head_hidden"].T, parts["head_inputs"].T]),
            parts["head_seasonals"],
            parts["head_bias"],
        )
        self._weights = tuple(np.array(array, order="C", copy=True) for array in arrays)

    def step(self, hidden: Singles, rows: Integers, inputs: Singles, seasonals: Singles) -> Singles:
        """See Stepper."""
        quantiles = np.empty((len(rows), self._shape.horizons, self._shape.quantiles), np.float32)
        code, middle = CODES[self._shape.cell], self._shape.middle
        step_rows(code, middle, hidden, rows, inputs, seasonals, quantiles, *self._weights)
        return quantiles


class TorchStepper:
    """The learner's own network, in blocks of fixed size: on a GPU the bits of a row depend on the block's shape."""

    BLOCK = 256

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self._shape, self._device = shape, device

    def load(self, weights: torch.Tensor) -> None:
        """Use these flat weights from now on."""
        self._parts = split(weights.detach().to(self._device, copy=True), self._shape)

    def step(self, hidden: Singles, rows: Integers, inputs: Singles, seasonals: Singles) -> Singles:
        """See Stepper."""
        blocks = range(0, len(rows), self.BLOCK)
        return np.concatenate(
            [self._block(hidden, rows[i : i + self.BLOCK], inputs[i:], seasonals[i:]) for i in blocks]
        )

    @torch.inference_mode()
    def _block(self, hidden: Singles, rows: Integers, inputs: Singles, seasonals: Singles) -> Singles:
        count = len(rows)
        state, given, season = (self._padded(array[:count]) for array in (hidden[rows], inputs, seasonals))
        top, state = unroll(self._parts, self._shape, given.unsqueeze(0), state)
        quantiles = heads(self._parts, self._shape, top[0], given, season)
        kept = state[:count].cpu().numpy()
        kept[~(np.abs(kept.reshape(count, -1)).max(1) <= HIDDEN_LIMIT)] = 0.0
        hidden[rows] = kept
        return np.asarray(quantiles[:count].cpu().numpy())

    def _padded(self, array: Singles) -> torch.Tensor:
        block = torch.zeros((self.BLOCK, *array.shape[1:]), device=self._device)
        block[: len(array)] = torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
        return block
