"""Widths of the published intervals: wider where the latest errors, or those of the target's phase, were large.

The width that the members forecast is a multiple of a series' usual error. Some series have calm and volatile hours, or
hours of the day that are hard to forecast. The logs of three running means of |error| over its long mean are the
features of a log-linear model of each quantile's distance from the median, which stochastic gradient descent on the
pinball loss of the published quantile learns. Errors are in multiples of what the mixture's width predicted, so that
nothing is learned where the members knew it already.
"""

import math
from typing import NamedTuple

import numpy as np

from streamrnn.core.ensemble.conformal import below_indicator
from streamrnn.core.jit import Floats, Shorts, Singles, compiled
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.profile_shift import slot_of
from streamrnn.core.series.scaling import clip, decode16, encode16
from streamrnn.core.series.state import FullState

WIDTHS_VERSION = 1
"""Entry of the layout; incremented when the state changes its meaning."""
FEATURES = 3  # the horizon's latest errors, those of the target's phase, the latest errors one step ahead
PHASES = 24  # of the short season
WIDTH_RATE = 0.06  # step of a weight per label of one step
WIDTH_OVERLAP = 0.5  # steps of horizon h are smaller by this power of h, as labels of a far one overlap
DECAY = 0.0002  # of the weights, per label
WEIGHT_LIMIT = 2.0
FEATURE_CLIP = 1.5  # largest feature, and largest log of the factor of a width
LATEST_RATE, LONG_RATE = 0.1, 0.002  # of the running means of |error|, per label; the first also of a phase's
LEAST_ERROR, MOST_ERROR = 0.05, 8.0  # of an |error| that enters them, multiples of what was predicted
LEAST_PREDICTED = 1e-6  # units


class Widths(NamedTuple):
    """One row per series. K horizons, Q quantiles, L pending slots, F = FEATURES, P = PHASES."""

    weights: Singles  # (S, K, Q, F) of the features in the log of a quantile's distance from the median
    latest: Singles  # (S, K) running |error| of the latest labels, in multiples of the predicted one
    long: Singles  # (S, K) the same of many labels
    profile: Singles  # (S, K, P) the same by phase of the target; 0: no label yet
    features: Shorts  # (S, L, F) pending, 16-bit codes
    predicted: Singles  # (S, L) pending, |error| that the mixture's width predicts, units; 0: there is none


WIDTHS_AXES = {
    "weights": "KN.", "latest": "K", "long": "K", "profile": "K.", "features": "L.", "predicted": "L",
}  # fmt: skip
"""Meaning of the axes after the first, of the arrays whose shape depends on the plan; see migration."""


def allocate_widths(capacity: int, plan: Plan) -> Widths:
    """Allocate `capacity` new series."""
    f4, k, slots = np.float32, len(plan.horizons), int(plan.horizons.sum())
    return Widths(
        weights=np.zeros((capacity, k, len(plan.levels), FEATURES), f4), latest=np.ones((capacity, k), f4),
        long=np.ones((capacity, k), f4), profile=np.zeros((capacity, k, PHASES), f4),
        features=np.zeros((capacity, slots, FEATURES), np.int16), predicted=np.zeros((capacity, slots), f4),
    )  # fmt: skip


@compiled
def phase_of(series: FullState, plan: Plan, row: int, time: float) -> int:
    """Return the phase of `time` (ms) in the short season, below PHASES; -1 without a season."""
    period = series.period[row, 0]
    if period <= 0:
        return -1
    return slot_of(plan.clock, time, time, float(series.first[row]), period, PHASES)


@compiled
def log_ratio(error: float, usual: float) -> float:
    """Return the clipped log of a running error over the usual one; 0 where it is unknown."""
    return clip(math.log(error / usual), FEATURE_CLIP) if error > 0 else 0.0


@compiled
def apply_widths(
    series: FullState, widths: Widths, plan: Plan, row: int, k: int, slot: int, predicted: float, target: float,
    mixed: Floats,
) -> None:  # fmt: skip
    """Multiply the distances of `mixed` (Q,), units, from its median, in place, and store what the label will need.

    `predicted`: |error| that the distances stand for, units; `target`: time that is forecast, ms.
    """
    at, usual = phase_of(series, plan, row, target), widths.long[row, k]
    features = widths.features[row, slot]
    features[0] = encode16(log_ratio(widths.latest[row, k], usual), FEATURE_CLIP)
    features[1] = encode16(log_ratio(widths.profile[row, k, at], usual) if at >= 0 else 0.0, FEATURE_CLIP)
    features[2] = encode16(log_ratio(widths.latest[row, 0], widths.long[row, 0]), FEATURE_CLIP)
    widths.predicted[row, slot] = max(predicted, LEAST_PREDICTED)
    median = mixed[plan.middle]
    for q in range(len(mixed)):
        change = 0.0
        for f in range(FEATURES):
            change += widths.weights[row, k, q, f] * decode16(features[f], FEATURE_CLIP)
        mixed[q] = median + (mixed[q] - median) * math.exp(clip(change, FEATURE_CLIP))


@compiled
def learn_widths(
    series: FullState, widths: Widths, plan: Plan, row: int, k: int, slot: int, labels: int, time: float,
    published: Singles, truth: float,
) -> None:  # fmt: skip
    """Learn from the label, the observation at `time` (ms), of the `published` quantiles (Q,); units."""
    predicted = widths.predicted[row, slot]
    if not predicted > 0:
        return
    step = WIDTH_RATE * plan.horizons[k] ** -WIDTH_OVERLAP
    for q in range(len(published)):
        if q != plan.middle:
            above = plan.levels[q] - below_indicator(truth, published[q], plan.levels[q])
            outside = above if q > plan.middle else -above
            move_width_weights(widths.weights[row, k, q], widths.features[row, slot], step * outside)
    error = min(max(abs(truth - published[plan.middle]) / predicted, LEAST_ERROR), MOST_ERROR)
    rate = 1.0 / (labels + 1.0)
    widths.latest[row, k] += max(LATEST_RATE, rate) * (error - widths.latest[row, k])
    widths.long[row, k] += max(LONG_RATE, rate) * (error - widths.long[row, k])
    at = phase_of(series, plan, row, time)
    if at >= 0:
        known = widths.profile[row, k, at] if widths.profile[row, k, at] > 0 else widths.long[row, k]
        widths.profile[row, k, at] = known + LATEST_RATE * (error - known)


@compiled
def move_width_weights(weights: Singles, features: Shorts, step: float) -> None:
    """Move the weights (F,) by `step` along the `features` (F,), and decay them."""
    for f in range(len(weights)):
        moved = weights[f] * (1 - DECAY) + step * decode16(features[f], FEATURE_CLIP)
        weights[f] = min(max(moved, -WEIGHT_LIMIT), WEIGHT_LIMIT)
