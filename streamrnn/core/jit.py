"""Compilation of the per-series loops with numba.

A compiled loop computes each row by itself, so that its result cannot depend on the other rows of a wave or their
order. Fast-math and contraction are disabled, because both let the compiler change bits.
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
from numba.core.compiler import Compiler
from numba.core.imputils import impl_ret_borrowed
from numba.core.registry import CPUDispatcher
from numba.core.runtime import rtsys  # type: ignore[attr-defined]
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numpy.typing import NDArray

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
"""The folders with compiled functions."""
KERNELS = 200
"""About how many compiled functions a forecaster of the default configuration needs."""


def _cache_folder() -> Path:
    """Return the folder of the machine code, one for each version of the sources.

    Numba's own cache checks only the file of the compiled function, not those of the functions that it calls.
    """
    here = Path(__file__).parent
    sources = hashlib.blake2b(digest_size=8)
    for path in sorted(path for folder in COMPILED for path in (here.parent / folder).rglob("*.py")):
        sources.update(path.read_bytes())
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    roots = [Path(chosen) if chosen else here / "__pycache__"]
    with suppress(RuntimeError):  # no home
        # never a folder writable by others, as its contents are executed
        roots.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamrnn")
    folders = [root / f"kernels-{sources.hexdigest()}" for root in roots]
    return next((folder for folder in folders if _is_usable(folder)), folders[0])


def _is_usable(folder: Path) -> bool:
    """Return whether a folder has machine code, which may be read-only as in an image, or can be written."""
    with suppress(OSError):
        if any(folder.rglob("*.nbi")):
            return True
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 16))
        return True
    return False


# numba loads scipy.linalg, a third of a second, to learn whether its own linear algebra can be used: no kernel needs it
sys.modules["scipy.linalg.cython_blas"] = None  # type: ignore[assignment]  # an import of it fails
importlib.import_module("numba.np.arraymath")
del sys.modules["scipy.linalg.cython_blas"]

FOLDER = str(_cache_folder())
"""Where the machine code is stored."""
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
        """Return nothing: the folder is named after the sources, and an image changes the times of files."""
        return ""


class _Files(CompileResultCacheImpl):
    _locator_classes = [_Folder]  # noqa: RUF012 -- as numba has it

    def reduce(self, result: Any) -> Any:
        """Return what is stored of a function; of its code for other functions, which use another form, only names."""
        (name, kind, (code, _)), *others = super().reduce(result)  # type: ignore[no-untyped-call]
        names = result.fndesc.llvm_func_name, result.fndesc.llvm_cpython_wrapper_name
        named = "".join(f'define void @"{each}"() {{ unreachable }}\n' for each in names)
        return ((name, kind, (code, llvmlite.binding.parse_assembly(named).as_bitcode())), *others)


class _KernelCache(FunctionCache):
    """Numba's cache on disk; where it cannot be read or written, functions are compiled in each process."""

    _impl_class = _Files

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code for a signature; None if it has to be compiled, which the first time is logged."""
        global _compiling_since
        loaded = None
        with suppress(Exception):  # a file cut short by a full disk, for example, cannot be unpickled
            # without numba's tables of functions, which only a compiler needs: they take longer than all kernels
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
        except Exception as error:  # noqa: BLE001 -- see above: the list of a function's files is read first
            if not _not_cached:
                remedy = "delete the folder, or set NUMBA_CACHE_DIR to a private folder with free space"
                logger.warning("kernels_not_cached", extra={"folder": FOLDER, "error": str(error), "remedy": remedy})
            _not_cached = True


def compiling() -> tuple[int, int] | None:
    """Return how many loops have been loaded or compiled so far, and about how many there are; None: none compiles."""
    return None if _compiling_since is None else (sum(_counts.values()), KERNELS)


def log_compiled() -> None:
    """Log that the kernels are compiled, if any had to be."""
    global _compiling_since
    if _compiling_since is not None:
        logger.info("kernels_compiled", extra={"seconds": round(time.monotonic() - _compiling_since, 1)})
        _compiling_since = None


def _link(library: Any) -> None:
    """Link what a function calls into its module, and leave optimization and machine code to the function's caller."""
    for each in dict.fromkeys(library._linking_libraries):  # noqa: SLF001
        library._reload_init.update(each._reload_init)  # noqa: SLF001
        library._final_module.link_in(each._get_module_for_linking(), preserve=True)  # noqa: SLF001
    library._finalized = True  # noqa: SLF001


