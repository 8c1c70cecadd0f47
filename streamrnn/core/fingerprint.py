"""The numeric fingerprint: what the bits of a forecast depend on besides sources, configuration and records."""

import os
import platform
import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from streamrnn.core.jit import compiler


def numerics(device: str) -> dict[str, str]:
    """By name, as text. Where all of it is the same, so are the bits; where something differs, they may differ."""
    return {
        "torch": f"{_torch_version()} {os.environ.get('ATEN_CPU_CAPABILITY', 'native')}",
        "compiler": compiler(),
        "numpy": np.__version__,
        "libc": " ".join(platform.libc_ver()),
        "device": _gpu() if device == "cuda" else "cpu",
    }


def _torch_version() -> str:
    """As torch tells it, without loading torch: see device."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    return str(runpy.run_path(str(Path(found.origin).parent / "version.py"))["__version__"])


def _gpu() -> str:
    import torch  # noqa: PLC0415 -- it was loaded to find the GPU

    return torch.cuda.get_device_name()
