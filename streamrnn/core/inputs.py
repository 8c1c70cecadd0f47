"""What the network reads of a series: free of level and scale, from the past alone."""

import math

from streamrnn.core.compiled import Floats, Integers, Singles, compiled
from streamrnn.core.season import rounded, seasons
from streamrnn.core.series import HALF_LIVES, RING, Plan, Series

SCALE_RATE = 1 - 0.5 ** (1 / 300)
SCALE_CLIP = 6.0
"""A change counts at most as this many times the running one, ..."""
SCALE_TRUST = 50
"""... once so many observations have been seen."""
MEAN_CLIP = 50.0
"""An exponential mean follows at most so many scales at once: no single value may spoil it for long."""
MEAN_RATES = tuple(1 - 0.5 ** (1 / half_life) for half_life in HALF_LIVES)
INPUT_CLIP = 10.0
ALIGNMENTS = (0, 1, 12, 24)
"""Rows ahead at which the seasons are read into the recurrent layer."""
DAY_DEPTH, WEEK_DEPTH = 7, 4
"""Seasons that a profile looks back."""
FADE = 0.75
"""Weight of a season against the next younger one in a profile."""


@compiled
def update_scales(scale: Floats, ring: Singles, steps: Integers, count: int, value: float) -> None:
    """Robust scale of the change over each step; `value` is relative to the center and not yet in the ring."""
    for j in range(len(steps)):
        step = steps[j]
        if count < step:
            continue
        change = abs(value - ring[(count - step) % RING])
        if count > SCALE_TRUST and scale[j] > 0:
            change = min(change, SCALE_CLIP * scale[j])
        rate = max(SCALE_RATE, 1.0 / (count - step + 1))
        scale[j] += rate * (change - scale[j])


@compiled
def current_scale(scale: Floats, steps: Integers, j: int, count: int, value: float) -> float:
    """Scale of the change over `steps[j]` rows, never 0; by the square-root law while it has been seen too rarely.

    `count` observations were seen, the latest is `value` (it sets the smallest scale worth telling from rounding).
    """
    step = steps[j]
    known = scale[j] if count > 2 * step + 8 else scale[0] * math.sqrt(step)
    return max(known, 1e-8 * (abs(value) + 1e-6) + 1e-12)


@compiled
def update_means(means: Floats, count: int, value: float, unit: float) -> None:
    """Exponential means of the value; plain means until they are old enough."""
    for i in range(len(MEAN_RATES)):
        rate = max(MEAN_RATES[i], 1.0 / (count + 1))
        change = value - means[i]
        if count > SCALE_TRUST:
            change = min(max(change, -MEAN_CLIP * unit), MEAN_CLIP * unit)
        means[i] += rate * change


@compiled
def squash(value: float) -> float:
    """sign(x) log(1 + |x|), with |x| at most 10."""
    return math.copysign(math.log1p(min(abs(value), INPUT_CLIP)), value)


@compiled
def seasonal(ring: Singles, now: int, rows: int, ahead: int, depth: int) -> tuple[float, float]:
    """The latest value in the phase of `now + ahead`, and a fading mean over `depth` seasons, less the value at `now`.

    `now` is the row number of the latest value. Both are 0 where the season of `rows` rows has not been seen.
    """
    if rows <= 0:
        return 0.0, 0.0
    here = ring[now % RING]
    first = max((ahead + rows - 1) // rows, 1)
    naive, total, mass, weight = 0.0, 0.0, 0.0, 1.0
    for i in range(first, first + depth):
        back = i * rows - ahead
        if back > now or back >= RING:
            break
        distance = float(ring[(now - back) % RING]) - here
        if mass == 0.0:
            naive = distance
        total += weight * distance
        mass += weight
        weight *= FADE
    if mass == 0.0:
        return 0.0, 0.0
    return naive, total / mass


@compiled
def calendar(inputs: Singles, at: int, time: int, short: float, long: float) -> int:
    """Six numbers: two harmonics of the short season's phase, one of the long one's; the next free place."""
    for period, harmonic in ((short, 1), (short, 2), (long, 1)):
        if period > 0:
            phase = 2 * math.pi * harmonic * (time % period) / period
            inputs[at], inputs[at + 1] = math.sin(phase), math.cos(phase)
        else:
            inputs[at], inputs[at + 1] = 0.0, 0.0
        at += 2
    return at


@compiled
def read_lags(inputs: Singles, ring: Singles, now: int, s1: float, s12: float, s24: float) -> int:
    """Distances of the last twelve values and of the 24th from the latest one; the next free place."""
    here = ring[now % RING]
    unit = math.sqrt(s1 * s12)
    for k in range(1, 13):
        inputs[k - 1] = squash((float(ring[(now - k) % RING]) - here) / unit) if k <= now else 0.0
    inputs[12] = squash((float(ring[(now - 24) % RING]) - here) / s24) if now >= 24 else 0.0
    return 13


@compiled
def read_inputs(
    series: Series, plan: Plan, row: int, value: float, passed: float, inputs: Singles, seasonals: Singles
) -> None:
    """Fill `inputs` (F,) and `seasonals` (K, 4) of one series; its latest value came `passed` ms after another."""
    now, ring, count = series.seen[row] - 1, series.ring[row], series.seen[row]
    scale, steps, references = series.scale[row], plan.steps, plan.references
    s1 = current_scale(scale, steps, references[0], count, value)
    s12 = current_scale(scale, steps, references[1], count, value)
    s24 = current_scale(scale, steps, references[2], count, value)
    cadence = rounded(series.cadence[row])
    short, long = seasons(cadence)
    short_rows = round(short / cadence) if short > 0 else 0
    long_rows = round(long / cadence) if long > 0 else 0
    at = read_lags(inputs, ring, now, s1, s12, s24)
    for ahead in ALIGNMENTS:
        unit = s24 if ahead == 24 else s12
        naive, profile = seasonal(ring, now, short_rows, ahead, DAY_DEPTH)
        inputs[at], inputs[at + 1] = squash(naive / unit), squash(profile / unit)
        naive, profile = seasonal(ring, now, long_rows, ahead, WEEK_DEPTH)
        inputs[at + 2], inputs[at + 3] = squash(naive / unit), squash(profile / unit)
        at += 4
    for i in range(len(HALF_LIVES)):
        inputs[at] = squash((series.means[row, i] - value) / (s24 if i == 4 else s12))
        at += 1
    at = calendar(inputs, at, series.time[row], short, long)
    inputs[at] = min(max(math.log(s12 / s1), -3.0), 3.0)
    inputs[at + 1] = min(max(math.log(s24 / s1), -3.0), 3.0)
    inputs[at + 2] = min(max(math.log(passed / cadence), -3.0), 3.0) if cadence > 0 and passed > 0 else 0.0
    for k in range(len(plan.horizons)):
        unit = current_scale(scale, steps, plan.scale_of[k], count, value)
        naive, profile = seasonal(ring, now, short_rows, plan.horizons[k], DAY_DEPTH)
        seasonals[k, 0], seasonals[k, 1] = squash(naive / unit), squash(profile / unit)
        naive, profile = seasonal(ring, now, long_rows, plan.horizons[k], WEEK_DEPTH)
        seasonals[k, 2], seasonals[k, 3] = squash(naive / unit), squash(profile / unit)
