"""Detection of a daily profile that is suddenly earlier or later, as after a daylight-saving change.

The values of the last day are compared with the profile as it was before them. If they fit the profile far better at
another time of day, and explain nearly all of its variation there, the phases of the series are shifted by a change of
`first`, the time at which phases begin. The thresholds are strict, so that a profile that only changes its form does
not cause a shift.
"""

import math

import numpy as np

from streamrnn.core.clock.season_clock import SeasonClock, season_origin, season_time
from streamrnn.core.clock.zones import step_at
from streamrnn.core.jit import Singles, compiled, compiled_allocating
from streamrnn.core.series.calendar import DAY, HOUR, WEEK, phase, slot_count
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.state import FullState

SEARCHES = 8  # searches per day
MAX_SHIFT = 3 * HOUR
MIN_SEASONS = 3  # least age of a series, in seasons of the table that is searched
FIT = 0.35
"""Largest distance of the last day from the shifted profile, as a share of its distance from the unshifted profile. On
33 real series with daily seasons and without a clock change, the share was never below 0.48."""
NOISE = 0.2  # largest distance of the last day from the shifted profile, as a share of the profile's variation
EDGE = 0.2  # least change of the profile by the shift in a slot that counts, as a share of the profile's variation
EVIDENCE = 1.0
"""After a usual clock change: least reduction of the distance, in units of the profile's variation."""
KNOWN = 0.9  # least share of the observed slots that have a latest value and a profile
MIN_KNOWN = 0.5  # least share of a day's slots that were ever observed: a shop may be closed at night


@compiled
def slot_of(clock: SeasonClock, time: float, zone_at: float, first: float, period: float, slots: int) -> int:
    """Return the slot of `time` (ms) in a season, by the offset of the time zone at `zone_at` (ms)."""
    then, origin = season_time(clock, time, zone_at, period), season_origin(clock, first, period)
    return int(phase(then, origin, period) * slots + 0.5) % slots


@compiled
def search_due(before: float, time: float, first: float) -> bool:
    """Return whether the observation at `time`, after one at `before`, is the first in its part of a day."""
    part = DAY / SEARCHES
    return math.floor((time - first) / part) != math.floor((before - first) / part)


@compiled
def profile_before(latest: Singles, profile: Singles, rate: float, slot: int) -> float:
    """Return the profile at a slot as it was before its latest value; NaN: unknown."""
    return (float(profile[slot]) - rate * float(latest[slot])) / (1 - rate)


@compiled
def day_distance(latest: Singles, profile: Singles, rate: float, slot: int, day: int, shift: int, most: float) -> float:
    """Return the sum of distances of the last `day` slots up to `slot` from the profile `shift` slots earlier.

    The result is infinite if the sum exceeds `most`, or if too many distances are unknown.
    """
    total, known, valued, slots = 0.0, 0, 0, len(latest)
    for back in range(day):
        at = (slot - back) % slots
        if profile[at] != profile[at]:  # the slot was never observed; its latest value, if any, was filled in
            continue
        valued += 1
        distance = abs(float(latest[at]) - profile_before(latest, profile, rate, (at - shift) % slots))
        if distance == distance:
            total += distance
            known += 1
        if total > most:
            return math.inf
    return total if known >= KNOWN * max(float(valued), MIN_KNOWN * day) else math.inf


@compiled
def day_variation(latest: Singles, profile: Singles, rate: float, slot: int, day: int) -> float:
    """Return the sum of distances of the profile from its mean over the last `day` slots up to `slot`."""
    mean, known, slots, total = 0.0, 0, len(latest), 0.0
    for back in range(day):
        value = profile_before(latest, profile, rate, (slot - back) % slots)
        if value == value:
            mean += value
            known += 1
    mean /= max(known, 1)
    for back in range(day):
        value = profile_before(latest, profile, rate, (slot - back) % slots)
        total += abs(value - mean) if value == value else 0.0
    return total


@compiled
def find_shift(latest: Singles, profile: Singles, rate: float, slot: int, day: int, reach: int) -> int:
    """Return the number of slots, at most `reach`, by which the last day is later than the profile; 0: not clearly so.

    Beyond an hour, only multiples of half an hour are tried: a smooth profile fits neighbouring shifts about as well.
    """
    unmoved = day_distance(latest, profile, rate, slot, day, 0, math.inf)
    least = min(FIT * unmoved, NOISE * day_variation(latest, profile, rate, slot, day))
    found = 0
    if not unmoved < math.inf:
        return found
    hour, half = int(reach * HOUR / MAX_SHIFT + 0.5), max(int(reach * HOUR / MAX_SHIFT / 2), 1)
    for shift in range(-reach, reach + 1):
        if abs(shift) > hour and shift % half != 0:
            continue
        distance = day_distance(latest, profile, rate, slot, day, shift, least) if shift != 0 else math.inf
        if distance < least:
            least, found = distance, shift
    return found


