"""The numeric fingerprint: what the bits of a forecast depend on besides sources, configuration and records."""

import platform

import numpy as np
import torch

from streamrnn.core.compiled import compiler


def numerics(device: torch.device) -> dict[str, str]:
    """By name, as text. Where all of it is the same, so are the bits; where something differs, they may differ."""
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "torch": f"{torch.__version__} {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
        "compiler": compiler(),
        "numpy": np.__version__,
        "libc": " ".join(platform.libc_ver()),
        "device": place,
    }
