"""The ledger of pending forecasts, which are stored until their labels arrive, then scored and learned from."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from streamrnn.core.ensemble.adjustments import EnsembleParts, learn_adjustments
from streamrnn.core.ensemble.aggregation import FIRST_BOUND, FIRST_VARIANCE, label_weight, update_regrets
from streamrnn.core.ensemble.bounds import Bounds, clip_label, observe_bounds
from streamrnn.core.ensemble.conformal import (
    OFFSET_RATE,
    OVERLAP,
    exceedance,
    offset_step,
    track_error,
    track_offsets,
    track_residuals,
    track_tail,
    young_steps,
)
from streamrnn.core.ensemble.forecast_scores import (
    ERROR_CLIP,
    ERROR_IN_SEASON,
    NETWORK,
    SEASONAL,
    add_scores,
    clipped_error,
)
from streamrnn.core.ensemble.resolution import is_negligible
from streamrnn.core.ensemble.widths import learn_widths
from streamrnn.core.experts.analogs import Analogs, analog_quantile
from streamrnn.core.experts.classical import FIRST_ORIGIN, TRUST_RATE, TRUTH_CLIP, decode_point
from streamrnn.core.jit import Floats, Integers, Shorts, Singles, compiled, compiled_allocating, flattened
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import CODES, centered, clip, decode16, round_score
from streamrnn.core.series.seasonal_state import fill_missing_full, label_change
from streamrnn.core.series.state import EXPERTS, FIRST_TRUST, NETWORK_CLIP, POINT_CLIP, FullState
from streamrnn.core.series.update import horizon_passed, is_pending

SKILL_RATE = 1 / 200  # rate of the recent mean errors, per label
WARM = 32  # steps up to which a series is warming up, with anomaly scores of 0
NAIVE_SEASONAL = EXPERTS.index("naive_short")
ALL_NETWORKS = 3  # the base, the base with a head that learns, and the copy that learns as a whole
PRIOR_COMBINATION, PRIOR_ANALOGS = 2.0, 5.0
"""Shares in the prior of the mixture. A share of 10 for the combination increases the loss of random walks by 0.6%."""
COMBINATION_VERSION = 1
"""Entry of the layout; earlier versions lack the combination."""
PACKED_VERSION = 1
"""Entry of the layout; earlier versions store pending quantiles of networks, and past errors, with more bits."""


class Ledger(NamedTuple):
    """One row per series. L pending slots, K horizons, Q quantiles, G extra experts, X points, N networks, M members.

    The M members are, in this order: X point forecasts (persistence, some classical experts, and all extra experts),
    each with quantiles of its own residuals; N networks; with all networks their combination, see `count_members`; and
    the analogs. All quantiles are in units.
    """

    networks: Shorts  # (S, L, N, Q) pending quantiles of the networks, 16-bit codes
    guests: Shorts  # (S, L, G) pending forecasts of the extra experts, 16-bit codes
    mixed: Singles  # (S, L, Q) pending quantiles of the mixture
    final: Singles  # (S, L, Q) pending published quantiles
    residual: Singles  # (S, K, Q, X) residual quantiles of the points, in multiples of their running |error|
    astray: Singles  # (S, K, G) decayed sum of |error| of each extra expert, units
    regret: Singles  # (S, K, Q, M) see aggregation
    variance: Singles  # (S, K, Q, M) second moment of the regrets
    bound: Singles  # (S, K, Q, M) decayed maximum of their changes
    offset: Singles  # (S, K, Q) conformal offsets, see offset_unit
    miss: Singles  # (S, K) running |error| of the published median, units
    wrong: Singles  # (S, K) recent mean |error| of the published median, units
    naive: Singles  # (S, K) recent mean |error| of persistence, units
    tail: Singles  # (S,) ratio of the 99% interval to the outermost published interval


LEDGER_AXES = {
    "networks": "L.Q", "guests": "L.", "mixed": "LQ", "final": "LQ", "residual": "KQ.", "astray": "K.",
    "regret": "KN.", "variance": "KN.", "bound": "KN.", "offset": "KQ", "miss": "K", "wrong": "K", "naive": "K",
    "tail": "O",
}  # fmt: skip
"""Kinds of the axes after the first, for arrays whose shape depends on the plan; see `migration`."""


@compiled
def count_members(points: int, networks: int) -> int:
    """Return M. The last member is the analogs.

    With all networks, the member before it is the combination: the base plus what each of the two copies has learned. A
    weighted mean would contain only a part of what each copy has learned, because the weights sum to 1.
    """
    return points + networks + (2 if networks == ALL_NETWORKS else 1)


def further_priors(networks: int) -> list[float]:
    """Return the shares in the prior of the members that follow N `networks`; see `count_members`."""
    return [*[PRIOR_COMBINATION] * (count_members(0, networks) - networks - 1), PRIOR_ANALOGS]


def allocate_ledger(capacity: int, plan: Plan, points: int, networks: int, extra_experts: int = 0) -> Ledger:
    """Allocate the ledger of `capacity` new series with X `points`, extra experts included, and N `networks`."""
    k, q, slots = len(plan.horizons), len(plan.levels), int(plan.horizons.sum())
    members = count_members(points, networks)
    f4 = np.float32
    new = Ledger(
        networks=np.zeros((capacity, slots, networks, q), np.int16),
        guests=np.zeros((capacity, slots, extra_experts), np.int16), mixed=np.zeros((capacity, slots, q), f4),
        final=np.zeros((capacity, slots, q), f4), residual=np.zeros((capacity, k, q, points), f4),
        astray=np.full((capacity, k, extra_experts), FIRST_TRUST, f4), regret=np.zeros((capacity, k, q, members), f4),
        variance=np.full((capacity, k, q, members), FIRST_VARIANCE, f4),
        bound=np.full((capacity, k, q, members), FIRST_BOUND, f4), offset=np.zeros((capacity, k, q), f4),
        miss=np.zeros((capacity, k), f4), wrong=np.zeros((capacity, k), f4), naive=np.zeros((capacity, k), f4),
        tail=np.full(capacity, plan.tail, f4),
    )  # fmt: skip
    new.residual[:] = plan.normal[:, None]
    return new


def pack_networks(quantiles: Floats | Singles) -> Shorts:
    """Return the 16-bit codes of networks' quantiles, units."""
    return np.rint(np.clip(quantiles / NETWORK_CLIP, -1, 1) * CODES).astype(np.int16)


