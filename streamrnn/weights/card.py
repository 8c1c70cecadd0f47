"""The file of a base network: its weights, and a card with its layout and its training."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
import safetensors
import safetensors.numpy

from streamrnn.core.jit import Singles
from streamrnn.errors import ConfigError, InputError
from streamrnn.files import written_atomically

if TYPE_CHECKING:
    from streamrnn.core.network.shapes import Shape

WEIGHTS, CARD = "weights", "card"  # name of the file's only tensor, and key of its only metadata entry
LICENCE = "Apache-2.0"


class Card(NamedTuple):
    """Description of the training of a base network."""

    seed: int
    steps: int  # optimizer steps of the weights
    planned: int  # optimizer steps of the whole training, which the learning rate depends on
    rows: int  # rows read in training, with repetitions
    series: int  # synthetic series drawn
    ingredients: dict[str, float]  # ingredients of the series, with their shares
    history: list[str]  # further files that were trained on
    validation: dict[str, float]  # scores on synthetic series that were not trained on
    date: str
    start: str | None = None  # name of the file that the training started from; None: from random weights


def write_base(path: Path, weights: Singles, shape: "Shape", card: Card) -> None:
    """Write a base network atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    document = {**shape.layout(), **card._asdict(), "licence": LICENCE}
    with written_atomically(path) as file:
        file.write(safetensors.numpy.save({WEIGHTS: weights}, {CARD: orjson.dumps(document).decode()}))


def read_base(path: Path, shape: "Shape") -> Singles:
    """Return the flat weights of a base network for a network of `shape`.

    Raises:
        InputError: The file cannot be read, is damaged, or is not a base network.
        ConfigError: It has another layout.
    """
    card, arrays = _read(path)
    differences = [
        f"{name} is {_text(saved)} there and {_text(wanted)} here"
        for part, sizes in shape.layout().items()
        for name, saved, wanted in _differences(part, card.get(part), sizes)
    ]
    if differences:
        raise ConfigError(
            f"the base network {path} does not fit: {'; '.join(differences)}; set model.cell and the "
            "other keys of model as they are there, make one that fits (streamrnn pretrain), or set model.base to none"
        )
    weights = arrays.get(WEIGHTS)
    if weights is None or weights.shape != (shape.size,) or weights.dtype != np.float32:
        raise InputError(f"the base network {path} is damaged: it does not hold {shape.size:,} float32 {WEIGHTS}")
    if not np.isfinite(weights).all():
        raise InputError(f"the base network {path} is damaged: not all of its weights are finite numbers")
    return weights


def read_card(path: Path) -> dict[str, Any]:
    """Return the card of a base network: its layout, the fields of Card, and the licence.

    Raises:
        InputError: The file cannot be read, is damaged, or is not a base network.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Singles]]:
    """Return the card and the arrays; nothing but a float32 vector is read, and it is not larger than the file."""
    try:
        if not path.is_file():  # a pipe would never end
            raise InputError(f"the base network {path} cannot be read: it is not a file")
        with safetensors.safe_open(path, "numpy") as file:
            card: Any = orjson.loads((file.metadata() or {}).get(CARD, "null"))
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 -- no dictionary
            arrays = {name: file.get_tensor(name) for name, kind in kinds.items() if kind == "F32"}
    except OSError as error:
        raise InputError(f"the base network {path} cannot be read: {error.strerror or error}") from error
    except (safetensors.SafetensorError, ValueError) as error:
        raise InputError(
            f"{path} is damaged, or no base network: {error}; copy it again, or make one (streamrnn pretrain)"
        ) from error
    if not isinstance(card, dict):
        raise InputError(f"{path} is not a base network: it has no {CARD}; streamrnn pretrain makes one")
    return card, arrays


def _differences(part: str, saved: Any, wanted: Any) -> list[tuple[str, Any, Any]]:
    """Return (name, saved, wanted) for each difference; of sizes, only those that differ."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        names = {**wanted, **saved}
        return [(name, saved.get(name), wanted.get(name)) for name in names if saved.get(name) != wanted.get(name)]
    return [] if saved == wanted else [(part, saved, wanted)]


def _text(value: Any) -> str:
    return "absent" if value is None else str(value)
