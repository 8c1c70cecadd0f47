"""From the network's quantiles to the published ones, which also go into the ledger until their truth arrives."""

import math

import numpy as np

from streamrnn.core.calibration import apply
from streamrnn.core.compiled import Booleans, Floats, Integers, Singles, compiled
from streamrnn.core.inputs import current_scale
from streamrnn.core.ledger import WARM
from streamrnn.core.mixture import weigh
from streamrnn.core.season import rounded
from streamrnn.core.series import Plan, Series

UNIT_CLIP = 15.0
"""Units; no network may forecast further away than that."""
DIGITS = 4
"""Decimal digits of a forecast below the scale of its series."""


@compiled
def shortened(value: float, unit: float) -> float:
    """The value to 1/10,000 of the scale: what lies below says nothing, and costs bytes."""
    digits = min(max(DIGITS - math.floor(math.log10(unit)), 0), 15)
    power = 10.0**digits
    scaled = value * power
    if abs(scaled) >= 2.0**52:
        return value
    return np.rint(scaled) / power


@compiled
def mix(series: Series, plan: Plan, row: int, k: int, slot: int, network: Singles, weights: Floats) -> None:
    """Fill the ledger's slot with the experts' quantiles and their mixture; `network` (Q,) in units."""
    pending, mixed = series.pending[row, slot], series.mixed[row, slot]
    for q in range(len(plan.levels)):
        pending[0, q] = series.residual[row, k, q]
        pending[1, q] = min(max(network[q], -UNIT_CLIP), UNIT_CLIP)
        weigh(series.regret[row, k, q], series.variance[row, k, q], series.bound[row, k, q], weights)
        total = 0.0
        for e in range(len(weights)):
            total += weights[e] * pending[e, q]
        mixed[q] = total


@compiled
def publish(series: Series, plan: Plan, rows: Integers, values: Floats, network: Singles) -> None:
    """One wave into the ledger: `values` (B,) as observed, `network` (B, K, Q) in units."""
    weights, published = np.zeros(series.pending.shape[2]), np.zeros(len(plan.levels))
    for b in range(len(rows)):
        row, value = rows[b], values[b]
        count = series.seen[row]
        for k in range(len(plan.horizons)):
            slot = plan.slots[k] + (count - 1) % plan.horizons[k]
            mix(series, plan, row, k, slot, network[b, k], weights)
            apply(series.mixed[row, slot], series.offset[row, k], series.miss[row, k], plan.middle, published)
            series.anchor[row, slot] = value
            series.unit[row, slot] = current_scale(series.scale[row], plan.steps, plan.scale_of[k], count, value)
            series.final[row, slot] = published


@compiled
def read_back(
    series: Series,
    plan: Plan,
    rows: Integers,
    target_times: Integers,
    quantiles: Floats,
    skill: Floats,
    warming: Booleans,
) -> None:
    """The latest forecast of each row, as the ledger holds it; changes nothing but the arrays given to be filled.

    `target_times` (B, K) ms, `quantiles` (B, K, Q), `skill` (B, K) = 1 - error / error of persistence, `warming` (B,).
    """
    for b in range(len(rows)):
        row = rows[b]
        count, cadence = series.seen[row], rounded(series.cadence[row])
        warming[b] = count < WARM
        for k in range(len(plan.horizons)):
            horizon = plan.horizons[k]
            slot = plan.slots[k] + (count - 1) % horizon
            target_times[b, k] = series.time[row] + round(horizon * cadence)
            naive = series.naive[row, k]
            skill[b, k] = max(1.0 - series.error[row, k] / naive, -10.0) if naive > 0 else 0.0
            value, unit = series.anchor[row, slot], series.unit[row, slot]
            for q in range(len(plan.levels)):
                quantiles[b, k, q] = shortened(value + series.final[row, slot, q] * unit, unit)
