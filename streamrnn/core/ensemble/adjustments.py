"""Adjustments of the quantiles of the mixture before calibration: feedback of errors and the lattice of values."""

from typing import NamedTuple

from streamrnn.core.ensemble.conformal import make_monotone
from streamrnn.core.ensemble.feedback import Feedback, apply_feedback, learn_feedback
from streamrnn.core.ensemble.lattice import Lattice, apply_lattice, learn_lattice, track_recurrence
from streamrnn.core.ensemble.widths import Widths
from streamrnn.core.experts.analogs import Analogs
from streamrnn.core.jit import Floats, Shorts, Singles, compiled
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.state import FullState


class EnsembleParts(NamedTuple):
    """State of the parts of the ensemble that earlier versions lack; each starts empty in state saved by those.

    Feedback, lattice and widths adjust the mixture; the analogs are one of its members.
    """

    analogs: Analogs
    feedback: Feedback
    lattice: Lattice
    widths: Widths


@compiled
def learn_adjustments(
    series: FullState, parts: EnsembleParts, plan: Plan, row: int, time: int, mixed: Singles, truths: Singles,
    outputs: Floats, product: Singles,
) -> None:  # fmt: skip
    """Update feedback and lattice by the labels `truths` (K,), units, NaN: none, of an observation at `time` (ms).

    Called before the observation is stored. `mixed` (L, Q) are the pending quantiles of the mixture, units; `outputs`
    (2*Q,) and `product` (D,) are scratch.
    """
    feedback, lattice = parts.feedback, parts.lattice
    for k in range(len(plan.horizons)):
        if truths[k] == truths[k]:
            slot = plan.slots[k] + series.seen[row] % plan.horizons[k]
            median = mixed[slot, plan.middle] if k > 0 else feedback.shifted[row, plan.middle]
            learn_lattice(lattice, plan, row, k, slot, median, truths[k], outputs[:2])
    learn_feedback(series, feedback, plan, row, time, mixed[plan.slots[0]], truths[0], outputs, product)


@compiled
def adjust_quantiles(
    series: FullState, parts: EnsembleParts, plan: Plan, row: int, k: int, slot: int, networks: Shorts,
    scale: float, shares: Floats, mixed: Floats,
) -> None:  # fmt: skip
    """Apply feedback (at horizon 1 only) and lattice to the quantiles `mixed` (Q,), units, of horizon k in place.

    `networks` (N, Q) are the quantiles of the networks, 16-bit codes; `scale` is the running |error| of the published
    median, units; `shares` (2, 2*Q) is scratch.
    """
    feedback, lattice, ring, count = parts.feedback, parts.lattice, series.ring[row], series.seen[row]
    if k == 0:
        track_recurrence(lattice, row, ring, count)
        apply_feedback(series, feedback, plan, row, networks, scale, shares, mixed)
        make_monotone(mixed, plan.middle)
        for q in range(len(mixed)):
            feedback.shifted[row, q] = mixed[q]
    apply_lattice(lattice, plan, row, k, slot, ring, count, series.unit[row, slot], shares[:, :2], mixed)
    make_monotone(mixed, plan.middle)
