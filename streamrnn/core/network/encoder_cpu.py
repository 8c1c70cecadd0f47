"""Encoders on the CPU, which advance by one wave in compiled loops.

The bits of a row do not depend on its wave. Tests compare the loops with the torch encoders, which the learner uses.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from streamrnn.core.handle import Handle
from streamrnn.core.jit import Integers, Singles, compiled, compiled_allocating
from streamrnn.core.network.kernels import (
    BLOCK_ROWS,
    CODES,
    EncoderWorkspace,
    LayerWeights,
    decay_state,
    exceeds_limit,
    step_encoders,
    step_layers,
)
from streamrnn.core.network.shapes import ATTENTION, Shape, named_views
from streamrnn.core.vector_math import ZERO, add_product, exponential
from streamrnn.core.vector_products import LANES


class WaveEncoders(Protocol):
    """Encoders of one shape, which advance the hidden states of the rows of a wave by one observation."""

    def load(self, number: int, weights: Singles) -> None:
        """Use these flat weights in encoder `number` from now on."""

    def step(self, hidden: Sequence[Singles], rows: Integers, inputs: Singles) -> Singles:
        """Advance `rows` of the state (S, *states) of each encoder in place; return the encodings (n, B, top).

        `inputs` are (B, F).
        """


class WaveEncoder(Protocol):
    """One encoder."""

    def load(self, weights: Singles) -> None:
        """Use these flat weights from now on."""

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """Advance `rows` of `hidden` (S, *states) in place by `inputs` (B, F); return the encodings (B, top)."""


class AttentionWeights(NamedTuple):
    """Matrices (U, U) of the attention; `query` and `value` are transposed, for products from the left."""

    query: Singles
    key: Singles
    value: Singles


@compiled_allocating
def append_context(context: Singles, entry: Singles) -> None:
    """Remove the first entry of a `context` (W, C), and append `entry` (C,)."""
    for i in range(len(context) - 1):
        context[i] = context[i + 1]
    context[len(context) - 1] = entry


@compiled
def attend(
    context: Singles, count: int, top: Singles, attention: AttentionWeights, out: Singles, scratch: Singles
) -> None:
    """Fill `out` (U,) with the attention of `top` (U,) to the last `count` entries of `context` (W, U).

    Keys and values are not computed per entry e, because (Q y)' (K e) = (K' Q y)' e, and a mean of V e is V times the
    mean of e. `scratch` is (3, max(U, W)).
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
    """Advance flat states (S, Z), which end in a context and its number of entries, row by row.

    If `attention` has weights, the entries of the context are outputs, else inputs. The second half of `top` (B, 2U) is
    the result of the attention, or the output of the `reverse` layers, which read the context from the newest entry
    backwards. `sizes` are D, N and U; `cell` and `gap` are as in `step_encoders`.
    """
    depth, vectors, size = sizes
    recurrent, attends = depth * vectors * size, len(attention.query) > 0
    width = size if attends else inputs.shape[1]
    length = (hidden.shape[1] - recurrent - 1) // width
    into = np.empty((1, layers.biases.shape[2]), np.float32)
    within = np.empty_like(into)
    scratch, back = np.empty((3, max(size, length)), np.float32), np.empty((1, 1, vectors, size), np.float32)
    for b in range(len(rows)):
        whole = hidden[rows[b]]
        state, context = whole[:recurrent].reshape(depth, 1, vectors, size), whole[recurrent:-1].reshape(length, width)
        if gap >= 0:
            decay_state(whole[:recurrent].reshape(depth, vectors, size), inputs[b, gap], layers.decay[0])
        step_layers(cell, 0, state, inputs[b : b + 1], layers, into, within)
        for i in range(size):
            top[b, i] = state[depth - 1, 0, 0, i]
        append_context(context, top[b, :size] if attends else inputs[b])
        count = min(int(whole[-1]) + 1, length)
        whole[-1] = count
        if attends:
            attend(context, count, top[b, :size], attention, top[b, size:], scratch)
        else:
            back[:] = ZERO
            for i in range(length - 1, length - 1 - count, -1):
                step_layers(cell, 0, back, context[i : i + 1], reverse, into, within)
            for i in range(size):
                top[b, size + i] = back[0, 0, 0, i]
        if exceeds_limit(whole):
            whole[:], top[b] = ZERO, ZERO


def _pack_layers(parts: dict[str, Singles], names: list[str], decay: Singles) -> LayerWeights:
    """Return the weights of the layers of one encoder whose parts end in `names`."""
    biases = [parts[f"bias_{of}_{name}"] for name in names for of in ("ih", "hh")]
    arrays = (
        np.concatenate([parts[f"weight_ih_{name}"].T for name in names]),
        np.concatenate([parts[f"weight_hh_{name}"].T for name in names]),
        np.stack(biases),
    )
    padded = [np.pad(array, ((0, 0), (0, -array.shape[1] % LANES))) for array in arrays]
    return LayerWeights(*(np.array(array[None], decay.dtype, order="C") for array in (*padded, decay)))


