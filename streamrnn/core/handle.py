"""Tuples of arrays that compiled functions receive by address.

At each call numba reads the address, shape and strides of every array of an argument. For the state of a bank that
takes longer than the work on one row. A handle has them read once, for as long as the arrays stay where they are.
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
FEW = 64
"""Rows of a wave up to which its arrays are kept for each number of them, and not for the last large one only."""
LARGEST = 16 * 1024  # bytes of a tuple as numba stores it: over 200 arrays


class HandleType(numba.types.Type):
    """The type of a handle, which has the type of its tuple."""

    def __init__(self, content: Any) -> None:
        self.content = content
        super().__init__(name=f"Handle({content})")


@register_model(HandleType)
class _HandleModel(models.OpaqueModel):
    """A handle is a pointer to the tuple."""


class Handle(Generic[T]):
    """Passes a tuple of arrays, numbers and such tuples to compiled functions, at the price of one argument."""

    def __init__(self, content: T, like: "Handle[T] | None" = None) -> None:
        """Store the addresses of the arrays; their types are those of `like`, if given, as finding them is slow."""
        self.content = content  # the arrays must live as long as their addresses are used
        self._memory = np.zeros(LARGEST, np.uint8)
        self.address = self._memory.ctypes.data
        self._numba_type_: HandleType = HandleType(numba.typeof(content)) if like is None else like._numba_type_
        if _store(_plain(content), self.address) > LARGEST:
            raise ValueError(f"a handle of {self._numba_type_} needs more than {LARGEST} bytes")


class HandlePool(Generic[T]):
    """Handles of a wave's arrays by its number of rows.

    The arrays of up to FEW rows are used again by the next wave with as many, larger ones by one that follows at once.
    """

    def __init__(self, allocate: "Callable[[int], T]") -> None:
        """`allocate` returns arrays for a number of rows, always of the same types."""
        self._allocate = allocate
        self._handles: dict[int, Handle[T]] = {}
        self._first: Handle[T] | None = None
        self._large: tuple[int, Handle[T] | None] = 0, None

    def take(self, rows: int) -> Handle[T]:
        """Return arrays for a wave of this number of rows, with any contents."""
        handle = self._large[1] if rows == self._large[0] else self._handles.get(rows)
        if handle is None:
            handle = Handle(self._allocate(rows), self._first)
            self._first = self._first or handle
            if rows <= FEW:
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
    """Type and emit (value) -> bytes of the value as numba stores it."""

    def emit(context: Any, _: Any, signature: Any, __: Any) -> Any:
        size = context.get_abi_sizeof(context.get_value_type(signature.args[0]))
        return context.get_constant(numba.types.intp, size)

    return numba.types.intp(value), emit


def _store_at(_: Any, value: Any, address: Any) -> Any:
    """Type and emit (value, address) -> None, a store."""

    def emit(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        stored, place = arguments
        builder.store(stored, builder.inttoptr(place, stored.type.as_pointer()), align=8)
        return context.get_dummy_value()

    return numba.types.void(value, address), emit


def _load(_: Any, handle: Any) -> Any:
    """Type and emit (handle) -> its content."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = context.get_value_type(signature.return_type).as_pointer()
        content = builder.load(builder.bitcast(arguments[0], pointer), align=8)
        return impl_ret_borrowed(context, builder, signature.return_type, content)

    return handle.content(handle), emit


size_of, store_at = (cast("Callable[..., Any]", intrinsic(each)) for each in (_size_of, _store_at))
contents = cast("Callable[[Handle[T]], T]", intrinsic(_load))
"""Returns the tuple of a handle; for use in compiled functions."""


def _plain(content: Any) -> Any:
    """Return tuples without their names, which numba stores equally: `_store` is then the same for all classes."""
    return tuple(map(_plain, content)) if isinstance(content, tuple) else content


@compiled
def _store(content: Any, address: int) -> int:
    """Store the content of a handle, if it fits; return its size in bytes."""
    size: int = size_of(content)
    if size <= LARGEST:
        store_at(content, address)
    return size
