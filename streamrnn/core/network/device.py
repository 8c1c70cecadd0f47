"""The device of the network. torch, which takes over a second to import, is imported only where a driver exists."""

import ctypes
import sys
from importlib.util import find_spec

from streamrnn.errors import ConfigError, missing_extra

GPU_UNITS = 128
"""Units of a layer from which a GPU steps waves faster than one core does; see benchmarks/RESULTS.md."""
DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def resolve_device(name: str, *, units: int = GPU_UNITS) -> str:
    """Return `cpu` or `cuda` for `auto`, `cpu` or `cuda`; `auto` prefers the GPU if a layer has GPU_UNITS or more.

    Raises:
        ConfigError: `cuda` without a usable GPU, or without torch.
    """
    if name == "cuda" and not torch_installed():
        raise missing_extra("device = 'cuda'", "torch", "torch")
    available = (name == "cuda" or (name == "auto" and units >= GPU_UNITS)) and _has_gpu()
    if name == "cuda" and not available:
        raise ConfigError("device = 'cuda': torch finds no GPU here; set device to auto or cpu, or repair the driver")
    return "cuda" if available else "cpu"


def torch_installed() -> bool:
    """Return whether torch is installed, without importing it: whole networks learn with it, and it drives GPUs."""
    return find_spec("torch") is not None


def _has_gpu() -> bool:
    if not torch_installed():
        return False
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    import torch  # noqa: PLC0415 -- see the module docstring

    return torch.cuda.is_available()
