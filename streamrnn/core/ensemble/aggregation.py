"""The mixture: Bernstein online aggregation of quantile forecasts, per series, horizon and quantile.

After Wintenberger (2017), "Optimal learning with Bernstein online aggregation", with forgetting and a share of the
prior (Herbster & Warmuth 1998). The prior leans on a pretrained network while a series is young: it has seen more than
the series has to show.
"""

import math

import numpy as np

from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.vector_math import exponential

FORGET = 0.998
"""Per matured label."""
SHARE = 0.002
"""Of the prior in every weight: a member that was bad comes back quickly."""
REGRET_CLIP = 10.0
YOUTH = 200.0
"""Labels after which the prior of youth has faded to 1 / e."""
FIRST_VARIANCE = 5.0
"""Of the regrets: keeps the mixture at its prior until some labels have matured."""
FIRST_BOUND = 1e-6


@compiled
def prior_of(young: Floats, grown: Floats, labels: int, prior: Floats) -> None:
    """Fill `prior` (M,), which sums to 1, from the logs of the shares that members have in youth and later."""
    fade = math.exp(-labels / YOUTH)
    total = 0.0
    for m in range(len(prior)):
        prior[m] = math.exp(grown[m] + fade * (young[m] - grown[m]))
        total += prior[m]
    for m in range(len(prior)):
        prior[m] /= total


@compiled
def rate_of(variance: float, bound: float) -> float:
    """Learning rate of one member."""
    return min(0.5 / bound, math.sqrt(2.0 / variance))


@compiled
def share_out(weights: Floats, prior: Floats) -> None:
    """Make `weights` (M,) sum to 1, with a share of the `prior` (M,) in each."""
    total = 0.0
    for m in range(len(weights)):
        total += weights[m]
    for m in range(len(weights)):
        weights[m] = (1 - SHARE) * weights[m] / total + SHARE * prior[m]


@compiled
def weigh(regret: Singles, variance: Singles, bound: Singles, prior: Floats, weights: Floats) -> None:
    """Fill `weights` (M,) from the running (M,) regrets, their second moments and their bounds."""
    highest = -1e300
    for m in range(len(weights)):
        weights[m] = rate_of(variance[m], bound[m]) * regret[m]
    for m in range(len(weights)):
        highest = max(highest, weights[m])
    for m in range(len(weights)):
        weights[m] = exponential(np.float32(weights[m] - highest)) * rate_of(variance[m], bound[m]) * prior[m]
    share_out(weights, prior)


@compiled
def reward(
    regret: Singles, variance: Singles, bound: Singles, mixed: float, said: Floats, truth: float, level: float
) -> None:
    """Learn from one matured label, all in units of the scale: `mixed` was made of what the members `said` (M,)."""
    slope = (1.0 if truth < mixed else 0.0) - level
    for m in range(len(said)):
        gain = min(max(slope * (mixed - said[m]), -REGRET_CLIP), REGRET_CLIP)
        variance[m] = FORGET * variance[m] + gain * gain
        bound[m] = max(FORGET * bound[m], abs(gain))
        regret[m] = FORGET * regret[m] + gain - rate_of(variance[m], bound[m]) * gain * gain
