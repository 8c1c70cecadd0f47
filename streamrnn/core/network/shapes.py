"""Names and shapes of the weights of a network; independent of torch.

The cell determines the number of gates G and the number of state vectors N; see GATES and STATES.
"""

import math
from typing import NamedTuple

from streamrnn.core.jit import Singles
from streamrnn.core.series.features import INPUTS_VERSION
from streamrnn.core.series.state import EXPERTS, INPUTS, LEAD

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}
STATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 1, "lstm": 2}
LAYER = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""Weights of a layer, in torch's order: of the inputs (G*U, F) and the state (G*U, U), and a bias (G*U,) of each."""
REVERSE = tuple(f"{name}_l0_reverse" for name in LAYER)
"""Weights of the network that reads backwards, named as in torch.nn."""
ATTENTION = ("query", "key", "value")
KNOTS = (0.01, 0.05, 0.1, 0.5, 0.9, 0.95, 0.99)
"""Levels of the quantiles that a network forecasts; the configured quantiles are interpolated between them."""
LABEL_WEIGHTS = (0.8, 5.0)  # smallest and largest weight of a label in the loss


class Encoder(NamedTuple):
    """The recurrent part of a network."""

    cell: str  # see GATES
    hidden_size: int  # units per layer, U
    layers: int  # number of layers, D
    inputs: int  # number of inputs, F
    kind: str = "recurrent"  # see encoders
    context: int = 0  # length of the context, W
    gap: int = -1  # index of the input by which the state decays, the time step; negative: no decay

    @property
    def recurrent_shape(self) -> tuple[int, int, int]:
        """Shape of the recurrent state, (D, N, U)."""
        return self.layers, STATES[self.cell], self.hidden_size

    @property
    def entry_size(self) -> int:
        """Size of one entry of the context."""
        return {"recurrent": 0, "bidirectional": self.inputs, "attention": self.hidden_size}[self.kind]

    @property
    def states(self) -> tuple[int, ...]:
        """Shape of a series' state: (D, N, U), or flat with a context: state, context, and number of entries."""
        if self.kind == "recurrent":
            return self.recurrent_shape
        return (math.prod(self.recurrent_shape) + self.context * self.entry_size + 1,)

    @property
    def top(self) -> int:
        """Size of the encoding, the input of the head."""
        return self.hidden_size * (1 if self.kind == "recurrent" else 2)

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights in the order of the flat vector, by their names in torch.nn where it has them."""
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

    def _layer(self, inputs: int) -> tuple[tuple[int, ...], ...]:
        gates = GATES[self.cell] * self.hidden_size
        return (gates, inputs), (gates, self.hidden_size), (gates,), (gates,)


class Shape(NamedTuple):
    """The shape of a network: encoder and head."""

    cell: str
    hidden_size: int
    layers: int
    width: int = 64  # units of the head
    inputs: int = INPUTS
    experts: int = len(EXPERTS)
    knots: int = len(KNOTS)
    kind: str = "recurrent"  # see encoders
    context: int = 0
    decay: bool = False  # whether the state decays with the time step

    @property
    def encoder(self) -> Encoder:
        """The recurrent part."""
        gap = self.inputs - 2 * self.experts - 1 if self.decay else -1  # the last input that `fill_age` fills
        return Encoder(self.cell, self.hidden_size, self.layers, self.inputs, self.kind, self.context, gap)

    @property
    def options(self) -> dict[str, object]:
        """Options of the encoder that differ from the defaults, by their names in the configuration."""
        kind = {} if self.kind == "recurrent" else {"encoder": self.kind, "context": self.context}
        return kind | ({"decay": True} if self.decay else {})

    @property
    def states(self) -> tuple[int, ...]:
        """Shape of a series' state."""
        return self.encoder.states

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights by name, in the order of the flat vector: the encoder, then the head."""
        parts = self.encoder.parts()
        parts["head_hidden"] = (self.width, self.encoder.top)
        parts["head_advice"] = (self.width, 2 * self.experts + LEAD)
        parts["head_bias"] = (self.width,)
        parts["out_weight"] = (self.experts + 1 + self.knots, self.width)
        parts["out_bias"] = (self.experts + 1 + self.knots,)
        return parts

    def layout(self) -> dict[str, object]:
        """Return a description of the flat vector, for JSON; networks with equal layouts can exchange weights."""
        sizes = {key: size for key, size in self._asdict().items() if key not in {"kind", "context", "decay"}}
        return {"inputs_version": INPUTS_VERSION, "shape": sizes | self.options, "knots": list(KNOTS)}

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(math.prod(part) for part in self.parts().values())

    @property
    def head_size(self) -> int:
        """Length of the head's part, which is the tail of the flat vector."""
        return sum(math.prod(part) for name, part in self.parts().items() if name.startswith(("head", "out")))


def named_views(weights: Singles, shape: Shape) -> dict[str, Singles]:
    """Return named views of the flat vector."""
    parts, at = dict[str, Singles](), 0
    for name, size in shape.parts().items():
        parts[name] = weights[at : at + math.prod(size)].reshape(size)
        at += math.prod(size)
    return parts
