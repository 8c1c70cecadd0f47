"""The two variants of a forecaster: what is known of a series, and what its network reads."""

from collections.abc import Callable
from typing import NamedTuple

from streamrnn.core.banks.full import Bank
from streamrnn.core.banks.lean import state as lean
from streamrnn.core.banks.lean.bank import LeanBank
from streamrnn.core.config import ModelConfig
from streamrnn.core.network.shapes import Shape
from streamrnn.core.series import state

AnyBank = Bank | LeanBank


class Variant(NamedTuple):
    """One of them."""

    bank: Callable[..., AnyBank]
    inputs: int
    """Numbers that the recurrent layers read."""
    experts: int
    """Forecasts that the head weighs."""
    width: int
    """Units of the head."""


VARIANTS = {
    "full": Variant(Bank, state.INPUTS, len(state.EXPERTS), 64),
    "lean": Variant(LeanBank, lean.INPUTS, len(lean.EXPERTS), 32),
}


def shape_of(model: ModelConfig) -> Shape:
    """Return the shape of the network that `model` describes."""
    _, inputs, experts, width = VARIANTS[model.variant]
    return Shape(
        model.cell, model.hidden_size, model.layers, width=width, inputs=inputs, experts=experts, kind=model.encoder,
        context=0 if model.encoder == "recurrent" else model.context, decay=model.decay,
    )  # fmt: skip
