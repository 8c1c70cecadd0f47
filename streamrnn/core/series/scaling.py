"""Level and scale of a series, robust and causal; encoding of numbers in few bits.

The scale of a horizon is the usual change of the series over it. It is the unit of forecasts and errors.
"""

import math

import numpy as np

from streamrnn.core.jit import Floats, Integers, Singles, compiled
from streamrnn.core.series.state import HALF_LIVES

SCALE_RATE = 1 - 0.5 ** (1 / 300)  # per observation: a half-life of 300
SCALE_CLIP = 6.0  # largest change that updates a scale, as a multiple of the scale, ...
SCALE_TRUST = 50  # ... after this many observations
MEAN_CLIP = 50.0  # largest change that updates an exponential mean, units: it limits the effect of a single value
MEAN_RATES = tuple(1 - 0.5 ** (1 / half_life) for half_life in HALF_LIVES)
ROUNDING = 2.0**-54  # smallest scale as a share of the value: the resolution of a double
MIN_SCALE = 1e-33
"""Smallest scale: changes of this size are still normal numbers in single precision, and so is a label of 100,000
units. A larger label is infinite, and clipped before it is learned from."""
TINY = 1e-9  # values below it are tiny: their scale is smaller than the first scale of other series
CODES, CODES8 = 32767.0, 127.0  # largest 16-bit and 8-bit code
GRID = 2.0**20  # grid points per unit of a summed error


@compiled
def centered(value: float, center: float) -> float:
    """Return the distance of a value from the center of its series, in single precision."""
    return np.float32(value - center)  # type: ignore[return-value]  # mypy does not accept float32 as a float


@compiled
def update_scales(
    scale: Floats, ring: Singles, horizons: Integers, slots: Integers, unit: Singles, count: int, value: float
) -> None:
    """Update the robust scales (K,) of the change over each of `horizons` (K,); `value` is not yet in the ring.

    `unit` (L,) is 0 in the slot of a step that was missing; `slots` (K,) are the first slots of the horizons.
    """
    for k in range(len(horizons)):
        horizon = horizons[k]
        if count < horizon or unit[slots[k] + count % horizon] <= 0:
            continue
        change = abs(value - ring[(count - horizon) % len(ring)])
        if count > max(SCALE_TRUST, horizon + 8) and scale[k] > 0:
            change = min(change, SCALE_CLIP * scale[k])
        rate = max(SCALE_RATE, 1.0 / (count - horizon + 1))
        scale[k] += rate * (change - scale[k])


@compiled
def current_scale(scale: Floats, horizons: Integers, k: int, count: int, value: float) -> float:
    """Return the scale of the change over horizon k, field's unit, never 0.

    Up to 2 h + 8 observations it is the one-step scale times the square root of the horizon h. `count` observations
    include the latest one, `value`, which determines the scale while a series is constant.
    """
    horizon = horizons[k]
    known = scale[k] if count > 2 * horizon + 8 else scale[0] * math.sqrt(horizon)
    least = 1e-8 * (abs(value) + 1e-6) + 1e-12
    return known if known >= least else small_scale(known, value, least)


@compiled
def small_scale(known: float, value: float, least: float) -> float:
    """Return a scale below `least`: of small changes at a high level, of tiny values, or (`known` 0) of a constant."""
    if known > 0:
        return max(known, ROUNDING * abs(value), MIN_SCALE)
    return max(1e-8 * abs(value), MIN_SCALE) if 0 < abs(value) < TINY else least


@compiled
def update_means(means: Floats, variance: float, count: int, value: float, unit: float) -> float:
    """Update the exponential means (6,), which start as plain means; return the variance around the last mean."""
    last = len(MEAN_RATES) - 1
    for i in range(len(MEAN_RATES)):
        rate = max(MEAN_RATES[i], 1.0 / (count + 1))
        change = value - means[i]
        if count > SCALE_TRUST:
            change = min(max(change, -MEAN_CLIP * unit), MEAN_CLIP * unit)
        means[i] += rate * change
        if i == last:
            moved = change - rate * change
            variance += rate * (moved * moved - variance)
    return variance


@compiled
def signed_log1p(value: float) -> float:
    """Return sign(x) log(1 + |x|)."""
    return math.copysign(math.log1p(abs(value)), value)


@compiled
def clip(value: float, most: float) -> float:
    """Return the value clipped to ±`most`; 0 for NaN, which marks an unknown value."""
    if value != value:
        return 0.0
    return min(max(value, -most), most)


@compiled
def round_score(score: float) -> float:
    """Round a score to four decimals."""
    return np.rint(score * 1e4) / 1e4


@compiled
def round_to_grid(error: float) -> float:
    """Round an error to a grid on which sums are exact, so that they do not depend on the order of summation."""
    return np.rint(error * GRID) / GRID


@compiled
def encode16(value: float, unit: float) -> int:
    """Return the 16-bit code of a number, clipped to ±`unit`."""
    return round(min(max(value / unit, -1.0), 1.0) * CODES)


@compiled
def decode16(coded: int, unit: float) -> float:
    """Return the number of an `encode16` code."""
    return coded * (unit / CODES)


@compiled
def encode8(value: float, unit: float) -> int:
    """Return the 8-bit code of a number, clipped to ±`unit`."""
    return round(min(max(value / unit, -1.0), 1.0) * CODES8)


@compiled
def decode8(coded: int, unit: float) -> float:
    """Return the number of an `encode8` code."""
    return coded * (unit / CODES8)
