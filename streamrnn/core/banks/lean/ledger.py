"""What the lean variant forecasts, and how it is judged when the truth comes: the mixture of three, and intervals.

Persistence and the networks are mixed by their decayed errors, one weight for all quantiles of a horizon: the guard of
a series whose network does not help. Only the forecasts that are followed up teach (see Following).
"""

import numpy as np

from streamrnn.core.banks.lean.state import EXPERTS, Following, Series, place_of
from streamrnn.core.ensemble.aggregation import prior_of, share_out
from streamrnn.core.ensemble.conformal import apply, exceedance, track_offsets, track_tail
from streamrnn.core.ensemble.forecast_scores import ERROR_CLIP, NETWORK, clipped, weigh_up
from streamrnn.core.ensemble.ledger import SKILL_RATE, WARM
from streamrnn.core.ensemble.publish import UNIT_CLIP, YOUNG, in_order, published_unit, shortened
from streamrnn.core.experts.classical import FIRST_ORIGIN, TRUTH_CLIP
from streamrnn.core.jit import Booleans, Floats, Integers, Singles, compiled, compiled_allocating
from streamrnn.core.series.calendar import rounded
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import code, decoded, rough
from streamrnn.core.series.state import POINT_CLIP

EDGE = 20.0
"""Power of the ratio of errors that a weight falls with: 5% worse is a third of the weight."""
SMALLEST = 1e-6
"""Decayed error that counts as none."""
FINAL_CLIP = 32.0
"""Units; what is kept of a forecast in 16 bits."""


