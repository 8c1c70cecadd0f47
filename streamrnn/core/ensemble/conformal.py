"""Online conformal calibration: residual quantiles of the experts, offsets of the published quantiles, the 99% tail.

Each is a quantile tracker that steps up where the truth lies above and down where it lies below, balanced at the level
(Gibbs & Candes 2021, "Adaptive conformal inference under distribution shift", applied to the quantiles themselves).
"""

import math

from streamrnn.core.jit import Floats, Singles, compiled

RESIDUAL_RATE = 0.02  # step per label, multiples of a point forecast's running |error|
RESIDUAL_LIMIT = 100.0  # largest residual quantile, in the same multiples
EARLY = 20.0  # labels over which the larger first steps decay
OFFSET_RATE = 0.055
"""Step of an offset per label of one step. The error of the coverage over T labels is the way of the offset in between,
divided by T and the step: larger steps mean less of it, and a larger pinball loss."""
OVERLAP = 0.3
"""Steps of horizon h are smaller by the power OVERLAP of h: labels of a far one overlap, and miss together."""
FIRST_STEPS, OFFSET_YOUTH = 0.6, 500.0
"""Share by which the first steps are larger, and labels after which half of it is left: young intervals are too narrow
at far horizons, and an error of the coverage is the larger the fewer labels there are."""
OFFSET_LIMIT = 8.0  # largest offset
WIDTH_SHARE = 0.5
"""Offsets are in multiples of the mean of the running |error| and, with this share, of what the width predicts."""
MISS_RATE = 1 - 0.5 ** (1 / 200)  # per label: a half-life of 200
MISS_CLIP = 8.0  # largest new error, multiples of the running |error|
TAIL_RATE = 0.05  # step of the log of the tail's ratio, per observation
TAIL_SHARE = 0.01  # share of observations outside the interval behind the anomaly score


@compiled
def below_indicator(truth: float, quantile: float, level: float) -> float:
    """Return 1 where the truth lies below the quantile, else 0; `level` for a tie, which carries no evidence."""
    if truth == quantile:
        return level
    return 1.0 if truth < quantile else 0.0


@compiled
def early_rate(rate: float, seen: int) -> float:
    """Return a tracker's step after `seen` labels: larger at first."""
    return max(rate, 0.2 / (1.0 + seen / EARLY))


@compiled
def track_residuals(residual: Singles, errors: Floats, sizes: Floats, level: float, seen: int) -> None:
    """Update one residual quantile of X points, multiples of their running |error| `sizes` (X,); it keeps its sign.

    `errors` (X,), NaN: the point has no forecast.
    """
    rate = early_rate(RESIDUAL_RATE, seen)
    lowest, highest = (-RESIDUAL_LIMIT, 0.0) if level < 0.5 else (0.0, RESIDUAL_LIMIT)
    for x in range(len(errors)):
        if errors[x] != errors[x]:
            continue
        moved = residual[x] + rate * (level - below_indicator(errors[x], residual[x] * sizes[x], level))
        residual[x] = min(max(moved, lowest), highest)


@compiled
def offset_step(horizon: int, rate: float, overlap: float) -> float:
    """Return the step of an offset per label of this horizon; `rate`, `overlap`: as OFFSET_RATE and OVERLAP."""
    return rate * horizon**-overlap


@compiled
def young_steps(labels: int) -> float:
    """Return the factor of the step of an offset after this number of labels."""
    return 1.0 + FIRST_STEPS / (1.0 + labels / OFFSET_YOUTH)


@compiled
def track_offsets(
    offset: Singles, published: Floats | Singles, levels: Floats, middle: int, truth: float, step: float
) -> None:
    """Update the offsets (Q,), the median's excepted, by the truth of `published` (Q,); `step`: see offset_step."""
    for q in range(len(levels)):
        if q != middle:
            moved = offset[q] + step * (levels[q] - below_indicator(truth, published[q], levels[q]))
            offset[q] = min(max(moved, -OFFSET_LIMIT), OFFSET_LIMIT)


@compiled
def track_error(running: float, error: float, seen: int) -> float:
    """Return the running |error| of the median after a clipped `error`, units; `seen` labels came before."""
    if seen > 0 and running > 0:
        error = min(error, MISS_CLIP * running)
    return running + max(MISS_RATE, 1.0 / (seen + 1)) * (error - running)


@compiled
def predicted_error(mixed: Floats | Singles, normal: Floats, running: float) -> float:
    """Return the mean |error| that the outermost interval stands for; `running` where there is only a median."""
    last = len(mixed) - 1
    span = normal[last] - normal[0]
    return max(mixed[last] - mixed[0], 0.0) / span if span > 0 else running


@compiled
def offset_unit(mixed: Floats | Singles, normal: Floats, running: float) -> float:
    """Return the unit of the offsets: between the running |error| and the one that the outermost interval predicts.

    The first alone adds the same at calm and at volatile times; `normal` (Q,) are the quantiles for an |error| of 1.
    """
    return running + WIDTH_SHARE * (predicted_error(mixed, normal, running) - running)


@compiled
def apply_offsets(mixed: Floats | Singles, offset: Singles, unit: float, middle: int, published: Floats) -> None:
    """Fill `published` (Q,): the mixture's quantiles plus offsets times their `unit`, monotone from the median."""
    last = len(mixed) - 1
    published[middle] = mixed[middle]
    for q in range(middle - 1, -1, -1):
        published[q] = min(mixed[q] + offset[q] * unit, published[q + 1])
    for q in range(middle + 1, last + 1):
        published[q] = max(mixed[q] + offset[q] * unit, published[q - 1])


@compiled
def make_monotone(quantiles: Floats, middle: int) -> None:
    """Remove crossings on either side of the median, in place."""
    for q in range(middle - 1, -1, -1):
        quantiles[q] = min(quantiles[q], quantiles[q + 1])
    for q in range(middle + 1, len(quantiles)):
        quantiles[q] = max(quantiles[q], quantiles[q - 1])


@compiled
def exceedance(published: Singles, middle: int, truth: float) -> float:
    """Return the distance of the truth from the median, in widths of the outermost interval on that side."""
    last = len(published) - 1
    if truth >= published[middle]:
        return (truth - published[middle]) / max(published[last] - published[middle], 1e-3)
    return (published[middle] - truth) / max(published[middle] - published[0], 1e-3)


@compiled
def track_tail(tail: float, ratio: float) -> float:
    """Update the ratio that is exceeded by TAIL_SHARE of observations; it stays positive."""
    return min(max(tail * math.exp(TAIL_RATE * ((1.0 if ratio > tail else 0.0) - TAIL_SHARE)), 1e-3), 1e3)
