"""Handles: tuples of arrays that compiled functions receive by address.

At each call numba reads the address, shape and strides of every array of an argument. For the state of a bank this
takes longer than the work on one row. A handle reads them once and is valid until one of the arrays is reallocated.
"""

import hashlib
import struct
from ctypes import addressof, c_char, create_string_buffer
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate
from numba.extending import NativeValue, infer_getattr, intrinsic, models, register_model, unbox
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
_Template: Any = AttributeTemplate
MAX_CACHED_ROWS = 64
"""Most rows of a wave whose arrays are cached by number of rows."""
WORD = 8
"""Bytes of each part of a stored array, and of a stored number."""
RELEASED = 0  # address of a handle without arrays


class HandleType(numba.types.Type):
    """The numba type of a handle, parametrized by the type of its tuple.

    Its name contains a digest only, because numba writes the types of arguments into the names of all functions.
    """

    def __init__(self, content: Any) -> None:
        self.content = content
        super().__init__(name=f"Handle({hashlib.blake2b(str(content).encode(), digest_size=8).hexdigest()})")
        self.members = dict(zip(getattr(content, "fields", ()), _places(content), strict=False))
        """Types and positions of the fields of a named tuple, by name."""


@register_model(HandleType)
class _HandleModel(models.OpaqueModel):
    """The data model of a handle: a pointer to the stored tuple."""


def _size(kind: Any) -> int:
    """Return the bytes of a stored value. All parts have the same size: numba stores it without gaps."""
    if isinstance(kind, numba.types.BaseTuple):
        return sum(_size(each) for each in cast("Any", kind).types)
    return WORD * (5 + 2 * kind.ndim if isinstance(kind, numba.types.Array) else 1)


def _places(kind: Any) -> "Iterator[tuple[Any, int]]":
    """Yield the types and the positions, bytes, of the values of a stored tuple."""
    at = 0
    for each in kind.types:
        yield each, at
        at += _size(each)


def _append_words(words: list[int], content: Any) -> None:
    """Append what numba stores of a tuple, which does not own its arrays.

    Raises:
        TypeError: A value is neither an array nor a tuple, a float or an int.
    """
    if isinstance(content, tuple):
        for each in content:
            _append_words(words, each)
    elif isinstance(content, np.ndarray):
        words += 0, 0, content.size, content.itemsize, _address(content), *content.shape, *content.strides
    elif isinstance(content, float):
        words += struct.unpack("q", struct.pack("d", content))
    elif type(content) is int:
        words.append(content)
    else:
        raise TypeError(f"a handle cannot store {content!r}")


def _address(array: NDArray[Any]) -> int:
    """Return the address of an array; `array.ctypes.data` takes five times as long."""
    try:
        return addressof(c_char.from_buffer(cast("Any", array)))
    except (TypeError, ValueError):  # read-only, not contiguous, or empty
        return array.ctypes.data


class Handle(Generic[T]):
    """Passes a nested tuple of arrays and numbers to compiled functions at the cost of one argument."""

    def __init__(self, content: T, like: "Handle[T] | None" = None) -> None:
        """Store the addresses of the arrays; with `like`, reuse its numba type, because finding the type is slow."""
        self.content = content  # the arrays must live as long as their addresses are used
        self._numba_type_: HandleType = HandleType(numba.typeof(content)) if like is None else like._numba_type_
        words: list[int] = []
        _append_words(words, content)
        self._memory = create_string_buffer(struct.pack(f"{len(words)}q", *words))
        self.address = addressof(self._memory)

    def release(self) -> None:
        """Release the arrays, so that they can move in memory; afterwards the handle can only be used as `like`."""
        del self.content
        self.address = RELEASED


class HandlePool(Generic[T]):
    """Reusable handles of the arrays of a wave, by number of rows.

    The arrays for up to MAX_CACHED_ROWS rows are cached by number of rows; of larger arrays, only those of the last
    large wave.
    """

    def __init__(self, allocate: "Callable[[int], T]") -> None:
        """Create an empty pool; `allocate` returns arrays for a number of rows, always of the same types."""
        self._allocate = allocate
        self._handles: dict[int, Handle[T]] = {}
        self._first: Handle[T] | None = None
        self._large: tuple[int, Handle[T] | None] = 0, None

    def take(self, rows: int) -> Handle[T]:
        """Return the handle of arrays for a wave of this number of rows; their contents are undefined."""
        handle = self._large[1] if rows == self._large[0] else self._handles.get(rows)
        if handle is None:
            handle = Handle(self._allocate(rows), self._first)
            self._first = self._first or handle
            if rows <= MAX_CACHED_ROWS:
                self._handles[rows] = handle
            else:
                self._large = rows, handle
        return handle


def _unbox(_: Any, handle: Any, context: Any) -> Any:
    number = context.pyapi.object_getattr_string(handle, "address")
    address = context.pyapi.number_as_ssize_t(number)
    context.pyapi.decref(number)
    return NativeValue(context.builder.inttoptr(address, ir.IntType(8).as_pointer()))


unbox(HandleType)(_unbox)


@infer_getattr
class _Attributes(_Template):  # type: ignore[misc]  # numba has no type hints
    """Types the fields of a handle: another handle for a tuple."""

    key = HandleType

    def generic_resolve(self, handle: HandleType, name: str) -> Any:
        if name not in handle.members:
            return None
        kind, _ = handle.members[name]
        return HandleType(kind) if isinstance(kind, numba.types.BaseTuple) else kind


def _read(context: Any, builder: Any, handle: HandleType, pointer: Any, name: str) -> Any:
    """Emit the code that reads a field of a handle."""
    kind, at = handle.members[name]
    place = builder.gep(pointer, [ir.IntType(64)(at)], inbounds=True)
    if isinstance(kind, numba.types.BaseTuple):
        return place
    value = builder.load(builder.bitcast(place, context.get_value_type(kind).as_pointer()), align=WORD)
    return impl_ret_borrowed(context, builder, kind, value)


lower_getattr_generic(HandleType)(_read)


def _copy(_: Any, handle: Any) -> Any:
    """Return signature and code generator of `contents(handle)`: a handle of a copy on the stack."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words = _size(signature.return_type.content) // WORD
        copy = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(64), words))
        copied = builder.bitcast(copy, ir.IntType(8).as_pointer())
        cgutils.raw_memcpy(builder, copied, arguments[0], context.get_constant(numba.types.intp, words), WORD)
        return copied

    return handle(handle), emit


contents = cast("Callable[[Handle[T]], T]", intrinsic(_copy))
"""Returns the tuple of a handle, whose fields can be read by name only; for use in compiled functions.

It is passed to other functions as one argument. A tuple is passed as all parts of all its arrays, which takes a quarter
of the compilation time of the loops over a wave. The optimizer removes the copy, as no other code can refer to it.
"""
