"""Compilation of the per-series formulas with numba.

A compiled loop treats each row by itself, so that its arithmetic cannot depend on how many rows ride along or in which
order. Neither fast-math nor contraction is allowed: both would let the compiler change bits.
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
    """Where machine code is kept between runs: a folder of its own for every version of the sources.

    Numba looks only at the file of the function that it compiles, not at those of the functions called from there.
    """
    here = Path(__file__).parent
    sources = hashlib.blake2b(digest_size=8)
    for path in sorted(here.rglob("*.py")):
        sources.update(path.read_bytes())
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(chosen) if chosen else here / "__pycache__"
    if not os.access(root if root.exists() else root.parent, os.W_OK):
        # never a folder that others can write to: what lies there is run
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamrnn"
    return root / f"kernels-{sources.hexdigest()}"


numba.config.CACHE_DIR = str(_cache_folder())  # type: ignore[attr-defined]


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers that allocates no array; see `compiled_allocating`.

    Its code is inlined wherever it is called, and counts no references: both cost more than most of the arithmetic,
    since numba copies every array of a named tuple at each call. An allocation fails to compile.
    """
    return _compiled(function, _nrt=False)


def compiled_allocating(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers on its first call; the machine code is cached on disk."""
    return _compiled(function, _nrt=True)  # named, because numba otherwise takes it from the caller


def _compiled(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    options |= {"cache": True, "error_model": "numpy", "fastmath": False, "forceinline": True}
    return cast("Callable[P, R]", numba.njit(**options)(function))


def compiler() -> str:
    """What compiles, and for what: the instruction sets of which the bits of a sum or of the C library may depend."""
    features = llvmlite.binding.get_host_cpu_features()
    used = [name for name in ("fma", "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl") if features.get(name)]
    return " ".join([f"numba {numba.__version__}", f"llvmlite {llvmlite.__version__}", platform.machine(), *used])
