"""Mixture and calibration of the lean variant: persistence and the networks, weighted by their decayed errors.

All quantiles of a horizon have the same weights. Only evaluated forecasts are learned from; see `follow_up`.
"""

import numpy as np

from streamrnn.core.banks.lean.features import lean_profile_change
from streamrnn.core.banks.lean.feedback import LeanFeedback, apply_lean_feedback, learn_lean_feedback
from streamrnn.core.banks.lean.follow_up import FollowUp, follow_up_slot
from streamrnn.core.ensemble.aggregation import fill_prior, normalize_weights
from streamrnn.core.ensemble.bounds import Bounds, clip_label, clip_quantiles, restore_bounds
from streamrnn.core.ensemble.conformal import (
    apply_offsets,
    exceedance,
    make_monotone,
    offset_step,
    offset_unit,
    track_offsets,
    track_tail,
)
from streamrnn.core.ensemble.forecast_scores import ERROR_CLIP, NETWORK, add_scores, clipped_error
from streamrnn.core.ensemble.ledger import SKILL_RATE, WARM
from streamrnn.core.ensemble.publish import YOUNG, PublishedForecasts, fill_forecast
from streamrnn.core.ensemble.resolution import is_negligible
from streamrnn.core.experts.classical import FIRST_ORIGIN, TRUTH_CLIP
from streamrnn.core.jit import Floats, Integers, Singles, compiled, compiled_allocating
from streamrnn.core.series.calendar import round_cadence
from streamrnn.core.series.lean_state import LEAN_EXPERTS, LeanState
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import CODES, centered, decode16, encode16, round_score
from streamrnn.core.series.state import NETWORK_CLIP, POINT_CLIP
from streamrnn.core.series.update import horizon_passed, is_pending

EDGE = 20.0  # exponent of the ratio of errors in a weight: a member with 5% larger errors has a third of the weight
SMALLEST = 1e-6  # smallest decayed error, units
LEAN_OFFSET_RATE, LEAN_OVERLAP = 0.04, 0.4
"""Steps of the offsets. Those of the full variant, whose widths follow the errors, would increase the loss by 0.4%."""
FINAL_CLIP = 32.0  # largest |quantile| of the 16-bit codes, units


