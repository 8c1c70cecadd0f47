"""Compilation of the loops over series with numba.

A compiled loop computes each row separately, so that the result of a row cannot depend on the other rows of a wave or
on their order. Fast-math and contraction are disabled, because both let the compiler change bits.
"""

import hashlib
import importlib
import logging
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, ParamSpec, TypeVar, cast

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.imputils import impl_ret_borrowed
from numba.core.registry import CPUDispatcher
from numba.core.runtime import rtsys  # type: ignore[attr-defined]
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numpy.typing import NDArray

from streamrnn.core.kernel_compiler import KernelCompiler

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Halves = NDArray[np.float16]
Shorts = NDArray[np.int16]
Tinies = NDArray[np.int8]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

COMPILED = ("columns", "core")
"""Folders of the package that contain compiled functions."""


def _cache_folder() -> Path:
    """Return the cache folder of the machine code; its name contains a digest of the sources.

    Numba's own cache checks only the file of a compiled function, not the files of the functions that it calls.
    """
    here = Path(__file__).parent
    sources = hashlib.blake2b(digest_size=8)
    for path in sorted(path for folder in COMPILED for path in (here.parent / folder).rglob("*.py")):
        sources.update(path.read_bytes())
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    roots = [Path(chosen) if chosen else here / "__pycache__"]
    with suppress(RuntimeError):  # no home directory
        # never a folder that others can write to, because its contents are executed
        roots.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamrnn")
    folders = [root / f"kernels-{sources.hexdigest()}" for root in roots]
    return next((folder for folder in folders if _is_usable(folder)), folders[0])


def _is_usable(folder: Path) -> bool:
    """Return whether a folder contains machine code (it may be read-only, as in a container image) or is writable."""
    with suppress(OSError):
        if any(folder.rglob("*.nbi")):
            return True
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 16))
        return True
    return False


# numba imports scipy.linalg, which takes 0.3 s, to find out whether its linear algebra works; no kernel needs that
sys.modules["scipy.linalg.cython_blas"] = None  # type: ignore[assignment]  # makes the import fail
importlib.import_module("numba.np.arraymath")
del sys.modules["scipy.linalg.cython_blas"]

FOLDER = str(_cache_folder())
"""Folder in which the machine code is stored."""
numba.config.CACHE_DIR = FOLDER  # type: ignore[attr-defined]


_compiling_since: float | None = None
_counts = {"loaded": 0, "compiled": 0}
_not_cached = False
_NamedFolder: Any = next(each for each in CompileResultCacheImpl._locator_classes if "UserProvided" in each.__name__)  # noqa: SLF001


class _Folder(_NamedFolder):  # type: ignore[misc]  # numba has no type hints
    """The folder of numba.config.CACHE_DIR, even where it cannot be written."""

    @classmethod
    def from_function(cls, function: Any, file: str) -> "_Folder":
        return cls(function, file)

    def get_source_stamp(self) -> str:
        """Return an empty stamp: the folder is named after the sources, and images change modification times."""
        return ""


class _Files(CompileResultCacheImpl):
    _locator_classes = [_Folder]  # noqa: RUF012 -- as in numba

    def reduce(self, result: Any) -> Any:
        """Return what is stored of a function, without its code for compiled callers, which inline another form."""
        (name, kind, (code, _)), *others = super().reduce(result)  # type: ignore[no-untyped-call]
        names = result.fndesc.llvm_func_name, result.fndesc.llvm_cpython_wrapper_name
        named = "".join(f'define void @"{each}"() {{ unreachable }}\n' for each in names)
        return ((name, kind, (code, llvmlite.binding.parse_assembly(named).as_bitcode())), *others)


class _KernelCache(FunctionCache):
    """Numba's cache on disk; where it cannot be read or written, each process compiles its functions."""

    _impl_class = _Files

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code for a signature; None if it must be compiled. The first compilation is logged."""
        global _compiling_since
        loaded = None
        with suppress(Exception):  # for example, a file truncated by a full disk cannot be unpickled
            # numba would first load its tables of functions, which only a compilation needs, and which take longer
            # to load than all kernels
            rtsys.initialize(target_context)
            loaded = self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        if loaded is None and _compiling_since is None:
            _compiling_since = time.monotonic()
            logger.info("compiling_kernels", extra={"folder": FOLDER})
        _counts["loaded"] += loaded is not None
        return loaded

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write the machine code for a signature; the first failure is logged."""
        global _not_cached
        _counts["compiled"] += 1
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 -- it first reads the list of a function's files, possibly damaged
            if not _not_cached:
                remedy = "delete the folder, or set NUMBA_CACHE_DIR to a private folder with free space"
                logger.warning("kernels_not_cached", extra={"folder": FOLDER, "error": str(error), "remedy": remedy})
            _not_cached = True


def compiling() -> int | None:
    """Return the number of functions loaded or compiled so far; None if none is compiled."""
    return None if _compiling_since is None else sum(_counts.values())


def log_compiled() -> None:
    """Log that compilation has ended, if any kernel had to be compiled."""
    global _compiling_since
    if _compiling_since is not None:
        logger.info("kernels_compiled", extra={"seconds": round(time.monotonic() - _compiling_since, 1)})
        _compiling_since = None


def _link(library: Any) -> None:
    """Link the functions that a function calls into its module; its caller is optimized and translated with it."""
    for each in dict.fromkeys(library._linking_libraries):  # noqa: SLF001
        library._reload_init.update(each._reload_init)  # noqa: SLF001
        library._final_module.link_in(each._get_module_for_linking(), preserve=True)  # noqa: SLF001
    library._finalized = True  # noqa: SLF001