def upgrade_ledger(saved: Mapping[str, Any], members: int) -> dict[str, Any]:
    """Return saved arrays, by prefixed name, in the form of this version.

    Earlier versions have fewer than M `members`; the missing ones get initial values. They have the quantiles of
    networks as floating-point numbers.
    """
    complete = dict(saved)
    if saved["ledger_networks"].dtype.kind == "f":
        complete["ledger_networks"] = pack_networks(saved["ledger_networks"])
    for name, first in (("regret", 0.0), ("variance", FIRST_VARIANCE), ("bound", FIRST_BOUND)):
        array = saved[f"ledger_{name}"]
        if array.shape[-1] < members:
            blank = np.full((*array.shape[:-1], members - array.shape[-1]), first, array.dtype)
            complete[f"ledger_{name}"] = np.concatenate([array, blank], -1)
    return complete


@compiled
def fill_points(
    series: FullState, ledger: Ledger, row: int, k: int, slot: int, chosen: Integers, points: Floats, sizes: Floats
) -> None:
    """Fill the pending `points` (X,), units, and `sizes` (X,), their running |error| over persistence's, at most 1.

    A point is NaN if its expert has no forecast. `chosen` (X,) has -1 for persistence, an index below E for a classical
    expert, and an index from E on for an extra expert.
    """
    experts = series.points.shape[2]
    persistence = series.error[row, k, experts]
    for x in range(len(chosen)):
        e = chosen[x]
        if e < 0:
            points[x], sizes[x] = 0.0, 1.0
        elif e < experts:
            points[x] = decode_point(series.points[row, slot, e])
            sizes[x] = series.error[row, k, e] / persistence
        else:
            points[x] = decode16(ledger.guests[row, slot, e - experts], POINT_CLIP)
            sizes[x] = ledger.astray[row, k, e - experts] / persistence
        sizes[x] = min(sizes[x], 1.0)


