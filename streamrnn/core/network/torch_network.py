"""The network: recurrent layers (see encoders), and one head that answers for any horizon.

The head weighs the experts' forecasts by a gate and adds free quantile offsets. Its weights, like all others, are part
of one flat vector with named parts, so that optimizer, averaging, checks and snapshots see one array.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from streamrnn.core.network.encoders import encode
from streamrnn.core.network.shapes import Shape

FIRST_OFFSETS = (-2.6, -1.3, -0.9, 0.0, 0.9, 1.3, 2.6)
"""Units; of an untrained head."""
FIRST_DECAY = 0.1


def split(weights: Tensor, shape: Shape) -> dict[str, Tensor]:
    """Named views of the flat vector."""
    parts = shape.parts()
    pieces = weights.split([math.prod(size) for size in parts.values()])
    return {name: piece.view(size) for (name, size), piece in zip(parts.items(), pieces, strict=True)}


def fresh(shape: Shape, seed: int) -> Tensor:
    """First weights, float32: small random ones, gates that remember, intervals as wide as a normal error's."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.zeros(shape.size)
    hidden = shape.hidden_size
    parts = split(weights, shape)
    for name, part in parts.items():
        if part.dim() == 2:
            shrink = 0.3 if name == "out_weight" else 1.0
            part.copy_(shrink * torch.randn(part.shape, generator=generator) / math.sqrt(part.shape[1]))
        elif name.startswith("bias_ih") and shape.cell in ("gru", "lstm"):
            part[hidden : 2 * hidden] = 1.0  # the update gate of a GRU, the forget gate of an LSTM
        if name.startswith("weight_hh") and shape.cell == "rnn_relu":
            part.copy_(0.9 * torch.eye(hidden))  # Le et al. 2015: keeps a ReLU network from exploding
        if name.startswith("decay"):
            part.fill_(FIRST_DECAY if name == "decay_rate" else 0.0)
    parts["out_bias"][-len(FIRST_OFFSETS) :] = torch.tensor(FIRST_OFFSETS)
    return weights


def unroll(parts: dict[str, Tensor], shape: Shape, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """What the head reads (T, B, top) of `inputs` (T, B, F), from `state` (B, *states) on, and the last state."""
    return encode(shape.encoder, parts, inputs, state)


def squashed(values: Tensor) -> Tensor:
    """sign(x) log(1 + |x|)."""
    return values.sign() * values.abs().log1p()


def heads(
    parts: dict[str, Tensor], shape: Shape, hidden: Tensor, points: Tensor, trust: Tensor, lead: Tensor
) -> Tensor:
    """Forecasts (..., K, L) at KNOTS, in units; `hidden` (..., top), `points`, `trust` (..., K, E), `lead` (..., K, 3).

    A softmax over the experts and persistence (point 0) gives the center, to which L free offsets are added. They are
    not in order yet.
    """
    advice = torch.cat([squashed(points), trust, lead], -1)
    recalled = linear(hidden, parts["head_hidden"]).unsqueeze(-2)
    given = recalled + linear(advice, parts["head_advice"], parts["head_bias"])
    out = linear(silu(given), parts["out_weight"], parts["out_bias"])
    scores = out[..., : shape.experts + 1]
    shares = (scores - scores.amax(-1, keepdim=True)).exp()  # half the time of softmax on a slice
    center = (shares[..., : shape.experts] * points).sum(-1, keepdim=True) / shares.sum(-1, keepdim=True)
    return center + out[..., shape.experts + 1 :]
