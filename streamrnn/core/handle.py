"""Handles: tuples of arrays that compiled functions receive by address.

At each call numba reads the address, shape and strides of every array of an argument. For the state of a bank this
takes longer than the work on one row. A handle reads them once and is valid until one of the arrays is reallocated.
"""

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core.imputils import impl_ret_borrowed
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from streamrnn.core.jit import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
MAX_CACHED_ROWS = 64
"""Most rows of a wave whose arrays are cached by number of rows."""
MAX_BYTES = 16 * 1024  # largest tuple, bytes as numba stores it: over 200 arrays
RELEASED = 0  # address of a handle without arrays


class HandleType(numba.types.Type):
    """The numba type of a handle, parametrized by the type of its tuple."""

    def __init__(self, content: Any) -> None:
        self.content = content
        super().__init__(name=f"Handle({content})")


@register_model(HandleType)
class _HandleModel(models.OpaqueModel):
    """The data model of a handle: a pointer to the stored tuple."""


class Handle(Generic[T]):
    """Passes a nested tuple of arrays and numbers to compiled functions at the cost of one argument."""

    def __init__(self, content: T, like: "Handle[T] | None" = None) -> None:
        """Store the addresses of the arrays; with `like`, reuse its numba type, because finding the type is slow."""
        self.content = content  # the arrays must live as long as their addresses are used
        self._memory = np.zeros(MAX_BYTES, np.uint8)
        self.address = self._memory.ctypes.data
        self._numba_type_: HandleType = HandleType(numba.typeof(content)) if like is None else like._numba_type_
        if _store(_plain(content), self.address) > MAX_BYTES:
            raise ValueError(f"a handle of {self._numba_type_} needs more than {MAX_BYTES} bytes")

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


def _size_of(_: Any, value: Any) -> Any:
    """Return signature and code generator of `size_of(value)`: its size in bytes, as numba stores it."""

    def emit(context: Any, _: Any, signature: Any, __: Any) -> Any:
        size = context.get_abi_sizeof(context.get_value_type(signature.args[0]))
        return context.get_constant(numba.types.intp, size)

    return numba.types.intp(value), emit


def _store_at(_: Any, value: Any, address: Any) -> Any:
    """Return signature and code generator of `store_at(value, address)`, which stores the value there."""

    def emit(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        stored, target = arguments
        builder.store(stored, builder.inttoptr(target, stored.type.as_pointer()), align=8)
        return context.get_dummy_value()

    return numba.types.void(value, address), emit


def _load(_: Any, handle: Any) -> Any:
    """Return signature and code generator of `contents(handle)`: the stored tuple."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = context.get_value_type(signature.return_type).as_pointer()
        content = builder.load(builder.bitcast(arguments[0], pointer), align=8)
        return impl_ret_borrowed(context, builder, signature.return_type, content)

    return handle.content(handle), emit


size_of, store_at = (cast("Callable[..., Any]", intrinsic(each)) for each in (_size_of, _store_at))
contents = cast("Callable[[Handle[T]], T]", intrinsic(_load))
"""Returns the tuple of a handle; for use in compiled functions."""


def _plain(content: Any) -> Any:
    """Return named tuples as plain tuples, which numba stores alike: `_store` then compiles once for all classes."""
    return tuple(map(_plain, content)) if isinstance(content, tuple) else content


@compiled
def _store(content: Any, address: int) -> int:
    """Store the content of a handle if it has at most MAX_BYTES bytes; return its size in bytes."""
    size: int = size_of(content)
    if size <= MAX_BYTES:
        store_at(content, address)
    return size