@compiled
def fill_member_quantiles(
    ledger: Ledger, analogs: Analogs, row: int, k: int, slot: int, points: Floats, sizes: Floats, outputs: Floats
) -> None:
    """Fill `outputs` (Q*M,) with the pending quantiles of every member, units; NaN: no forecast."""
    count, networks = len(points), ledger.networks.shape[2]
    members = count_members(count, networks)
    for q in range(ledger.mixed.shape[2]):
        first, residual = q * members, ledger.residual[row, k, q]
        for x in range(count):
            outputs[first + x] = points[x] + residual[x] * sizes[x]
        for n in range(networks):
            outputs[first + count + n] = decode16(ledger.networks[row, slot, n, q], NETWORK_CLIP)
        if networks == ALL_NETWORKS:
            base, learned = outputs[first + count], outputs[first + count + 1] + outputs[first + count + 2]
            outputs[first + members - 2] = learned - base
        outputs[first + members - 1] = analog_quantile(analogs.quantiles[row, slot, q])


@compiled
def track_extra_experts(ledger: Ledger, row: int, k: int, errors: Floats) -> None:
    """Update the decayed |error| of the extra experts, which are the last of `errors` (X,), units."""
    running = ledger.astray[row, k]
    first = len(errors) - len(running)
    for g in range(len(running)):
        running[g] = TRUST_RATE * running[g] + min(abs(errors[first + g]), TRUTH_CLIP)


@compiled
def learn_from_label(
    series: FullState, ledger: Ledger, analogs: Analogs, plan: Plan, chosen: Integers, row: int, k: int, slot: int,
    labels: int, truth: float, scratch: Floats,
) -> None:  # fmt: skip
    """Update regrets and residual quantiles by the label `truth`, units, of a pending forecast; `scratch` (3, Q*M)."""
    count = len(chosen)
    points, sizes, outputs = scratch[0, :count], scratch[1, :count], scratch[2]
    weight = label_weight(plan.horizons[k])
    fill_points(series, ledger, row, k, slot, chosen, points, sizes)
    fill_member_quantiles(ledger, analogs, row, k, slot, points, sizes, outputs)
    update_regrets(
        flattened(ledger.regret[row, k]), flattened(ledger.variance[row, k]), flattened(ledger.bound[row, k]),
        ledger.mixed[row, slot], outputs, truth, plan.levels, weight,
    )  # fmt: skip
    for x in range(count):
        points[x] = truth - points[x]
    for q in range(len(plan.levels)):
        if q != plan.middle:
            track_residuals(ledger.residual[row, k, q], points, sizes, plan.levels[q], labels)
    if labels >= FIRST_ORIGIN:
        track_extra_experts(ledger, row, k, points)


@compiled
def score_pending(
    series: FullState, ledger: Ledger, parts: EnsembleParts, bounds: Bounds, plan: Plan, chosen: Integers, row: int,
    k: int, value: float, time: float, scratch: Floats, scores: Floats,
) -> float:  # fmt: skip
    """Score the pending forecast of horizon k by a centered `value` at `time`, and learn from it; return the label."""
    horizon, now, middle = plan.horizons[k], series.seen[row], plan.middle
    slot, labels = plan.slots[k] + now % horizon, now - horizon
    origin, unit = series.ring[row, labels % series.ring.shape[1]], series.unit[row, slot]
    truth = (centered(value, label_change(series, plan, row, time, horizon)) - origin) / unit
    learn_from_label(series, ledger, parts.analogs, plan, chosen, row, k, slot, labels, truth, scratch)
    final = ledger.final[row, slot]
    near = clip_label(bounds, row, series.center[row], origin, unit, truth)
    step = young_steps(labels) * offset_step(horizon, OFFSET_RATE, OVERLAP)
    track_offsets(ledger.offset[row, k], final, plan.levels, middle, near, step)
    learn_widths(series, parts.widths, plan, row, k, slot, labels, time, final, near)
    error, persistence_error = min(abs(truth - final[middle]), ERROR_CLIP), min(abs(truth), ERROR_CLIP)
    rate = max(SKILL_RATE, 1.0 / (labels + 1))
    ledger.miss[row, k] = track_error(ledger.miss[row, k], error, labels)
    ledger.wrong[row, k] += rate * (error - ledger.wrong[row, k])
    ledger.naive[row, k] += rate * (persistence_error - ledger.naive[row, k])
    add_scores(final, plan.levels, middle, truth, scores, k)
    for n in range(ledger.networks.shape[2]):
        median = decode16(ledger.networks[row, slot, n, middle], NETWORK_CLIP)
        scores[NETWORK + n, k] += clipped_error(truth - median)
    season = series.period[row, 0]
    if season > 0 and series.time[row] - series.first[row] >= season + horizon * series.cadence[row]:
        # at the origin, the series was at least a season old
        seasonal = clip(decode_point(series.points[row, slot, NAIVE_SEASONAL]), POINT_CLIP)
        scores[SEASONAL, k] += clipped_error(truth - seasonal)
        scores[ERROR_IN_SEASON, k] += clipped_error(truth - final[middle])
    return truth


