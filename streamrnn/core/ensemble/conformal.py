"""Online conformal calibration: residual quantiles of the experts, offsets of the published quantiles, the 99% tail.

Each is an online quantile tracker: a step up when the truth lies above, a step down when it lies below, in proportions
that are balanced at the level (Gibbs & Candes 2021, "Adaptive conformal inference under distribution shift", applied to
the quantiles themselves).
"""

import math

from streamrnn.core.jit import Floats, Singles, compiled

RESIDUAL_RATE = 0.02  # step per label, multiples of a point forecast's running |error|
RESIDUAL_LIMIT = 100.0  # largest residual quantile, in the same multiples
EARLY = 20.0  # number of labels over which the larger first steps decay
OFFSET_RATE = 0.055
"""Step of an offset per label at horizon 1. The error of the coverage over T labels is the change of the offset over
them, divided by T and the step: a larger step reduces it, but increases the pinball loss."""
OVERLAP = 0.3
"""The step at horizon h is divided by h to the power of OVERLAP: forecasts with long horizons overlap, and therefore
miss together."""
FIRST_STEPS, OFFSET_YOUTH = 0.6, 500.0
"""Share by which the first steps are larger, and labels after which half of this share is left: intervals of young
series are too narrow at long horizons, and the error of the coverage is larger with few labels."""
OFFSET_LIMIT = 8.0  # largest |offset|, multiples of `offset_unit`
WIDTH_SHARE = 0.5
"""Share, in the unit of the offsets, of the |error| that the width predicts; the rest is the running |error|."""
MISS_RATE = 1 - 0.5 ** (1 / 200)  # rate of the running |error| per label: a half-life of 200
MISS_CLIP = 8.0  # largest |error| that updates it, multiples of the running |error|
TAIL_RATE = 0.05  # step of the log of the tail's ratio, per observation
TAIL_SHARE = 0.01  # share of observations outside the 99% interval, which defines the anomaly score


@compiled
def below_indicator(truth: float, quantile: float, level: float) -> float:
    """Return 1 if the truth lies below the quantile, 0 if above, and `level` for a tie, which causes no step."""
    if truth == quantile:
        return level
    return 1.0 if truth < quantile else 0.0


@compiled
def early_rate(rate: float, seen: int) -> float:
    """Return the step of a residual tracker after `seen` labels; larger at first."""
    return max(rate, 0.2 / (1.0 + seen / EARLY))


@compiled
def track_residuals(residual: Singles, errors: Floats, sizes: Floats, level: float, seen: int) -> None:
    """Update the residual quantiles (X,) at one level of X point forecasts; their sign never changes.

    They are multiples of the running |error| `sizes` (X,). `errors` (X,) are NaN where a member has no forecast.
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
    """Return the step of an offset per label at this horizon; see OFFSET_RATE and OVERLAP for the other arguments."""
    return rate * horizon**-overlap


@compiled
def young_steps(labels: int) -> float:
    """Return the factor by which the step of an offset is larger after this number of labels."""
    return 1.0 + FIRST_STEPS / (1.0 + labels / OFFSET_YOUTH)


@compiled
def track_offsets(
    offset: Singles, published: Floats | Singles, levels: Floats, middle: int, truth: float, step: float
) -> None:
    """Update the offsets (Q,), except that of the median, by the truth of the forecast `published` (Q,)."""
    for q in range(len(levels)):
        if q != middle:
            moved = offset[q] + step * (levels[q] - below_indicator(truth, published[q], levels[q]))
            offset[q] = min(max(moved, -OFFSET_LIMIT), OFFSET_LIMIT)


@compiled
def track_error(running: float, error: float, seen: int) -> float:
    """Return the running |error| of the median after a new, clipped `error`, units; `seen` labels preceded it."""
    if seen > 0 and running > 0:
        error = min(error, MISS_CLIP * running)
    return running + max(MISS_RATE, 1.0 / (seen + 1)) * (error - running)


@compiled
def predicted_error(mixed: Floats | Singles, normal: Floats, running: float) -> float:
    """Return the mean |error| that the width of the outermost interval implies; `running` if there is only a median."""
    last = len(mixed) - 1
    span = normal[last] - normal[0]
    return max(mixed[last] - mixed[0], 0.0) / span if span > 0 else running


@compiled
def offset_unit(mixed: Floats | Singles, normal: Floats, running: float) -> float:
    """Return the unit of the offsets: a mean of the running |error| and the |error| that the interval predicts.

    The running |error| alone would widen intervals equally at calm and at volatile times. `normal` (Q,) are the
    quantiles of a normal error with a mean |error| of 1.
    """
    return running + WIDTH_SHARE * (predicted_error(mixed, normal, running) - running)


@compiled
def apply_offsets(mixed: Floats | Singles, offset: Singles, unit: float, middle: int, published: Floats) -> None:
    """Fill `published` (Q,): the quantiles of the mixture plus offsets times `unit`, monotone from the median on."""
    last = len(mixed) - 1
    published[middle] = mixed[middle]
    for q in range(middle - 1, -1, -1):
        published[q] = min(mixed[q] + offset[q] * unit, published[q + 1])
    for q in range(middle + 1, last + 1):
        published[q] = max(mixed[q] + offset[q] * unit, published[q - 1])


@compiled
def make_monotone(quantiles: Floats, middle: int) -> None:
    """Make quantiles (Q,) monotone from the median on, in place."""
    for q in range(middle - 1, -1, -1):
        quantiles[q] = min(quantiles[q], quantiles[q + 1])
    for q in range(middle + 1, len(quantiles)):
        quantiles[q] = max(quantiles[q], quantiles[q - 1])


@compiled
def exceedance(published: Singles, middle: int, truth: float) -> float:
    """Return the distance of the truth from the median, over that of the outermost quantile on the same side."""
    last = len(published) - 1
    if truth >= published[middle]:
        return (truth - published[middle]) / max(published[last] - published[middle], 1e-3)
    return (published[middle] - truth) / max(published[middle] - published[0], 1e-3)


@compiled
def track_tail(tail: float, ratio: float) -> float:
    """Return the updated ratio that TAIL_SHARE of observations exceed; it is always positive."""
    return min(max(tail * math.exp(TAIL_RATE * ((1.0 if ratio > tail else 0.0) - TAIL_SHARE)), 1e-3), 1e3)
