"""Pending forecasts, until their truth arrives: then members, intervals and the mixture are judged, and learn."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.ensemble.aggregation import FIRST_BOUND, FIRST_VARIANCE, reward
from streamrnn.core.ensemble.conformal import exceedance, track_miss, track_offsets, track_residuals, track_tail
from streamrnn.core.ensemble.forecast_scores import BESIDE, ERROR_CLIP, NETWORK, SEASONAL, clipped, weigh_up
from streamrnn.core.experts.classical import FIRST_ORIGIN, TRUST_RATE, TRUTH_CLIP
from streamrnn.core.jit import Floats, Integers, Shorts, Singles, compiled, compiled_allocating
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import decoded, distance, rough
from streamrnn.core.series.state import EXPERTS, FIRST_TRUST, POINT_CLIP, Series

SKILL_RATE = 1 / 200
WARM = 32
"""Observations before a series counts as warm: until then its anomaly score is 0."""
NAIVE_SEASONAL = EXPERTS.index("naive_short")


class Ledger(NamedTuple):
    """One row a series. L pending slots, K horizons, Q quantiles, G guests, M members: X points, then N networks.

    The points are persistence, some of the experts, and all guests, each with the quantiles of its own residuals around
    it. All quantiles are distances from the value at the origin, in units of its scale.
    """

    networks: Singles  # (S, L, N, Q) pending, of the networks
    guests: Shorts  # (S, L, G) pending points of the guests, coded
    mixed: Singles  # (S, L, Q) of the mixture
    final: Singles  # (S, L, Q) as published
    residual: Singles  # (S, K, Q, X) quantiles of the residuals of the points, in multiples of their usual |error|
    astray: Singles  # (S, K, G) decayed sum of |error| of each guest, as the series' `error` of its experts; units
    regret: Singles  # (S, K, Q, M)
    variance: Singles  # (S, K, Q, M)
    bound: Singles  # (S, K, Q, M)
    offset: Singles  # (S, K, Q) calibration offsets, in multiples of `miss`
    miss: Singles  # (S, K) running |error| of the published median
    wrong: Singles  # (S, K) recent mean |error| of the published median
    naive: Singles  # (S, K) the same of persistence
    tail: Singles  # (S,) ratio of the 99% interval to the outermost one


AXES = {
    "networks": "L.Q", "guests": "L.", "mixed": "LQ", "final": "LQ", "residual": "KQ.", "astray": "K.",
    "regret": "KN.", "variance": "KN.", "bound": "KN.", "offset": "KQ", "miss": "K", "wrong": "K", "naive": "K",
    "tail": "O",
}  # fmt: skip
"""What the axes after the first count; see carry."""


def allocate_ledger(capacity: int, plan: Plan, points: int, networks: int, guests: int = 0) -> Ledger:
    """Room for `capacity` new series, with X points (persistence and G guests included) and N networks."""
    k, q, slots, members = len(plan.horizons), len(plan.levels), int(plan.horizons.sum()), points + networks
    f4 = np.float32
    new = Ledger(
        networks=np.zeros((capacity, slots, networks, q), f4),
        guests=np.zeros((capacity, slots, guests), np.int16),
        mixed=np.zeros((capacity, slots, q), f4),
        final=np.zeros((capacity, slots, q), f4),
        residual=np.zeros((capacity, k, q, points), f4),
        astray=np.full((capacity, k, guests), FIRST_TRUST, f4),
        regret=np.zeros((capacity, k, q, members), f4),
        variance=np.full((capacity, k, q, members), FIRST_VARIANCE, f4),
        bound=np.full((capacity, k, q, members), FIRST_BOUND, f4),
        offset=np.zeros((capacity, k, q), f4),
        miss=np.zeros((capacity, k), f4),
        wrong=np.zeros((capacity, k), f4),
        naive=np.zeros((capacity, k), f4),
        tail=np.full(capacity, plan.tail, f4),
    )
    new.residual[:] = plan.normal[:, None]
    return new


@compiled
def read_points(
    series: Series, ledger: Ledger, row: int, k: int, slot: int, chosen: Integers, points: Floats, sizes: Floats
) -> None:
    """Fill pending `points` (X,), units, and `sizes` (X,): their usual |error| over persistence's, at most 1.

    `chosen` (X,) says whose they are: -1 persistence's, below E an expert's, from E on a guest's.
    """
    own = series.points.shape[2]
    naive = series.error[row, k, own]  # persistence comes after the experts
    for x in range(len(chosen)):
        e = chosen[x]
        if e < 0:
            points[x], sizes[x] = 0.0, 1.0
        elif e < own:
            points[x], sizes[x] = decoded(series.points[row, slot, e], POINT_CLIP), series.error[row, k, e] / naive
        else:
            coded, astray = ledger.guests[row, slot, e - own], ledger.astray[row, k, e - own]
            points[x], sizes[x] = decoded(coded, POINT_CLIP), astray / naive
        sizes[x] = min(sizes[x], 1.0)


@compiled
def listen(ledger: Ledger, row: int, k: int, slot: int, q: int, points: Floats, sizes: Floats, said: Floats) -> None:
    """Fill `said` (M,): what all members say of one quantile, in units."""
    count, residual = len(points), ledger.residual[row, k, q]
    for x in range(count):
        said[x] = points[x] + residual[x] * sizes[x]
    for n in range(len(said) - count):
        said[count + n] = ledger.networks[row, slot, n, q]


@compiled
def track_guests(ledger: Ledger, row: int, k: int, errors: Floats) -> None:
    """Follow the size of the guests' errors, the last ones of `errors` (X,)."""
    astray = ledger.astray[row, k]
    first = len(errors) - len(astray)
    for g in range(len(astray)):
        astray[g] = TRUST_RATE * astray[g] + min(abs(errors[first + g]), TRUTH_CLIP)


