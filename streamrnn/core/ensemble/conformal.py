"""Intervals that keep their promise: residuals of the experts, offsets of what is published, the 99% tail.

All three are quantile trackers: a step up where the truth lay above, down where below, balanced at the level
(Gibbs & Candes 2021, "Adaptive conformal inference under distribution shift", applied to the quantiles themselves).
"""

import math

from streamrnn.core.jit import Floats, Singles, compiled

RESIDUAL_RATE = 0.02
RESIDUAL_LIMIT = 100.0
"""Multiples of a point's usual error."""
EARLY = 20.0
"""Labels; while there are fewer than some multiples of it, a tracker steps further."""
OFFSET_RATE = 0.01
"""Per label of any horizon. Truths of a far one overlap and miss together; slower offsets there would lower the pinball
loss by a thousandth, and break the promise for longer."""
OFFSET_LIMIT = 8.0
MISS_RATE = 1 - 0.5 ** (1 / 200)
MISS_CLIP = 8.0
TAIL_RATE = 0.05
TAIL_SHARE = 0.01
"""Observations that may lie outside the interval behind the anomaly score."""


@compiled
def below(truth: float, quantile: float, level: float) -> float:
    """1 where the truth lay below the quantile; a tie carries no evidence and counts at the nominal rate."""
    if truth == quantile:
        return level
    return 1.0 if truth < quantile else 0.0


@compiled
def early(rate: float, seen: int) -> float:
    """A tracker's step after `seen` labels."""
    return max(rate, 0.2 / (1.0 + seen / EARLY))


@compiled
def track_residuals(residual: Singles, errors: Floats, sizes: Floats, level: float, seen: int) -> None:
    """Move one quantile of the `errors` (X,) of points, in multiples of their usual `sizes` (X,); it keeps its side."""
    rate = early(RESIDUAL_RATE, seen)
    lowest, highest = (-RESIDUAL_LIMIT, 0.0) if level < 0.5 else (0.0, RESIDUAL_LIMIT)
    for x in range(len(errors)):
        moved = residual[x] + rate * (level - below(errors[x], residual[x] * sizes[x], level))
        residual[x] = min(max(moved, lowest), highest)


@compiled
def track_offsets(
    offset: Singles, published: Floats | Singles, levels: Floats, middle: int, truth: float, labels: int
) -> None:
    """Move the calibration offsets (Q,) after the truth for `published` (Q,) is known; the median is left alone.

    The truth stands for so many `labels`.
    """
    for q in range(len(levels)):
        if q != middle:
            moved = offset[q] + labels * OFFSET_RATE * (levels[q] - below(truth, published[q], levels[q]))
            offset[q] = min(max(moved, -OFFSET_LIMIT), OFFSET_LIMIT)


@compiled
def track_miss(miss: float, wrong: float, seen: int) -> float:
    """Running |error| of the median, each new one clipped; `seen` labels came before."""
    if seen > 0 and miss > 0:
        wrong = min(wrong, MISS_CLIP * miss)
    return miss + max(MISS_RATE, 1.0 / (seen + 1)) * (wrong - miss)


@compiled
def apply(mixed: Floats | Singles, offset: Singles, miss: float, middle: int, published: Floats) -> None:
    """Published quantiles (Q,): the mixture's, moved by the offsets, in order, none beyond the median."""
    last = len(mixed) - 1
    published[middle] = mixed[middle]
    for q in range(middle - 1, -1, -1):
        published[q] = min(mixed[q] + offset[q] * miss, published[q + 1])
    for q in range(middle + 1, last + 1):
        published[q] = max(mixed[q] + offset[q] * miss, published[q - 1])


@compiled
def exceedance(published: Singles, middle: int, truth: float) -> float:
    """Distance of the truth from the median, in widths of the outermost interval on that side."""
    last = len(published) - 1
    if truth >= published[middle]:
        return (truth - published[middle]) / max(published[last] - published[middle], 1e-3)
    return (published[middle] - truth) / max(published[middle] - published[0], 1e-3)


@compiled
def track_tail(tail: float, ratio: float) -> float:
    """Move the ratio that is exceeded once in a hundred observations; it stays positive."""
    return min(max(tail * math.exp(TAIL_RATE * ((1.0 if ratio > tail else 0.0) - TAIL_SHARE)), 1e-3), 1e3)
