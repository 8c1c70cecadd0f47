"""Compilation of the per-series loops with numba.

A compiled loop computes each row by itself, so that its result cannot depend on the other rows of a wave or their
order. Fast-math and contraction are disabled, because both let the compiler change bits.
"""

import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import llvmlite.binding
import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Halves = NDArray[np.float16]
Shorts = NDArray[np.int16]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

P = ParamSpec("P")
R = TypeVar("R")


def _cache_folder() -> Path:
    """Return the folder of the machine code, one for each version of the sources.

    Numba's own cache checks only the file of the compiled function, not those of the functions that it calls.
    """
    here = Path(__file__).parent
    sources = hashlib.blake2b(digest_size=8)
    for path in sorted(here.rglob("*.py")):
        sources.update(path.read_bytes())
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(chosen) if chosen else here / "__pycache__"
    if not os.access(root if root.exists() else root.parent, os.W_OK):
        # never a folder writable by others, as its contents are executed
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamrnn"
    return root / f"kernels-{sources.hexdigest()}"


numba.config.CACHE_DIR = str(_cache_folder())  # type: ignore[attr-defined]


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers that allocates no array; an allocation is a compile error.

    The code is inlined and without reference counting: calls and counts cost more than most of the arithmetic, because
    numba copies every array of a named tuple at each call.
    """
    return _compiled(function, _nrt=False)


def compiled_allocating(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers that may allocate arrays, at its first call; cached on disk."""
    return _compiled(function, _nrt=True)  # explicit, because numba otherwise inherits it from the caller


def _compiled(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    options |= {"cache": True, "error_model": "numpy", "fastmath": False, "forceinline": True}
    return cast("Callable[P, R]", numba.njit(**options)(function))


def compiler_description() -> str:
    """Return the compiler's versions and the instruction sets that bits may depend on."""
    features = llvmlite.binding.get_host_cpu_features()
    used = [name for name in ("fma", "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl") if features.get(name)]
    return " ".join([f"numba {numba.__version__}", f"llvmlite {llvmlite.__version__}", platform.machine(), *used])
