"""Beginnings and ends of the conditions of a series: anomaly, drift, warm-up, and expected crossings of thresholds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Booleans, Integers, compiled
from streamrnn.core.row_table import RowTable

JOINT, WARM_UP, DRIFT, ANOMALY, CROSSING = range(-1, 4)
"""Conditions. From CROSSING on, there is one crossing per threshold; JOINT, the joint anomaly, concerns a whole key."""
CALM_OBSERVATIONS = 10
"""Number of observations in a row without an anomaly, or an expected crossing, after which it ends."""
ARRAY = "changes_left"
MISSED = "changes_missed"
"""Names of the saved arrays: `left`, see track_conditions, and the number of missing steps of each series so far."""


class Changes(NamedTuple):
    """Beginnings and ends of conditions in one wave: B rows, N changes."""

    seen: Integers  # (B,) observations of each series before this wave
    changed: Booleans  # (B,) whether a condition began or ended
    found: Integers  # (N, 3) index in the wave, condition, and 1 for a beginning or 0 for an end; sorted


@compiled
def track_conditions(left: NDArray[np.int16], rows: Integers, holds: Booleans, calm: Integers, found: Integers) -> int:
    """Update conditions by which of them `holds` (B, C) now; fill `found` (B * C, 3) and return the number of changes.

    `left` (S, C) is the number of further observations without a condition after which it ends; 0 if it has ended. It
    is reset to `calm` (C,) while the condition holds.
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
    """Tracks the conditions of all series; `thresholds` is the number of thresholds."""

    def __init__(self, thresholds: int) -> None:
        self.layout = CROSSING + thresholds
        """Entry of the layout, which saved state must match."""
        self._calm = np.array([1, 1, *[CALM_OBSERVATIONS] * (1 + thresholds)], np.int64)
        self._table: RowTable[dict[str, NDArray[Any]]] = RowTable(
            {ARRAY: np.zeros((1, len(self._calm)), np.int16), MISSED: np.zeros(1, np.int64)}, dict
        )

    def step(self, rows: Integers, seen: Integers, missing: Integers, holds: Sequence[Booleans]) -> Changes:
        """Update the conditions of a wave by which of them `holds` now, each (B,), in the order of conditions.

        There were `seen` (B,) steps before the wave, of which the last `missing` (B,) were missing.
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
        """Remove all series except those of `rows`, ascending; later rows move up."""
        self._table.keep(rows)

    def extend(self, saved: Mapping[str, Any], count: int) -> None:
        """Add series with saved arrays, named as by `arrays`; new series if `saved` is empty."""
        if saved:
            self._table.extend({name: saved[name] for name in (ARRAY, MISSED) if name in saved})
        else:
            self._table.append(count)
