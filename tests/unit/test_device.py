"""The device of the network, and when torch is imported."""

import subprocess
import sys

import pytest
import torch

from streamrnn.core.network import device
from streamrnn.core.network.device import resolve_device
from streamrnn.errors import ConfigError

DRIVER = "libc.so.6"
"""A library that exists."""
LATE = """
import sys
from streamrnn import app
from streamrnn.core.network import device
from streamrnn.records import Record, TopicPartition
from streamrnn.settings import load
device.DRIVER = "libnone.so"
def made():
    return app.task(load(None, ["input.topics=x", "learning.every=40"]), TopicPartition("x", 0))
def feed(task, first, end):
    for n in range(first, end):
        task.feed([Record("x", 0, n, 1_700_000_000_000 + n * 60_000, b"a", b'{"value":%d}' % (n % 7))])
    print("torch" in sys.modules)
before, after = made(), made()
feed(before, 0, 90)
after.load(dict(before.save(90)))
feed(after, 90, 91)
feed(after, 91, 300)
"""
"""Forecasts, restores saved state, and reaches a learning point of the whole network."""


def test_auto_prefers_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is the GPU if there is a driver and torch finds one, else the CPU."""
    for driver, found, kind in ((DRIVER, True, "cuda"), (DRIVER, False, "cpu"), ("libnone.so", True, "cpu")):
        monkeypatch.setattr(device, "DRIVER", driver)
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert resolve_device("auto") == kind
        assert resolve_device("cpu") == "cpu"


def test_auto_takes_the_gpu_for_large_networks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 128 units a core is faster; `cuda` is the GPU in any case."""
    monkeypatch.setattr(device, "DRIVER", DRIVER)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = {(name, units): resolve_device(name, units=units) for name in ("auto", "cuda") for units in (64, 128)}
    assert found == {("auto", 64): "cpu", ("auto", 128): "cuda", ("cuda", 64): "cuda", ("cuda", 128): "cuda"}


def test_without_a_driver_torch_is_imported_late() -> None:
    """Not to choose a device or to forecast, but to learn the whole network."""
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout.split() == ["False", "False", "True"]


def test_a_missing_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cuda` without a GPU is a configuration error with the remedy."""
    monkeypatch.setattr(device, "DRIVER", DRIVER)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"device = 'cuda': .*auto or cpu"):
        resolve_device("cuda")
