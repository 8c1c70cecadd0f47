"""Which base network a configuration means, and that the forecaster starts from it."""

from pathlib import Path

import numpy as np
import pytest

from streamrnn import app, cli, weights
from streamrnn.core.network.shapes import Shape
from streamrnn.core.network.torch_network import fresh
from streamrnn.errors import ConfigError
from streamrnn.settings import load
from streamrnn.weights.card import Card, write_base

SHAPE = Shape("gru", 4, 1)
SMALL = ["input.topics=a", "model.hidden_size=4", "device=cpu"]

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that stands for the one that comes with the package."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(weights, "SHIPPED", folder)
    return folder


def written(path: Path, seed: int) -> np.ndarray:
    """Write a base network; its weights."""
    weights = fresh(SHAPE, seed).numpy()
    card = Card(
        seed=seed, steps=1, planned=1, rows=1, series=1, ingredients={}, history=[], validation={}, date="2026-01-01"
    )  # fmt: skip
    write_base(path, weights, SHAPE, card)
    return weights


def test_the_default_is_what_comes_with_the_package_for_this_network(shipped: Path) -> None:
    """`default` is the file for cell, layers and size where there is one, and random weights where there is none."""
    settings = load(None, SMALL)
    assert app.base(settings) is None
    weights = written(shipped / "gru-1x4.safetensors", 3)
    np.testing.assert_array_equal(app.base(settings), weights)
    assert app.base(load(None, [*SMALL, "model.cell=lstm"])) is None
    assert app.base(load(None, [*SMALL, "model.layers=2"])) is None
    assert app.base(load(None, [*SMALL, "model.base=none"])) is None


@pytest.mark.usefixtures("shipped")
def test_a_path_is_read(tmp_path: Path) -> None:
    """A file is read whatever it is called, and the forecaster starts from its weights, with three networks."""
    weights = written(tmp_path / "mine.safetensors", 5)
    settings = load(None, [*SMALL, f"model.base={tmp_path / 'mine.safetensors'}"])
    np.testing.assert_array_equal(app.base(settings), weights)
    forecaster = app.forecaster(settings)
    np.testing.assert_array_equal(forecaster.save_shared()["weights"], weights)
    assert forecaster.layout["base"] != app.forecaster(load(None, SMALL)).layout["base"]


@pytest.mark.usefixtures("shipped")
def test_a_file_that_is_not_there_or_does_not_fit_is_refused(tmp_path: Path) -> None:
    """The message names the key or the file, and what does not fit."""
    missing = load(None, [*SMALL, "model.base=nowhere.safetensors"])
    with pytest.raises(ConfigError, match=r"model\.base = 'nowhere\.safetensors': there is no such file"):
        app.base(missing)
    path = tmp_path / "mine.safetensors"
    written(path, 5)
    with pytest.raises(ConfigError, match="does not fit"):
        app.forecaster(load(None, ["input.topics=a", "model.hidden_size=8", f"model.base={path}"]))


def test_check_says_which_base_is_used(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` names the file, or says that there is none; a file that is not there makes it fail."""
    arguments = ["check", *(word for override in SMALL for word in ("--set", override))]
    assert cli.main(arguments) == 0
    assert "base       none: the network starts from random weights\n" in capsys.readouterr().out
    written(shipped / "gru-1x4.safetensors", 3)
    assert cli.main(arguments) == 0
    assert f"base       {shipped / 'gru-1x4.safetensors'}\n" in capsys.readouterr().out
    assert cli.main([*arguments, "--set", "model.base=gone"]) == 78
    assert "model.base = 'gone'" in capsys.readouterr().err


def test_a_base_that_comes_with_the_package_fits() -> None:
    """Every file that comes with the package can be read for the network that its name says."""
    for path in weights.SHIPPED.glob("*.safetensors"):
        *variant, cell, size = path.stem.split("-")
        layers, _, hidden_size = size.partition("x")
        names = [f"model.cell={cell}", f"model.layers={layers}", f"model.hidden_size={hidden_size}"]
        names.append(f"model.variant={''.join(variant) or 'full'}")
        assert app.base(load(None, ["input.topics=a", *names])) is not None
