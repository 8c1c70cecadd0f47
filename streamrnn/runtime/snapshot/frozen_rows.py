"""The rows of a forecaster as they were at one moment, while it changes them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from streamrnn.core.forecaster import CoreForecaster

Integers = NDArray[np.int64]


class FrozenRows:
    """Copies rows before they change, if they belong to pages that are still to be read."""

    def __init__(self, forecaster: "CoreForecaster", pages: list[int], rows_per_page: int) -> None:
        """Freeze the rows of `pages`, which are to be read once each."""
        self._forecaster, self._rows_per_page = forecaster, rows_per_page
        self._count = len(forecaster.names)
        self._unread = np.zeros(-(-self._count // rows_per_page), np.bool_)
        self._unread[pages] = True
        self._block = np.full(self._count, -1, np.int64)
        """Number of the block that has a row's copy; -1: it has not changed."""
        self._index = np.zeros(self._count, np.int64)
        """Index of a row in its block."""
        self._blocks: list[dict[str, NDArray[Any]] | None] = []
        self._left: list[int] = []
        """Number of rows of each block that are still to be read; at 0 the block is dropped."""
        self._pickles: dict[int, dict[str, NDArray[Any]]] = {}
        self._copies: dict[int, tuple[list[str], dict[str, NDArray[Any]]]] = {}
        """Pages that were copied as a whole."""

    def preserve(self, rows: Integers) -> None:
        """Copy the rows among these that are still to be read; call this before they change."""
        rows = rows[rows < self._count]
        rows = np.unique(rows[self._unread[rows // self._rows_per_page] & (self._block[rows] < 0)])
        if not len(rows):
            return
        for page in np.unique(rows // self._rows_per_page).tolist():
            if page not in self._pickles:
                self._pickles[page] = self._forecaster.save_pickles(*self._range(page))
        self._block[rows], self._index[rows] = len(self._blocks), np.arange(len(rows))
        self._blocks.append(self._forecaster.copy_rows(rows))
        self._left.append(len(rows))

    def detach(self) -> None:
        """Copy all pages that are still to be read, because rows are about to be removed, and others to move."""
        for page in np.flatnonzero(self._unread).tolist():
            names, arrays = self.read(page)
            self._copies[page] = names, {name: array.copy() for name, array in arrays.items()}

    def read(self, page: int) -> tuple[list[str], dict[str, NDArray[Any]]]:
        """Return the names and the arrays of a page as they were, and release its copies."""
        if page in self._copies:
            return self._copies.pop(page)
        first, count = self._range(page)
        names, arrays = self._forecaster.names[first : first + count], self._forecaster.save_rows(first, count)
        self._unread[page] = False
        blocks = self._block[first : first + count]
        changed = np.flatnonzero(blocks >= 0)
        if not len(changed):
            return names, arrays
        pickles = self._pickles.pop(page)
        arrays = {name: pickles[name] if name in pickles else array.copy() for name, array in arrays.items()}
        for number in np.unique(blocks[changed]).tolist():
            rows = np.flatnonzero(blocks == number)
            for name, copied in (self._blocks[number] or {}).items():
                arrays[name][rows] = copied[self._index[first + rows]]
            self._left[number] -= len(rows)
            if not self._left[number]:
                self._blocks[number] = None
        return names, arrays

    def _range(self, page: int) -> tuple[int, int]:
        first = page * self._rows_per_page
        return first, min(self._rows_per_page, self._count - first)
