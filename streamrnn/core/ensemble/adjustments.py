"""Adjustments of the quantiles of the mixture before calibration: feedback, the lattice of values, and outliers.

A value that is far from the two before it and from its forecast is an outlier, or the first one at another level. The
members forecast from the latest value, by a limited number of units, so that they cannot return from an outlier. After
such a value, the forecast that was made before it is aggregated with the present one, per series and horizon. The
weights are learned from such values alone (Freund et al. 1997, "Using and combining predictors that specialize").
"""

from typing import NamedTuple

import numpy as np

from streamrnn.core.ensemble.aggregation import FIRST_BOUND, FIRST_VARIANCE, fill_weights, update_regrets
from streamrnn.core.ensemble.conformal import make_monotone
from streamrnn.core.ensemble.feedback import Feedback, apply_feedback, learn_feedback
from streamrnn.core.ensemble.lattice import MEDIAN, Lattice, apply_lattice, learn_lattice, track_recurrence
from streamrnn.core.ensemble.widths import Widths
from streamrnn.core.experts.analogs import Analogs
from streamrnn.core.jit import Floats, Shorts, Singles, Tinies, compiled
from streamrnn.core.series.period_detection import MISSING
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import SCALE_CLIP, SCALE_TRUST
from streamrnn.core.series.state import FullState

OUTLIERS_VERSION = 1
"""Entry of the layout; incremented when the meaning of the state changes."""
OUTLIER = SCALE_CLIP  # least distance of an outlier from the two values before it and from its forecast, units
OUTLIER_PRIOR = np.array([0.7, 0.3])  # prior weights of the present forecast and of the one before the outlier


class Outliers(NamedTuple):
    """One row per series. K horizons, L pending slots."""

    outlying: Tinies  # (S,) 1: the latest value is an outlier
    present: Singles  # (S, L) pending median of the forecast from the outlier, units
    earlier: Singles  # (S, L) pending median of the forecast before it, units; equal to `present`: no outlier
    regret: Singles  # (S, K, 2) of the present and of the earlier forecast, see aggregation
    variance: Singles  # (S, K, 2) second moment of the regrets
    bound: Singles  # (S, K, 2) decayed maximum of their changes


OUTLIERS_AXES = {
    "present": "L", "earlier": "L", "regret": "K.", "variance": "K.", "bound": "K.",
}  # fmt: skip
"""Kinds of the axes after the first, for arrays whose shape depends on the plan; see `migration`."""


def allocate_outliers(capacity: int, plan: Plan) -> Outliers:
    """Allocate the state of `capacity` new series."""
    f4, k, slots = np.float32, len(plan.horizons), int(plan.horizons.sum())
    return Outliers(
        outlying=np.zeros(capacity, np.int8), present=np.zeros((capacity, slots), f4),
        earlier=np.zeros((capacity, slots), f4), regret=np.zeros((capacity, k, 2), f4),
        variance=np.full((capacity, k, 2), FIRST_VARIANCE, f4), bound=np.full((capacity, k, 2), FIRST_BOUND, f4),
    )  # fmt: skip


class EnsembleParts(NamedTuple):
    """State of the parts of the ensemble that earlier versions lack; each starts empty in state saved by those.

    Feedback, lattice, outliers and widths adjust the mixture; the analogs are one of its members.
    """

    analogs: Analogs
    feedback: Feedback
    lattice: Lattice
    outliers: Outliers
    widths: Widths


@compiled
def find_outlier(series: FullState, outliers: Outliers, row: int, median: float, unit: float) -> None:
    """Store whether the latest value is an outlier; `median` is its forecast's distance from the value before it.

    `median` is in `unit`, the unit of one step, field's unit.
    """
    count, ring, gaps = series.seen[row], series.ring[row], series.gaps[row]
    outliers.outlying[row] = 0
    if count <= SCALE_TRUST or series.scale[row, 0] <= 0:
        return
    if gaps[(count - 2) % len(gaps)] != MISSING and gaps[(count - 3) % len(gaps)] != MISSING:
        latest, before = ring[(count - 1) % len(ring)], ring[(count - 2) % len(ring)]
        change = latest - before
        distance = min(abs(change), abs(latest - ring[(count - 3) % len(ring)]), abs(change - median * unit))
        outliers.outlying[row] = 1 if distance > OUTLIER * unit else 0


