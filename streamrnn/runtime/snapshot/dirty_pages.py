"""The pages of a task's state that have changed since the last save."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

MAX_TOUCHED = 64
"""Number of `touch` calls whose pages are marked together."""


class DirtyPages:
    """Numbers of changed pages, of `rows_per_page` rows each."""

    def __init__(self, rows_per_page: int) -> None:
        self._size = rows_per_page
        self._marked: set[int] = set()
        self._touched: list[Integers] = []
        """Rows whose pages are not marked yet."""

    def touch(self, rows: Integers) -> None:
        """Mark the pages of these rows; the array must not be changed afterwards."""
        self._touched.append(rows)
        if len(self._touched) >= MAX_TOUCHED:
            self._mark()

    @property
    def _pages(self) -> set[int]:
        """All marked pages."""
        if self._touched:
            self._mark()
        return self._marked

    def _mark(self) -> None:
        self._marked.update((np.concatenate(self._touched) // self._size).tolist())
        self._touched = []

    def add(self, pages: Iterable[int]) -> None:
        """Mark pages."""
        self._pages.update(pages)

    def add_all(self, rows: int) -> None:
        """Mark all pages of this number of rows."""
        self.add(range(self.pages_of(rows)))

    def keep(self, rows: Integers) -> None:
        """Mark the pages of the rows that move up when only `rows`, ascending, are kept."""
        first = int(np.count_nonzero(rows == np.arange(len(rows))))
        self.add(range(first // self._size, self.pages_of(len(rows))))

    def take(self, rows: int) -> list[int]:
        """Return the marked pages of this number of rows, ascending, and unmark all."""
        pages, self._marked = sorted(page for page in self._pages if page < self.pages_of(rows)), set()
        return pages

    def rows(self, count: int) -> int:
        """Return the number of rows in the marked pages, of `count` in all."""
        return sum(max(0, min(self._size, count - page * self._size)) for page in self._pages)

    def pages_of(self, rows: int) -> int:
        """Return the number of pages of this number of rows."""
        return -(-rows // self._size)

    def __len__(self) -> int:
        return len(self._pages)
