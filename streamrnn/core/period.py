"""A season that the calendar does not know, found in the values: the period of a machine, a scheduler, a tide.

The autocorrelation of the last values is read at every lag. A period is a peak of it behind a valley, high, and still
high at twice the lag, where what merely wanders to and fro has forgotten itself.
"""

import numpy as np

from streamrnn.core.compiled import Floats, Singles, compiled

HISTORY = 512
"""Rows looked at."""
FIRST_LOOKS = (128, 256)
"""Rows after which it is looked for first; then after every HISTORY."""
SHORTEST = 4
"""Rows."""
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
def autocorrelation(ring: Singles, count: int, found: Floats) -> None:
    """Fill `found` (L,) with the autocorrelation at the lags 0 … L - 1 of the last values, their trend taken off."""
    kept = min(count, len(ring), HISTORY)
    values, middle = np.empty(kept), (kept - 1) / 2
    for i in range(kept):
        values[i] = ring[(count - kept + i) % len(ring)]
    mean, slope, weight = values.mean(), 0.0, 0.0
    for i in range(kept):
        slope += (i - middle) * (values[i] - mean)
        weight += (i - middle) ** 2
    for i in range(kept):
        values[i] -= mean + slope / weight * (i - middle)
    limit = SPIKE_CLIP * np.abs(values).mean()
    for i in range(kept):
        values[i] = min(max(values[i], -limit), limit)
    values -= values.mean()
    power = (values * values).mean()
    for lag in range(len(found)):
        total = 0.0
        for i in range(lag, kept):
            total += values[i] * values[i - lag]
        found[lag] = total / (kept - lag) / power if power > 0 else 0.0


@compiled
def highest(found: Floats, lag: int, reach: int) -> int:
    """The lag with the highest autocorrelation at most `reach` away."""
    best = max(lag - reach, 1)
    for near in range(best, min(lag + reach + 1, len(found))):
        if found[near] > found[best]:
            best = near
    return best


@compiled
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
    """The period in rows, from the furthest of its multiples; a whole number where that agrees."""
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


@compiled
def look(ring: Singles, count: int, calendar: float, before: float) -> float:
    """The period in rows, 0: none but that of the calendar, which has `calendar` rows; `before` is the last answer."""
    kept = min(count, len(ring), HISTORY)
    found = np.empty(2 * kept // 3)
    autocorrelation(ring, count, found)
    if before > 0 and found[min(round(before), len(found) - 1)] >= KEPT:
        return before
    lag = first_peak(found)
    if lag == 0 or found[lag] < PEAK or found[highest(found, 2 * lag, 1 + lag // 16)] < ECHO * found[lag]:
        return 0.0
    if calendar > 0 and is_multiple(float(lag), calendar):
        return 0.0
    known = round(calendar)
    if 0 < known < len(found) and found[lag] < found[known] + AHEAD:
        return 0.0
    return refined(found, lag)


@compiled
def is_due(count: int) -> bool:
    """Whether it is to be looked for after so many rows."""
    return count in FIRST_LOOKS or (count > 0 and count % HISTORY == 0)