@compiled
def follow(
    series: Series,
    plan: Plan,
    following: Following,
    row: int,
    k: int,
    slot: int,
    truth: float,
    final: Floats,
    scores: Floats,
) -> None:
    """Learn from the `truth`, units, of a forecast that was followed up; `final` (Q,) is written over."""
    horizon, stride, middle = plan.horizons[k], following.stride[k], plan.middle
    origin = series.seen[row] - horizon
    near = min(max(truth, -TRUTH_CLIP), TRUTH_CLIP)
    if origin >= FIRST_ORIGIN:
        error, kept = series.error[row, k], following.errors_kept[k]
        for e in range(len(EXPERTS)):
            said = min(max(decoded(series.points[row, slot, e], POINT_CLIP), -TRUTH_CLIP), TRUTH_CLIP)
            error[e] = kept * error[e] + stride * abs(near - said)
        error[len(EXPERTS)] = kept * error[len(EXPERTS)] + stride * abs(near)
    loss, kept = series.loss[row, k], following.losses_kept[k]
    loss[0] = kept * loss[0] + stride * abs(near)
    for n in range(series.medians.shape[2]):
        said = decoded(series.medians[row, slot, n], FINAL_CLIP)
        loss[1 + n] = kept * loss[1 + n] + stride * min(abs(near - said), ERROR_CLIP)
        scores[NETWORK + n, k] += clipped(truth - said)
    for q in range(len(final)):
        final[q] = decoded(series.finals[row, slot, q], FINAL_CLIP)
    track_offsets(series.offset[row, k], final, plan.levels, middle, truth, stride)
    wrong, naive = min(abs(truth - final[middle]), ERROR_CLIP), min(abs(truth), ERROR_CLIP)
    rate = max(min(SKILL_RATE * stride, 0.5), 1.0 / (origin // stride + 1))
    series.wrong[row, k] += rate * (wrong - series.wrong[row, k])
    series.naive[row, k] += rate * (naive - series.naive[row, k])
    weigh_up(final, plan.levels, middle, truth, scores, k)


@compiled
def settle(
    series: Series, plan: Plan, following: Following, row: int, value: float, truths: Singles, final: Floats,
    scores: Floats,
) -> float:  # fmt: skip
    """Judge what was forecast for an observation, before it is taken in: fills `truths` (K,), adds to `scores`.

    Returns its anomaly score.
    """
    now, score = series.seen[row], 0.0
    for k in range(len(plan.horizons)):
        horizon = plan.horizons[k]
        truths[k] = np.nan
        if now < horizon:
            continue
        origin = now - horizon
        unit = series.unit[row, plan.slots[k] + now % horizon]
        truth = (value - series.ring[row, origin % series.ring.shape[1]]) / unit
        truths[k] = truth
        if k == 0:
            ratio = exceedance(series.latest[row, 0], plan.middle, truth)
            score = rough(min(ratio / series.tail[row], 1e6)) if now >= WARM else 0.0
            series.tail[row] = track_tail(series.tail[row], ratio)
        slot = place_of(following, k, origin)
        if slot >= 0:
            follow(series, plan, following, row, k, slot, truth, final, scores)
    return score


@compiled_allocating
def weigh(loss: Singles, prior: Floats, weights: Floats) -> None:
    """Fill `weights` (M,) of the members from their decayed errors `loss` (M,)."""
    best = max(loss.min(), SMALLEST)
    for m in range(len(loss)):
        weights[m] = prior[m] * (best / max(loss[m], SMALLEST)) ** EDGE
    share_out(weights, prior)


@compiled_allocating
def publish(
    series: Series, plan: Plan, following: Following, young: Floats, grown: Floats, rows: Integers, networks: Singles
) -> None:  # fmt: skip
    """One wave: `networks` (N, B, K, Q) in units, priors (M,) as logs."""
    prior, weights = np.empty(len(grown)), np.empty(len(grown))
    mixed, published = np.empty(len(plan.levels)), np.empty(len(plan.levels))
    for b in range(len(rows)):
        row = rows[b]
        origin = series.seen[row] - 1
        prior_of(young, grown, origin, prior)
        for k in range(len(plan.horizons)):
            weigh(series.loss[row, k], prior, weights)
            for q in range(len(mixed)):
                mixed[q] = weights[0] * plan.normal[q]
                for n in range(len(networks)):
                    said = min(max(networks[n, b, k, q], -UNIT_CLIP), UNIT_CLIP)
                    mixed[q] += weights[1 + n] * (said if origin >= YOUNG else plan.normal[q])
            in_order(mixed, plan.middle)
            apply(mixed, series.offset[row, k], series.wrong[row, k], plan.middle, published)
            series.latest[row, k] = published
            slot = place_of(following, k, origin)
            if slot >= 0:
                for n in range(len(networks)):
                    said = networks[n, b, k, plan.middle] if origin >= YOUNG else 0.0
                    series.medians[row, slot, n] = code(said, FINAL_CLIP)
                for q in range(len(mixed)):
                    series.finals[row, slot, q] = code(published[q], FINAL_CLIP)


@compiled
def read_back(
    series: Series, plan: Plan, rows: Integers, target_times: Integers, quantiles: Floats, skill: Floats,
    warming: Booleans,
) -> None:  # fmt: skip
    """The latest forecast of each row, as publish.read_back has it; changes nothing but the arrays to be filled."""
    for b in range(len(rows)):
        row = rows[b]
        count, cadence = series.seen[row], rounded(series.cadence[row])
        warming[b] = count < WARM
        for i in range(len(plan.published)):
            k = plan.published[i]
            horizon = plan.horizons[k]
            scale, value = series.scale[row, 0], series.value[row]
            unit = series.unit[row, plan.slots[k] + (count - 1) % horizon]
            unit = published_unit(unit, scale, horizon, count, value)
            target_times[b, i] = series.time[row] + round(horizon * cadence)
            naive = series.naive[row, k]
            skill[b, i] = rough(max(1.0 - series.wrong[row, k] / naive, -10.0)) if naive > 0 else 0.0
            for q in range(len(plan.levels)):
                quantiles[b, i, q] = shortened(value + series.latest[row, k, q] * unit, unit)
