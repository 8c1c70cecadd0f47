"""Range checks of saved whole numbers that compiled loops use as indexes, without checks of their own.

State of the right types and shapes may still have been made by another program: such a number would make a loop read or
write beyond its arrays.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from streamrnn.runtime.snapshot.checks import damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

MAX_COUNT = 2**53
"""Largest number of observations, rows or steps: a sum of a few such numbers does not overflow."""
SEEN, WINDOWS = "series_seen", "tapes_marks"
_COUNTS = (SEEN, "points", "learning_steps")
"""Arrays of counts."""
_ROWS = ("since",)
"""Arrays of rows of series."""
_NUMBERS = (WINDOWS, "tapes_numbers", "activity")
"""Arrays of numbers of any sign."""


class RangeCheck:
    """The checks of a saved state of `series` series, whose methods raise StateError."""

    def __init__(self, series: int) -> None:
        self._series = series
        self._windows: NDArray[Any] | None = None
        self._seen: list[NDArray[Any]] = []

    def shared(self, arrays: "dict[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]":
        """Check the arrays that all series share, and return them."""
        self._check("the shared part", arrays)
        self._windows = arrays.get(WINDOWS)
        return arrays

    def pages(self, pages: "Iterable[dict[str, NDArray[Any]]]") -> "Iterator[dict[str, NDArray[Any]]]":
        """Yield the pages, each checked."""
        for number, arrays in enumerate(pages):
            self._check(f"the page {number}", arrays)
            if SEEN in arrays:
                self._seen.append(np.array(arrays[SEEN]))
            yield arrays

    def windows(self) -> None:
        """Check that each open window of the replay buffer belongs to a series, and began before its next row."""
        if self._windows is None or not self._seen:
            return
        rows, first = self._windows[:2]
        counts, is_open = np.concatenate(self._seen), rows >= 0
        if (rows >= len(counts)).any() or (first[is_open] > counts[rows[is_open]]).any():
            raise damaged("the shared part", f"its array {WINDOWS!r} has windows that no series of {len(counts)} began")

    def _check(self, name: str, arrays: "Mapping[str, NDArray[Any]]") -> None:
        limits = {
            **dict.fromkeys(_COUNTS, (0, MAX_COUNT)),
            **dict.fromkeys(_ROWS, (0, self._series - 1)),
            **dict.fromkeys(_NUMBERS, (-MAX_COUNT, MAX_COUNT)),
        }
        for key, (least, most) in limits.items():
            array = arrays.get(key)
            if array is not None and array.size and not (array.min() >= least and array.max() <= most):
                found = f"numbers from {array.min()} to {array.max()}"
                raise damaged(name, f"its array {key!r} has {found}, not {least} to {most}")
