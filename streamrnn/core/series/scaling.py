"""Level and scale of a series: robust, causal, and the unit of everything else."""

import math

import numpy as np

from streamrnn.core.jit import Floats, Integers, Singles, compiled
from streamrnn.core.series.state import HALF_LIVES

SCALE_RATE = 1 - 0.5 ** (1 / 300)
SCALE_CLIP = 6.0
"""A change counts at most as this many times the running one, ..."""
SCALE_TRUST = 50
"""... once so many observations have been seen."""
MEAN_CLIP = 50.0
"""An exponential mean follows at most so many scales at once: no single value may spoil it for long."""
MEAN_RATES = tuple(1 - 0.5 ** (1 / half_life) for half_life in HALF_LIVES)
CODES = 32767.0
GRID = 2.0**20


@compiled
def distance(value: float, center: float) -> float:
    """The value as all else is computed from it: its distance from the center, in single precision."""
    return np.float32(value - center)  # type: ignore[return-value]  # which is no float to mypy


@compiled
def update_scales(scale: Floats, ring: Singles, steps: Integers, count: int, value: float) -> None:
    """Robust scale (K,) of the change over each of `steps` (K,); `value` is not yet in the ring."""
    for k in range(len(steps)):
        step = steps[k]
        if count < step:
            continue
        change = abs(value - ring[(count - step) % len(ring)])
        if count > max(SCALE_TRUST, step + 8) and scale[k] > 0:
            change = min(change, SCALE_CLIP * scale[k])
        rate = max(SCALE_RATE, 1.0 / (count - step + 1))
        scale[k] += rate * (change - scale[k])


@compiled
def current_scale(scale: Floats, steps: Integers, k: int, count: int, value: float) -> float:
    """Scale of the change over `steps[k]` rows, never 0; by the square-root law while it has been seen too rarely.

    `count` observations were seen, the latest is `value` (it sets the smallest scale worth telling from rounding).
    """
    step = steps[k]
    known = scale[k] if count > 2 * step + 8 else scale[0] * math.sqrt(step)
    return max(known, 1e-8 * (abs(value) + 1e-6) + 1e-12)


@compiled
def update_means(means: Floats, variance: float, count: int, value: float, unit: float) -> float:
    """Move the exponential means (6,) of the value, plain means until they are old enough; the new variance."""
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
def squash(value: float) -> float:
    """sign(x) log(1 + |x|)."""
    return math.copysign(math.log1p(abs(value)), value)


@compiled
def clip(value: float, most: float) -> float:
    """The value, at most `most` in size; 0 for NaN, which says that something is not known."""
    if value != value:
        return 0.0
    return min(max(value, -most), most)


@compiled
def rough(score: float) -> float:
    """A score to four decimals."""
    return np.rint(score * 1e4) / 1e4


@compiled
def exact(error: float) -> float:
    """An error on a grid on which sums are exact: they must not depend on the order."""
    return np.rint(error * GRID) / GRID


@compiled
def code(value: float, unit: float) -> int:
    """A number of at most `unit` in size as 16 bits."""
    return round(min(max(value / unit, -1.0), 1.0) * CODES)


@compiled
def decoded(coded: int, unit: float) -> float:
    """What `code` has coded."""
    return coded * (unit / CODES)