@compiled
def shift_since(latest: Singles, profile: Singles, rate: float, slot: int, since: int, shift: int) -> bool:
    """Return whether the last `since` slots are clearly later than the profile by `shift` slots.

    The shifted profile must fit better in slots where the shift makes a difference, and well in all slots. The latest
    value is tested first, which spares most observations the other tests.
    """
    slots = len(latest)
    here = abs(float(latest[slot]) - profile_before(latest, profile, rate, slot))
    if not abs(float(latest[slot]) - profile_before(latest, profile, rate, (slot - shift) % slots)) < here:
        return False
    mean = day_variation(latest, profile, rate, slot, slots) / slots
    unmoved, moved, everywhere = 0.0, 0.0, 0.0
    for back in range(since):
        at = (slot - back) % slots
        value, profiled = float(latest[at]), profile_before(latest, profile, rate, at)
        shifted = profile_before(latest, profile, rate, (at - shift) % slots)
        distance = abs(value - shifted)
        everywhere += distance if distance == distance else 0.0
        if abs(shifted - profiled) > EDGE * mean and value == value:
            unmoved += abs(value - profiled)
            moved += distance
    return moved < min(FIT * unmoved, unmoved - EVIDENCE * mean * abs(shift)) and everywhere < NOISE * mean * since


@compiled_allocating
def move_latest(table: Singles, rate: float, slots: int, slot: int, since: int, shift: int) -> float:
    """Move the latest values of `since` slots up to `slot` back by `shift` slots, with their part of the profile.

    Returns the previous value of the slot to which the latest value moves.
    """
    latest, before = table[0, :slots].copy(), table[1, :slots].copy()
    for back in range(since):
        at = (slot - back) % slots
        value = profile_before(latest, table[1, :slots], rate, at)
        before[at] = value if value == value else before[at]
    for at in range(slots):
        table[1, at] = before[at]
    for back in range(since):
        at, to = (slot - back) % slots, (slot - back - shift) % slots
        if latest[at] == latest[at] and before[to] == before[to]:
            table[0, to] = latest[at]
            table[1, to] = before[to] + rate * (latest[at] - before[to])
    return float(latest[(slot - shift) % slots])


@compiled
def find_move(
    series: FullState, plan: Plan, row: int, time: float, cadence: float, rates: tuple[float, float]
) -> tuple[float, float]:
    """Return by how much (ms) the values are later than the profile, 0: no shift found, and since when (ms)."""
    first = float(series.first[row])
    step = step_at(plan.usual, time) if len(plan.usual.offsets) > 0 else 0
    usual = float(plan.usual.offsets[step]) if step > 0 else 0.0
    due = search_due(float(series.time[row]), time, first)
    for i in (1, 0):
        period = series.period[row, i]
        if period not in (DAY, WEEK) or time - first < MIN_SEASONS * period or not (due or usual != 0):
            continue
        table = series.short[row] if i == 0 else series.long[row]
        slots = slot_count(period, cadence, len(table[0]))
        width, slot = period / slots, slot_of(plan.clock, time, time, first, period, slots)
        latest, profile, day = table[0, :slots], table[1, :slots], int(DAY / width + 0.5)
        if usual != 0 and time - first >= MIN_SEASONS * WEEK:  # else a Saturday may look like a shifted working day
            begin = float(plan.usual.changes[step - 1])
            since, shift = int((time - begin) / width) + 1, int(np.rint(usual / width))
            if since <= slots and shift_since(latest, profile, rates[i], slot, since, shift):
                return usual, begin
        reach = int(MAX_SHIFT / width + 0.5)
        found = find_shift(latest, profile, rates[i], slot, day, reach) if due else 0
        if found != 0:
            return width * found, time - DAY + width / 2
    return 0.0, time


@compiled
def follow_shift(
    series: FullState, plan: Plan, row: int, time: float, cadence: float, rates: tuple[float, float]
) -> bool:
    """Shift the phases of a series if its latest values are earlier or later than its profile; return whether so.

    `rates` are the rates of the profiles per season. The observation at `time` is already in the tables, but not yet in
    the other state.
    """
    if series.period[row, 0] != DAY or cadence > HOUR:
        return False
    move, begin = find_move(series, plan, row, time, cadence, rates)
    if move == 0:
        return False
    first = float(series.first[row])
    for i in range(2):
        period = series.period[row, i]
        if period in (DAY, WEEK):
            table = series.short[row] if i == 0 else series.long[row]
            slots = slot_count(period, cadence, len(table[0]))
            width, slot = period / slots, slot_of(plan.clock, time, time, first, period, slots)
            since = min(int((time - begin) / width) + 1, slots)
            before = move_latest(table, rates[i], slots, slot, since, int(np.rint(move / width)))
            series.before[row, i] = before
    series.first[row] += int(np.rint(move))
    return True
