"""Bounds of the published quantiles: configured, or detected as limits that the values of a series have never crossed.

Quantiles are clipped before they are stored in the ledger, so that scores, conformal offsets and anomaly scores are
computed from the published quantiles. The mixture, to which the members are compared, has no bounds.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.config import BoundRule, matches_series
from streamrnn.core.jit import Floats, Integers, compiled
from streamrnn.core.row_table import RowTable
from streamrnn.core.series.scaling import centered

EVIDENCE = 100
"""Observations after which a limit that was never crossed becomes a bound: by the rule of succession, the next
observation crosses it with a probability of 1%."""
WHOLE = 100.0  # upper bound of percentages
LOW_SHARE, HIGH_SHARE = 0.1, 0.9
"""A series counts as percentages if it has values below and above these shares of WHOLE. If its largest value is WHOLE,
it needs no low value: it is probably cut off at 100, and a random walk that passes 100 loses the bound."""
PREFIX = "bounds_"  # prefix of the names of saved arrays
SAVED = ("lowest", "highest", "seen")


class Bounds(NamedTuple):
    """One row per series; without rows no series has bounds."""

    lowest: Floats  # (S,) smallest value so far, field's unit
    highest: Floats  # (S,) largest value so far, field's unit
    seen: Integers  # (S,) number of observations so far
    floor: Floats  # (S,) configured lower bound, -inf: none; NaN: both bounds are detected
    ceiling: Floats  # (S,) configured upper bound, inf: none


@compiled
def observe_bounds(bounds: Bounds, row: int, value: float) -> None:
    """Update the smallest and the largest value of a series."""
    if len(bounds.seen) > 0:
        bounds.lowest[row] = min(bounds.lowest[row], value)
        bounds.highest[row] = max(bounds.highest[row], value)
        bounds.seen[row] += 1


@compiled
def current_bounds(bounds: Bounds, row: int) -> tuple[float, float]:
    """Return the lower and the upper bound of a series, in the field's unit; infinite: none."""
    if len(bounds.seen) == 0:
        return -np.inf, np.inf
    low, high = bounds.floor[row], bounds.ceiling[row]
    if low == low:
        return low, high
    low, high = -np.inf, np.inf
    if bounds.seen[row] >= EVIDENCE:
        lowest, highest = bounds.lowest[row], bounds.highest[row]
        if lowest >= 0:
            low = 0.0
            if highest == WHOLE or (lowest <= LOW_SHARE * WHOLE and HIGH_SHARE * WHOLE <= highest < WHOLE):
                high = WHOLE
        elif highest <= 0:
            high = 0.0
    return low, high


@compiled
def bounds_in_units(bounds: Bounds, row: int, center: float, value: float, unit: float) -> tuple[float, float]:
    """Return the bounds as distances from the centered `value` at an origin, in units.

    The arithmetic is the same as for labels, so that a label at a bound equals a quantile at the bound bit for bit.
    """
    low, high = current_bounds(bounds, row)
    return (centered(low, center) - value) / unit, (centered(high, center) - value) / unit


@compiled
def clip_quantiles(bounds: Bounds, row: int, center: float, value: float, unit: float, quantiles: Floats) -> None:
    """Clip quantiles (Q,), units, to the bounds of the series, in place."""
    if len(bounds.seen) > 0:
        low, high = bounds_in_units(bounds, row, center, value, unit)
        for q in range(len(quantiles)):
            quantiles[q] = min(max(quantiles[q], low), high)


@compiled
def clip_label(bounds: Bounds, row: int, center: float, value: float, unit: float, truth: float) -> float:
    """Return a label, units, clipped to the bounds, because no quantile can lie beyond them."""
    if len(bounds.seen) == 0:
        return truth
    low, high = bounds_in_units(bounds, row, center, value, unit)
    return min(max(truth, low), high)


@compiled
def restore_bounds(
    bounds: Bounds, row: int, center: float, value: float, unit: float, tolerance: float, quantiles: Floats
) -> None:
    """Set quantiles (Q,), units, within `tolerance` of a bound to it, in place, as their 16-bit codes are not exact."""
    if len(bounds.seen) > 0:
        low, high = bounds_in_units(bounds, row, center, value, unit)
        for q in range(len(quantiles)):
            if abs(quantiles[q] - low) <= tolerance:
                quantiles[q] = low
            elif abs(quantiles[q] - high) <= tolerance:
                quantiles[q] = high


@compiled
def within_bounds(value: float, low: float, high: float) -> float:
    """Return a published value, in the field's unit, clipped to the bounds; a negative zero becomes zero."""
    return min(max(value, low), high) + 0.0


class SeriesBounds:
    """Bounds of all series.

    `rules` are pairs of a pattern and a rule; the first match applies to a series. See `rule_of`.
    """

    def __init__(self, rules: Sequence[tuple[str, BoundRule]]) -> None:
        self._rules = rules
        self.layout = "auto" if any(rule == "auto" for _, rule in rules) else ""
        """Entry of the layout; empty if no state is saved."""
        infinite, f8 = np.inf, np.float64
        blank = Bounds(
            np.full(1, infinite, f8), np.full(1, -infinite, f8), np.zeros(1, np.int64), np.full(1, -infinite, f8),
            np.full(1, infinite, f8),
        )  # fmt: skip
        self._none = Bounds(np.empty(0), np.empty(0), np.empty(0, np.int64), np.empty(0), np.empty(0))
        self._table = RowTable(blank._asdict(), Bounds)

    @property
    def rows(self) -> Bounds:
        """Bounds by row, for compiled loops."""
        return self._table.rows if self._rules else self._none

    def add(self, names: Sequence[str]) -> None:
        """Add series."""
        self.extend({}, names)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved arrays by name, one row per series."""
        return {f"{PREFIX}{name}": self._table.arrays[name] for name in SAVED} if self.layout else {}

    def clear(self) -> None:
        """Remove all series."""
        self._table.clear()

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        if self._rules:
            self._table.keep(rows)

    def extend(self, saved: Mapping[str, Any], names: Sequence[str]) -> None:
        """Add the series `names` with saved arrays, named as by `arrays`; without these, detection starts again."""
        if not self._rules:
            return
        if self.layout and f"{PREFIX}seen" in saved:
            self._table.extend({name: saved[f"{PREFIX}{name}"] for name in SAVED})
        else:
            self._table.append(len(names))
        self._configure(names)

    def _configure(self, names: Sequence[str]) -> None:
        """Set the configured bounds of the last rows."""
        first = self._table.count - len(names)
        for row, name in enumerate(names, first):
            rule = rule_of(self._rules, name)
            low, high = (np.nan, np.nan) if rule == "auto" else rule
            self._table.rows.floor[row], self._table.rows.ceiling[row] = low, high


def rule_of(rules: Sequence[tuple[str, BoundRule]], name: str) -> BoundRule:
    """Return the rule of the first pattern that a series matches; no bounds if it matches none."""
    found = (rule for pattern, rule in rules if matches_series(pattern, name))
    return next(found, (-np.inf, np.inf))
