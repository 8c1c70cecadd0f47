"""The device that a network runs on. Only where there is a driver torch is asked: it takes over a second to load."""

import ctypes
import sys

from streamrnn.errors import ConfigError

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def device_of(name: str) -> str:
    """`cpu` or `cuda`, of `auto`, `cpu` or `cuda`; auto takes the GPU where there is one.

    Raises:
        ConfigError: cuda is asked for, and there is none.
    """
    found = name != "cpu" and _driven() and _found()
    if name == "cuda" and not found:
        raise ConfigError("device = 'cuda': torch finds no GPU here; set device to auto or cpu, or mend the driver")
    return "cuda" if found else "cpu"


def _driven() -> bool:
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def _found() -> bool:
    import torch  # noqa: PLC0415 -- see the module docstring

    return torch.cuda.is_available()
