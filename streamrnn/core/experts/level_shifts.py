"""Detection of changes of level or unit: the latest values lie far from earlier ones, compared to the series' scale."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.experts.drift import LASTING
from streamrnn.core.jit import Booleans, Floats, Integers
from streamrnn.core.row_table import RowTable
from streamrnn.core.series.lean_state import AnyState
from streamrnn.core.series.plan import Plan

RECENT_VALUES = 8  # number of latest values, of which all but one must be far
BEFORE = 16  # number of values before them with which they are compared, ...
MIN_BEFORE = 8  # ... or fewer, down to this number, if steps are missing
FIRST = 64  # steps of a series before the detection starts
FAR = 30.0  # least distance of a far value from the median of the values before, multiples of the one-step scale
NEAR = 15.0  # largest distance of the values before from their median, multiples of the one-step scale
UNIT = 0.6  # least |log10| of the ratio of two scales that indicates a change of the unit
LEVEL = 3.0  # least level by which a change of the unit can be recognized, multiples of the one-step scale
MIN_CALM_RATIO = 30.0  # least ratio of the one-step scale to the mean change after a division of the unit
SMALLER = -2  # largest power of ten of a division that is recognized by smaller changes
MAX_SEEN_SHARE = 0.02  # of earlier values in the range of the recent ones: more have a machine that is often off
MAX_WRONG, EXACT = 0.5, 0.01
"""Largest relative distance of a ratio of levels from a power of ten, if the ratio of spreads agrees, and if not."""
PREFIX = "shifts_"  # prefix of the names of saved arrays


class Recent(NamedTuple):
    """One row per series."""

    values: Floats  # (S, RECENT_VALUES) latest values, in order of time, field's unit
    times: Integers  # (S, RECENT_VALUES) ms
    until: Integers  # (S,) step up to which the series counts as drifting


class Change(NamedTuple):
    """A change of a series' level or unit: earlier distances are multiplied by a factor, and the center is replaced."""

    center: float  # new center, field's unit
    factor: float  # factor of earlier distances from the center
    values: Floats  # (P,) values observed since the change, field's unit
    times: Integers  # (P,) ms


