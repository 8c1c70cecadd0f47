"""The numeric fingerprint: versions and hardware that the bits of a forecast depend on."""

import os
import platform
import runpy
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from streamrnn.core.jit import compiler_description

ARITHMETIC = 11
"""Version of the arithmetic; incremented when a change of the code changes the bits of forecasts from the same state.

State saved under another version is loaded and continued; published forecasts do not change. See `numerics` in the
configuration. Fingerprints of version 1 have no such entry.
"""


def numeric_fingerprint(device: str) -> dict[str, str]:
    """Return versions and hardware by name; processes with equal fingerprints compute equal bits."""
    return {
        "arithmetic": str(ARITHMETIC),
        "torch": _torch(),
        "compiler": compiler_description(),
        "numpy": np.__version__,
        "libc": " ".join(platform.libc_ver()),
        "device": _gpu_name() if device == "cuda" else "cpu",
    }


def _torch() -> str:
    """Return the version of torch, without importing it, and its instruction set; `none` if it is not installed.

    The entry matters because without torch whole networks do not learn, which changes later forecasts.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return "none"
    version = runpy.run_path(str(Path(spec.origin).parent / "version.py"))["__version__"]
    return f"{version} {os.environ.get('ATEN_CPU_CAPABILITY', 'native')}"


def _gpu_name() -> str:
    import torch  # noqa: PLC0415 -- imported already, to find the GPU

    return torch.cuda.get_device_name()
