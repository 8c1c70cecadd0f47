"""The pages of a task's state that have changed since the last save."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class DirtyPages:
    """Numbers of changed pages, of `rows_per_page` rows each."""

    def __init__(self, rows_per_page: int) -> None:
        self._size = rows_per_page
        self._pages: set[int] = set()

    def touch(self, rows: Integers) -> None:
        """Mark the pages of these rows."""
        self._pages.update((rows // self._size).tolist())

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
        pages, self._pages = sorted(page for page in self._pages if page < self.pages_of(rows)), set()
        return pages

    def rows(self, count: int) -> int:
        """Return the number of rows in the marked pages, of `count` in all."""
        return sum(max(0, min(self._size, count - page * self._size)) for page in self._pages)

    def pages_of(self, rows: int) -> int:
        """Return the number of pages of this number of rows."""
        return -(-rows // self._size)

    def __len__(self) -> int:
        return len(self._pages)
