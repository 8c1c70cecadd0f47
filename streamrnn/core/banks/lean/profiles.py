"""Seasonal profiles in few bins: the mean by phase, interpolated between the centers of the bins."""

import math

from streamrnn.core.jit import Singles, compiled
from streamrnn.core.series.calendar import phase, slot_count

RATES = (0.2, 0.35)  # rates per season, of the short and the long one


@compiled
def write_bin(bins: Singles, i: int, time: float, first: float, period: float, cadence: float, value: float) -> None:
    """Update the bin of `time` (ms), a plain mean at first, then exponential; `i`: short (0) or long (1) season."""
    count = slot_count(period, cadence, len(bins))
    rows = max(period / cadence / count, 1.0)
    at = phase(time, first, period) * count + 0.5 / rows
    b = int(at) % count
    visits = math.floor((time - first) / period) * rows + math.floor((at - math.floor(at)) * rows) + 1.0
    rate = max(1 - (1 - RATES[i]) ** (1 / rows), 1 / visits)
    mean = float(bins[b])
    bins[b] = value if mean != mean else mean + rate * (value - mean)


@compiled
def read_bins(bins: Singles, time: float, first: float, period: float, cadence: float) -> float:
    """Return the profile at the phase of `time`; NaN: unknown."""
    count = slot_count(period, cadence, len(bins))
    at = phase(time, first, period) * count
    if period / cadence <= count + 0.5:
        return float(bins[int(at + 0.5) % count])
    at += 0.5 * cadence / period * count - 0.5  # a row represents the whole of its step
    below = math.floor(at)
    share, left, right = at - below, float(bins[int(below) % count]), float(bins[int(below + 1) % count])
    if left != left:
        return right
    return left if right != right else left + share * (right - left)