_Dispatcher: Any = CPUDispatcher  # whose type hints are incomplete


class _Inlined(_Dispatcher):  # type: ignore[misc]
    """A function as other compiled functions call it: inlined into them, and thus never optimized by itself.

    Numba optimizes a function for each of its callers, and once more for calls from Python, which few functions have:
    that was more than half of the time that compilation took.
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
        """Return what callers are compiled with for a signature."""
        return self._keys[sigutils.normalize_signature(sig)[0]]


def _without_machine_code(flags: Any) -> Any:
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    return flags


def _optimize_once(library: Any) -> None:
    """Optimize a module: numba does all of it twice, the first time only to remove more counts of references."""
    passes, builder = library._codegen._module_pass_manager()  # noqa: SLF001
    passes.run(library._final_module, builder)  # noqa: SLF001


class _KernelCompiler(Compiler):
    """Numba's compiler, with modules that are optimized once, which saves a tenth of the time."""

    def __init__(self, typing: Any, target: Any, library: Any, *others: Any) -> None:
        library = target.codegen().create_library("kernel")
        library.enable_object_caching()
        library._optimize_final_module = partial(_optimize_once, library)  # noqa: SLF001
        super().__init__(typing, target, library, *others)  # type: ignore[no-untyped-call]


class _Kernel(_Dispatcher):  # type: ignore[misc]
    """A function as Python calls it; compiled functions call another form of it."""

    @cached_property
    def _inlined(self) -> _Inlined:
        return _Inlined(self.py_func, self.targetoptions)

    @property
    def _numba_type_(self) -> Any:
        return numba.types.Dispatcher(self._inlined)

    def _compilation_chain_init_hook(self) -> None:
        """Do not look for extensions of numba among all installed packages, unless something has to be compiled."""


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
    options |= {"error_model": "numpy", "fastmath": False, "forceinline": True}
    target = {"nopython": True, "boundscheck": None, **options}
    dispatcher = _Kernel(function, targetoptions=target, pipeline_class=_KernelCompiler)
    cache: Any = _KernelCache
    dispatcher._cache = cache(function)  # noqa: SLF001 -- what cache=True does, with a cache that may fail
    return cast("Callable[P, R]", dispatcher)


def external(name: str, result: str, *arguments: str) -> Callable[..., Any]:
    """Return a function of the C library, by the names of its types, for use in compiled functions."""
    signature = getattr(numba.types, result)(*(getattr(numba.types, each) for each in arguments))
    return cast("Callable[..., Any]", numba.types.ExternalFunction(name, signature))


def _load_word(_: Any, text: Any, at: Any) -> Any:  # noqa: ARG001 -- numba reads the names
    """Type and emit (text, at) -> uint64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(pointer, align=1)

    return numba.types.uint64(text, numba.types.intp), emit


WORD = 8
"""Bytes that `load_word` and `store_word` read and write."""
load_word = cast("Callable[[NDArray[np.uint8], int], np.uint64]", intrinsic(_load_word))
"""Returns the eight bytes of a text from a position on, in the machine's order; the caller checks the end."""


def _store_word(_: Any, text: Any, at: Any, word: Any) -> Any:  # noqa: ARG001 -- numba reads the names
    """Type and emit (text, at, word) -> None."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        builder.store(arguments[2], pointer, align=1)
        return context.get_dummy_value()

    return numba.types.void(text, numba.types.intp, numba.types.uint64), emit


store_word = cast("Callable[[NDArray[np.uint8], int, np.uint64], None]", intrinsic(_store_word))
"""Stores eight bytes in a text from a position on, in the machine's order; the caller checks the end."""


def _flattened(_: Any, array: Any) -> Any:
    """Type and emit (array) -> its numbers in one dimension, without a copy."""
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
        return impl_ret_borrowed(context, builder, flat, view._getvalue())  # noqa: SLF001 -- as numba's own code

    return flat(array), emit


flattened = cast("Callable[[NDArray[Any]], NDArray[Any]]", intrinsic(_flattened))
"""Returns an array with adjacent numbers in one dimension, without a copy; for use in compiled functions.

A loop over all of it is computed in whole vectors, and has one short rest instead of one for each row.
"""


def compiler_description() -> str:
    """Return the compiler's versions and the instruction sets that bits may depend on."""
    features = llvmlite.binding.get_host_cpu_features()
    used = [name for name in ("fma", "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl") if features.get(name)]
    return " ".join([f"numba {numba.__version__}", f"llvmlite {llvmlite.__version__}", platform.machine(), *used])
