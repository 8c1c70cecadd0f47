"""The skill gate: Bernstein online aggregation of quantile forecasts, per series, horizon and quantile.

After Wintenberger (2017), "Optimal learning with Bernstein online aggregation", with forgetting and a share of the
prior (Herbster & Warmuth 1998). The prior leans on persistence: a network counts only where it has proved itself.
"""

import math

from streamrnn.core.compiled import Floats, Singles, compiled

PRIOR = (8 / 9, 1 / 9)
"""Of persistence, of the network."""
FORGET = 0.998
"""Per matured label."""
SHARE = 0.002
"""Of the prior in every weight: an expert that was bad comes back quickly."""
REGRET_CLIP = 10.0


@compiled
def weigh(regret: Singles, variance: Singles, bound: Singles, weights: Floats) -> None:
    """Fill `weights` (E,) from the running (E,) regrets, their second moments and their bounds."""
    highest = -1e300
    for e in range(len(weights)):
        rate = min(0.5 / bound[e], math.sqrt(2.0 / variance[e]))
        weights[e] = rate * regret[e] + math.log(rate) + math.log(PRIOR[e])
        highest = max(highest, weights[e])
    total = 0.0
    for e in range(len(weights)):
        weights[e] = math.exp(weights[e] - highest)
        total += weights[e]
    for e in range(len(weights)):
        weights[e] = (1 - SHARE) * weights[e] / total + SHARE * PRIOR[e]


@compiled
def reward(
    regret: Singles, variance: Singles, bound: Singles, mixed: float, experts: Singles, truth: float, level: float
) -> None:
    """Learn from one matured label, all in units of the scale: `mixed` was forecast out of `experts` (E,)."""
    slope = (1.0 if truth < mixed else 0.0) - level
    for e in range(len(experts)):
        gain = min(max(slope * (mixed - experts[e]), -REGRET_CLIP), REGRET_CLIP)
        variance[e] = FORGET * variance[e] + gain * gain
        bound[e] = max(FORGET * bound[e], abs(gain))
        rate = min(0.5 / bound[e], math.sqrt(2.0 / variance[e]))
        regret[e] = FORGET * regret[e] + gain - rate * gain * gain
