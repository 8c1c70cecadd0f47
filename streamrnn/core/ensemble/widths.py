"""Widths of the published intervals: wider if recent errors, or earlier errors at the target's phase, were large.

The members forecast widths in proportion to the usual error of a series. But some series have calm and volatile hours,
or times of day that are hard to forecast. A log-linear model multiplies the distance of each quantile from the median.
Its features are the logs of three running means of |error| over the long-run mean; its weights are learned by
stochastic gradient descent on the pinball loss of the published quantile. Errors are multiples of the |error| that the
width of the mixture predicts, so that the model learns only what the members did not forecast.
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
"""Entry of the layout; incremented when the meaning of the state changes."""
FEATURES = 3  # latest errors of the horizon, errors at the phase of the target, latest errors at horizon 1
PHASES = 24  # number of phases of the short season
WIDTH_RATE = 0.06  # step of a weight per label at horizon 1
WIDTH_OVERLAP = 0.5  # the step at horizon h is divided by this power of h, as forecasts with long horizons overlap
DECAY = 0.0002  # decay of the weights per label
WEIGHT_LIMIT = 2.0  # largest |weight|
FEATURE_CLIP = 1.5  # largest |feature|, and largest |log| of the factor of a width
LATEST_RATE, LONG_RATE = 0.1, 0.002  # rates of the running means of |error| per label; LATEST_RATE also by phase
LEAST_ERROR, MAX_ERROR = 0.05, 8.0  # limits of an |error| that updates the means, multiples of the predicted error
LEAST_PREDICTED = 1e-6  # smallest predicted |error|, units


class Widths(NamedTuple):
    """One row per series. K horizons, Q quantiles, L pending slots, F = FEATURES, P = PHASES."""

    weights: Singles  # (S, K, Q, F) of the features in the log of a quantile's distance from the median
    latest: Singles  # (S, K) running mean of |error| over the latest labels, in multiples of the predicted |error|
    long: Singles  # (S, K) running mean over many labels
    profile: Singles  # (S, K, P) running mean by phase of the target; 0: no label yet
    features: Shorts  # (S, L, F) features of a pending forecast, 16-bit codes
    predicted: Singles  # (S, L) |error| that the width of the pending mixture predicts, units; 0: none is pending


WIDTHS_AXES = {
    "weights": "KN.", "latest": "K", "long": "K", "profile": "K.", "features": "L.", "predicted": "L",
}  # fmt: skip
"""Kinds of the axes after the first, for arrays whose shape depends on the plan; see `migration`."""


def allocate_widths(capacity: int, plan: Plan) -> Widths:
    """Allocate the state of `capacity` new series."""
    f4, k, slots = np.float32, len(plan.horizons), int(plan.horizons.sum())
    return Widths(
        weights=np.zeros((capacity, k, len(plan.levels), FEATURES), f4), latest=np.ones((capacity, k), f4),
        long=np.ones((capacity, k), f4), profile=np.zeros((capacity, k, PHASES), f4),
        features=np.zeros((capacity, slots, FEATURES), np.int16), predicted=np.zeros((capacity, slots), f4),
    )  # fmt: skip


@compiled
def phase_of(series: FullState, plan: Plan, row: int, time: float) -> int:
    """Return the phase of `time` (ms) in the short season, 0 to PHASES - 1; -1 without a season."""
    period = series.period[row, 0]
    if period <= 0:
        return -1
    return slot_of(plan.clock, time, time, float(series.first[row]), period, PHASES)


@compiled
def log_ratio(error: float, usual: float) -> float:
    """Return the clipped log of the ratio of a running error to the usual error; 0 if it is unknown."""
    return clip(math.log(error / usual), FEATURE_CLIP) if error > 0 else 0.0


@compiled
def apply_widths(
    series: FullState, widths: Widths, plan: Plan, row: int, k: int, slot: int, predicted: float, target: float,
    mixed: Floats,
) -> None:  # fmt: skip
    """Multiply the distances of `mixed` (Q,), units, from its median in place, and store the features until the label.

    `predicted` is the |error| that the distances imply, units; `target` is the target time, ms.
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
    """Learn from the label `truth`, observed at `time` (ms), of the `published` quantiles (Q,); units."""
    predicted = widths.predicted[row, slot]
    if not predicted > 0:
        return
    step = WIDTH_RATE * plan.horizons[k] ** -WIDTH_OVERLAP
    for q in range(len(published)):
        if q != plan.middle:
            above = plan.levels[q] - below_indicator(truth, published[q], plan.levels[q])
            outside = above if q > plan.middle else -above
            move_width_weights(widths.weights[row, k, q], widths.features[row, slot], step * outside)
    error = min(max(abs(truth - published[plan.middle]) / predicted, LEAST_ERROR), MAX_ERROR)
    rate = 1.0 / (labels + 1.0)
    widths.latest[row, k] += max(LATEST_RATE, rate) * (error - widths.latest[row, k])
    widths.long[row, k] += max(LONG_RATE, rate) * (error - widths.long[row, k])
    at = phase_of(series, plan, row, time)
    if at >= 0:
        known = widths.profile[row, k, at] if widths.profile[row, k, at] > 0 else widths.long[row, k]
        widths.profile[row, k, at] = known + LATEST_RATE * (error - known)


@compiled
def move_width_weights(weights: Singles, features: Shorts, step: float) -> None:
    """Decay the weights (F,), and add the `features` (F,) times `step`."""
    for f in range(len(weights)):
        moved = weights[f] * (1 - DECAY) + step * decode16(features[f], FEATURE_CLIP)
        weights[f] = min(max(moved, -WEIGHT_LIMIT), WEIGHT_LIMIT)
