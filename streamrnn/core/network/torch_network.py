"""The network in torch: an encoder, and one head for all horizons; for the equations of the head see `head`.

All weights are views of one flat vector, so that optimizer, averaging, checks and snapshots handle a single array.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from streamrnn.core.network.encoders import encode
from streamrnn.core.network.shapes import Shape
from streamrnn.core.network.workspace import NO_REUSE, Workspace

INITIAL_OFFSETS = (-2.6, -1.3, -0.9, 0.0, 0.9, 1.3, 2.6)  # quantile offsets of an untrained head, units
INITIAL_DECAY = 0.1  # initial decay rate of the state


def split_weights(weights: Tensor, shape: Shape) -> dict[str, Tensor]:
    """Return named views of the flat vector."""
    parts = shape.parts()
    pieces = weights.split([math.prod(size) for size in parts.values()])
    return {name: piece.view(size) for (name, size), piece in zip(parts.items(), pieces, strict=True)}


def initial_weights(shape: Shape, seed: int) -> Tensor:
    """Return random initial weights, float32, with gates that remember and intervals of a normal error."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.zeros(shape.size)
    hidden = shape.hidden_size
    parts = split_weights(weights, shape)
    for name, part in parts.items():
        if part.dim() == 2:
            shrink = 0.3 if name == "out_weight" else 1.0
            part.copy_(shrink * torch.randn(part.shape, generator=generator) / math.sqrt(part.shape[1]))
        elif name.startswith("bias_ih") and shape.cell in ("gru", "lstm"):
            part[hidden : 2 * hidden] = 1.0  # the update gate of a GRU, the forget gate of an LSTM
        if name.startswith("weight_hh") and shape.cell == "rnn_relu":
            part.copy_(0.9 * torch.eye(hidden))  # Le et al. 2015: prevents the state of a ReLU network from exploding
        if name.startswith("decay"):
            part.fill_(INITIAL_DECAY if name == "decay_rate" else 0.0)
    parts["out_bias"][-len(INITIAL_OFFSETS) :] = torch.tensor(INITIAL_OFFSETS)
    return weights


def unroll(
    parts: dict[str, Tensor], shape: Shape, inputs: Tensor, state: Tensor, workspace: Workspace = NO_REUSE
) -> tuple[Tensor, Tensor]:
    """Return the encodings (T, B, top) of `inputs` (T, B, F) and the last state; see `encode`."""
    return encode(shape.encoder, parts, inputs, state, workspace)


def signed_log(values: Tensor) -> Tensor:
    """Return sign(x) log(1 + |x|)."""
    return values.sign() * values.abs().log1p()


def head_knots(
    parts: dict[str, Tensor], shape: Shape, hidden: Tensor, points: Tensor, trust: Tensor, lead: Tensor
) -> Tensor:
    """Return the forecasts (..., K, L) at KNOTS in units, unsorted.

    `hidden` is (..., top), `points` and `trust` are (..., K, E), `lead` is (..., K, 3).
    """
    advice = torch.cat([signed_log(points), trust, lead], -1)
    projected = linear(hidden, parts["head_hidden"]).unsqueeze(-2)
    preactivation = projected + linear(advice, parts["head_advice"], parts["head_bias"])
    out = linear(silu(preactivation), parts["out_weight"], parts["out_bias"])
    scores = out[..., : shape.experts + 1]
    shares = (scores - scores.amax(-1, keepdim=True)).exp()  # takes half the time of softmax on a slice
    center = (shares[..., : shape.experts] * points).sum(-1, keepdim=True) / shares.sum(-1, keepdim=True)
    return center + out[..., shape.experts + 1 :]
