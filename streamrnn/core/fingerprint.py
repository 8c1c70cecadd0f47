"""The numeric fingerprint: versions and hardware that the bits of a forecast depend on."""

import os
import platform
import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from streamrnn.core.jit import compiler_description

ARITHMETIC = 9
"""Version of the arithmetic; increased where a change of the program gives an equal state other bits from then on.

State of another version is loaded and continued, and forecasts that were published stay: see `numerics` in the
configuration. Fingerprints of version 1 do not have it.
"""


def numeric_fingerprint(device: str) -> dict[str, str]:
    """Return versions and hardware by name. With equal fingerprints bits are equal; otherwise they may differ."""
    return {
        "arithmetic": str(ARITHMETIC),
        "torch": _torch(),
        "compiler": compiler_description(),
        "numpy": np.__version__,
        "libc": " ".join(platform.libc_ver()),
        "device": _gpu_name() if device == "cuda" else "cpu",
    }


def _torch() -> str:
    """Return torch's version, without importing torch, and its instruction set; `none` where it is not installed.

    Without torch whole networks do not learn, so that later forecasts are others.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return "none"
    version = runpy.run_path(str(Path(spec.origin).parent / "version.py"))["__version__"]
    return f"{version} {os.environ.get('ATEN_CPU_CAPABILITY', 'native')}"


def _gpu_name() -> str:
    import torch  # noqa: PLC0415 -- imported already, to find the GPU

    return torch.cuda.get_device_name()
