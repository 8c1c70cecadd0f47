"""A base network as a file: its weights, and a card that says what they are and what they have seen."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
import safetensors
import safetensors.numpy

from streamrnn.core.jit import Singles
from streamrnn.errors import ConfigError

if TYPE_CHECKING:  # at run time it would bring torch, which those that only look at a card can do without
    from streamrnn.core.network.shapes import Shape

WEIGHTS, CARD = "weights", "card"
"""The one tensor of the file, and the one entry of its metadata."""
LICENCE = "Apache-2.0"


class Card(NamedTuple):
    """What is said of a base network in its own file."""

    seed: int
    steps: int
    """Steps that the weights have behind them, ..."""
    planned: int
    """... and those of the whole training, which the learning rate follows."""
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


def write_base(path: Path, weights: Singles, shape: "Shape", card: Card) -> None:
    """Write a base network, in one move.

    Raises:
        ConfigError: the file cannot be written.
    """
    document = {**shape.layout(), **card._asdict(), "licence": LICENCE}
    blob = safetensors.numpy.save({WEIGHTS: weights}, {CARD: orjson.dumps(document).decode()})
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(blob)
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"the base network {path} cannot be written: {error.strerror or error}") from error


def read_base(path: Path, shape: "Shape") -> Singles:
    """The weights of a base network, flat, for a network of `shape`.

    Raises:
        ConfigError: the file cannot be read, is damaged or no base network, or is one of another layout.
    """
    card, arrays = _read(path)
    differences = [
        f"{name} is {_told(held)} there and {_told(wanted)} here"
        for part, sizes in shape.layout().items()
        for name, held, wanted in _differences(part, card.get(part), sizes)
    ]
    if differences:
        raise ConfigError(
            f"the base network {path} does not fit: {'; '.join(differences)}; set model.cell and the "
            "other keys of model as they are there, make one that fits (streamrnn pretrain), or set model.base to none"
        )
    weights = arrays.get(WEIGHTS)
    if weights is None or weights.shape != (shape.size,) or weights.dtype != np.float32:
        raise ConfigError(f"the base network {path} is damaged: it does not hold {shape.size:,} float32 {WEIGHTS}")
    if not np.isfinite(weights).all():
        raise ConfigError(f"the base network {path} is damaged: not all of its weights are finite numbers")
    return weights


def read_card(path: Path) -> dict[str, Any]:
    """The card of a base network: its layout, the fields of Card, and the licence.

    Raises:
        ConfigError: the file cannot be read, or is damaged or no base network.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Singles]]:
    try:
        with safetensors.safe_open(path, "numpy") as file:
            card: Any = orjson.loads((file.metadata() or {}).get(CARD, "null"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- it is no dictionary
    except OSError as error:
        raise ConfigError(f"the base network {path} cannot be read: {error.strerror or error}") from error
    except (safetensors.SafetensorError, orjson.JSONDecodeError) as error:
        raise ConfigError(
            f"{path} is damaged, or no base network: {error}; copy it again, or make one (streamrnn pretrain)"
        ) from error
    if not isinstance(card, dict):
        raise ConfigError(f"{path} is not a base network: it has no {CARD}; streamrnn pretrain makes one")
    return card, arrays


def _differences(part: str, held: Any, wanted: Any) -> list[tuple[str, Any, Any]]:
    """(name, there, here) of what differs; of sizes, only those that do."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        names = {**wanted, **held}
        return [(name, held.get(name), wanted.get(name)) for name in names if held.get(name) != wanted.get(name)]
    return [] if held == wanted else [(part, held, wanted)]


def _told(value: Any) -> str:
    return "absent" if value is None else str(value)