class LevelShifts:
    """Detector of changes of level or unit, for all series."""

    layout = True
    """Entry of the layout, which saved state must match."""

    def __init__(self) -> None:
        blank = Recent(np.zeros((1, RECENT_VALUES)), np.zeros((1, RECENT_VALUES), np.int64), np.zeros(1, np.int64))
        self._table = RowTable(blank._asdict(), Recent)
        self.alarms = 0

    def add(self, count: int) -> None:
        """Add `count` new series."""
        self._table.append(count)

    def find(self, series: AnyState, plan: Plan, rows: Integers) -> list[tuple[int, Change]]:
        """Return the new changes of these rows, from their observations so far, and mark the rows as drifting."""
        recent = self._table.rows
        seen = series.seen[rows]
        first, second = recent.times[rows, 0], recent.times[rows, 1]
        filled = (first != 0) | ((second > 0) & (series.first[rows] <= 0))  # a time of 0 may be an observation's, too
        known = filled & (seen >= FIRST)
        known &= seen > recent.until[rows] - LASTING + RECENT_VALUES + BEFORE  # do not find the same change again
        values, scale = recent.values[rows], series.scale[rows, 0]
        jump = np.abs(values[:, -1] - values[:, 0])
        earlier = series.ring[rows, (seen - RECENT_VALUES - 1) % series.ring.shape[1]]
        reach = np.abs(values[:, -1] - (series.center[rows] + earlier))
        calm = are_calm(values, scale)
        found = []
        for at in np.flatnonzero(known & (calm | (np.maximum(jump, reach) > NEAR * scale))).tolist():
            row = int(rows[at])
            numbers = observed_rows(series, plan, row)[-RECENT_VALUES - BEFORE : -RECENT_VALUES]
            if len(numbers) < MIN_BEFORE:
                continue
            before = series.center[row] + series.ring[row, numbers % series.ring.shape[1]]
            state = recent.times[row], float(scale[at]), float(series.center[row])
            change = change_of(before, values[at], *state)
            if change is None and calm[at]:
                change = division_of(before, earlier_values(series, row), values[at], *state)
            if change is not None:
                recent.until[row] = seen[at] + LASTING
                found.append((row, change))
        self.alarms += len(found)
        return found

    def observe(self, rows: Integers, values: Floats, times: Integers) -> None:
        """Store a wave: `rows` (B,), `values` (B,), `times` (B,) ms."""
        recent = self._table.rows
        recent.values[rows] = np.concatenate([recent.values[rows, 1:], values[:, None]], 1)
        recent.times[rows] = np.concatenate([recent.times[rows, 1:], times[:, None]], 1)

    def is_drifting(self, rows: Integers, seen: Integers) -> Booleans:
        """Return which of the rows (B,) had a change recently, after `seen` (B,) steps."""
        return np.asarray(self._table.rows.until[rows] >= seen)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved arrays by name, one row per series."""
        return {f"{PREFIX}{name}": array for name, array in self._table.arrays.items()}

    def clear(self) -> None:
        """Remove all series."""
        self._table.clear()

    def extend(self, saved: Mapping[str, Any]) -> None:
        """Add series with saved arrays, named as by `arrays`."""
        self._table.extend({name: saved[f"{PREFIX}{name}"] for name in Recent._fields})

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        self._table.keep(rows)


def observed_rows(series: AnyState, plan: Plan, row: int) -> Integers:
    """Return the numbers of the latest steps of a series that were not missing, ascending."""
    longest, count = int(plan.horizons[-1]), int(series.seen[row])
    numbers = np.arange(max(count - longest, 0), count)
    return numbers[series.unit[row, plan.slots[-1] + numbers % longest] > 0]


def are_calm(values: Floats, scale: Floats) -> Booleans:
    """Return for which rows the values (B, RECENT_VALUES), after a first change, vary far less than `scale` (B,).

    Values that do not vary at all do not count, because a stuck sensor is no change of the unit.
    """
    changes = np.abs(np.diff(values, axis=1))
    since = changes[:, 1:].mean(1)
    return np.asarray((changes[:, 0] > LEVEL * scale) & (since > 0) & (MIN_CALM_RATIO * since < scale))


def earlier_values(series: AnyState, row: int) -> Floats:
    """Return the values in the ring of a series up to the first of the RECENT_VALUES ones, missing steps included."""
    ring, count = series.ring[row], int(series.seen[row])
    return series.center[row] + ring[np.arange(max(count - len(ring), 0), count - RECENT_VALUES + 1) % len(ring)]


def change_of(before: Floats, recent: Floats, times: Integers, scale: float, center: float) -> Change | None:
    """Return the change between the values before and the recent values, compared to the one-step scale; None: none.

    A unit changes by a power of ten. Otherwise the level shifts by the largest change between consecutive values.
    """
    middle = float(np.median(before))
    far = np.abs(recent - middle) > FAR * scale
    if far.sum() < RECENT_VALUES - 1 or np.abs(before - middle).max() >= NEAR * scale:
        return None
    first = int(far.argmax())
    joined, after = np.concatenate([before[-1:], recent]), recent[first:]
    power, of_all = unit_power(float(joined[first]), after, scale)
    factor = 10.0**power
    if power and of_all:
        moved = factor * center
    elif power:
        moved = float(np.median(after)) + factor * (center - middle)
    else:
        steps = np.diff(joined)[: first + 1]
        moved = center + float(steps[np.abs(steps).argmax()])
    return Change(moved, factor, after.copy(), times[first:].copy())


def division_of(
    before: Floats, earlier: Floats, recent: Floats, times: Integers, scale: float, center: float
) -> Change | None:
    """Return the division of the unit that recent values indicate, which are calm except for the first; None: none.

    Both the level and the changes must have decreased by about the same power of ten, and almost no `earlier` value may
    lie in the range of the recent ones: when a machine is switched off, the sun sets or a burst ends, the unit has not
    changed.
    """
    after = recent[1:]
    ratio = after[0] / recent[0] if recent[0] != 0 else 0.0
    if ratio <= 0 or np.abs(np.append(before, recent[0]) - np.median(before)).max() >= NEAR * scale:
        return None
    power, spread = round(np.log10(ratio)), round(np.log10(np.abs(np.diff(after)).mean() / scale))
    wrong, margin = abs(ratio / 10.0**power - 1), float(np.ptp(after))
    if power > SMALLER or abs(spread - power) > 1 or wrong > min(LEVEL * scale / abs(recent[0]), MAX_WRONG):
        return None
    if ((earlier >= after.min() - margin) & (earlier <= after.max() + margin)).mean() > MAX_SEEN_SHARE:
        return None
    return Change(10.0**power * center, 10.0**power, after.copy(), times[1:].copy())


def unit_power(last: float, after: Floats, scale: float) -> tuple[int, bool]:
    """Return the power of ten by which a unit has changed, 0: none, and whether the level has changed by it as well.

    `last` is the value before the change, `after` are the values since, and `scale` is the one-step scale before.
    """
    spread = float(np.abs(np.diff(after)).mean()) / scale
    power = round(np.log10(spread)) if spread > 0 and abs(np.log10(spread)) >= UNIT else 0
    if abs(last) <= LEVEL * scale:
        return power, True
    ratio = after[0] / last
    nearest = round(np.log10(ratio)) if ratio > 0 else 0
    wrong = abs(ratio / 10.0**nearest - 1)
    agreed = power != 0 and abs(power - nearest) <= 1 and wrong <= min(LEVEL * scale / abs(last), MAX_WRONG)
    if nearest and (agreed or (abs(nearest) > 1 and wrong <= EXACT)):
        return nearest, True
    return power, False
