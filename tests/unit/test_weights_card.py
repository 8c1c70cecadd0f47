"""The file of a base network."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
import safetensors.numpy
from support.pretraining import CARD, COMPLETE, SMALL

from streamrnn.core.config import ModelConfig
from streamrnn.core.jit import Singles
from streamrnn.core.network.shapes import KNOTS, Shape
from streamrnn.core.variants import shape_of
from streamrnn.errors import ConfigError, InputError, OutputError
from streamrnn.weights import SHIPPED, base_path
from streamrnn.weights.card import Card, read_base, read_card, write_base


def weights_of(shape: Shape = SMALL) -> Singles:
    """Draw weights of a network."""
    return np.random.default_rng(0).normal(size=shape.size).astype(np.float32)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Write a base network."""
    write_base(tmp_path / "base.safetensors", weights_of(), SMALL, CARD)
    return tmp_path / "base.safetensors"


def rewrite(path: Path, arrays: dict[str, Singles], metadata: dict[str, str] | None) -> None:
    """Write a safetensors file with other contents."""
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


def test_a_base_network_is_read_as_written(base: Path) -> None:
    """Weights bit for bit, the complete card, and no other file."""
    assert read_base(base, SMALL).tobytes() == weights_of().tobytes()
    card = read_card(base)
    assert card.keys() == COMPLETE
    assert {name: card[name] for name in Card._fields} == CARD._asdict()
    assert (card["licence"], card["shape"], card["knots"]) == ("Apache-2.0", SMALL.layout()["shape"], list(KNOTS))
    assert list(base.parent.iterdir()) == [base]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (SMALL._replace(cell="lstm"), "cell is gru there and lstm here"),
        (SMALL._replace(hidden_size=16), "hidden_size is 8 there and 16 here"),
        (SMALL._replace(layers=2), "layers is 1 there and 2 here"),
        (SMALL._replace(kind="attention", context=4), "encoder is absent there and attention here; context is absent"),
        (SMALL._replace(inputs=9, experts=3), "inputs is 79 there and 9 here; experts is 14 there and 3 here"),
    ],
)
def test_another_layout_is_refused(base: Path, shape: Shape, words: str) -> None:
    """A file for another network is refused with the differences and the remedy."""
    with pytest.raises(ConfigError, match=r"model\.cell.*streamrnn pretrain.*model\.base") as refused:
        read_base(base, shape)
    assert words in str(refused.value)
    assert str(base) in str(refused.value)


@pytest.mark.parametrize(("name", "value"), [("INPUTS_VERSION", 2), ("KNOTS", (0.1, 0.5, 0.9, 0.95, 0.96, 0.97, 0.98))])
def test_another_version_is_refused(base: Path, name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with another meaning of inputs or quantiles is refused, although all sizes are equal."""
    monkeypatch.setattr(f"streamrnn.core.network.shapes.{name}", value)
    with pytest.raises(ConfigError, match=f"{name.lower()} is .* there and .* here"):
        read_base(base, SMALL)


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_weights_of_a_type_that_numpy_lacks_are_refused(base: Path, kind: str) -> None:
    """Weights in half or quarter precision, as of other tools, are refused with what is needed."""
    size = SMALL.size * (2 if kind == "BF16" else 1)
    card = safetensors.safe_open(base, "numpy").metadata()
    entry = {"dtype": kind, "shape": [SMALL.size], "data_offsets": [0, size]}
    header = orjson.dumps({"weights": entry, "__metadata__": card})
    base.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    with pytest.raises(InputError, match=f"is damaged: it does not hold {SMALL.size:,} float32 weights"):
        read_base(base, SMALL)
    assert read_card(base).keys() == COMPLETE


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """What is no file is refused at once: reading a pipe would wait for ever."""
    os.mkfifo(tmp_path / "base")
    with pytest.raises(InputError, match="cannot be read: it is not a file"):
        read_card(tmp_path / "base")


def test_a_damaged_file_is_refused(base: Path) -> None:
    """A truncated file, one with a changed byte of its header, or another kind of file is refused."""
    whole = base.read_bytes()
    for cut in (0, 5, 200, len(whole) // 2, len(whole) - 1):
        base.write_bytes(whole[:cut])
        with pytest.raises(InputError, match="is damaged, or no base network"):
            read_base(base, SMALL)
    for damaged in (whole[:3] + b"\xff" + whole[4:], whole.replace(b"{", b"[", 1), b"weights,card\n1,2\n" * 100):
        base.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged, or no base network"):
            read_base(base, SMALL)


def test_other_contents_are_refused(base: Path) -> None:
    """A file without a card, with other tensors or with weights that are not finite is refused."""
    card = {"card": orjson.dumps(read_card(base)).decode()}
    bad = weights_of()
    bad[7] = np.nan
    for arrays, metadata, words in (
        ({"weights": weights_of()}, None, "it has no card"),
        ({"weights": weights_of()}, {"card": "[1]"}, "it has no card"),
        ({"weights": weights_of()}, {"card": "{"}, "is damaged, or no base network"),
        ({"weights": weights_of()[1:]}, card, "does not hold"),
        ({"weights": weights_of().astype(np.float64)}, card, "does not hold"),
        ({"others": weights_of()}, card, "does not hold"),
        ({"weights": bad}, card, "not all of its weights are finite"),
    ):
        rewrite(base, arrays, metadata)
        with pytest.raises(InputError, match=words):
            read_base(base, SMALL)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    """No such file, a folder, or no such folder: the message names it; exit codes 66 and 73."""
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match=f"{path}.*(cannot be read|damaged)"):
            read_base(path, SMALL)
    with pytest.raises(OutputError, match="lost/base cannot be written: No such file or directory"):
        write_base(tmp_path / "lost" / "base", weights_of(), SMALL, CARD)
    assert (InputError.exit_code, OutputError.exit_code) == (66, 73)


def test_a_card_is_read_without_torch(base: Path) -> None:
    """Reading a card does not import torch."""
    code = f"import sys, pathlib; from streamrnn.weights.card import read_card; read_card(pathlib.Path({str(base)!r}))"
    done = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], check=False)
    assert done.returncode == 0


def test_the_bundled_base_networks_are_usable() -> None:
    """Each one of the package is small, fits its file name, and has a complete card without a user's data."""
    shipped = sorted(SHIPPED.glob("*.safetensors"))
    if not shipped:
        pytest.skip("no base network is bundled")
    for path in shipped:
        card = read_card(path)
        shape = Shape(**card["shape"])
        variant = path.stem.split("-")[0] if path.stem.count("-") == 2 else "full"
        model = ModelConfig(variant, shape.cell, shape.hidden_size, shape.layers)  # type: ignore[arg-type]
        assert shape == shape_of(model)
        assert base_path("default", model) == path
        assert len(read_base(path, shape)) == shape.size
        assert path.stat().st_size <= 1_000_000
        assert card.keys() | {"start"} == COMPLETE  # earlier versions wrote no such entry
        assert card["history"] == []
        assert card["validation"].keys() == CARD.validation.keys()
        assert card["validation"]["error"] < card["validation"]["expert"]
