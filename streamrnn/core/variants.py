"""The two variants of a forecaster: what is known of a series, and what its network reads."""

from collections.abc import Callable
from typing import NamedTuple

from streamrnn.core.banks.full import Bank
from streamrnn.core.banks.lean import state as lean
from streamrnn.core.banks.lean.bank import LeanBank
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


def shape_of(
    *, variant: str, cell: str, hidden_size: int, layers: int, encoder: str = "recurrent", context: int = 16,
    decay: bool = False,
) -> Shape:  # fmt: skip
    """Sizes of the network of a variant; arguments as in the configuration."""
    _, inputs, experts, width = VARIANTS[variant]
    return Shape(
        cell, hidden_size, layers, width=width, inputs=inputs, experts=experts, kind=encoder,
        context=0 if encoder == "recurrent" else context, decay=decay,
    )  # fmt: skip
