"""The two variants of a forecaster: their banks and the sizes of their networks."""

from typing import NamedTuple

from streamrnn.core.banks.full import FullBank
from streamrnn.core.banks.lean.bank import LeanBank
from streamrnn.core.banks.protocol import SeriesBank
from streamrnn.core.config import ModelConfig
from streamrnn.core.network.shapes import Shape


class Variant(NamedTuple):
    """One variant."""

    bank: type[SeriesBank]
    width: int  # hidden units of the head


VARIANTS = {"full": Variant(FullBank, 64), "lean": Variant(LeanBank, 32)}


def shape_of(model: ModelConfig) -> Shape:
    """Return the shape of the network that `model` describes."""
    bank, width = VARIANTS[model.variant]
    context = 0 if model.encoder == "recurrent" else model.context
    return Shape(
        model.cell, model.hidden_size, model.layers, width=width, inputs=bank.inputs, experts=bank.experts,
        kind=model.encoder, context=context, decay=model.decay,
    )  # fmt: skip