_Dispatcher: Any = CPUDispatcher  # Any, because its type hints are incomplete


class _Inlined(_Dispatcher):  # type: ignore[misc]
    """The form of a function that compiled callers use: inlined into them, and never optimized separately.

    Numba optimizes a function in each of its callers, and once more for calls from Python, which few functions
    receive. The latter took more than half of the compilation time.
    """

    def __init__(self, function: Callable[P, R], options: dict[str, Any]) -> None:
        super().__init__(function, targetoptions=options)
        self._compiler._customize_flags = _without_machine_code  # noqa: SLF001
        self._keys: dict[Any, object] = {}

    def compile(self, sig: Any) -> None:
        """Compile for a signature, within the compilation of a caller."""
        arguments, result = sigutils.normalize_signature(sig)
        if arguments in self._keys:
            return
        compiled = self.overloads[arguments] = self._compiler.compile(arguments, result)
        compiled.library.finalize = partial(_link, compiled.library)
        key = self._keys[arguments] = object()
        self.targetctx.insert_user_function(key, compiled.fndesc, [compiled.library])
        _counts["compiled"] += 1

    def get_overload(self, sig: Any) -> object:
        """Return the key under which callers find the compiled function of a signature."""
        return self._keys[sigutils.normalize_signature(sig)[0]]


def _without_machine_code(flags: Any) -> Any:
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    return flags


class _Kernel(_Dispatcher):  # type: ignore[misc]
    """The form of a function that Python calls; compiled callers use `_Inlined`."""

    @cached_property
    def _inlined(self) -> _Inlined:
        return _Inlined(self.py_func, self.targetoptions)

    @property
    def _numba_type_(self) -> Any:
        return numba.types.Dispatcher(self._inlined)

    def _compilation_chain_init_hook(self) -> None:
        """Skip numba's search for extensions among all installed packages, which would run at each start."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers that allocates no array; an allocation is a compile error.

    The code is inlined and has no reference counting: both would cost more than most of the arithmetic, because numba
    copies every array of a named tuple at each call.
    """
    return _compiled(function, _nrt=False)


def compiled_allocating(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers that may allocate arrays, at its first call; cached on disk."""
    return _compiled(function, _nrt=True)  # explicit, because numba otherwise takes the option of the caller


def _compiled(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    options |= {"error_model": "numpy", "fastmath": False, "forceinline": True}
    target = {"nopython": True, "boundscheck": None, "no_cfunc_wrapper": True, **options}  # nothing calls it from C
    dispatcher = _Kernel(function, targetoptions=target, pipeline_class=KernelCompiler)
    cache: Any = _KernelCache
    dispatcher._cache = cache(function)  # noqa: SLF001 -- as cache=True does, with a cache whose failures are tolerated
    return cast("Callable[P, R]", dispatcher)


def external(name: str, result: str, *arguments: str) -> Callable[..., Any]:
    """Return a C library function for use in compiled functions, by the names of its result and argument types."""
    signature = getattr(numba.types, result)(*(getattr(numba.types, each) for each in arguments))
    return cast("Callable[..., Any]", numba.types.ExternalFunction(name, signature))


def _load_word(_: Any, text: Any, at: Any) -> Any:  # noqa: ARG001 -- numba inspects the argument names
    """Type and emit (text, at) -> uint64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(pointer, align=1)

    return numba.types.uint64(text, numba.types.intp), emit


WORD = 8
"""Bytes that `load_word` and `store_word` read and write."""
load_word = cast("Callable[[NDArray[np.uint8], int], np.uint64]", intrinsic(_load_word))
"""Returns eight bytes of a text from a position on, in native byte order; bounds are not checked."""


def _store_word(_: Any, text: Any, at: Any, word: Any) -> Any:  # noqa: ARG001 -- numba inspects the argument names
    """Type and emit (text, at, word) -> None."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        builder.store(arguments[2], pointer, align=1)
        return context.get_dummy_value()

    return numba.types.void(text, numba.types.intp, numba.types.uint64), emit


store_word = cast("Callable[[NDArray[np.uint8], int, np.uint64], None]", intrinsic(_store_word))
"""Stores eight bytes in a text from a position on, in native byte order; bounds are not checked."""


def _flattened(_: Any, array: Any) -> Any:
    """Type and emit (array) -> one-dimensional view."""
    if array.layout != "C":
        return None
    flat = numba.types.Array(array.dtype, 1, "C")

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        view = context.make_array(flat)(context, builder)
        populate_array(
            view, data=source.data, shape=[source.nitems], strides=[source.itemsize], itemsize=source.itemsize,
            meminfo=source.meminfo,
        )  # fmt: skip
        return impl_ret_borrowed(context, builder, flat, view._getvalue())  # noqa: SLF001 -- as in numba's own code

    return flat(array), emit


flattened = cast("Callable[[NDArray[Any]], NDArray[Any]]", intrinsic(_flattened))
"""Returns a C-contiguous array as a one-dimensional view; for use in compiled functions.

A loop over the view is vectorized with one remainder loop, instead of one remainder per row.
"""


def compiler_description() -> str:
    """Return the versions of the compiler and the instruction sets that the bits of results may depend on."""
    features = llvmlite.binding.get_host_cpu_features()
    used = [name for name in ("fma", "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl") if features.get(name)]
    return " ".join([f"numba {numba.__version__}", f"llvmlite {llvmlite.__version__}", platform.machine(), *used])
