"""Values of a series by phase of its seasons, and Holt-Winters smoothing.

Phases are computed from event time, so that gaps do not shift them.
"""

import math

from streamrnn.core.clock.season_clock import clock_change
from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series.calendar import DAY, WEEK, calendar_seasons, round_cadence, slot_count
from streamrnn.core.series.period_detection import MISSING, detect_period, detection_due
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.profile_shift import follow_shift, slot_of
from streamrnn.core.series.state import EXPERTS, SHORT_SLOTS, SMOOTHING, FullState
from streamrnn.core.series.update import bend, fill_missing, smooth_missing, trusted_shape

LATEST, PROFILE, HOLT_WINTERS = 0, 1, 2  # contents of the tables `short` and `long` of a series, by index
SHAPE_SHORT, SHAPE_LONG = EXPERTS.index("shape_short"), EXPERTS.index("shape_long")
PROFILE_RATES = (0.2, 0.35)  # rates of the short and the long profile, per season
SMOOTH_FROM = 144  # least number of slots of a profile that is averaged over neighbouring slots
LEVEL, TREND, SEASON, DAMPING = 0.3, 0.01, 0.1, 0.98
"""Holt-Winters: rates of level, trend and season per step, and damping of the trend per step."""


@compiled
def read_profile(table: Singles, slots: int, slot: int) -> float:
    """Return the profile in a slot, averaged over neighbours if the season has many slots; NaN: unknown."""
    if slots < SMOOTH_FROM:
        return float(table[PROFILE, slot])
    total, known = 0.0, 0
    for offset in range(-2, 3):
        value = float(table[PROFILE, (slot + offset) % slots])
        if value == value:
            total += value
            known += 1
    return total / known if known > 0 else math.nan


@compiled
def write_slot(table: Singles, slot: int, value: float, rate: float) -> float:
    """Write a value into a table; return the previous latest value of its slot."""
    before = float(table[LATEST, slot])
    table[LATEST, slot] = value
    profile = float(table[PROFILE, slot])
    table[PROFILE, slot] = value if profile != profile else profile + rate * (value - profile)
    return before


@compiled
def reset_seasons(series: FullState, row: int, short: float, long: float) -> None:
    """Reset the seasonal state for new periods `short` and `long` (ms)."""
    series.period[row, 0], series.period[row, 1] = short, long
    series.short[row, LATEST], series.short[row, PROFILE] = math.nan, math.nan
    series.short[row, HOLT_WINTERS] = 0.0
    series.long[row] = math.nan
    series.before[row] = math.nan