def _pack_encoder(weights: "np.ndarray[Any, Any]", shape: Shape) -> LayerWeights:
    """Return the forward layers' part of flat weights, or of other numbers in their order, padded with zeros."""
    encoder, parts = shape.encoder, named_views(weights, shape)
    decay = np.zeros((0, encoder.hidden_size), weights.dtype)
    if encoder.gap >= 0:
        decay = np.concatenate([parts["decay_rate"], parts["decay_start"]])
    return _pack_layers(parts, [f"l{layer}" for layer in range(encoder.layers)], decay)


class RecurrentEncoders:
    """Recurrent encoders, which advance in blocks of rows, all in one compiled call."""

    def __init__(self, shape: Shape, count: int) -> None:
        self._shape, self._codes = shape, (CODES[shape.cell], shape.encoder.gap)
        self._order = _pack_encoder(np.arange(1, shape.size + 1), shape)  # number of the weight, from 1; 0: padding
        empty = _pack_encoder(np.zeros(shape.size, np.float32), shape)
        self._weights = LayerWeights(*(np.repeat(array, count, 0) for array in empty))
        (depth, vectors, size), columns = shape.encoder.recurrent_shape, empty.biases.shape[2]
        sizes = (depth, BLOCK_ROWS, vectors, size), (BLOCK_ROWS, columns), (BLOCK_ROWS, columns)
        self._workspace = Handle(EncoderWorkspace(self._weights, *(np.zeros(each, np.float32) for each in sizes)))

    def load(self, number: int, weights: Singles) -> None:
        """See WaveEncoders."""
        padded = np.concatenate([np.zeros(1, np.float32), weights])
        for stacked, order in zip(self._weights, self._order, strict=True):
            np.take(padded, order[0], out=stacked[number], mode="clip")  # without a temporary copy

    def step(self, hidden: Sequence[Singles], rows: Integers, inputs: Singles) -> Singles:
        """See WaveEncoders."""
        tops = np.empty((len(hidden), len(rows), self._shape.hidden_size), np.float32)
        step_encoders(*self._codes, tuple(hidden), rows, inputs, tops, self._workspace)
        return tops


class ContextEncoder:
    """A bidirectional encoder or one with attention, which advances row by row in compiled loops."""

    def __init__(self, shape: Shape) -> None:
        self._shape, self._encoder = shape, shape.encoder

    def load(self, weights: Singles) -> None:
        """See WaveEncoder."""
        encoder, parts = self._encoder, named_views(weights, self._shape)
        self._layers = self._reverse = _pack_encoder(weights, self._shape)
        if encoder.kind == "bidirectional":
            self._reverse = _pack_layers(parts, ["l0_reverse"], self._layers.decay[0, :0])
        empty = np.empty((0, 0), np.float32)
        query, key, value = (parts[name] for name in ATTENTION) if encoder.kind == "attention" else (empty,) * 3
        matrices = (np.array(each, order="C", copy=True) for each in (query.T, key, value.T))
        self._attention = AttentionWeights(*matrices)

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """See WaveEncoder."""
        top, encoder = np.empty((len(rows), self._encoder.top), np.float32), self._encoder
        step_rows_with_context(
            CODES[encoder.cell], encoder.gap, encoder.recurrent_shape, hidden, rows, inputs, top, self._layers,
            self._reverse, self._attention,
        )  # fmt: skip
        return top


class SeparateEncoders:
    """Encoders that advance one after the other."""

    def __init__(self, encoders: Sequence[WaveEncoder]) -> None:
        self._encoders = encoders

    def load(self, number: int, weights: Singles) -> None:
        """See WaveEncoders."""
        self._encoders[number].load(weights)

    def step(self, hidden: Sequence[Singles], rows: Integers, inputs: Singles) -> Singles:
        """See WaveEncoders."""
        pairs = zip(self._encoders, hidden, strict=True)
        return np.stack([encoder.step(state, rows, inputs) for encoder, state in pairs])


def make_encoders(shape: Shape, device: str, count: int) -> WaveEncoders:
    """Return `count` encoders on a device, `cpu` or `cuda`."""
    if device != "cpu":
        from streamrnn.core.network.encoder_gpu import GpuEncoder  # noqa: PLC0415 -- torch takes over a second to load

        return SeparateEncoders([GpuEncoder(shape, device) for _ in range(count)])
    if shape.kind == "recurrent":
        return RecurrentEncoders(shape, count)
    return SeparateEncoders([ContextEncoder(shape) for _ in range(count)])