@compiled
def score_anomaly(series: FullState, ledger: Ledger, plan: Plan, row: int, value: float, time: int) -> float:
    """Return the anomaly score of a centered `value`, and update the tail; 0 while the series is warming up.

    After a gap, the forecast for `time` is one of a longer horizon; if there is none, the score is 0.
    """
    now = series.seen[row]
    if now < 1:
        return 0.0
    k = horizon_passed(series, plan, row, time)
    if k < 0:
        return 0.0
    horizon = plan.horizons[k]
    slot, origin = plan.slots[k] + now % horizon, now - horizon
    value = centered(value, label_change(series, plan, row, float(time), horizon))
    truth = (value - series.ring[row, origin % series.ring.shape[1]]) / series.unit[row, slot]
    ratio = exceedance(ledger.final[row, slot], plan.middle, truth)
    if ratio > ledger.tail[row]:
        deviation = abs(float(truth) - ledger.final[row, slot, plan.middle]) * series.unit[row, slot]
        if is_negligible(deviation, series.value[row], series.ring[row], origin + 1, series.center[row]):
            ratio = 0.0
    score = ratio / ledger.tail[row]
    if k == 0:
        ledger.tail[row] = track_tail(ledger.tail[row], ratio)
    return round_score(min(score, 1e6)) if now >= WARM else 0.0


@compiled_allocating
def score_wave(
    series: FullState, ledger: Ledger, parts: EnsembleParts, bounds: Bounds, plan: Plan, chosen: Integers,
    rows: Integers, values: Floats, times: Integers, truths: Singles, anomaly: Floats, scores: Floats,
) -> None:  # fmt: skip
    """Score the forecasts due at a wave, `rows` (B,) distinct, `values` and `times` (B,), before the state is updated.

    Fills the labels `truths` (B, K), units, NaN where no forecast was due, and the scores `anomaly` (B,); adds to
    `scores` (8 + N, K).
    """
    quantiles = len(plan.levels)
    scratch = np.empty((3, quantiles * count_members(len(chosen), ledger.networks.shape[2])))
    outputs, product = np.empty(2 * quantiles), np.empty(parts.feedback.terms.shape[1], np.float32)
    for b in range(len(rows)):
        row = rows[b]
        value, time = centered(values[b], series.center[row]), float(times[b])
        observe_bounds(bounds, row, values[b])
        fill_missing_full(series, plan, row, value, times[b])
        anomaly[b] = score_anomaly(series, ledger, plan, row, value, times[b])
        for k in range(len(plan.horizons)):
            truths[b, k] = np.nan
            if is_pending(series, plan, row, k):
                truths[b, k] = score_pending(
                    series, ledger, parts, bounds, plan, chosen, row, k, value, time, scratch, scores
                )  # fmt: skip
        learn_adjustments(
            series, parts, plan, row, times[b], ledger.mixed[row], ledger.final[row], truths[b], outputs, product
        )