@compiled
def apply_earlier(
    series: FullState, outliers: Outliers, plan: Plan, row: int, k: int, slot: int, final: Singles, shares: Floats,
    mixed: Floats,
) -> None:  # fmt: skip
    """Aggregate the quantiles `mixed` (Q,), units, with those of the step before, in place, after an outlier.

    `final` (L, Q) are the pending published quantiles, units; `shares` (2, 2) is scratch.
    """
    outliers.present[row, slot] = outliers.earlier[row, slot] = 0.0
    if outliers.outlying[row] == 0:
        return
    count, ring, unit, middle = series.seen[row], series.ring[row], series.unit[row, slot], plan.middle
    change = (ring[(count - 2) % len(ring)] - ring[(count - 1) % len(ring)]) / unit
    before = plan.slots[k] + (count - 2) % plan.horizons[k]
    ratio = series.unit[row, before] / unit
    fill_weights(
        outliers.regret[row, k], outliers.variance[row, k], outliers.bound[row, k], OUTLIER_PRIOR, 1.0, shares[0],
        shares[1],
    )  # fmt: skip
    outliers.present[row, slot], outliers.earlier[row, slot] = mixed[middle], change + final[before, middle] * ratio
    for q in range(len(mixed)):
        mixed[q] += shares[1, 1] * (change + final[before, q] * ratio - mixed[q])


@compiled
def learn_outlier(
    outliers: Outliers, row: int, k: int, slot: int, median: Singles, truth: float, outputs: Floats
) -> None:
    """Learn from the label of a forecast with the published `median` (1,), units; `outputs` (2,) is scratch."""
    outputs[0], outputs[1] = outliers.present[row, slot], outliers.earlier[row, slot]
    if outputs[0] != outputs[1]:
        update_regrets(
            outliers.regret[row, k], outliers.variance[row, k], outliers.bound[row, k], median, outputs, truth, MEDIAN,
            1.0,
        )  # fmt: skip


@compiled
def learn_adjustments(
    series: FullState, parts: EnsembleParts, plan: Plan, row: int, time: int, mixed: Singles, final: Singles,
    truths: Singles, outputs: Floats, product: Singles,
) -> None:  # fmt: skip
    """Update the adjustments by the labels `truths` (K,), units, NaN: none, of an observation at `time` (ms).

    Called before the observation is stored. `mixed` and `final` (L, Q) are the pending quantiles of the mixture and the
    published ones, units; `outputs` (2*Q,) and `product` (D,) are scratch.
    """
    feedback, lattice = parts.feedback, parts.lattice
    for k in range(len(plan.horizons)):
        if truths[k] == truths[k]:
            slot = plan.slots[k] + series.seen[row] % plan.horizons[k]
            median = mixed[slot, plan.middle] if k > 0 else feedback.shifted[row, plan.middle]
            learn_lattice(lattice, plan, row, k, slot, median, truths[k], outputs[:2])
            learn_outlier(
                parts.outliers, row, k, slot, final[slot, plan.middle : plan.middle + 1], truths[k], outputs[:2]
            )
    learn_feedback(series, feedback, plan, row, time, mixed[plan.slots[0]], truths[0], outputs, product)


@compiled
def adjust_quantiles(
    series: FullState, parts: EnsembleParts, plan: Plan, row: int, k: int, slot: int, networks: Shorts, final: Singles,
    scale: float, shares: Floats, mixed: Floats,
) -> None:  # fmt: skip
    """Apply feedback (at horizon 1 only), lattice and outliers to `mixed` (Q,), units, of horizon k in place.

    `networks` (N, Q) are the quantiles of the networks, 16-bit codes; `final` (L, Q) are the pending published
    quantiles, units, in which the slot still has those of the step before if the horizon is 1; `scale` is the running
    |error| of the published median, units; `shares` (2, 2*Q) is scratch.
    """
    feedback, lattice, ring, count = parts.feedback, parts.lattice, series.ring[row], series.seen[row]
    if k == 0:
        track_recurrence(lattice, row, ring, count)
        find_outlier(series, parts.outliers, row, final[slot, plan.middle], series.unit[row, slot])
        apply_feedback(series, feedback, plan, row, networks, scale, shares, mixed)
        make_monotone(mixed, plan.middle)
        for q in range(len(mixed)):
            feedback.shifted[row, q] = mixed[q]
    apply_lattice(lattice, plan, row, k, slot, ring, count, series.unit[row, slot], shares[:, :2], mixed)
    apply_earlier(series, parts.outliers, plan, row, k, slot, final, shares[:, :2], mixed)
    make_monotone(mixed, plan.middle)
