"""A base network as a file: its weights, and a card that says what they are and what they have seen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import safetensors
import safetensors.numpy

from streamrnn.core.compiled import Singles
from streamrnn.core.network import KNOTS, Shape
from streamrnn.errors import ConfigError

INPUTS_VERSION = 1
"""Of what the bank tells the network; raised with every change of its meaning, since no shape would show that."""
WEIGHTS, CARD = "weights", "card"
"""The one tensor of the file, and the one entry of its metadata."""
LICENCE = "Apache-2.0"


class Card(NamedTuple):
    """What is said of a base network in its own file."""

    seed: int
    steps: int
    rows: int
    """Rows read in training, each counted as often as it was read."""
    series: int
    """Synthetic series drawn."""
    ingredients: dict[str, float]
    """What they were made of, as shares of the series."""
    history: list[str]
    """Files that rows were taken from besides; empty: nothing but synthetic series was seen."""
    validation: dict[str, float]
    """Scores on synthetic series that were not trained on."""
    date: str


def write_base(path: Path, weights: Singles, shape: Shape, card: Card) -> None:
    """Write a base network, in one move.

    Raises:
        ConfigError: the file cannot be written.
    """
    document = {**_layout(shape), **card._asdict(), "licence": LICENCE}
    blob = safetensors.numpy.save({WEIGHTS: weights}, {CARD: orjson.dumps(document).decode()})
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(blob)
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def read_base(path: Path, shape: Shape) -> Singles:
    """The weights of a base network, flat, for a network of `shape`.

    Raises:
        ConfigError: the file cannot be read, is not a base network, or is one of another layout.
    """
    card, arrays = read_card(path), _tensors(path)
    differences = [
        f"{name} is {card.get(name)!r} in the file and {wanted!r} here"
        for name, wanted in _layout(shape).items()
        if card.get(name) != wanted
    ]
    if differences:
        raise ConfigError(
            f"the base network {path} does not fit: {'; '.join(differences)}; set model.cell, model.hidden_size and "
            "model.layers as in the file, or train another (streamrnn pretrain)"
        )
    weights = arrays.get(WEIGHTS)
    if weights is None or weights.shape != (shape.size,) or weights.dtype != np.float32:
        raise ConfigError(f"the base network {path} is damaged: it holds no {shape.size:,} float32 {WEIGHTS}")
    if not np.isfinite(weights).all():
        raise ConfigError(f"the base network {path} is damaged: not all of its weights are finite numbers")
    return weights


def read_card(path: Path) -> dict[str, Any]:
    """The card of a base network: its layout, and the fields of Card.

    Raises:
        ConfigError: the file cannot be read, or is not a base network.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            card: Any = orjson.loads((file.metadata() or {}).get(CARD, "null"))
    except OSError as error:
        raise ConfigError(f"the base network {path} cannot be read: {error.strerror or error}") from error
    except (safetensors.SafetensorError, orjson.JSONDecodeError) as error:
        raise ConfigError(f"{path} is not a base network: {error}") from error
    if not isinstance(card, dict):
        raise ConfigError(f"{path} is not a base network: it has no {CARD}; streamrnn pretrain makes one")
    return card


def _tensors(path: Path) -> Mapping[str, Any]:
    return safetensors.numpy.load_file(path)


def _layout(shape: Shape) -> dict[str, Any]:
    return {"inputs_version": INPUTS_VERSION, "shape": shape._asdict(), "knots": list(KNOTS)}
