"""A season that the calendar does not know, found in the values: the period of a machine, a scheduler, a tide.

The autocorrelation of the last values is read at every lag. A period is a peak of it behind a valley, high, and still
high at twice the lag, where what merely wanders to and fro has forgotten itself.
"""

import numpy as np

from streamrnn.core.jit import Floats, Shorts, Singles, compiled, compiled_allocating

HISTORY = 512
"""Steps of the cadence looked back."""
DENSE = 0.5
"""Share of them that must not be missing."""
FIRST_LOOKS = (128, 256)
"""Observations after which it is looked for first; then after every HISTORY."""
SHORTEST = 4
"""Steps."""
VALLEY = 0.2
"""How far a peak stands above the lowest autocorrelation before it."""
PEAK, KEPT = 0.5, 0.3
"""Autocorrelation at which a period is taken for one, and below which it is given up."""
NEARLY = 0.9
"""Of the highest peak: the first one that is so high is the period, and not a multiple of it."""
ECHO = 0.7
"""Of the peak, that the autocorrelation reaches again at twice the lag."""
AHEAD = 0.15
"""Of the autocorrelation at the calendar's season, where that is known."""
SPIKE_CLIP = 4.0
"""Mean distances from the trend; one wild value is no season."""


@compiled
def lay_out(ring: Singles, gaps: Shorts, count: int, values: Floats, known: Floats) -> int:
    """Lay the last values out in time, a place (HISTORY,) for each step of the cadence; the first place in use.

    `known` is 1 where there is a value, and 0 where the observation is missing.
    """
    place, last = HISTORY - 1, count - 1
    for back in range(min(count, len(ring))):
        at = (last - back) % len(ring)
        values[place], known[place] = ring[at], 1.0
        if place < gaps[at] or back + 1 == min(count, len(ring)):
            break
        place -= gaps[at]
    return place


@compiled_allocating
def take_off_trend(values: Floats, known: Floats) -> None:
    """Leave the distances from a straight line, wild ones cut, and 0 where nothing is known; their mean is 0."""
    number, middle = known.sum(), (len(values) - 1) / 2
    mean, slope, weight = (values * known).sum() / number, 0.0, 1e-9
    for i in range(len(values)):
        slope += (i - middle) * (values[i] - mean) * known[i]
        weight += (i - middle) ** 2 * known[i]
    for i in range(len(values)):
        values[i] = (values[i] - mean - slope / weight * (i - middle)) * known[i]
    limit = SPIKE_CLIP * np.abs(values).sum() / number
    for i in range(len(values)):
        values[i] = min(max(values[i], -limit), limit)
    mean = values.sum() / number
    for i in range(len(values)):
        values[i] = (values[i] - mean) * known[i]


@compiled_allocating
def autocorrelation(values: Floats, known: Floats, found: Floats) -> None:
    """Fill `found` (L,) with the autocorrelation at the lags 0 … L - 1, over the pairs that are known."""
    power = (values * values).sum() / known.sum()
    for lag in range(len(found)):
        total, pairs = 0.0, 0.0
        for i in range(lag, len(values)):
            total += values[i] * values[i - lag]
            pairs += known[i] * known[i - lag]
        found[lag] = total / pairs / power if pairs > 0 and power > 0 else 0.0


@compiled
def highest(found: Floats, lag: int, reach: int) -> int:
    """The lag with the highest autocorrelation at most `reach` away."""
    best = max(lag - reach, 1)
    for near in range(best, min(lag + reach + 1, len(found))):
        if found[near] > found[best]:
            best = near
    return best


@compiled_allocating
def first_peak(found: Floats) -> int:
    """The lag of the first of the high peaks; 0: there is none."""
    top, lowest, most = len(found) // 2, 1.0, 0.0
    peaks = np.zeros(top, np.bool_)
    for lag in range(2, top):
        lowest = min(lowest, found[lag - 1])
        rises = found[lag] >= found[lag - 1] and found[lag] > found[lag + 1]
        if lag >= SHORTEST and rises and found[lag] - lowest > VALLEY:
            peaks[lag], most = True, max(most, found[lag])
    for lag in range(top):
        if peaks[lag] and found[lag] >= NEARLY * most:
            return lag
    return 0


@compiled
def refined(found: Floats, lag: int) -> float:
    """The period in steps, from the furthest of its multiples; a whole number where that agrees."""
    period, times = float(lag), 1
    while (times + 1) * period + 1 < len(found):
        times += 1
        period = highest(found, round(times * period), 1 + lag // 8) / times
    whole = float(round(period))
    return whole if abs(period - whole) <= 0.6 / times else period


@compiled
def is_multiple(period: float, of: float) -> bool:
    """Whether a period is about another one, or some whole times it."""
    times = round(period / of)
    return times >= 1 and abs(period - times * of) <= max(1.0, 0.04 * period)


@compiled_allocating
def look(ring: Singles, gaps: Shorts, count: int, calendar: float, before: float) -> float:
    """The period in steps of the cadence, 0: none but that of the calendar, which has `calendar` steps.

    `ring` and `gaps` (R,) hold the last values, and how many steps each came after the one before; `before` is the
    last answer.
    """
    values, known = np.zeros(HISTORY), np.zeros(HISTORY)
    first = lay_out(ring, gaps, count, values, known)
    values, known = values[first:], known[first:]
    if known.sum() < DENSE * len(known):
        return 0.0
    found = np.empty(2 * len(values) // 3)
    take_off_trend(values, known)
    autocorrelation(values, known, found)
    if before > 0 and found[min(round(before), len(found) - 1)] >= KEPT:
        return before
    lag = first_peak(found)
    if lag == 0 or found[lag] < PEAK or found[highest(found, 2 * lag, 1 + lag // 16)] < ECHO * found[lag]:
        return 0.0
    if calendar > 0 and is_multiple(float(lag), calendar):
        return 0.0
    steps = round(calendar)
    if 0 < steps < len(found) and found[lag] < found[steps] + AHEAD:
        return 0.0
    return refined(found, lag)


@compiled
def steps_between(passed: float, cadence: float) -> int:
    """Steps of the cadence (ms) in the time that passed between two observations, 1 to HISTORY."""
    return int(min(max(round(passed / cadence), 1), HISTORY)) if cadence > 0 else 1


@compiled
def is_due(count: int) -> bool:
    """Whether it is to be looked for after so many rows."""
    return count in FIRST_LOOKS or (count > 0 and count % HISTORY == 0)