@compiled
def update_holt_winters(
    series: FullState, row: int, slot: int, slots: int, steps: float, value: float, young: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """Update level, trend, and a season of `steps` in `slots` slots; `young`: in the first season, without trend."""
    level, trend, count = series.level[row], series.trend[row], series.seen[row]
    expected = level + DAMPING * trend
    season = float(series.short[row, HOLT_WINTERS, slot]) if slots > 0 else 0.0
    if young:
        moved = level + min(0.02 + 1.0 / (count + 1), 1.0) * (value - level)
        series.trend[row] = 0.0
        season = value - moved
    else:
        moved = expected + LEVEL * (value - season - expected)
        series.trend[row] = TREND * (moved - level) + (1 - TREND) * DAMPING * trend
        rate = 1 - (1 - SEASON) ** (slots / steps) if steps > slots else SEASON
        season += rate * (value - moved - season)
    series.level[row] = moved
    if slots > 0:
        series.short[row, HOLT_WINTERS, slot] = season


@compiled
def update_season(series: FullState, plan: Plan, row: int, i: int, time: float, cadence: float, value: float) -> int:
    """Update the table of the short (0) or long (1) season; return the slot of `time`."""
    table = series.short[row] if i == 0 else series.long[row]
    first, period = float(series.first[row]), series.period[row, i]
    slots = slot_count(period, cadence, len(table[0]))
    slot = slot_of(plan.clock, time, time, first, period, slots)
    shared = slots * cadence / period  # below 1 if several steps share a slot
    rate = PROFILE_RATES[i] if shared > 0.99 else 1 - (1 - PROFILE_RATES[i]) ** shared
    latest = float(series.time[row])
    entered = slot_of(plan.clock, latest, latest, first, period, slots) != slot
    before = write_slot(table, slot, value, rate)
    if entered or slots == 1:
        series.before[row, i] = before
    return slot


@compiled
def read_shape(series: FullState, plan: Plan, row: int, i: int, time: float) -> float:
    """Return the profile of the short (0) or long (1) season at `time`; NaN: unknown."""
    table, period = series.short[row] if i == 0 else series.long[row], series.period[row, i]
    slots = slot_count(period, round_cadence(series.cadence[row]), len(table[0]))
    return read_profile(table, slots, slot_of(plan.clock, time, time, float(series.first[row]), period, slots))


@compiled
def bend_missing(series: FullState, plan: Plan, row: int, i: int, missing: int, time: float) -> None:
    """Bend the interpolation of the last `missing` steps before `time` by the short (0) or long (1) profile."""
    cadence, first = round_cadence(series.cadence[row]), series.seen[row] - missing
    if series.period[row, i] <= 0:
        return
    begin = read_shape(series, plan, row, i, time - (missing + 1) * cadence)
    end = read_shape(series, plan, row, i, time)
    for n in range(missing):
        then = read_shape(series, plan, row, i, time - (missing - n) * cadence)
        bend(series.ring[row], first + n, (n + 1) / (missing + 1), begin, then, end)


@compiled
def write_missing(series: FullState, plan: Plan, row: int, missing: int, time: float) -> None:
    """Write the last `missing` steps, before `time`, into the tables as latest values, but not into the profiles."""
    cadence, ring = round_cadence(series.cadence[row]), series.ring[row]
    first, origin = series.seen[row] - missing, float(series.first[row])
    for i in range(2):
        table, period = series.short[row] if i == 0 else series.long[row], series.period[row, i]
        slots = slot_count(period, cadence, len(table[0]))
        for n in range(missing if period > 0 else 0):
            then = time - (missing - n) * cadence
            slot = slot_of(plan.clock, then, then, origin, period, slots)
            table[LATEST, slot] = ring[(first + n) % len(ring)]


@compiled
def fill_missing_full(series: FullState, plan: Plan, row: int, value: float, time: int) -> None:
    """Fill in the steps that are missing before a centered `value` at `time`, unless done before.

    The filled values update the smoothed values and the latest values by phase, but not the profiles.
    """
    first = series.seen[row]
    missing = fill_missing(series, plan, row, value, time)
    if missing == 0:
        return
    i = trusted_shape(series.error[row, 0], SHAPE_SHORT, SHAPE_LONG)
    if i >= 0:
        bend_missing(series, plan, row, i, missing, float(time))
    write_missing(series, plan, row, missing, float(time))
    smooth_missing(series, row, missing)
    for number in range(first, first + missing):
        series.gaps[row, number % series.gaps.shape[1]] = MISSING
        filled = float(series.ring[row, number % series.ring.shape[1]])
        for i in range(len(SMOOTHING)):
            series.smooth[row, i] += SMOOTHING[i] * (filled - series.smooth[row, i])
        series.trend[row] *= DAMPING
        series.level[row] += series.trend[row]


@compiled
def detection_is_due(series: FullState, row: int) -> bool:
    """Return whether a search for a period is due at the next step, or was due at a missing step just before it."""
    number, size = series.seen[row], series.gaps.shape[1]
    due = detection_due(number)
    while number > 0 and series.gaps[row, (number - 1) % size] == MISSING and series.seen[row] - number < size:
        number -= 1
        due = due or detection_due(number)
    return due


@compiled
def season_periods(series: FullState, plan: Plan, row: int, cadence: float) -> tuple[float, float]:
    """Return the periods (ms) of both seasons, as configured, or from the calendar and the detection; 0: none."""
    if cadence <= 0:
        return 0.0, 0.0
    if plan.seasons[0] >= 0:
        return plan.seasons[0], plan.seasons[1]
    short, long = calendar_seasons(cadence)
    if detection_is_due(series, row):
        calendar, before = short / cadence, series.own[row] / cadence
        own = detect_period(series.ring[row], series.gaps[row], series.seen[row], calendar, before)
        series.own[row] = own * cadence
    own = series.own[row]
    if own > 0:
        return (own, short) if own < short or short <= 0 else (short, own)
    return short, long


@compiled
def update_seasons(series: FullState, plan: Plan, row: int, time: float, cadence: float, value: float) -> None:
    """Update the seasonal state with a centered `value` at `time`, before `series.time` is updated."""
    short, long = season_periods(series, plan, row, cadence)
    if short != series.period[row, 0] or long != series.period[row, 1]:
        reset_seasons(series, row, short, long)
    slots, slot, steps = 0, 0, 0.0
    if short > 0:
        slots, steps = slot_count(short, cadence, SHORT_SLOTS), short / cadence
        slot = update_season(series, plan, row, 0, time, cadence, value)
    if long > 0:
        update_season(series, plan, row, 1, time, cadence, value)
    update_holt_winters(series, row, slot, slots, steps, value, time - series.first[row] < max(short, 20 * cadence))
    follow_shift(series, plan, row, time, cadence, PROFILE_RATES)


@compiled
def read_seasons(
    series: FullState, plan: Plan, row: int, time: float, cadence: float, ahead: int, found: Floats
) -> None:
    """Fill `found` (5,) with the seasonal values `ahead` steps after `time`.

    They are the latest value in the short and the long season, the short and the long profile, and the Holt-Winters
    season; centered, NaN: unknown. With `ahead` 0 the first two are the values one season ago. A clock change within
    `ahead` is ignored here; see `profile_change`.
    """
    first, then = float(series.first[row]), time + ahead * cadence
    found[:] = math.nan
    for i in range(2):
        period = series.period[row, i]
        if period <= 0 or time - first < period - cadence / 2:
            continue
        table = series.short[row] if i == 0 else series.long[row]
        slots = slot_count(period, cadence, len(table[0]))
        slot = slot_of(plan.clock, then, time, first, period, slots)
        near = ahead * cadence < period / 2 and slot == slot_of(plan.clock, time, time, first, period, slots)
        found[i] = series.before[row, i] if near else float(table[LATEST, slot])
        found[2 + i] = read_profile(table, slots, slot)
        if i == 0:
            found[4] = float(table[HOLT_WINTERS, slot])


@compiled
def profile_change(series: FullState, plan: Plan, row: int, time: float, cadence: float, ahead: int) -> float:
    """Return by how much a clock change within `ahead` steps after `time` changes the value at their end.

    The difference, in the field's unit, is that of the profile. Forecasts are made as if the clock did not change, and
    the difference is added to them, so that forecasters need not have learned from an earlier change.
    """
    first, then = float(series.first[row]), time + ahead * cadence
    if clock_change(plan.clock, time, then) == 0.0:
        return 0.0
    for i in (1, 0):
        period = series.period[row, i]
        if period in (DAY, WEEK) and time - first >= 2 * period:
            table = series.short[row] if i == 0 else series.long[row]
            slots = slot_count(period, cadence, len(table[0]))
            moved = float(table[PROFILE, slot_of(plan.clock, then, then, first, period, slots)])
            unmoved = float(table[PROFILE, slot_of(plan.clock, then, time, first, period, slots)])
            return moved - unmoved if moved == moved and unmoved == unmoved else 0.0
    return 0.0


@compiled
def label_change(series: FullState, plan: Plan, row: int, time: float, horizon: int) -> float:
    """Return the `profile_change` of a forecast whose label is the observation at `time`."""
    if len(plan.clock.zone.offsets) == 0:
        return 0.0
    cadence = round_cadence(series.cadence[row])
    return profile_change(series, plan, row, time - horizon * cadence, cadence, horizon)
