"""The device of the network. torch, which takes over a second to import, is imported only where a driver exists."""

import ctypes
import sys

from streamrnn.errors import ConfigError

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def resolve_device(name: str) -> str:
    """Return `cpu` or `cuda` for `auto`, `cpu` or `cuda`; `auto` prefers the GPU.

    Raises:
        ConfigError: `cuda` without a usable GPU.
    """
    available = name != "cpu" and _has_driver() and _has_gpu()
    if name == "cuda" and not available:
        raise ConfigError("device = 'cuda': torch finds no GPU here; set device to auto or cpu, or repair the driver")
    return "cuda" if available else "cpu"


def _has_driver() -> bool:
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def _has_gpu() -> bool:
    import torch  # noqa: PLC0415 -- see the module docstring

    return torch.cuda.is_available()
