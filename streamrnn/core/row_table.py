"""Arrays with one row per series that grow without a copy, and whose unused rows occupy no memory."""

import mmap as system
from collections.abc import Callable, Mapping
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

FIRST_CAPACITY = 64  # initial rows, and the least number by which a table grows
GROWTH = 5  # a full table grows by this fraction: one fifth
BLOCK = 1024  # rows moved at once, for which memory is allocated
HUGE_PAGES: int | None = getattr(system, "MADV_HUGEPAGE", None)  # Linux only
HUGE_BYTES = 16 * 1024 * 1024
"""Least size of an array in huge pages: with them fewer lookups of addresses miss, but a page may be mostly unused."""

Rows = TypeVar("Rows")
Array = NDArray[Any]


class _GrowingArray:
    """One array in memory of its own, which the kernel provides zeroed when it is first written to.

    malloc would return freed arrays to its heap instead of to the system, and would need a copy to grow smaller ones.
    """

    def __init__(self, blank: Array) -> None:
        self._shape, self._dtype, self._row_bytes = blank.shape[1:], blank.dtype, blank.nbytes
        self._memory = _map(max(1, FIRST_CAPACITY * self._row_bytes))

    def resize(self, capacity: int) -> None:
        """Make room for `capacity` rows."""
        size = max(1, capacity * self._row_bytes)
        try:
            self._memory.resize(size)
        except (BufferError, SystemError):  # a caller still refers to the array; or a system without mremap
            before, self._memory = self._memory, _map(size)
            common = min(size, len(before))
            self._memory[:common] = before[:common]
        if size >= HUGE_BYTES and HUGE_PAGES is not None:
            self._memory.madvise(HUGE_PAGES)

    def view(self, capacity: int) -> Array:
        """Return the first `capacity` rows as an array."""
        shape = (capacity, *self._shape)
        if not self._row_bytes:
            return np.empty(shape, self._dtype)
        return np.frombuffer(self._memory, self._dtype, int(np.prod(shape))).reshape(shape)


class RowTable(Generic[Rows]):
    """Arrays with one row per series, `rows`; `count` rows are used.

    Callers must not store `rows` or views of them: `append` and `extend` may move them.
    """

    def __init__(self, blank: Mapping[str, Array], make: Callable[..., Rows]) -> None:
        """Create a table without series.

        Args:
            blank: The initial values of a series by array, each (1, ...).
            make: Called with the arrays as keyword arguments, for `rows`.
        """
        self._blank, self._make = dict(blank), make
        self._filled = [name for name, row in self._blank.items() if row.tobytes().strip(b"\0")]
        self.clear()

    def clear(self) -> None:
        """Remove all rows."""
        self.count, self._capacity = 0, FIRST_CAPACITY
        self._memory = {name: _GrowingArray(row) for name, row in self._blank.items()}
        self._set_rows()

    def append(self, count: int = 1) -> None:
        """Add `count` new series."""
        used = self._reserve(count)
        for name in self._filled:
            self.arrays[name][used] = self._blank[name]

    def extend(self, rows: Mapping[str, Array]) -> None:
        """Add series with the given values by array; other arrays get their initial values."""
        count = len(next(iter(rows.values())))
        used = self._reserve(count)
        for name, array in self.arrays.items():
            if name not in rows:
                array[used] = self._blank[name]
            elif rows[name].shape != (count, *array.shape[1:]):
                raise ValueError(f"{name} has shape {rows[name].shape}, not {(count, *array.shape[1:])}")
            else:
                array[used] = rows[name]

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Remove all rows but these, ascending, which move up; a table that is half empty returns memory."""
        before, self.count = self.count, len(rows)
        first = int(np.count_nonzero(rows == np.arange(len(rows))))  # those before it stay where they are
        for array in self.arrays.values():
            for at in range(first, len(rows), BLOCK):
                moved = rows[at : at + BLOCK]
                array[at : at + len(moved)] = array[moved]
            array[len(rows) : before] = 0  # as the system provides it
        if self._capacity > max(FIRST_CAPACITY, 2 * self.count):
            self._resize(max(FIRST_CAPACITY, self.count + self.count // GROWTH))

    def reset(self, rows: NDArray[np.int64]) -> None:
        """Give rows the values of new series."""
        for name, array in self.arrays.items():
            array[rows] = self._blank[name]

    def _reserve(self, count: int) -> slice:
        """Count more rows as used, and return them."""
        first, self.count = self.count, self.count + count
        if self.count > self._capacity:
            self._resize(max(self.count, self._capacity + max(self._capacity // GROWTH, FIRST_CAPACITY)))
        return slice(first, self.count)

    def _resize(self, capacity: int) -> None:
        self._capacity = capacity
        del self.rows, self.arrays  # an array in use could not be moved
        for memory in self._memory.values():
            memory.resize(capacity)
        self._set_rows()

    def _set_rows(self) -> None:
        self.arrays = {name: memory.view(self._capacity) for name, memory in self._memory.items()}
        """All arrays by name, with rows that are not used yet."""
        self.rows: Rows = self._make(**self.arrays)
        """The same arrays, as `make` returns them."""


def _map(size: int) -> mmap:
    return mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS)
