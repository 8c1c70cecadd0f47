"""Serialization of river models by pickle, with an unpickler that is restricted to data and classes of river.

A pickle can call any function, so that write access to the state topic would allow code execution. This unpickler looks
up only classes of river's model packages and a few containers, calls only these, and changes only their instances.
Numpy's types and functions are replaced by functions of this module that accept only plain numbers: a crafted dtype
would make numpy interpret bytes as pointers.
"""

import collections
import io
import pickle
import random
import re
import statistics
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import START_OVER, StateError

Bytes = NDArray[np.uint8]

PROTOCOL = 5
PACKAGES = frozenset({
    "_river_rust", "base", "bayes", "compose", "covariance", "drift", "ensemble", "forest", "linear_model", "metrics",
    "neighbors", "optim", "preprocessing", "proba", "rules", "stats", "time_series", "tree", "utils",
})  # fmt: skip
"""Packages of river that models use; none of them reads files or the network."""
CONTAINERS = (
    collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque, random.Random,
    statistics.NormalDist,
)  # fmt: skip
"""Classes of the standard library whose instances a pickle may change."""
PLAIN = frozenset({
    *(f"{kind.__module__}.{kind.__name__}" for kind in CONTAINERS), "builtins.bool", "builtins.complex",
    "builtins.dict", "builtins.float", "builtins.frozenset", "builtins.int", "builtins.list", "builtins.set",
    "river.tree.splitter.ebst_splitter.EBSTNode._update_estimator_univariate",
})  # fmt: skip
"""Other names that may be looked up."""
MAX_DEPTH = 100
"""Greatest depth of nested tuples: hashing deeper ones could overflow the stack."""

_PythonUnpickler = pickle._Unpickler  # noqa: SLF001 -- in the C version, REDUCE and BUILD cannot be overridden
_OPERATIONS: dict[int, Callable[..., None]] = dict(_PythonUnpickler.dispatch)
_NDARRAY = object()  # stands for numpy.ndarray, which is named in pickles but must not be called
_ORDERS = ("|", "=", "<" if sys.byteorder == "little" else ">")
_NUMBERS = re.compile(r"[bcfiu][0-9]{1,2}")


def _dtype(name: object, *_: object) -> "np.dtype[Any]":
    if not isinstance(name, str) or not _NUMBERS.fullmatch(name):
        raise pickle.UnpicklingError(f"arrays of {name!r} are not allowed in a model of river")
    return np.dtype(name)


def _array(buffer: object, dtype: object, shape: object, order: object) -> NDArray[Any]:
    """Return the array that numpy's `_frombuffer` returns."""
    if not isinstance(buffer, bytes | bytearray) or not isinstance(dtype, np.dtype) or order not in ("C", "F"):
        raise pickle.UnpicklingError("an array is damaged")
    return np.frombuffer(buffer, dtype).reshape(_shape(shape), order="C" if order == "C" else "F")


def _scalar(dtype: object, buffer: object) -> np.generic:
    if not isinstance(dtype, np.dtype) or not isinstance(buffer, bytes) or len(buffer) != dtype.itemsize:
        raise pickle.UnpicklingError("a number is damaged")
    number: np.generic = np.frombuffer(buffer, dtype)[0]
    return number


def _reconstruct(kind: object, *_: object) -> NDArray[Any]:
    """Return an empty array, which the opcode BUILD fills."""
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError("an array is damaged")
    return np.empty(0, np.int8)


def _shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise pickle.UnpicklingError(f"an array has the shape {shape!r}")
    return shape


FUNCTIONS: dict[str, Callable[..., object]] = {
    f"numpy.{package}.{name}": function
    for package in ("_core", "core")  # numpy 2, and 1
    for name, function in (
        ("multiarray._reconstruct", _reconstruct), ("multiarray.scalar", _scalar), ("numeric._frombuffer", _array)
    )
} | {"numpy.dtype": _dtype}  # fmt: skip
"""Replacements of numpy's functions."""


