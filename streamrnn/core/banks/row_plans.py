"""Plans of series that follow different clocks: a wave is processed in one part per clock, which changes no bit."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from streamrnn.core.clock.season_clock import SeasonClock
from streamrnn.core.config import matches_name
from streamrnn.core.jit import Integers
from streamrnn.core.row_table import RowTable
from streamrnn.core.series.plan import Plan

ClockRules = SeasonClock | Sequence[tuple[str, SeasonClock]]
"""The clock of all series, or clocks by pattern of key, of which the first match holds; the last matches every key."""


class PlanIndex(NamedTuple):
    """One row per series."""

    number: Integers  # (S,) of the plan


class RowPlans:
    """The plan of each series. Nothing of it is saved: it follows from the names."""

    def __init__(self, rules: Sequence[tuple[str, Plan]]) -> None:
        """Create it without series; `rules`: pairs of a pattern of keys and a plan, of which the last matches all."""
        self._patterns = [pattern for pattern, _ in rules]
        self.plans = [plan for _, plan in rules]
        self._table = RowTable({"number": np.zeros(1, np.int64)}, PlanIndex)

    def add(self, names: Sequence[str]) -> None:
        """Add series."""
        if len(self.plans) > 1:
            self._table.extend({"number": np.array([self._number(name) for name in names], np.int64)})

    def keep(self, rows: Integers) -> None:
        """Remove all series but those of `rows`, ascending, which move up."""
        if len(self.plans) > 1:
            self._table.keep(rows)

    def clear(self) -> None:
        """Remove all series."""
        self._table.clear()

    def of(self, row: int) -> Plan:
        """Return the plan of a series."""
        return self.plans[int(self._table.rows.number[row]) if len(self.plans) > 1 else 0]

    def split(self, rows: Integers) -> list[tuple[int, Integers]]:
        """Return the number of each plan that rows (B,) have, and the positions of these rows."""
        numbers = self._table.rows.number[rows]
        return [(number, np.flatnonzero(numbers == number)) for number in np.unique(numbers).tolist()]

    def _number(self, name: str) -> int:
        key = name.rpartition("/")[0]
        matches = (n for n, pattern in enumerate(self._patterns) if matches_name(pattern, key))
        return next(matches, len(self._patterns) - 1)


def put(whole: Sequence[Any], part: Sequence[Any], at: Integers) -> None:
    """Copy the arrays of a part of a wave to the positions `at` of those of the whole."""
    for array, values in zip(whole, part, strict=True):
        array[at] = values
