"""The base network of a configuration, as the first weights of the forecaster."""

from pathlib import Path

import numpy as np
import pytest

from streamrnn import app, cli, weights
from streamrnn.core.network.shapes import Shape
from streamrnn.core.network.torch_network import initial_weights
from streamrnn.errors import ConfigError
from streamrnn.settings import load
from streamrnn.weights.card import Card, write_base

SHAPE = Shape("gru", 4, 1)
SMALL = ["input.topics=a", "model.hidden_size=4", "device=cpu"]

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Replace the folder of the bundled base networks."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(weights, "SHIPPED", folder)
    return folder


def written(path: Path, seed: int) -> np.ndarray:
    """Write a base network and return its weights."""
    weights = initial_weights(SHAPE, seed).numpy()
    card = Card(
        seed=seed, steps=1, planned=1, rows=1, series=1, ingredients={}, history=[], validation={}, date="2026-01-01"
    )  # fmt: skip
    write_base(path, weights, SHAPE, card)
    return weights


def test_the_default_is_the_bundled_base_network(shipped: Path) -> None:
    """`default` is the file for cell, layers and size, or random weights if there is none."""
    settings = load(None, SMALL)
    assert app.base(settings) is None
    weights = written(shipped / "gru-1x4.safetensors", 3)
    np.testing.assert_array_equal(app.base(settings), weights)
    assert app.base(load(None, [*SMALL, "model.cell=lstm"])) is None
    assert app.base(load(None, [*SMALL, "model.layers=2"])) is None
    assert app.base(load(None, [*SMALL, "model.base=none"])) is None


@pytest.mark.usefixtures("shipped")
def test_a_path_is_read(tmp_path: Path) -> None:
    """A file of any name is read, and the forecaster has its weights, with three networks."""
    weights = written(tmp_path / "mine.safetensors", 5)
    settings = load(None, [*SMALL, f"model.base={tmp_path / 'mine.safetensors'}"])
    np.testing.assert_array_equal(app.base(settings), weights)
    forecaster = app.forecaster(settings)
    np.testing.assert_array_equal(forecaster.save_shared()["weights"], weights)
    assert forecaster.layout["base"] != app.forecaster(load(None, SMALL)).layout["base"]


@pytest.mark.usefixtures("shipped")
def test_a_missing_or_unsuitable_file_is_refused(tmp_path: Path) -> None:
    """The message has the key or the file, and the difference."""
    missing = load(None, [*SMALL, "model.base=nowhere.safetensors"])
    with pytest.raises(ConfigError, match=r"model\.base = 'nowhere\.safetensors': there is no such file"):
        app.base(missing)
    path = tmp_path / "mine.safetensors"
    written(path, 5)
    with pytest.raises(ConfigError, match="does not fit"):
        app.forecaster(load(None, ["input.topics=a", "model.hidden_size=8", f"model.base={path}"]))


def test_check_prints_the_base_network(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` prints the file, or that there is none; it fails for a missing file."""
    arguments = ["check", *(word for override in SMALL for word in ("--set", override))]
    assert cli.main(arguments) == 0
    assert "base       none: the network starts from random weights\n" in capsys.readouterr().out
    written(shipped / "gru-1x4.safetensors", 3)
    assert cli.main(arguments) == 0
    assert f"base       {shipped / 'gru-1x4.safetensors'}\n" in capsys.readouterr().out
    assert cli.main([*arguments, "--set", "model.base=gone"]) == 78
    assert "model.base = 'gone'" in capsys.readouterr().err


def test_the_bundled_base_networks_fit() -> None:
    """Every bundled file can be read for the network of its name."""
    for path in weights.SHIPPED.glob("*.safetensors"):
        *variant, cell, size = path.stem.split("-")
        layers, _, hidden_size = size.partition("x")
        names = [f"model.cell={cell}", f"model.layers={layers}", f"model.hidden_size={hidden_size}"]
        names.append(f"model.variant={''.join(variant) or 'full'}")
        assert app.base(load(None, ["input.topics=a", *names])) is not None
