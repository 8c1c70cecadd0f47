"""The encoder of a network, stepped wave by wave: compiled loops on the CPU; see blocks for a GPU.

The loops do each row by itself, so that its bits do not depend on the wave; laws tie them to the encoders of the
learner.
"""

import math
from typing import NamedTuple, Protocol

import numpy as np

from streamrnn.core.jit import Integers, Singles, compiled, compiled_allocating
from streamrnn.core.network.kernels import CODES, Layers, fade, is_wild, layers_of, step_rows
from streamrnn.core.network.shapes import ATTENTION, Shape, views
from streamrnn.core.vector_math import ZERO, add_product, exponential


class WaveEncoder(Protocol):
    """An encoder; carries the state of a wave's rows one step on."""

    def load(self, weights: Singles) -> None:
        """Use these flat weights from now on."""

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """Advance `hidden[rows]` (S, *states) in place by `inputs` (B, F); what the head reads (B, top)."""


class Attention(NamedTuple):
    """Weights (H, H) of an attention; the first and the last transposed, for products from the left."""

    query: Singles
    key: Singles
    value: Singles


@compiled_allocating
def push(context: Singles, entry: Singles) -> None:
    """Put an entry (C,) at the end of a `context` (W, C), and drop the first one."""
    for i in range(len(context) - 1):
        context[i] = context[i + 1]
    context[len(context) - 1] = entry


@compiled
def attend(context: Singles, count: int, top: Singles, attention: Attention, found: Singles, work: Singles) -> None:
    """Fill `found` (H,): what attention makes of the last `count` outputs in `context` (W, H), asked by `top` (H,).

    Keys and values are no products of their own: (Q y) (K e) is (K' Q y) e, and a mean of V e is V of the mean.
    `work` (3, max(H, W)) is room.
    """
    size, first = len(top), len(context) - count
    asked, wanted, shares = work[0, :size], work[1, :size], work[2]
    asked[:], wanted[:], found[:] = ZERO, ZERO, ZERO
    add_product(asked, top, attention.query)
    add_product(wanted, asked, attention.key)
    largest, total = np.float32(-np.inf), ZERO
    for i in range(count):
        likeness = ZERO
        for j in range(size):
            likeness += wanted[j] * context[first + i, j]
        shares[i] = likeness / np.float32(math.sqrt(size))
        largest = max(largest, shares[i])
    mean = asked
    mean[:] = ZERO
    for i in range(count):
        share = exponential(shares[i] - largest)
        total += share
        for j in range(size):
            mean[j] += share * context[first + i, j]
    for j in range(size):
        mean[j] /= total
    add_product(found, mean, attention.value)


@compiled_allocating
def step_beside(
    cell: int, gap: int, kept: tuple[int, int, int], hidden: Singles, rows: Integers, inputs: Singles, top: Singles,
    layers: Layers, reverse: Layers, attention: Attention,
) -> None:  # fmt: skip
    """As step_rows, for flat states (S, Z) with a context: of outputs where `attention` has weights, or else of inputs.

    The second half of `top` (B, 2H) is what attention finds, or where `reverse` ends that reads the context backwards.
    """
    depth, vectors, size = kept
    live, attends = depth * vectors * size, len(attention.query) > 0
    width = size if attends else inputs.shape[1]
    length = (hidden.shape[1] - live - 1) // width
    work = np.empty((2, layers.biases.shape[2]), np.float32)
    room, back = np.empty((3, max(size, length)), np.float32), np.empty((1, vectors, size), np.float32)
    for b in range(len(rows)):
        whole = hidden[rows[b]]
        state, context = whole[:live].reshape(depth, vectors, size), whole[live:-1].reshape(length, width)
        if gap >= 0:
            fade(state, inputs[b, gap], layers.decay)
        layers_of(cell, state, inputs[b], layers, work)
        top[b, :size] = state[depth - 1, 0]
        push(context, top[b, :size] if attends else inputs[b])
        count = min(int(whole[-1]) + 1, length)
        whole[-1] = count
        if attends:
            attend(context, count, top[b, :size], attention, top[b, size:], room)
        else:
            back[:] = ZERO
            for i in range(count):
                layers_of(cell, back, context[length - 1 - i], reverse, work)
            top[b, size:] = back[0, 0]
        if is_wild(whole):
            whole[:], top[b] = ZERO, ZERO


def _layers(parts: dict[str, Singles], names: list[str], decay: Singles) -> Layers:
    """Weights of the layers whose parts end in `names`."""
    arrays = (
        np.concatenate([parts[f"weight_ih_{name}"].T for name in names]),
        np.concatenate([parts[f"weight_hh_{name}"].T for name in names]),
        np.stack([np.stack([parts[f"bias_ih_{name}"], parts[f"bias_hh_{name}"]]) for name in names]),
        decay,
    )
    return Layers(*(np.array(array, order="C", copy=True) for array in arrays))


class CpuEncoder:
    """The loops above, for the CPU."""

    def __init__(self, shape: Shape) -> None:
        self._shape, self._encoder = shape, shape.encoder

    def load(self, weights: Singles) -> None:
        """See Body."""
        encoder, none = self._encoder, np.empty((2, 0, 0), np.float32)
        parts = views(weights, self._shape)
        decay = np.stack([parts["decay_rate"], parts["decay_start"]]) if encoder.gap >= 0 else none
        self._layers = _layers(parts, [f"l{layer}" for layer in range(encoder.layers)], decay)
        self._reverse = _layers(parts, ["l0_reverse"], none) if encoder.kind == "bidirectional" else self._layers
        empty = np.empty((0, 0), np.float32)
        query, key, value = (parts[name] for name in ATTENTION) if encoder.kind == "attention" else (empty,) * 3
        self._attention = Attention(*(np.array(each, order="C", copy=True) for each in (query.T, key, value.T)))

    def step(self, hidden: Singles, rows: Integers, inputs: Singles) -> Singles:
        """See Body."""
        top = np.empty((len(rows), self._encoder.top), np.float32)
        cell, gap = CODES[self._encoder.cell], self._encoder.gap
        if self._encoder.kind == "recurrent":
            step_rows(cell, gap, hidden, rows, inputs, top, self._layers)
        else:
            step_beside(
                cell, gap, self._encoder.kept, hidden, rows, inputs, top, self._layers, self._reverse, self._attention
            )  # fmt: skip
        return top


def body_of(shape: Shape, device: str) -> WaveEncoder:
    """The one for a device, `cpu` or `cuda`."""
    if device == "cpu":
        return CpuEncoder(shape)
    from streamrnn.core.network.encoder_gpu import GpuEncoder  # noqa: PLC0415 -- torch takes over a second to load

    return GpuEncoder(shape, device)