@compiled
def judge(
    series: Series, ledger: Ledger, plan: Plan, chosen: Integers, row: int, k: int, slot: int, labels: int,
    truth: float, room: Floats,
) -> None:  # fmt: skip
    """Let mixture and residuals learn from the truth of a pending forecast; `room` (3, M) is written over."""
    count = len(chosen)
    points, sizes, said = room[0, :count], room[1, :count], room[2]
    read_points(series, ledger, row, k, slot, chosen, points, sizes)
    for q in range(len(plan.levels)):
        listen(ledger, row, k, slot, q, points, sizes, said)
        reward(
            ledger.regret[row, k, q], ledger.variance[row, k, q], ledger.bound[row, k, q], ledger.mixed[row, slot, q],
            said, truth, plan.levels[q],
        )  # fmt: skip
    for x in range(count):
        points[x] = truth - points[x]
    for q in range(len(plan.levels)):
        if q != plan.middle:
            track_residuals(ledger.residual[row, k, q], points, sizes, plan.levels[q], labels)
    if labels >= FIRST_ORIGIN:
        track_guests(ledger, row, k, points)


@compiled
def mature(
    series: Series, ledger: Ledger, plan: Plan, chosen: Integers, row: int, k: int, value: float, room: Floats,
    scores: Floats,
) -> float:  # fmt: skip
    """Score the forecast of horizon k that was made for this observation, and learn from it; the truth in units."""
    horizon, now, middle = plan.horizons[k], series.seen[row], plan.middle
    slot, labels = plan.slots[k] + now % horizon, now - horizon
    truth = (value - series.ring[row, labels % series.ring.shape[1]]) / series.unit[row, slot]
    judge(series, ledger, plan, chosen, row, k, slot, labels, truth, room)
    final = ledger.final[row, slot]
    track_offsets(ledger.offset[row, k], final, plan.levels, middle, truth, 1)
    wrong, naive = min(abs(truth - final[middle]), ERROR_CLIP), min(abs(truth), ERROR_CLIP)
    rate = max(SKILL_RATE, 1.0 / (labels + 1))
    ledger.miss[row, k] = track_miss(ledger.miss[row, k], wrong, labels)
    ledger.wrong[row, k] += rate * (wrong - ledger.wrong[row, k])
    ledger.naive[row, k] += rate * (naive - ledger.naive[row, k])
    weigh_up(final, plan.levels, middle, truth, scores, k)
    for n in range(ledger.networks.shape[2]):
        scores[NETWORK + n, k] += clipped(truth - ledger.networks[row, slot, n, middle])
    season = series.period[row, 0]
    if season > 0 and series.time[row] - series.first[row] >= season + horizon * series.cadence[row]:
        # a season had passed at the origin
        said = decoded(series.points[row, slot, NAIVE_SEASONAL], POINT_CLIP)
        scores[SEASONAL, k] += clipped(truth - said)
        scores[BESIDE, k] += clipped(truth - final[middle])
    return truth


@compiled
def surprise(series: Series, ledger: Ledger, plan: Plan, row: int, value: float) -> float:
    """Anomaly score of an observation, before anything is learned from it; 0 for a series that is not warm."""
    now = series.seen[row]
    if now < 1:
        return 0.0
    slot = plan.slots[0]  # horizon 1 has one slot
    truth = (value - series.ring[row, (now - 1) % series.ring.shape[1]]) / series.unit[row, slot]
    ratio = exceedance(ledger.final[row, slot], plan.middle, truth)
    score = ratio / ledger.tail[row]
    ledger.tail[row] = track_tail(ledger.tail[row], ratio)
    return rough(min(score, 1e6)) if now >= WARM else 0.0


@compiled_allocating
def settle(
    series: Series,
    ledger: Ledger,
    plan: Plan,
    chosen: Integers,
    rows: Integers,
    values: Floats,
    truths: Singles,
    anomaly: Floats,
    scores: Floats,
) -> None:
    """One wave, before the bank takes it in: `rows` (B,) distinct, `values` (B,).

    Fills `truths` (B, K), units, NaN where no forecast was due, and `anomaly` (B,), and adds to `scores` (8 + N, K).
    """
    room = np.empty((3, len(chosen) + ledger.networks.shape[2]))
    for b in range(len(rows)):
        row = rows[b]
        value = distance(values[b], series.center[row])
        anomaly[b] = surprise(series, ledger, plan, row, value)
        for k in range(len(plan.horizons)):
            truths[b, k] = np.nan
            if series.seen[row] >= plan.horizons[k]:
                truths[b, k] = mature(series, ledger, plan, chosen, row, k, value, room, scores)
