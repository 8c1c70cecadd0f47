"""The device that the network runs on."""

import pytest
import torch

from streamrnn.core.learner import device_of
from streamrnn.errors import ConfigError


def test_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is the GPU where torch finds one, else the CPU."""
    for found, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert device_of("auto").type == kind
        assert device_of("cpu").type == "cpu"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cuda` without a GPU is an error of the configuration that says what to set."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"device = 'cuda': .*auto or cpu"):
        device_of("cuda")
