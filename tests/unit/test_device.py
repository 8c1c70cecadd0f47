"""The device that the network runs on, and when torch is loaded."""

import subprocess
import sys

import pytest
import torch

from streamrnn.core.network import device
from streamrnn.core.network.device import device_of
from streamrnn.errors import ConfigError

DRIVER = "libc.so.6"
"""A library that is there."""
LATE = """
import sys
from streamrnn import app
from streamrnn.core import device
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
"""Forecasts, goes on from saved state, and comes to where there is something to learn from."""


def test_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is the GPU where there is a driver and torch finds one, else the CPU."""
    for driver, found, kind in ((DRIVER, True, "cuda"), (DRIVER, False, "cpu"), ("libnone.so", True, "cpu")):
        monkeypatch.setattr(device, "DRIVER", driver)
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert device_of("auto") == kind
        assert device_of("cpu") == "cpu"


def test_without_a_driver_torch_is_not_loaded() -> None:
    """Neither to choose a device, nor to forecast: only to learn all of a network, and then it is."""
    said = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True, timeout=200)
    assert said.stdout.split() == ["False", "False", "True"]


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cuda` without a GPU is an error of the configuration that says what to set."""
    monkeypatch.setattr(device, "DRIVER", DRIVER)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"device = 'cuda': .*auto or cpu"):
        device_of("cuda")
