"""Bernstein online aggregation (BOA) of quantile forecasts, per series, horizon and quantile.

The algorithm is that of Wintenberger (2017), "Optimal learning with Bernstein online aggregation", with forgetting and
a fixed share of the prior (Herbster & Warmuth 1998, "Tracking the best expert"). While a series is young, the prior
favours the pretrained networks. A member without a forecast has no weight, and its regret does not change (Freund et
al. 1997, "Using and combining predictors that specialize").
"""

import math

import numpy as np

from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.vector_math import exponential

FORGET = 0.998  # decay of the regrets per independent label
SHARE = 0.002  # share of the prior in every weight, so that a member can recover quickly
REGRET_CLIP = 10.0  # largest change of a regret per label, units
YOUTH = 200.0  # labels after which the prior of young series has decayed to 1 / e
FIRST_VARIANCE = 5.0
"""Initial second moment of the regrets, units squared: it keeps the weights near the prior for the first labels."""
FIRST_BOUND = 1e-6  # initial largest change of a regret, units


@compiled
def fill_prior(young: Floats, mature: Floats, labels: int, prior: Floats) -> None:
    """Fill `prior` (M,), which sums to 1, from the log priors (M,) of the members in young and in mature series."""
    fade = math.exp(-labels / YOUTH)
    total = 0.0
    for m in range(len(prior)):
        if m > 0 and young[m] == young[m - 1] and mature[m] == mature[m - 1]:
            prior[m] = prior[m - 1]  # most members have equal priors, and exponentials are slow
        else:
            prior[m] = math.exp(mature[m] + fade * (young[m] - mature[m]))
        total += prior[m]
    for m in range(len(prior)):
        prior[m] /= total


@compiled
def label_weight(horizon: int) -> float:
    """Return the weight of a label; lower for long horizons, as their forecasts overlap and one label adds little."""
    return 1.0 / math.sqrt(horizon)


@compiled
def boa_rate(variance: float, bound: float, weight: float) -> float:
    """Return the BOA learning rate of one member for labels of this weight."""
    return weight * min(0.5 / bound, math.sqrt(2.0 / variance))


@compiled
def normalize_weights(weights: Floats, prior: Floats) -> None:
    """Normalize `weights` (M,) to a sum of 1, and mix them with SHARE of the `prior` (M,)."""
    total = 0.0
    for m in range(len(weights)):
        total += weights[m]
    for m in range(len(weights)):
        weights[m] = (1 - SHARE) * weights[m] / total + SHARE * prior[m]


@compiled
def fill_weights(
    regret: Singles, variance: Singles, bound: Singles, prior: Floats, weight: float, rates: Floats, weights: Floats
) -> None:
    """Fill the aggregation weights of G sets of M members, (G*M,), from regrets, second moments and bounds (G*M,).

    All sets have the same `prior` (M,); `weight` is the weight of a label, see `label_weight`; `rates` (G*M,) is
    scratch.
    """
    members = len(prior)
    for i in range(len(weights)):
        rates[i] = boa_rate(variance[i], bound[i], weight)
    for i in range(len(weights)):
        weights[i] = rates[i] * regret[i]
    for first in range(0, len(weights), members):
        highest = -1e300
        for i in range(first, first + members):
            highest = max(highest, weights[i])
        for i in range(first, first + members):
            weights[i] -= highest
    for i in range(len(weights)):
        weights[i] = exponential(np.float32(weights[i])) * rates[i]
    for first in range(0, len(weights), members):
        for m in range(members):
            weights[first + m] *= prior[m]
        normalize_weights(weights[first : first + members], prior)


@compiled
def update_regrets(
    regret: Singles, variance: Singles, bound: Singles, mixed: Singles, outputs: Floats, truth: float, levels: Floats,
    weight: float,
) -> None:  # fmt: skip
    """Update the regrets (G*M,) of G sets of M members by a label `truth` of this weight; all in units.

    `mixed` (G,) are the weighted means of the members' `outputs` (G*M,), NaN: no forecast, for the quantiles at
    `levels` (G,). `outputs` is overwritten.
    """
    forget, members = 1.0 - (1.0 - FORGET) * weight, len(outputs) // len(levels)
    for g in range(len(levels)):
        slope = (1.0 if truth < mixed[g] else 0.0) - levels[g]
        for i in range(g * members, (g + 1) * members):
            if outputs[i] == outputs[i]:
                outputs[i] = min(max(slope * (mixed[g] - outputs[i]), -REGRET_CLIP), REGRET_CLIP)
    for i in range(len(outputs)):
        gain = outputs[i]
        if gain != gain:
            continue
        variance[i] = forget * variance[i] + gain * gain
        bound[i] = max(forget * bound[i], abs(gain))
        regret[i] = forget * regret[i] + gain - boa_rate(variance[i], bound[i], weight) * gain * gain
