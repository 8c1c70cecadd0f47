"""The encoder on the CPU, stepped wave by wave in compiled loops.

Each row is computed by itself, so its bits do not depend on the wave; laws compare the loops with the encoders in
torch that the learner uses.
"""

import math
from typing import NamedTuple, Protocol

import numpy as np

from streamrnn.core.jit import Integers, Singles, compiled, compiled_allocating
from streamrnn.core.network.kernels import CODES, LayerWeights, decay_state, exceeds_limit, step_layers, step_rows
from streamrnn.core.network.shapes import ATTENTION, Shape, named_views
from streamrnn.core.vector_math import ZERO, add_product, exponential


class WaveEncoder(Protocol):
    """Advances the hidden states of a wave's rows by one observation."""

    def load(self, weights: Singles) -> None:
        """Use these flat weights from now on."""

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """Advance `hidden[rows]` (S, *states) in place by `inputs` (B, F); return the encoding (B, top)."""


class AttentionWeights(NamedTuple):
    """Matrices (H, H); `query` and `value` are transposed, for products from the left."""

    query: Singles
    key: Singles
    value: Singles


@compiled_allocating
def append_context(context: Singles, entry: Singles) -> None:
    """Drop the first entry of a `context` (W, C) and append `entry` (C,)."""
    for i in range(len(context) - 1):
        context[i] = context[i + 1]
    context[len(context) - 1] = entry


@compiled
def attend(
    context: Singles, count: int, top: Singles, attention: AttentionWeights, out: Singles, scratch: Singles
) -> None:
    """Fill `out` (H,) with the attention of `top` (H,) to the last `count` entries of `context` (W, H).

    Keys and values need no products of their own: (Q y) (K e) is (K' Q y) e, and a mean of V e is V of the mean.
    `scratch` is (3, max(H, W)).
    """
    size, first = len(top), len(context) - count
    query, weights, scores = scratch[0, :size], scratch[1, :size], scratch[2]
    query[:], weights[:], out[:] = ZERO, ZERO, ZERO
    add_product(query, top, attention.query)
    add_product(weights, query, attention.key)
    largest, total = np.float32(-np.inf), ZERO
    for i in range(count):
        score = ZERO
        for j in range(size):
            score += weights[j] * context[first + i, j]
        scores[i] = score / np.float32(math.sqrt(size))
        largest = max(largest, scores[i])
    mean = query
    mean[:] = ZERO
    for i in range(count):
        share = exponential(scores[i] - largest)
        total += share
        for j in range(size):
            mean[j] += share * context[first + i, j]
    for j in range(size):
        mean[j] /= total
    add_product(out, mean, attention.value)


@compiled_allocating
def step_rows_with_context(
    cell: int, gap: int, sizes: tuple[int, int, int], hidden: Singles, rows: Integers, inputs: Singles, top: Singles,
    layers: LayerWeights, reverse: LayerWeights, attention: AttentionWeights,
) -> None:  # fmt: skip
    """Step as `step_rows`, for flat states (S, Z) that end in a context and its number of entries.

    The context holds outputs where `attention` has weights, else inputs. The second half of `top` (B, 2H) is the result
    of the attention, or the output of the `reverse` layers, which read the context from the newest entry backwards.
    """
    depth, vectors, size = sizes
    recurrent, attends = depth * vectors * size, len(attention.query) > 0
    width = size if attends else inputs.shape[1]
    length = (hidden.shape[1] - recurrent - 1) // width
    gates = np.empty((2, layers.biases.shape[2]), np.float32)
    scratch, back = np.empty((3, max(size, length)), np.float32), np.empty((1, vectors, size), np.float32)
    for b in range(len(rows)):
        whole = hidden[rows[b]]
        state, context = whole[:recurrent].reshape(depth, vectors, size), whole[recurrent:-1].reshape(length, width)
        if gap >= 0:
            decay_state(state, inputs[b, gap], layers.decay)
        step_layers(cell, state, inputs[b], layers, gates)
        top[b, :size] = state[depth - 1, 0]
        append_context(context, top[b, :size] if attends else inputs[b])
        count = min(int(whole[-1]) + 1, length)
        whole[-1] = count
        if attends:
            attend(context, count, top[b, :size], attention, top[b, size:], scratch)
        else:
            back[:] = ZERO
            for i in range(count):
                step_layers(cell, back, context[length - 1 - i], reverse, gates)
            top[b, size:] = back[0, 0]
        if exceeds_limit(whole):
            whole[:], top[b] = ZERO, ZERO


def _pack_layers(parts: dict[str, Singles], names: list[str], decay: Singles) -> LayerWeights:
    """Copy the weights of the layers whose parts end in `names`."""
    arrays = (
        np.concatenate([parts[f"weight_ih_{name}"].T for name in names]),
        np.concatenate([parts[f"weight_hh_{name}"].T for name in names]),
        np.stack([np.stack([parts[f"bias_ih_{name}"], parts[f"bias_hh_{name}"]]) for name in names]),
        decay,
    )
    return LayerWeights(*(np.array(array, order="C", copy=True) for array in arrays))


class CpuEncoder:
    """A WaveEncoder in compiled loops."""

    def __init__(self, shape: Shape) -> None:
        self._shape, self._encoder = shape, shape.encoder

    def load(self, weights: Singles) -> None:
        """See WaveEncoder."""
        encoder, none = self._encoder, np.empty((2, 0, 0), np.float32)
        parts = named_views(weights, self._shape)
        decay = np.stack([parts["decay_rate"], parts["decay_start"]]) if encoder.gap >= 0 else none
        self._layers = _pack_layers(parts, [f"l{layer}" for layer in range(encoder.layers)], decay)
        self._reverse = _pack_layers(parts, ["l0_reverse"], none) if encoder.kind == "bidirectional" else self._layers
        empty = np.empty((0, 0), np.float32)
        query, key, value = (parts[name] for name in ATTENTION) if encoder.kind == "attention" else (empty,) * 3
        matrices = (np.array(each, order="C", copy=True) for each in (query.T, key, value.T))
        self._attention = AttentionWeights(*matrices)

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """See WaveEncoder."""
        top = np.empty((len(rows), self._encoder.top), np.float32)
        cell, gap = CODES[self._encoder.cell], self._encoder.gap
        if self._encoder.kind == "recurrent":
            step_rows(cell, gap, hidden, rows, inputs, top, self._layers)
        else:
            weights = self._layers, self._reverse, self._attention
            step_rows_with_context(cell, gap, self._encoder.recurrent_shape, hidden, rows, inputs, top, *weights)
        return top


def make_encoder(shape: Shape, device: str) -> WaveEncoder:
    """Return an encoder for a device, `cpu` or `cuda`."""
    if device == "cpu":
        return CpuEncoder(shape)
    from streamrnn.core.network.encoder_gpu import GpuEncoder  # noqa: PLC0415 -- torch takes over a second to load

    return GpuEncoder(shape, device)
