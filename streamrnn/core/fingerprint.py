"""The numeric fingerprint: versions and hardware that the bits of a forecast depend on."""

import os
import platform
import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from streamrnn.core.jit import compiler_description


def numeric_fingerprint(device: str) -> dict[str, str]:
    """Return versions and hardware by name. With equal fingerprints bits are equal; otherwise they may differ."""
    return {
        "torch": f"{_torch_version()} {os.environ.get('ATEN_CPU_CAPABILITY', 'native')}",
        "compiler": compiler_description(),
        "numpy": np.__version__,
        "libc": " ".join(platform.libc_ver()),
        "device": _gpu_name() if device == "cuda" else "cpu",
    }


def _torch_version() -> str:
    """Read torch's version without importing torch; see network.device."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    return str(runpy.run_path(str(Path(spec.origin).parent / "version.py"))["__version__"])


def _gpu_name() -> str:
    import torch  # noqa: PLC0415 -- imported already, to find the GPU

    return torch.cuda.get_device_name()
