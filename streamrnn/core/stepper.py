"""One step of the network for one wave: compiled loops on the CPU; the recurrent layers may run on a GPU.

The loops do each row by itself, so its bits do not depend on the wave; they are also ten times faster than torch on the
few rows that a wave often has. A law ties both to the network of the learner.
"""

from statistics import NormalDist
from typing import NamedTuple, Protocol

import numpy as np
import torch

from streamrnn.core.bank import Described
from streamrnn.core.compiled import Integers, Singles, compiled
from streamrnn.core.head import ONE, ZERO, Head, Work, add_product, exponential, head_of, read_head
from streamrnn.core.network import KNOTS, Shape, split, unroll

HIDDEN_LIMIT = 1e3
"""A state beyond it (only a ReLU network can reach it) is set back to zero."""
TWO = np.float32(2)
CODES = {"rnn_tanh": 0, "rnn_relu": 1, "gru": 2, "lstm": 3}


class Body(Protocol):
    """The recurrent layers; carries the hidden state of a wave's rows one step on."""

    def load(self, weights: torch.Tensor) -> None:
        """Use these flat weights from now on."""

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """Advance `hidden[rows]` (S, D, N, H) in place by `inputs` (B, F); the top layer's output (B, H)."""


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


@compiled
def layers_of(
    cell: int, state: Singles, inputs: Singles, into: Singles, within: Singles, biases: Singles, work: Singles
) -> None:
    """Advance one row's `state` (D, N, H); `into` (F + (D-1) H, M), `within` (D*H, M), `biases` (D, 2, M)."""
    size, first = state.shape[2], len(inputs)
    for layer in range(len(state)):
        work[0], work[1] = biases[layer, 0], biases[layer, 1]
        if layer == 0:
            add_product(work[0], inputs, into[:first])
        else:
            at = first + (layer - 1) * size
            add_product(work[0], state[layer - 1, 0], into[at : at + size])
        add_product(work[1], state[layer, 0], within[layer * size : (layer + 1) * size])
        advance(cell, state[layer], work[0], work[1])


@compiled
def step_rows(
    cell: int, hidden: Singles, rows: Integers, inputs: Singles, top: Singles, into: Singles, within: Singles,
    biases: Singles,
) -> None:  # fmt: skip
    """One wave: advances `hidden[rows]` and fills `top` (B, H)."""
    work = np.empty((2, biases.shape[2]), np.float32)
    for b in range(len(rows)):
        state = hidden[rows[b]]
        layers_of(cell, state, inputs[b], into, within, biases, work)
        for value in state.flat:
            if not abs(value) <= HIDDEN_LIMIT:
                state[:] = 0.0
                break
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


def head_from(weights: torch.Tensor, shape: Shape) -> Head:
    """The head of a network's flat weights."""
    tail = weights.detach().cpu().numpy()[-shape.head_size :]
    return head_of(tail, shape.hidden_size, shape.experts, shape.width, shape.knots)


class CompiledBody:
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
        )
        self._weights = tuple(np.array(array, order="C", copy=True) for array in arrays)

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """See Body."""
        top = np.empty((len(rows), self._shape.hidden_size), np.float32)
        step_rows(CODES[self._shape.cell], hidden, rows, inputs, top, *self._weights)
        return top


class TorchBody:
    """The learner's own layers, in blocks of fixed size: on a GPU the bits of a row depend on the block's shape."""

    BLOCK = 256

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self._shape, self._device = shape, device

    def load(self, weights: torch.Tensor) -> None:
        """Use these flat weights from now on."""
        self._parts = split(weights.detach().to(self._device, copy=True), self._shape)

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """See Body."""
        blocks = range(0, len(rows), self.BLOCK)
        return np.concatenate([self._block(hidden, rows[i : i + self.BLOCK], inputs[i:]) for i in blocks])

    @torch.inference_mode()
    def _block(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        count = len(rows)
        state, given = (self._padded(array[:count]) for array in (hidden[rows], inputs))
        top, state = unroll(self._parts, self._shape, given.unsqueeze(0), state)
        kept = state[:count].cpu().numpy()
        kept[~(np.abs(kept.reshape(count, -1)).max(1) <= HIDDEN_LIMIT)] = 0.0
        hidden[rows] = kept
        return np.asarray(top[0, :count].cpu().numpy())

    def _padded(self, array: Singles) -> torch.Tensor:
        block = torch.zeros((self.BLOCK, *array.shape[1:]), device=self._device)
        block[: len(array)] = torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
        return block


def body_of(shape: Shape, device: torch.device) -> Body:
    """The one for a device."""
    return TorchBody(shape, device) if device.type == "cuda" else CompiledBody(shape)
