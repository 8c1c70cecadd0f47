"""Profiles of a season in a few bins: the mean by phase, read between the middles of the bins."""

import math

from streamrnn.core.jit import Singles, compiled
from streamrnn.core.series.calendar import phase, slots_of

RATES = (0.2, 0.35)
"""Per season, of the short and of the long one."""


@compiled
def write(bins: Singles, i: int, time: float, first: float, period: float, cadence: float, value: float) -> None:
    """Take a value into the bin of its phase; the mean of all that a bin has seen while that is little."""
    count = slots_of(period, cadence, len(bins))
    rows = max(period / cadence / count, 1.0)
    place = phase(time, first, period) * count + 0.5 / rows
    b = int(place) % count
    visits = math.floor((time - first) / period) * rows + math.floor((place - math.floor(place)) * rows) + 1.0
    rate = max(1 - (1 - RATES[i]) ** (1 / rows), 1 / visits)
    mean = float(bins[b])
    bins[b] = value if mean != mean else mean + rate * (value - mean)


@compiled
def read(bins: Singles, time: float, first: float, period: float, cadence: float) -> float:
    """The profile at the phase of `time`; NaN: unknown."""
    count = slots_of(period, cadence, len(bins))
    place = phase(time, first, period) * count
    if period / cadence <= count + 0.5:
        return float(bins[int(place + 0.5) % count])
    place += 0.5 * cadence / period * count - 0.5  # a row stands for the whole of its step
    below = math.floor(place)
    share, left, right = place - below, float(bins[int(below) % count]), float(bins[int(below + 1) % count])
    if left != left:
        return right
    return left if right != right else left + share * (right - left)
