"""Lattice of recurring values: the median of a quantized series is moved towards the nearest of its recent values.

If most values of a series recur, its next value is more likely one of them than a value between them. The median at the
nearest recent value is aggregated with the original median, per series and horizon; other series are left unchanged.
"""

from typing import NamedTuple

import numpy as np

from streamrnn.core.ensemble.aggregation import FIRST_BOUND, FIRST_VARIANCE, fill_weights, label_weight, update_regrets
from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series.plan import Plan

LATTICE_VERSION = 1
"""Entry of the layout; incremented when the meaning of the state changes."""
RECURRENCE_RATE = 0.01  # rate of the share of recurring values, per observation
MIN_RECURRING_SHARE = 0.5  # share of recurring values from which on a series counts as quantized
MIN_OBSERVATIONS = 30  # observations before a series may count as quantized
MEDIAN = np.array([0.5])  # level of the quantile that is moved
LATTICE_PRIOR = np.array([0.9, 0.1])  # prior weights of the original and of the moved median


class Lattice(NamedTuple):
    """One row per series. K horizons, L pending slots."""

    recurring: Singles  # (S,) recent share of observations whose value was among the last R
    moved: Singles  # (S, L) pending moved medians, units; NaN: the series was not quantized
    blended: Singles  # (S, L) pending aggregated medians, units
    regret: Singles  # (S, K, 2) of the original and of the moved median, see aggregation
    variance: Singles  # (S, K, 2) second moment of the regrets
    bound: Singles  # (S, K, 2) decayed maximum of their changes


LATTICE_AXES = {
    "moved": "L", "blended": "L", "regret": "K.", "variance": "K.", "bound": "K.",
}  # fmt: skip
"""Kinds of the axes after the first, for arrays whose shape depends on the plan; see `migration`."""


def allocate_lattice(capacity: int, plan: Plan) -> Lattice:
    """Allocate the state of `capacity` new series."""
    f4, k, slots = np.float32, len(plan.horizons), int(plan.horizons.sum())
    return Lattice(
        recurring=np.zeros(capacity, f4), moved=np.full((capacity, slots), np.nan, f4),
        blended=np.zeros((capacity, slots), f4), regret=np.zeros((capacity, k, 2), f4),
        variance=np.full((capacity, k, 2), FIRST_VARIANCE, f4), bound=np.full((capacity, k, 2), FIRST_BOUND, f4),
    )  # fmt: skip


@compiled
def track_recurrence(lattice: Lattice, row: int, ring: Singles, count: int) -> None:
    """Update the share of recurring values after `count` steps, of which `ring` (R,) has the latest values."""
    latest, same = ring[(count - 1) % len(ring)], 0
    for i in range(min(count, len(ring))):
        same += ring[i] == latest
    share = lattice.recurring[row]
    lattice.recurring[row] = share + max(RECURRENCE_RATE, 1.0 / count) * ((1.0 if same > 1 else 0.0) - share)


@compiled
def nearest_value(ring: Singles, count: int, value: float) -> float:
    """Return the value of the ring that is nearest to a centered `value`."""
    least, nearest = np.inf, value
    for i in range(min(count, len(ring))):
        distance = abs(ring[i] - value)
        if distance < least:
            least, nearest = distance, ring[i]
    return nearest


@compiled
def apply_lattice(
    lattice: Lattice, plan: Plan, row: int, k: int, slot: int, ring: Singles, count: int, unit: float, shares: Floats,
    mixed: Floats,
) -> None:  # fmt: skip
    """Move the median of `mixed` (Q,), units, in place if the series is quantized; `shares` (2, 2) is scratch."""
    lattice.moved[row, slot] = np.nan
    if lattice.recurring[row] > MIN_RECURRING_SHARE and count > MIN_OBSERVATIONS:
        latest, median = ring[(count - 1) % len(ring)], mixed[plan.middle]
        moved = (nearest_value(ring, count, latest + median * unit) - latest) / unit
        weight = label_weight(plan.horizons[k])
        fill_weights(
            lattice.regret[row, k], lattice.variance[row, k], lattice.bound[row, k], LATTICE_PRIOR, weight, shares[0],
            shares[1],
        )  # fmt: skip
        lattice.moved[row, slot] = moved
        lattice.blended[row, slot] = mixed[plan.middle] = median + shares[1, 1] * (moved - median)


@compiled
def learn_lattice(
    lattice: Lattice, plan: Plan, row: int, k: int, slot: int, median: float, truth: float, outputs: Floats
) -> None:
    """Learn from the label of a pending forecast with this original `median`, units; `outputs` (2,) is scratch."""
    moved = lattice.moved[row, slot]
    if moved == moved:
        outputs[0], outputs[1] = median, moved
        update_regrets(
            lattice.regret[row, k], lattice.variance[row, k], lattice.bound[row, k],
            lattice.blended[row, slot : slot + 1], outputs, truth, MEDIAN, label_weight(plan.horizons[k]),
        )  # fmt: skip
