"""The network: stacked recurrent layers and one head of quantiles per horizon, which cannot cross.

Its weights are one flat vector with named parts, so that optimizer, averaging, checks and snapshots see one array.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear, softplus

from streamrnn.core.cells import CELLS, GATES, STATES
from streamrnn.core.series import INPUTS, SEASONALS


class Shape(NamedTuple):
    """What the sizes of all weights follow from."""

    cell: str
    hidden_size: int
    layers: int
    horizons: int
    quantiles: int
    middle: int
    """Index of the median among the quantiles."""
    inputs: int = INPUTS

    @property
    def states(self) -> tuple[int, int, int]:
        """(D, N, H): layers, vectors of state of a cell, units."""
        return self.layers, STATES[self.cell], self.hidden_size

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Shapes by name, in the order of the flat vector; recurrent ones are those of torch.nn."""
        gates = GATES[self.cell] * self.hidden_size
        parts: dict[str, tuple[int, ...]] = {}
        for layer in range(self.layers):
            parts[f"weight_ih_l{layer}"] = (gates, self.inputs if layer == 0 else self.hidden_size)
            parts[f"weight_hh_l{layer}"] = (gates, self.hidden_size)
            parts[f"bias_ih_l{layer}"] = (gates,)
            parts[f"bias_hh_l{layer}"] = (gates,)
        outputs = self.horizons * self.quantiles
        parts["head_hidden"] = (outputs, self.hidden_size)
        parts["head_inputs"] = (outputs, self.inputs)
        parts["head_seasonals"] = (self.horizons, self.quantiles, SEASONALS)
        parts["head_bias"] = (self.horizons, self.quantiles)
        return parts


def split(weights: Tensor, shape: Shape) -> dict[str, Tensor]:
    """Named views of the flat vector."""
    parts = shape.parts()
    pieces = weights.split([math.prod(size) for size in parts.values()])
    return {name: piece.view(size) for (name, size), piece in zip(parts.items(), pieces, strict=True)}


def fresh(shape: Shape, seed: int) -> Tensor:
    """First weights, float32: small random ones, gates that remember, intervals as wide as a normal error's."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.zeros(sum(math.prod(size) for size in shape.parts().values()))
    hidden = shape.hidden_size
    for name, part in split(weights, shape).items():
        if name.startswith("weight"):
            part.copy_(torch.randn(part.shape, generator=generator) / math.sqrt(part.shape[1]))
        elif name == "head_hidden":
            part.copy_(0.1 * torch.randn(part.shape, generator=generator) / math.sqrt(hidden))
        elif name.startswith("bias_ih") and shape.cell in ("gru", "lstm"):
            part[hidden : 2 * hidden] = 1.0  # the update gate of a GRU, the forget gate of an LSTM
        if name.startswith("weight_hh") and shape.cell == "rnn_relu":
            part.copy_(0.9 * torch.eye(hidden))  # Le et al. 2015: keeps a ReLU network from exploding
    split(weights, shape)["head_bias"].fill_(math.log(math.e - 1))  # softplus of it is 1
    split(weights, shape)["head_bias"][:, shape.middle] = 0.0
    return weights


def unroll(parts: dict[str, Tensor], shape: Shape, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Run the recurrent layers over `inputs` (T, B, F) from `state` (B, D, N, H).

    Returns the top layer's outputs (T, B, H) and the last state (B, D, N, H).
    """
    step, last = CELLS[shape.cell], []
    for layer in range(shape.layers):
        given = linear(inputs, parts[f"weight_ih_l{layer}"], parts[f"bias_ih_l{layer}"])
        weight, bias = parts[f"weight_hh_l{layer}"], parts[f"bias_hh_l{layer}"]
        current, outputs = state[:, layer], []
        for moment in given.unbind(0):
            current = step(moment, current, weight, bias)
            outputs.append(current[:, 0])
        inputs = torch.stack(outputs)
        last.append(current)
    return inputs, torch.stack(last, 1)


def heads(parts: dict[str, Tensor], shape: Shape, hidden: Tensor, inputs: Tensor, seasonals: Tensor) -> Tensor:
    """Quantiles (..., K, Q) in units from `hidden` (..., H), `inputs` (..., F) and `seasonals` (..., K, 4).

    The median is free; every other quantile lies a positive distance (softplus) beyond its inner neighbour.
    """
    flat = linear(hidden, parts["head_hidden"]) + linear(inputs, parts["head_inputs"])
    free = flat.unflatten(-1, (shape.horizons, shape.quantiles)) + parts["head_bias"]
    free = free + torch.einsum("...kp,kqp->...kq", seasonals, parts["head_seasonals"])
    median = free[..., shape.middle : shape.middle + 1]
    gaps = softplus(free)
    up = median + gaps[..., shape.middle + 1 :].cumsum(-1)
    down = median - gaps[..., : shape.middle].flip(-1).cumsum(-1).flip(-1)
    return torch.cat([down, median, up], -1)
