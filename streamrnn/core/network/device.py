"""Selection of the device of the networks. It imports torch, which takes over a second, only if a GPU driver exists."""

import ctypes
import sys
from importlib.util import find_spec

from streamrnn.errors import ConfigError, missing_extra

GPU_UNITS = 128
"""Units of a layer from which a GPU is faster than one CPU core; see benchmarks/RESULTS.md."""
DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def resolve_device(name: str, *, units: int = GPU_UNITS) -> str:
    """Return the device, `cpu` or `cuda`; `auto` chooses a GPU if there is one and layers have GPU_UNITS or more.

    Raises:
        ConfigError: The name is `cuda`, and torch is not installed or finds no GPU.
    """
    if name == "cuda" and not torch_installed():
        raise missing_extra("device = 'cuda'", "torch", "torch")
    available = (name == "cuda" or (name == "auto" and units >= GPU_UNITS)) and _has_gpu()
    if name == "cuda" and not available:
        raise ConfigError("device = 'cuda': torch finds no GPU here; set device to auto or cpu, or repair the driver")
    return "cuda" if available else "cpu"


def torch_installed() -> bool:
    """Return whether torch is installed, without importing it: whole networks learn with it, and GPUs need it."""
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
