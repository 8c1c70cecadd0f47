"""Values of a series by phase of its seasons, and Holt-Winters smoothing. Phases follow event time: gaps shift none."""

import math

from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series.calendar import calendar_seasons, phase, slot_count
from streamrnn.core.series.period_detection import detect_period, detection_due
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.state import SHORT_SLOTS, FullState

LATEST, PROFILE, HOLT_WINTERS = 0, 1, 2  # rows of the tables `short` and `long` of a series
PROFILE_RATES = (0.2, 0.35)  # rates per season, of the short and the long one
SMOOTH_FROM = 144  # number of slots from which on a profile is averaged over neighbouring slots
LEVEL, TREND, SEASON, DAMPING = 0.3, 0.01, 0.1, 0.98
"""Holt-Winters: rates of level, trend and season per row, and damping of the trend per row."""


@compiled
def slot_of(time: float, first: float, period: float, slots: int) -> int:
    """Return the slot of the phase of `time`."""
    return int(phase(time, first, period) * slots + 0.5) % slots


@compiled
def read_profile(table: Singles, slots: int, slot: int) -> float:
    """Return the profile at a phase, averaged over neighbouring slots where these are narrow; NaN: unknown."""
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
    """Clear the seasonal state: the periods have changed to `short` and `long` (ms)."""
    series.period[row, 0], series.period[row, 1] = short, long
    series.short[row, LATEST], series.short[row, PROFILE] = math.nan, math.nan
    series.short[row, HOLT_WINTERS] = 0.0
    series.long[row] = math.nan
    series.before[row] = math.nan


@compiled
def update_holt_winters(
    series: FullState, row: int, slot: int, slots: int, rows: float, value: float, young: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """Update level, trend and a season of `rows` rows in `slots` slots; `young` (first season): a slow level only."""
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
        rate = 1 - (1 - SEASON) ** (slots / rows) if rows > slots else SEASON
        season += rate * (value - moved - season)
    series.level[row] = moved
    if slots > 0:
        series.short[row, HOLT_WINTERS, slot] = season


@compiled
def update_season(series: FullState, row: int, i: int, time: float, cadence: float, value: float) -> int:
    """Update the table of the short (0) or long (1) season; return the slot of `time`."""
    table = series.short[row] if i == 0 else series.long[row]
    first, period = float(series.first[row]), series.period[row, i]
    slots = slot_count(period, cadence, len(table[0]))
    slot = slot_of(time, first, period, slots)
    shared = slots * cadence / period  # below 1 where several rows share a slot
    rate = PROFILE_RATES[i] if shared > 0.99 else 1 - (1 - PROFILE_RATES[i]) ** shared
    entered = slot_of(float(series.time[row]), first, period, slots) != slot
    before = write_slot(table, slot, value, rate)
    if entered or slots == 1:
        series.before[row, i] = before
    return slot


@compiled
def season_periods(series: FullState, plan: Plan, row: int, cadence: float) -> tuple[float, float]:
    """Return the periods (ms) of both seasons, 0: none: as configured, or the calendar's and a detected one."""
    if cadence <= 0:
        return 0.0, 0.0
    if plan.seasons[0] >= 0:
        return plan.seasons[0], plan.seasons[1]
    short, long = calendar_seasons(cadence)
    if detection_due(series.seen[row]):
        calendar, before = short / cadence, series.own[row] / cadence
        own = detect_period(series.ring[row], series.gaps[row], series.seen[row], calendar, before)
        series.own[row] = own * cadence
    own = series.own[row]
    if own > 0:
        return (own, short) if own < short or short <= 0 else (short, own)
    return short, long


@compiled
def update_seasons(series: FullState, plan: Plan, row: int, time: float, cadence: float, value: float) -> None:
    """Update the seasonal state, before `series.time` is updated; `value` is centered."""
    short, long = season_periods(series, plan, row, cadence)
    if short != series.period[row, 0] or long != series.period[row, 1]:
        reset_seasons(series, row, short, long)
    slots, slot, rows = 0, 0, 0.0
    if short > 0:
        slots, rows = slot_count(short, cadence, SHORT_SLOTS), short / cadence
        slot = update_season(series, row, 0, time, cadence, value)
    if long > 0:
        update_season(series, row, 1, time, cadence, value)
    update_holt_winters(series, row, slot, slots, rows, value, time - series.first[row] < max(short, 20 * cadence))


@compiled
def read_seasons(series: FullState, row: int, time: float, cadence: float, ahead: int, found: Floats) -> None:
    """Fill `found` (5,): latest short and long, profile short and long, Holt-Winters season, `ahead` rows from `time`.

    All centered, NaN: unknown. With `ahead` 0 the first two are the values one season ago.
    """
    first, then = float(series.first[row]), time + ahead * cadence
    found[:] = math.nan
    for i in range(2):
        period = series.period[row, i]
        if period <= 0 or time - first < period - cadence / 2:
            continue
        table = series.short[row] if i == 0 else series.long[row]
        slots = slot_count(period, cadence, len(table[0]))
        slot = slot_of(then, first, period, slots)
        near = ahead * cadence < period / 2 and slot == slot_of(time, first, period, slots)
        found[i] = series.before[row, i] if near else float(table[LATEST, slot])
        found[2 + i] = read_profile(table, slots, slot)
        if i == 0:
            found[4] = float(table[HOLT_WINTERS, slot])
