"""Plans of series with different clocks: a wave is processed in one part per clock, which changes no result."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.clock.season_clock import ClockRules, SeasonClock, ZoneClocks
from streamrnn.core.config import matches_name
from streamrnn.core.jit import Integers
from streamrnn.core.row_table import RowTable
from streamrnn.core.series.plan import Plan
from streamrnn.timestamps import zone_name

PREFIX = "zones_"  # prefix of the name of the saved array


class PlanIndex(NamedTuple):
    """One row per series."""

    number: Integers  # (S,) number of the plan
    code: NDArray[np.uint32]  # (S,) code of the zone that records have named; 0: none


class RowPlans:
    """The plan of each series, by its name or by the zone that its records name. Only the zone is saved."""

    def __init__(self, clock: ClockRules, plan_with: Callable[[SeasonClock], Plan]) -> None:
        """Create an empty index; `plan_with` returns the plan for a clock."""
        self._clock_of: Callable[[str], SeasonClock] | None = clock.of if isinstance(clock, ZoneClocks) else None
        default: Any = clock.default if isinstance(clock, ZoneClocks) else clock
        rules = [("*", default)] if isinstance(default, SeasonClock) else default
        self._patterns = [pattern for pattern, _ in rules]
        self.plans = [plan_with(each) for _, each in rules]
        self._plan_with, self._zone_numbers = plan_with, dict[int, int]()
        self._table = RowTable({"number": np.zeros(1, np.int64), "code": np.zeros(1, np.uint32)}, PlanIndex)
        self.layout: dict[str, object] = {} if self._clock_of is None else {"zones": "named"}
        """Entry of the layout; empty if nothing is saved."""

    def add(self, names: Sequence[str], saved: Mapping[str, Any] | None = None) -> None:
        """Add series, with their zones from `saved` arrays, named as by `arrays`."""
        if self._is_used:
            codes = np.zeros(len(names), np.uint32)
            if self._clock_of is not None and saved is not None:
                codes = saved.get(f"{PREFIX}code", codes)
            numbers = [self._zone_number(code, name) for code, name in zip(codes.tolist(), names, strict=True)]
            self._table.extend({"number": np.array(numbers, np.int64), "code": codes})

    def set_zone(self, rows: Sequence[int], code: int) -> None:
        """Set the time zone of series, by its code (see `zone_code`), from now on."""
        if self._clock_of is not None:
            number = self._zone_number(code)
            for row in rows:
                self._table.rows.number[row], self._table.rows.code[row] = number, code

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved array by name, one row per series."""
        return {f"{PREFIX}code": self._table.arrays["code"]} if self.layout else {}

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        if self._is_used:
            self._table.keep(rows)

    def clear(self) -> None:
        """Remove all series."""
        self._table.clear()

    def of(self, row: int) -> Plan:
        """Return the plan of a series."""
        return self.plans[int(self._table.rows.number[row]) if len(self.plans) > 1 else 0]

    def split(self, rows: Integers) -> list[tuple[int, Integers]]:
        """Return the number of each plan among the rows (B,), with the positions of its rows."""
        numbers = self._table.rows.number[rows]
        return [(number, np.flatnonzero(numbers == number)) for number in np.unique(numbers).tolist()]

    @property
    def _is_used(self) -> bool:
        return len(self.plans) > 1 or self._clock_of is not None

    def _zone_number(self, code: int, name: str = "") -> int:
        """Return the number of the plan of a zone; for an unknown code, or 0, that of the series `name`."""
        if code not in self._zone_numbers:
            zone = zone_name(code)
            if zone is None or self._clock_of is None:
                return self._number(name)
            self._zone_numbers[code] = len(self.plans)
            self.plans.append(self._plan_with(self._clock_of(zone)))
        return self._zone_numbers[code]

    def _number(self, name: str) -> int:
        key = name.rpartition("/")[0]
        matches = (n for n, pattern in enumerate(self._patterns) if matches_name(pattern, key))
        return next(matches, len(self._patterns) - 1)


def put(whole: Sequence[Any], part: Sequence[Any], at: Integers) -> None:
    """Copy the arrays of a part of a wave to the positions `at` of the arrays of the whole wave."""
    for array, values in zip(whole, part, strict=True):
        array[at] = values
