"""Conditions of a series, and their beginnings and ends: anomaly, drift, warm-up, and expected crossings of levels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Booleans, Integers, compiled
from streamrnn.core.row_table import RowTable

JOINT, WARM_UP, DRIFT, ANOMALY, CROSSING = range(-1, 4)
"""Conditions; those from CROSSING on are the crossings, one for each threshold, and JOINT is one of the whole key."""
CALM = 10
"""Observations in a row without an anomaly, or an expected crossing, after which it has ended."""
ARRAY = "changes_left"
MISSED = "changes_missed"
"""Names of the saved arrays: see track_conditions, and the rows of each series that were missing so far."""


class Changes(NamedTuple):
    """Beginnings and ends of conditions in one wave: B rows, N changes."""

    seen: Integers  # (B,) observations of each series before this one
    changed: Booleans  # (B,) whether a condition began or ended
    found: Integers  # (N, 3) index in the wave, condition, and 1 for a beginning or 0 for an end; in this order


@compiled
def track_conditions(left: NDArray[np.int16], rows: Integers, holds: Booleans, calm: Integers, found: Integers) -> int:
    """Update conditions from what `holds` (B, C) now; fill `found` (B * C, 3) and return the number of changes.

    `left` (S, C): observations without a condition after which it ends, 0: it has ended; `calm` (C,): at first.
    """
    count = 0
    for b in range(len(rows)):
        for c in range(len(calm)):
            before = left[rows[b], c]
            after = calm[c] if holds[b, c] else max(before - 1, 0)
            left[rows[b], c] = after
            if (before > 0) != (after > 0):
                found[count, 0], found[count, 1], found[count, 2] = b, c, after > 0
                count += 1
    return count


class ConditionTracker:
    """The conditions of all series; `thresholds` is the number of levels."""

    def __init__(self, thresholds: int) -> None:
        self.layout = CROSSING + thresholds
        """Entry of the layout that saved state must match."""
        self._calm = np.array([1, 1, *[CALM] * (1 + thresholds)], np.int64)
        self._table: RowTable[dict[str, NDArray[Any]]] = RowTable(
            {ARRAY: np.zeros((1, len(self._calm)), np.int16), MISSED: np.zeros(1, np.int64)}, dict
        )

    def add(self) -> None:
        """Add a series."""
        self._table.append()

    def step(self, rows: Integers, seen: Integers, missing: Integers, holds: Sequence[Booleans]) -> Changes:
        """Update the conditions of a wave from what holds now, each (B,).

        `seen` (B,) rows of each series were before it, the last `missing` (B,) of which were not observed.
        """
        found = np.empty((len(rows) * len(self._calm), 3), np.int64)
        left, missed = self._table.arrays[ARRAY], self._table.arrays[MISSED]
        missed[rows] += missing
        count = track_conditions(left, rows, np.stack(list(holds), 1), self._calm, found)
        changed = np.zeros(len(rows), np.bool_)
        changed[found[:count, 0]] = True
        return Changes(seen - missed[rows], changed, found[:count])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved arrays by name, one row per series."""
        return dict(self._table.arrays)

    def clear(self) -> None:
        """Remove all series."""
        self._table.clear()

    def keep(self, rows: Integers) -> None:
        """Remove all series but those of `rows`, ascending, which move up."""
        self._table.keep(rows)

    def extend(self, saved: Mapping[str, Any], count: int) -> None:
        """Add series with saved arrays, named as by `arrays`; without any, new ones."""
        if saved:
            self._table.extend({name: saved[name] for name in (ARRAY, MISSED) if name in saved})
        else:
            self._table.append(count)
