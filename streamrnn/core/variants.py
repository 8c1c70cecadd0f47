"""The two variants of a forecaster: their banks, and the sizes of their networks."""

from typing import NamedTuple

from streamrnn.core.banks.full import FullBank
from streamrnn.core.banks.lean.bank import LeanBank
from streamrnn.core.banks.lean.features import LEAN_INPUTS
from streamrnn.core.banks.protocol import SeriesBank
from streamrnn.core.config import ModelConfig
from streamrnn.core.network.shapes import Shape
from streamrnn.core.series.lean_state import LEAN_EXPERTS
from streamrnn.core.series.state import EXPERTS, INPUTS


class Variant(NamedTuple):
    """One variant."""

    bank: type[SeriesBank]
    inputs: int  # of the recurrent layers, F
    experts: int  # point forecasts that the head weights, E
    width: int  # hidden units of the head


VARIANTS = {
    "full": Variant(FullBank, INPUTS, len(EXPERTS), 64),
    "lean": Variant(LeanBank, LEAN_INPUTS, len(LEAN_EXPERTS), 32),
}


def shape_of(model: ModelConfig) -> Shape:
    """Return the shape of the network that `model` describes."""
    _, inputs, experts, width = VARIANTS[model.variant]
    return Shape(
        model.cell, model.hidden_size, model.layers, width=width, inputs=inputs, experts=experts, kind=model.encoder,
        context=0 if model.encoder == "recurrent" else model.context, decay=model.decay,
    )  # fmt: skip
