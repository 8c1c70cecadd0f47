"""Bernstein online aggregation (BOA) of quantile forecasts, per series, horizon and quantile.

After Wintenberger (2017), "Optimal learning with Bernstein online aggregation", with forgetting and a share of the
prior (Herbster & Warmuth 1998). While a series is young, the prior favours the pretrained networks. A member without a
forecast has no weight, and learns nothing from the label (Freund et al. 1997, "Using and combining predictors that
specialize").
"""

import math

import numpy as np

from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.vector_math import exponential

FORGET = 0.998  # decay of the regrets per independent label
SHARE = 0.002  # share of the prior in every weight, with which a member recovers quickly
REGRET_CLIP = 10.0  # largest change of a regret per label, units
YOUTH = 200.0  # labels after which the prior of young series has decayed to 1 / e
FIRST_VARIANCE = 5.0
"""Initial second moment of the regrets, units squared: the weights stay near the prior for the first labels."""
FIRST_BOUND = 1e-6  # initial largest change of a regret, units


@compiled
def fill_prior(young: Floats, mature: Floats, labels: int, prior: Floats) -> None:
    """Fill `prior` (M,), which sums to 1, from the log shares (M,) of members in young and in mature series."""
    fade = math.exp(-labels / YOUTH)
    total = 0.0
    for m in range(len(prior)):
        prior[m] = math.exp(mature[m] + fade * (young[m] - mature[m]))
        total += prior[m]
    for m in range(len(prior)):
        prior[m] /= total


@compiled
def label_weight(horizon: int) -> float:
    """Return the weight of a label: those of a far horizon overlap, so that one adds little to those before it."""
    return 1.0 / math.sqrt(horizon)


@compiled
def boa_rate(variance: float, bound: float, weight: float) -> float:
    """Return the BOA learning rate of one member, for labels of this weight."""
    return weight * min(0.5 / bound, math.sqrt(2.0 / variance))


@compiled
def normalize_weights(weights: Floats, prior: Floats) -> None:
    """Normalize `weights` (M,) to sum to 1, with SHARE of the `prior` (M,)."""
    total = 0.0
    for m in range(len(weights)):
        total += weights[m]
    for m in range(len(weights)):
        weights[m] = (1 - SHARE) * weights[m] / total + SHARE * prior[m]


@compiled
def fill_weights(
    regret: Singles, variance: Singles, bound: Singles, prior: Floats, weight: float, weights: Floats
) -> None:
    """Fill the aggregation weights (M,) from the regrets, their second moments and their bounds (M,).

    `weight` is that of a label, see label_weight.
    """
    highest = -1e300
    for m in range(len(weights)):
        weights[m] = boa_rate(variance[m], bound[m], weight) * regret[m]
    for m in range(len(weights)):
        highest = max(highest, weights[m])
    for m in range(len(weights)):
        rate = boa_rate(variance[m], bound[m], weight)
        weights[m] = exponential(np.float32(weights[m] - highest)) * rate * prior[m]
    normalize_weights(weights, prior)


@compiled
def update_regrets(
    regret: Singles, variance: Singles, bound: Singles, mixed: float, outputs: Floats, truth: float, level: float,
    weight: float,
) -> None:  # fmt: skip
    """Update the regrets (M,) from a label of this weight, in units.

    `mixed` is the weighted mean of the members' `outputs` (M,); NaN: no forecast.
    """
    slope, forget = (1.0 if truth < mixed else 0.0) - level, 1.0 - (1.0 - FORGET) * weight
    for m in range(len(outputs)):
        if outputs[m] != outputs[m]:
            continue
        gain = min(max(slope * (mixed - outputs[m]), -REGRET_CLIP), REGRET_CLIP)
        variance[m] = forget * variance[m] + gain * gain
        bound[m] = max(forget * bound[m], abs(gain))
        regret[m] = forget * regret[m] + gain - boa_rate(variance[m], bound[m], weight) * gain * gain
