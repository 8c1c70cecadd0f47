"""Arrays with one row per series, which grow without a copy and whose unused rows occupy no memory."""

import mmap as system
from collections.abc import Callable, Mapping
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

FIRST_CAPACITY = 64  # initial number of rows, and the least number by which a table grows
GROWTH = 5  # a full table grows by one GROWTH-th of its rows
BLOCK_ROWS = 1024  # rows that are moved at once, through a temporary copy
HUGE_PAGES: int | None = getattr(system, "MADV_HUGEPAGE", None)  # Linux only
HUGE_BYTES = 16 * 1024 * 1024
"""Least bytes of an array in huge pages, which cause fewer TLB misses, but may be mostly unused in a small array."""

Rows = TypeVar("Rows")
Array = NDArray[Any]


class _GrowingArray:
    """One array in a memory mapping of its own, whose pages the operating system zeroes at their first use.

    malloc would return freed arrays to its heap instead of the system, and would copy smaller arrays to grow them.
    """

    def __init__(self, blank: Array) -> None:
        self._shape, self._dtype, self._row_bytes = blank.shape[1:], blank.dtype, blank.nbytes
        self._memory = _map(max(1, FIRST_CAPACITY * self._row_bytes))

    def resize(self, capacity: int) -> None:
        """Resize the mapping to `capacity` rows."""
        size = max(1, capacity * self._row_bytes)
        try:
            self._memory.resize(size)
        except (BufferError, SystemError):  # a view of the array still exists, or the system has no mremap
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
    """A tuple of arrays with one row per series, `rows`, of which the first `count` are used.

    Callers must not store `rows` or views of its arrays, because `append` and `extend` may move them in memory.
    """

    def __init__(self, blank: Mapping[str, Array], make: Callable[..., Rows]) -> None:
        """Create a table without series.

        Args:
            blank: Arrays (1, ...) of the initial values of a series, by name.
            make: Returns `rows` from the arrays as keyword arguments.
        """
        self._blank, self._make = dict(blank), make
        self._filled = [name for name, row in self._blank.items() if row.tobytes().strip(b"\0")]
        self.clear()

    def clear(self) -> None:
        """Remove all rows."""
        self.count, self._capacity = 0, FIRST_CAPACITY
        self._memory = {name: _GrowingArray(row) for name, row in self._blank.items()}
        self._set_rows()

    def append(self, count: int) -> None:
        """Add `count` new series."""
        used = self._reserve(count)
        for name in self._filled:
            self.arrays[name][used] = self._blank[name]

    def extend(self, rows: Mapping[str, Array]) -> None:
        """Add series with the given arrays, by name; arrays that are not given get their initial values."""
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
        """Remove all rows except these, ascending; later rows move up, and a half-empty table releases memory."""
        before, self.count = self.count, len(rows)
        first = int(np.count_nonzero(rows == np.arange(len(rows))))  # earlier rows do not move
        for array in self.arrays.values():
            for at in range(first, len(rows), BLOCK_ROWS):
                moved = rows[at : at + BLOCK_ROWS]
                array[at : at + len(moved)] = array[moved]
            array[len(rows) : before] = 0  # as in memory that was never used
        if self._capacity > max(FIRST_CAPACITY, 2 * self.count):
            self._resize(max(FIRST_CAPACITY, self.count + self.count // GROWTH))

    def reset(self, rows: NDArray[np.int64]) -> None:
        """Reset rows to the values of new series."""
        for name, array in self.arrays.items():
            array[rows] = self._blank[name]

    def _reserve(self, count: int) -> slice:
        """Mark `count` more rows as used, and return their slice."""
        first, self.count = self.count, self.count + count
        if self.count > self._capacity:
            self._resize(max(self.count, self._capacity + max(self._capacity // GROWTH, FIRST_CAPACITY)))
        return slice(first, self.count)

    def _resize(self, capacity: int) -> None:
        self._capacity = capacity
        del self.rows, self.arrays  # a mapping with views cannot be moved
        for memory in self._memory.values():
            memory.resize(capacity)
        self._set_rows()

    def _set_rows(self) -> None:
        self.arrays = {name: memory.view(self._capacity) for name, memory in self._memory.items()}
        """All arrays by name, unused rows included."""
        self.rows: Rows = self._make(**self.arrays)
        """The same arrays in the tuple that `make` returns."""


def _map(size: int) -> mmap:
    return mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS)
