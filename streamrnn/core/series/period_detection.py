"""Detection of a season that is not one of the calendar, such as the cycle of a machine or a scheduler.

The period is a lag at which the autocorrelation of the latest values has a high peak after a valley. It must be high
at twice the lag as well, where the autocorrelation of a random walk has decayed.
"""

import numpy as np

from streamrnn.core.jit import Floats, Shorts, Singles, compiled, compiled_allocating

HISTORY = 512  # number of the latest steps that are searched
DENSE = 0.5  # least share of these steps that were observed
FIRST_SEARCHES = (128, 256)  # steps after which the first searches run; later searches run every HISTORY steps
SHORTEST = 4  # shortest period, steps
VALLEY = 0.2  # least height of a peak above the lowest autocorrelation before it
PEAK, RETAIN = 0.5, 0.3  # least autocorrelation at which a period is accepted, and at which it is retained later
NEARLY = 0.9  # the first peak with this share of the highest is the period, so that no multiple of it is chosen
ECHO = 0.7  # least autocorrelation at twice the lag, as a share of the peak
ADVANTAGE = 0.15  # least difference from the autocorrelation at the calendar's season
MISSING = -1  # entry of `gaps` for a missing step that was filled in; its distance from the previous step is 1
SPIKE_CLIP = 4.0  # largest distance from the trend, as a multiple of the mean distance


@compiled
def fill_grid(ring: Singles, gaps: Shorts, count: int, values: Floats, known: Floats) -> int:
    """Fill `values` and `known`, 1: observed, (HISTORY,), with one entry per step; return the first index used."""
    step, last = HISTORY - 1, count - 1
    for back in range(min(count, len(ring))):
        at = (last - back) % len(ring)
        if gaps[at] != MISSING:
            values[step], known[step] = ring[at], 1.0
        if step < abs(gaps[at]) or back + 1 == min(count, len(ring)):
            break
        step -= abs(gaps[at])
    return step


@compiled_allocating
def detrend(values: Floats, known: Floats) -> None:
    """Subtract a straight line from `values`, clip outliers, and center, in place; missing values become 0."""
    middle, number, total = (len(values) - 1) / 2, 0.0, 0.0
    for i in range(len(values)):
        number += known[i]
        total += values[i] * known[i]
    mean, slope, weight = total / number, 0.0, 1e-9
    for i in range(len(values)):
        slope += (i - middle) * (values[i] - mean) * known[i]
        weight += (i - middle) ** 2 * known[i]
    for i in range(len(values)):
        values[i] = (values[i] - mean - slope / weight * (i - middle)) * known[i]
    total = 0.0
    for i in range(len(values)):
        total += abs(values[i])
    limit, total = SPIKE_CLIP * total / number, 0.0
    for i in range(len(values)):
        values[i] = min(max(values[i], -limit), limit)
        total += values[i]
    mean = total / number
    for i in range(len(values)):
        values[i] = (values[i] - mean) * known[i]


@compiled_allocating
def sum_products(values: Floats, sums: Floats) -> None:
    """Fill `sums` (L,) with the sum of values[i] * values[i - lag] at each lag, added in the order of i.

    The inner loops run over lags, because these are vectorized; a loop over i would wait for each addition. Four values
    at a time let the sums stay in registers. The zeros at the end replace the values before the first one.
    """
    size, lags = len(values), len(sums)
    backwards = np.zeros(size + 3)
    for i in range(size):
        backwards[i] = values[size - 1 - i]
    sums[:] = 0.0
    for i in range(0, size - 3, 4):
        count, start = min(i + 4, lags), size - 1 - i
        first, second = backwards[start : start + count], backwards[start - 1 : start - 1 + count]
        third, fourth = backwards[start - 2 : start - 2 + count], backwards[start - 3 : start - 3 + count]
        for lag in range(count):
            total = sums[lag] + values[i] * first[lag]
            total += values[i + 1] * second[lag]
            total += values[i + 2] * third[lag]
            sums[lag] = total + values[i + 3] * fourth[lag]
    for i in range(size - size % 4, size):
        for lag in range(min(i + 1, lags)):
            sums[lag] += values[i] * values[i - lag]


@compiled_allocating
def autocorrelation(values: Floats, known: Floats, found: Floats) -> None:
    """Fill `found` (L,) with the autocorrelation at lags 0 to L - 1, over pairs of known values."""
    power, number = 0.0, 0.0
    for i in range(len(values)):
        power += values[i] * values[i]
        number += known[i]
    power /= number
    pairs = np.empty(len(found))
    sum_products(values, found)
    if number == len(known):
        for lag in range(len(found)):
            pairs[lag] = number - lag
    else:
        sum_products(known, pairs)
    for lag in range(len(found)):
        found[lag] = found[lag] / pairs[lag] / power if pairs[lag] > 0 and power > 0 else 0.0


@compiled
def peak_near(found: Floats, lag: int, reach: int) -> int:
    """Return the lag with the highest autocorrelation within `reach` of `lag`."""
    best = max(lag - reach, 1)
    for near in range(best, min(lag + reach + 1, len(found))):
        if found[near] > found[best]:
            best = near
    return best


@compiled_allocating
def first_peak(found: Floats) -> int:
    """Return the first lag with a peak of at least NEARLY times the highest; 0: none."""
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
def refine_period(found: Floats, lag: int) -> float:
    """Return the period in steps, computed from the peak at its furthest multiple; a whole number where that agrees."""
    period, times = float(lag), 1
    while (times + 1) * period + 1 < len(found):
        times += 1
        period = peak_near(found, round(times * period), 1 + lag // 8) / times
    whole = float(round(period))
    return whole if abs(period - whole) <= 0.6 / times else period


@compiled
def is_multiple(period: float, of: float) -> bool:
    """Return whether a period is approximately a whole multiple of another one."""
    times = round(period / of)
    return times >= 1 and abs(period - times * of) <= max(1.0, 0.04 * period)


@compiled_allocating
def detect_period(ring: Singles, gaps: Shorts, count: int, calendar: float, before: float) -> float:
    """Return the detected period in steps; 0: none other than the calendar's, which has `calendar` steps.

    `ring` and `gaps` (R,) are the latest values and the steps between each and its predecessor; `before` is the result
    of the previous search.
    """
    values, known = np.zeros(HISTORY), np.zeros(HISTORY)
    first = fill_grid(ring, gaps, count, values, known)
    values, known = values[first:], known[first:]
    if known.sum() < DENSE * len(known):
        return 0.0
    found = np.empty(2 * len(values) // 3)
    detrend(values, known)
    autocorrelation(values, known, found)
    if before > 0 and found[min(round(before), len(found) - 1)] >= RETAIN:
        return before
    lag = first_peak(found)
    if lag == 0 or found[lag] < PEAK or found[peak_near(found, 2 * lag, 1 + lag // 16)] < ECHO * found[lag]:
        return 0.0
    if calendar > 0 and is_multiple(float(lag), calendar):
        return 0.0
    steps = round(calendar)
    if 0 < steps < len(found) and found[lag] < found[steps] + ADVANTAGE:
        return 0.0
    return refine_period(found, lag)


@compiled
def steps_between(passed: float, cadence: float) -> int:
    """Return the number of steps of `cadence` ms in `passed` ms between two observations, 1 to HISTORY."""
    return int(min(max(round(passed / cadence), 1), HISTORY)) if cadence > 0 else 1


@compiled
def detection_due(count: int) -> bool:
    """Return whether a search is due after `count` steps."""
    return count in FIRST_SEARCHES or (count > 0 and count % HISTORY == 0)