class _Unpickler(_PythonUnpickler):
    dispatch: ClassVar[dict[int, Any]] = dict(_OPERATIONS)
    # of the base class
    stack: list[Any]
    read: Callable[[int], bytes]

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self._size = len(data)
        self._depths: dict[int, int] = {}
        """Depth of each tuple, by its id."""

    def find_class(self, module: str, name: str) -> object:
        """Return the class of this name, or its replacement; raise UnpicklingError if it is not allowed."""
        full = f"{module}.{name}"
        if full == "numpy.ndarray":
            return _NDARRAY
        if full in FUNCTIONS:
            return FUNCTIONS[full]
        if full in PLAIN:
            return super().find_class(module, name)
        package, _, rest = module.partition(".")
        if package == "river" and rest.partition(".")[0] in PACKAGES and "." not in name:
            found = super().find_class(module, name)
            # neither functions nor classes that the module has imported from elsewhere
            if isinstance(found, type) and found.__module__.startswith("river."):
                return found
        raise pickle.UnpicklingError(f"{full} is not allowed in a model of river")

    def _call(self) -> None:
        """Opcode REDUCE: call a class, or the replacement of a function of numpy."""
        called = self.stack[-2]
        if not isinstance(called, type) and not any(called is each for each in FUNCTIONS.values()):
            raise pickle.UnpicklingError(f"a call of {called!r} is not allowed in a model of river")
        _OPERATIONS[pickle.REDUCE[0]](self)
        self._limit_depth()

    def _build(self) -> None:
        """Opcode BUILD: set the state of an instance."""
        instance, state = self.stack[-2:]
        if isinstance(instance, np.dtype):  # its name determines it; only check that the state agrees
            self.stack.pop()
            if not isinstance(state, tuple) or state[1:5] not in [(order, None, None, None) for order in _ORDERS]:
                raise pickle.UnpicklingError("the type of an array is damaged")
        elif type(instance) is np.ndarray:
            self.stack.pop()
            version, shape, dtype, fortran, buffer = state
            if not isinstance(dtype, np.dtype) or not isinstance(buffer, bytes):
                raise pickle.UnpicklingError("an array is damaged")
            instance.__setstate__((version, _shape(shape), dtype, fortran, buffer))
        elif not isinstance(instance, type) and (
            isinstance(instance, CONTAINERS) or type(instance).__module__.startswith("river.")
        ):
            _OPERATIONS[pickle.BUILD[0]](self)
        else:
            raise pickle.UnpicklingError(f"a change of {instance!r} is not allowed in a model of river")

    def _bytearray(self) -> None:
        """Opcode BYTEARRAY8: check the length before memory is allocated."""
        length = int.from_bytes(self.read(8), "little")
        if length > self._size:
            raise pickle.UnpicklingError("the data ends too early")
        self.stack.append(bytearray(self.read(length)))

    def _limit_depth(self) -> None:
        found = self.stack[-1]
        if isinstance(found, tuple):
            depth = 1 + max((self._depths.get(id(item), 1) for item in found if isinstance(item, tuple)), default=0)
            self._depths[id(found)] = depth  # also for flat tuples, whose id may be that of a deleted one
            if depth > MAX_DEPTH:
                raise pickle.UnpicklingError(f"more than {MAX_DEPTH} nested tuples are not allowed in a model of river")

    dispatch |= {pickle.REDUCE[0]: _call, pickle.BUILD[0]: _build, pickle.BYTEARRAY8[0]: _bytearray}


def _limited(load: Callable[..., None]) -> Callable[[_Unpickler], None]:
    def limited(unpickler: _Unpickler) -> None:
        load(unpickler)
        unpickler._limit_depth()  # noqa: SLF001

    return limited


for _code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.NEWOBJ, pickle.NEWOBJ_EX):
    _Unpickler.dispatch[_code[0]] = _limited(_OPERATIONS[_code[0]])


def dumped(objects: object) -> Bytes:
    """Return an object as a pickle."""
    return np.frombuffer(pickle.dumps(objects, PROTOCOL), np.uint8)


def loaded(data: Bytes) -> object:
    """Return the object of a pickle; raise StateError if it is damaged or refers to names that are not allowed."""
    try:
        return _Unpickler(data.tobytes()).load()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # damaged bytes may raise anything; panics in Rust are no Exception
        raise StateError(
            f"the saved models of river cannot be loaded: {error}; use the version of river that wrote them, or "
            f"{START_OVER}"
        ) from error