@compiled
def learn_evaluated(
    series: LeanState, bounds: Bounds, plan: Plan, follow_up: FollowUp, row: int, k: int, slot: int, truth: float,
    final: Floats, scores: Floats,
) -> None:  # fmt: skip
    """Score an evaluated forecast by its label `truth`, units, and learn from it; `final` (Q,) is scratch."""
    horizon, stride, middle = plan.horizons[k], follow_up.stride[k], plan.middle
    origin = series.seen[row] - horizon
    near = min(max(truth, -TRUTH_CLIP), TRUTH_CLIP)
    if origin >= FIRST_ORIGIN:
        error, decay = series.error[row, k], follow_up.error_decay[k]
        for e in range(len(LEAN_EXPERTS)):
            forecast = min(max(decode16(series.points[row, slot, e], POINT_CLIP), -TRUTH_CLIP), TRUTH_CLIP)
            error[e] = decay * error[e] + stride * abs(near - forecast)
        error[len(LEAN_EXPERTS)] = decay * error[len(LEAN_EXPERTS)] + stride * abs(near)
    loss, decay = series.loss[row, k], follow_up.loss_decay[k]
    loss[0] = decay * loss[0] + stride * abs(near)
    for n in range(series.medians.shape[2]):
        forecast = decode16(series.medians[row, slot, n], FINAL_CLIP)
        loss[1 + n] = decay * loss[1 + n] + stride * min(abs(near - forecast), ERROR_CLIP)
        scores[NETWORK + n, k] += clipped_error(truth - forecast)
    for q in range(len(final)):
        final[q] = decode16(series.finals[row, slot, q], FINAL_CLIP)
    center, value = series.center[row], series.ring[row, origin % series.ring.shape[1]]
    unit = series.unit[row, plan.slots[k] + origin % horizon]
    restore_bounds(bounds, row, center, value, unit, FINAL_CLIP / CODES, final)
    bounded = clip_label(bounds, row, center, value, unit, truth)
    step = stride * offset_step(horizon, LEAN_OFFSET_RATE, LEAN_OVERLAP)
    track_offsets(series.offset[row, k], final, plan.levels, middle, bounded, step)
    median_error, persistence_error = min(abs(truth - final[middle]), ERROR_CLIP), min(abs(truth), ERROR_CLIP)
    rate = max(min(SKILL_RATE * stride, 0.5), 1.0 / (origin // stride + 1))
    series.wrong[row, k] += rate * (median_error - series.wrong[row, k])
    series.naive[row, k] += rate * (persistence_error - series.naive[row, k])
    add_scores(final, plan.levels, middle, truth, scores, k)


@compiled
def score_lean_anomaly(series: LeanState, plan: Plan, row: int, value: float, time: int) -> float:
    """Return the anomaly score of a centered `value` at `time`, and update the tail; see `score_anomaly`."""
    now = series.seen[row]
    k = horizon_passed(series, plan, row, time) if now > 0 else -1
    if k < 0:
        return 0.0
    cadence, horizon = round_cadence(series.cadence[row]), plan.horizons[k]
    unit, origin = series.unit[row, plan.slots[k] + now % horizon], now - horizon
    change = lean_profile_change(series, plan, row, time - horizon * cadence, cadence, horizon)
    truth = (centered(value, change) - series.ring[row, origin % series.ring.shape[1]]) / unit
    ratio = exceedance(series.latest[row, k], plan.middle, truth)
    if ratio > series.tail[row]:
        deviation = abs(float(truth) - series.latest[row, k, plan.middle]) * unit
        if is_negligible(deviation, series.value[row], series.ring[row], origin + 1, series.center[row]):
            ratio = 0.0
    score = ratio / series.tail[row]
    if k == 0:
        series.tail[row] = track_tail(series.tail[row], ratio)
    return round_score(min(score, 1e6)) if now >= WARM else 0.0


@compiled
def score_lean_row(
    series: LeanState, feedback: LeanFeedback, bounds: Bounds, plan: Plan, follow_up: FollowUp, row: int, value: float,
    time: int, truths: Singles, final: Floats, product: Singles, scores: Floats,
) -> float:  # fmt: skip
    """Score the forecasts due at a centered `value`, before the state is updated; return its anomaly score.

    Fills the labels `truths` (K,), units, NaN where no forecast was due, and adds to `scores` (8 + N, K). `final` (Q,)
    and `product` (D,) are scratch.
    """
    now, score = series.seen[row], score_lean_anomaly(series, plan, row, value, time)
    cadence = round_cadence(series.cadence[row])
    for k in range(len(plan.horizons)):
        horizon = plan.horizons[k]
        truths[k] = np.nan
        if not is_pending(series, plan, row, k):
            continue
        origin = now - horizon
        unit = series.unit[row, plan.slots[k] + now % horizon]
        change = lean_profile_change(series, plan, row, time - horizon * cadence, cadence, horizon)
        truth = (centered(value, change) - series.ring[row, origin % series.ring.shape[1]]) / unit
        truths[k] = truth
        slot = follow_up_slot(follow_up, k, origin)
        if slot >= 0:
            learn_evaluated(series, bounds, plan, follow_up, row, k, slot, truth, final, scores)
    learn_lean_feedback(feedback, row, now, truths[0], product)
    return score


@compiled_allocating
def fill_lean_weights(loss: Singles, prior: Floats, weights: Floats) -> None:
    """Fill the aggregation weights (M,) of the members from their decayed errors `loss` (M,), units."""
    best = max(loss.min(), SMALLEST)
    for m in range(len(loss)):
        weights[m] = prior[m] * (best / max(loss[m], SMALLEST)) ** EDGE
    normalize_weights(weights, prior)


@compiled_allocating
def publish_lean_wave(
    series: LeanState, feedback: LeanFeedback, bounds: Bounds, plan: Plan, follow_up: FollowUp, young: Floats,
    mature: Floats, rows: Integers, networks: Singles,
) -> None:  # fmt: skip
    """Compute and store the forecasts of a wave from quantiles `networks` (N, B, K, Q), units, and log priors (M,)."""
    prior, weights = np.empty(len(mature)), np.empty(len(mature))
    mixed, published = np.empty(len(plan.levels)), np.empty(len(plan.levels))
    for b in range(len(rows)):
        row = rows[b]
        origin = series.seen[row] - 1
        value = series.ring[row, origin % series.ring.shape[1]]
        fill_prior(young, mature, origin, prior)
        for k in range(len(plan.horizons)):
            fill_lean_weights(series.loss[row, k], prior, weights)
            for q in range(len(mixed)):
                mixed[q] = weights[0] * plan.normal[q]
                for n in range(len(networks)):
                    output = min(max(networks[n, b, k, q], -NETWORK_CLIP), NETWORK_CLIP)
                    mixed[q] += weights[1 + n] * (output if origin >= YOUNG else plan.normal[q])
            make_monotone(mixed, plan.middle)
            unit = series.unit[row, plan.slots[k] + origin % plan.horizons[k]]
            if k == 0:
                apply_lean_feedback(series, feedback, row, plan.middle, unit, mixed)
            step = offset_unit(mixed, plan.normal, series.wrong[row, k])
            apply_offsets(mixed, series.offset[row, k], step, plan.middle, published)
            clip_quantiles(bounds, row, series.center[row], value, unit, published)
            series.latest[row, k] = published
            slot = follow_up_slot(follow_up, k, origin)
            if slot >= 0:
                for n in range(len(networks)):
                    median = networks[n, b, k, plan.middle] if origin >= YOUNG else 0.0
                    series.medians[row, slot, n] = encode16(median, FINAL_CLIP)
                for q in range(len(mixed)):
                    series.finals[row, slot, q] = encode16(published[q], FINAL_CLIP)


@compiled
def read_lean_forecasts(
    series: LeanState, bounds: Bounds, plan: Plan, rows: Integers, published: PublishedForecasts
) -> None:
    """Fill `published` with the latest forecast of each row (B,)."""
    for b in range(len(rows)):
        row = rows[b]
        for i in range(len(plan.published)):
            k = plan.published[i]
            latest, error, persistence_error = series.latest[row, k], series.wrong[row, k], series.naive[row, k]
            time, cadence = float(series.time[row]), round_cadence(series.cadence[row])
            change = lean_profile_change(series, plan, row, time, cadence, plan.horizons[k])
            fill_forecast(series, bounds, plan, row, i, latest, error, persistence_error, change, published, b)
