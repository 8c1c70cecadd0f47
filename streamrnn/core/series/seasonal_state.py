"""What a series did at the same phase of its seasons: tables by phase, so that a gap shifts nothing."""

import math

from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series.calendar import phase, seasons, slots_of
from streamrnn.core.series.period_detection import is_due, look
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.state import SHORT_SLOTS, Series

LATEST, PROFILE, HOLT_WINTERS = 0, 1, 2
"""Rows of a table."""
PROFILE_RATES = (0.2, 0.35)
"""Per season, of the short and of the long one."""
SMOOTH_FROM = 144
"""Slots from which on a profile is read as a mean over its neighbours."""
LEVEL, TREND, SEASON, DAMPING = 0.3, 0.01, 0.1, 0.98
"""Of Holt-Winters."""


@compiled
def slot_of(time: float, first: float, period: float, slots: int) -> int:
    """The phase of `time`, as the number of a slot."""
    return int(phase(time, first, period) * slots + 0.5) % slots


@compiled
def read_latest(table: Singles, slots: int, slot: int) -> float:
    """The latest value at a phase; NaN: unknown."""
    return float(table[LATEST, slot]) if slots > 0 else math.nan


@compiled
def read_profile(table: Singles, slots: int, slot: int) -> float:
    """The profile at a phase, over neighbouring slots where these are narrow; NaN: unknown."""
    if slots <= 0:
        return math.nan
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
def write(table: Singles, slot: int, value: float, rate: float) -> float:
    """Take a value into a table; what was the latest one in its slot before."""
    before = float(table[LATEST, slot])
    table[LATEST, slot] = value
    profile = float(table[PROFILE, slot])
    table[PROFILE, slot] = value if profile != profile else profile + rate * (value - profile)
    return before


@compiled
def reset(series: Series, row: int, short: float, long: float) -> None:
    """Begin anew: the cadence has told of other seasons than before."""
    series.period[row, 0], series.period[row, 1] = short, long
    series.short[row, LATEST], series.short[row, PROFILE] = math.nan, math.nan
    series.short[row, HOLT_WINTERS] = 0.0
    series.long[row] = math.nan
    series.before[row] = math.nan


@compiled
def holt_winters(series: Series, row: int, slot: int, slots: int, rows: float, value: float, young: bool) -> None:  # noqa: FBT001 - compiled code takes no keywords
    """Level, trend and season of `rows` rows in `slots` slots; while `young`, the first season, a slow level only."""
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
def take_in(series: Series, row: int, i: int, time: float, cadence: float, value: float) -> int:
    """Bring the table of the short (0) or long (1) season up to date; the slot of now."""
    table = series.short[row] if i == 0 else series.long[row]
    first, period = float(series.first[row]), series.period[row, i]
    slots = slots_of(period, cadence, len(table[0]))
    slot = slot_of(time, first, period, slots)
    shared = slots * cadence / period  # below 1 where several rows share a slot
    rate = PROFILE_RATES[i] if shared > 0.99 else 1 - (1 - PROFILE_RATES[i]) ** shared
    entered = slot_of(float(series.time[row]), first, period, slots) != slot
    before = write(table, slot, value, rate)
    if entered or slots == 1:
        series.before[row, i] = before
    return slot


@compiled
def periods(series: Series, plan: Plan, row: int, cadence: float) -> tuple[float, float]:
    """Periods (ms) of the short and of the long season; 0: none.

    They are as configured, or else the calendar's; a season found in the values comes before these.
    """
    if cadence <= 0:
        return 0.0, 0.0
    if plan.seasons[0] >= 0:
        return plan.seasons[0], plan.seasons[1]
    short, long = seasons(cadence)
    if is_due(series.seen[row]):
        own = look(series.ring[row], series.gaps[row], series.seen[row], short / cadence, series.own[row] / cadence)
        series.own[row] = own * cadence
    own = series.own[row]
    if own > 0:
        return (own, short) if own < short or short <= 0 else (short, own)
    return short, long


@compiled
def take_in_seasons(series: Series, plan: Plan, row: int, time: float, cadence: float, value: float) -> None:
    """Bring all of it up to date, before the time of the series is; `value` is a distance from the center."""
    short, long = periods(series, plan, row, cadence)
    if short != series.period[row, 0] or long != series.period[row, 1]:
        reset(series, row, short, long)
    slots, slot, rows = 0, 0, 0.0
    if short > 0:
        slots, rows = slots_of(short, cadence, SHORT_SLOTS), short / cadence
        slot = take_in(series, row, 0, time, cadence, value)
    if long > 0:
        take_in(series, row, 1, time, cadence, value)
    holt_winters(series, row, slot, slots, rows, value, time - series.first[row] < max(short, 20 * cadence))


@compiled
def read_seasons(series: Series, row: int, time: float, cadence: float, ahead: int, found: Floats) -> None:
    """Fill `found` (5,): latest short, latest long, profile short, profile long, Holt-Winters' season at `ahead` rows.

    All are distances from the center. With `ahead` 0 the first two are the values one season ago.
    """
    first, then = float(series.first[row]), time + ahead * cadence
    found[:] = math.nan
    for i in range(2):
        period = series.period[row, i]
        if period <= 0 or time - first < period - cadence / 2:
            continue
        table = series.short[row] if i == 0 else series.long[row]
        slots = slots_of(period, cadence, len(table[0]))
        slot = slot_of(then, first, period, slots)
        near = ahead * cadence < period / 2 and slot == slot_of(time, first, period, slots)
        found[i] = series.before[row, i] if near else read_latest(table, slots, slot)
        found[2 + i] = read_profile(table, slots, slot)
        if i == 0:
            found[4] = float(table[HOLT_WINTERS, slot])
