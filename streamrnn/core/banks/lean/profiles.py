"""Seasonal profiles in few bins: the mean value by phase, interpolated between the centers of bins."""

import math

from streamrnn.core.jit import Singles, compiled
from streamrnn.core.series.calendar import phase, slot_count
from streamrnn.core.series.seasonal_state import PROFILE_RATES


@compiled
def write_bin(bins: Singles, i: int, time: float, first: float, period: float, cadence: float, value: float) -> None:
    """Update the bin of `time` (ms) in the short (0) or long (1) season: a plain mean at first, then exponential."""
    count = slot_count(period, cadence, len(bins))
    steps = max(period / cadence / count, 1.0)  # per bin
    at = phase(time, first, period) * count + 0.5 / steps
    b = int(at) % count
    visits = math.floor((time - first) / period) * steps + math.floor((at - math.floor(at)) * steps) + 1.0
    rate = max(1 - (1 - PROFILE_RATES[i]) ** (1 / steps), 1 / visits)
    mean = float(bins[b])
    bins[b] = value if mean != mean else mean + rate * (value - mean)


@compiled
def read_bins(bins: Singles, time: float, first: float, period: float, cadence: float) -> float:
    """Return the profile at the phase of `time`; NaN: unknown."""
    count = slot_count(period, cadence, len(bins))
    at = phase(time, first, period) * count
    if period / cadence <= count + 0.5:
        return float(bins[int(at + 0.5) % count])
    at += 0.5 * cadence / period * count - 0.5  # an observation represents all of its step
    below = math.floor(at)
    share, left, right = at - below, float(bins[int(below) % count]), float(bins[int(below + 1) % count])
    if left != left:
        return right
    return left if right != right else left + share * (right - left)
