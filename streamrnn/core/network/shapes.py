"""Sizes and names of all weights of a network, and what follows from them. Nothing here needs torch.

G gates and N vectors of state depend on the cell: see GATES and STATES.
"""

import math
from typing import NamedTuple

from streamrnn.core.jit import Singles
from streamrnn.core.series.features import INPUTS_VERSION
from streamrnn.core.series.state import EXPERTS, INPUTS, LEAD

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}
STATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 1, "lstm": 2}
LAYER = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""Weights of a layer, in torch's order: of the inputs (G*H, F), of the state (G*H, H), and a bias (G*H,) of either."""
KINDS = ("recurrent", "bidirectional", "attention")
REVERSE = tuple(f"{name}_l0_reverse" for name in LAYER)
"""Weights of the network that reads backwards, as torch.nn calls them."""
ATTENTION = ("query", "key", "value")
KNOTS = (0.01, 0.05, 0.1, 0.5, 0.9, 0.95, 0.99)
"""Levels of the quantiles that the network forecasts; those configured are read between them."""


class Encoder(NamedTuple):
    """What the sizes and the meaning of the recurrent weights follow from."""

    cell: str
    hidden_size: int
    layers: int
    inputs: int
    kind: str = "recurrent"
    context: int = 0
    """Observations looked back upon, W."""
    gap: int = -1
    """Place of the time step among the inputs; the state decays with it. Below 0: it does not."""

    @property
    def kept(self) -> tuple[int, int, int]:
        """(D, N, H) of the recurrent state."""
        return self.layers, STATES[self.cell], self.hidden_size

    @property
    def remembered(self) -> int:
        """Numbers that are remembered of each of the last W observations."""
        return {"recurrent": 0, "bidirectional": self.inputs, "attention": self.hidden_size}[self.kind]

    @property
    def states(self) -> tuple[int, ...]:
        """Shape of the state of a series: (D, N, H), or flat, the context and how much of it is filled behind it."""
        depth, vectors, size = self.kept
        if self.kind == "recurrent":
            return self.kept
        return (depth * vectors * size + self.context * self.remembered + 1,)

    @property
    def top(self) -> int:
        """Numbers that the head reads."""
        return self.hidden_size * (1 if self.kind == "recurrent" else 2)

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights by name, in the order of the flat vector; named as in torch.nn where that has them."""
        size, parts = self.hidden_size, dict[str, tuple[int, ...]]()
        for layer in range(self.layers):
            shapes = self._layer(self.inputs if layer == 0 else size)
            parts |= {f"{name}_l{layer}": shape for name, shape in zip(LAYER, shapes, strict=True)}
        if self.kind == "bidirectional":
            parts |= dict(zip(REVERSE, self._layer(self.inputs), strict=True))
        if self.kind == "attention":
            parts |= dict.fromkeys(ATTENTION, (size, size))
        if self.gap >= 0:
            parts |= {"decay_rate": (self.layers, size), "decay_start": (self.layers, size)}
        return parts

    def _layer(self, given: int) -> tuple[tuple[int, ...], ...]:
        gates = GATES[self.cell] * self.hidden_size
        return (gates, given), (gates, self.hidden_size), (gates,), (gates,)


class Shape(NamedTuple):
    """What the sizes of all weights follow from."""

    cell: str
    hidden_size: int
    layers: int
    width: int = 64
    """Units of the head."""
    inputs: int = INPUTS
    experts: int = len(EXPERTS)
    knots: int = len(KNOTS)
    kind: str = "recurrent"
    """What the head reads of the past; see encoders."""
    context: int = 0
    decay: bool = False
    """Whether the state decays with the time step."""

    @property
    def encoder(self) -> Encoder:
        """The part below the head."""
        gap = self.inputs - 2 * self.experts - 1 if self.decay else -1  # where `read_age` ends
        return Encoder(self.cell, self.hidden_size, self.layers, self.inputs, self.kind, self.context, gap)

    @property
    def options(self) -> dict[str, object]:
        """What of the encoder is not plain, named as in the configuration."""
        looking = {} if self.kind == "recurrent" else {"encoder": self.kind, "context": self.context}
        return looking | ({"decay": True} if self.decay else {})

    @property
    def states(self) -> tuple[int, ...]:
        """Shape of the state of a series."""
        return self.encoder.states

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Shapes by name, in the order of the flat vector: the encoder's, then the head's."""
        parts = self.encoder.parts()
        parts["head_hidden"] = (self.width, self.encoder.top)
        parts["head_advice"] = (self.width, 2 * self.experts + LEAD)
        parts["head_bias"] = (self.width,)
        parts["out_weight"] = (self.experts + 1 + self.knots, self.width)
        parts["out_bias"] = (self.experts + 1 + self.knots,)
        return parts

    def layout(self) -> dict[str, object]:
        """All that the meaning of the flat vector follows from, as JSON has it."""
        sizes = {key: size for key, size in self._asdict().items() if key not in {"kind", "context", "decay"}}
        return {"inputs_version": INPUTS_VERSION, "shape": sizes | self.options, "knots": list(KNOTS)}

    @property
    def size(self) -> int:
        """Numbers in the flat vector."""
        return sum(math.prod(part) for part in self.parts().values())

    @property
    def head_size(self) -> int:
        """Numbers of the head, the last ones of the flat vector."""
        return sum(math.prod(part) for name, part in self.parts().items() if name.startswith(("head", "out")))


def views(weights: Singles, shape: Shape) -> dict[str, Singles]:
    """Named views of the flat vector."""
    found, at = dict[str, Singles](), 0
    for name, size in shape.parts().items():
        found[name] = weights[at : at + math.prod(size)].reshape(size)
        at += math.prod(size)
    return found
