"""Conversion of a series' state after a change of its level or unit, as if its past had the new level and unit.

Values are stored as distances from a center, and forecasts in units of a scale. A shift of the level moves the center;
a change of the unit multiplies stored values. The effect of observations since the change is removed from running
means and pending forecasts.
"""

import math

import numpy as np

from streamrnn.core.banks.lean.follow_up import FollowUp, follow_up_slot
from streamrnn.core.banks.lean.ledger import FINAL_CLIP
from streamrnn.core.ensemble.conformal import MISS_CLIP, MISS_RATE, TAIL_RATE, TAIL_SHARE
from streamrnn.core.ensemble.forecast_scores import ERROR_CLIP
from streamrnn.core.ensemble.ledger import SKILL_RATE, Ledger, pack_networks
from streamrnn.core.experts.level_shifts import Change, observed_rows
from streamrnn.core.jit import Floats, Integers, Singles
from streamrnn.core.series.calendar import round_cadence, slot_count
from streamrnn.core.series.lean_state import AnyState, LeanState
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.profile_shift import slot_of
from streamrnn.core.series.scaling import MEAN_RATES, SCALE_CLIP, SCALE_RATE, encode16
from streamrnn.core.series.seasonal_state import HOLT_WINTERS
from streamrnn.core.series.state import LONG_SLOTS, SHORT_SLOTS, SMOOTHING, FullState

LEAST_SHARE = 0.2  # least share of a running mean that is attributed to labels before the change


def rescale_series(series: AnyState, plan: Plan, row: int, change: Change) -> int:
    """Convert the state that both variants have: ring, scales, means, and the units of pending forecasts.

    Returns the number of steps since the change, missing ones included.
    """
    count, ring, after = int(series.seen[row]), series.ring[row], len(change.values)
    numbers = observed_rows(series, plan, row)[-after - 1 :]
    ring *= np.float32(change.factor)
    known = np.append(ring[numbers[0] % len(ring)], change.values - change.center)[-len(numbers) :]
    filled = np.arange(numbers[0], count)
    ring[filled % len(ring)] = np.interp(filled, numbers, known)
    first = int(numbers[-after:][0])
    series.center[row] = change.center
    clipped = 1 + (SCALE_CLIP - 1) * max(SCALE_RATE, 1 / count)  # by which each value since has increased a scale
    series.scale[row] *= change.factor / clipped**after
    known = ring_values(ring, count)
    for i, rate in enumerate(MEAN_RATES):
        series.means[row, i] = exponential_mean(known, rate)
    series.variance[row] = known.var()
    for k, horizon in enumerate(plan.horizons.tolist()):
        pending = np.arange(max(count - horizon, 0), count)
        slots = plan.slots[k] + pending % horizon
        old = pending < first
        series.unit[row, slots[old]] *= np.float32(change.factor)
        recent = slots[~old]
        series.unit[row, recent] = np.where(series.unit[row, recent] > 0, series.scale[row, k], 0)
    return count - first


def rescale_full(series: FullState, ledger: Ledger, plan: Plan, row: int, change: Change) -> None:
    """Convert the state of a series in the full variant."""
    since = rescale_series(series, plan, row, change)
    count, after = int(series.seen[row]), len(change.values)
    known = ring_values(series.ring[row], count)
    for i, rate in enumerate(SMOOTHING):
        series.smooth[row, i] = exponential_mean(known, rate)
    factor = np.float32(change.factor)
    series.short[row] *= factor
    series.long[row] *= factor
    series.before[row] = np.nan
    season = _rewrite_tables(series, plan, row, change)
    series.level[row], series.trend[row] = known[-1] - season, 0.0
    rows = np.arange(count - since, count) % series.gain_unit.shape[2]
    series.gain_unit[row][:, rows] = 0.0
    slots = new_slots(plan, count, since)
    series.points[row, slots] = 0
    ledger.guests[row, slots] = 0
    ledger.networks[row, slots] = pack_networks(plan.normal)
    for pending in (ledger.mixed, ledger.final):
        pending[row, slots] = plan.normal
    ledger.miss[row] /= np.float32((1 + (MISS_CLIP - 1) * MISS_RATE) ** after)
    labels = np.full(len(plan.horizons), after)
    for running in (ledger.wrong, ledger.naive):
        undo_largest(running[row], labels, SKILL_RATE)
    ledger.tail[row] *= np.float32(math.exp(-TAIL_RATE * (1 - TAIL_SHARE) * after))


def rescale_lean(series: LeanState, plan: Plan, follow_up: FollowUp, row: int, change: Change) -> None:
    """Convert the state of a series in the lean variant."""
    since = rescale_series(series, plan, row, change)
    count, after = int(series.seen[row]), len(change.values)
    cadence, first = round_cadence(series.cadence[row]), float(series.first[row])
    series.short[row] *= np.float32(change.factor)
    series.long[row] *= np.float32(change.factor)
    for table, period in zip((series.short[row], series.long[row]), series.period[row].tolist(), strict=True):
        if period > 0:
            slots = slot_count(period, cadence, len(table))
            for value, time in zip(change.values.tolist(), change.times.astype(float).tolist(), strict=True):
                table[slot_of(plan.clock, time, time, first, period, slots)] = value - change.center
    labels = np.zeros(len(plan.horizons), np.int64)
    for k, horizon in enumerate(plan.horizons.tolist()):
        for back in range(1, since + 1):
            labels[k] += follow_up_slot(follow_up, k, count - back - horizon) >= 0
            slot = follow_up_slot(follow_up, k, count - back)
            if slot >= 0 and back <= horizon:
                series.points[row, slot], series.medians[row, slot] = 0, 0
                series.finals[row, slot] = [encode16(normal, FINAL_CLIP) for normal in plan.normal.tolist()]
    for running in (series.wrong, series.naive):
        undo_largest(running[row], labels, np.minimum(SKILL_RATE * follow_up.stride, 0.5))
    series.tail[row] *= np.float32(math.exp(-TAIL_RATE * (1 - TAIL_SHARE) * after))


def ring_values(ring: Singles, count: int) -> Floats:
    """Return the values in a ring in order, the oldest first."""
    return ring[np.arange(max(count - len(ring), 0), count) % len(ring)].astype(np.float64)


def exponential_mean(values: Floats, rate: float) -> float:
    """Return the exponential mean of values, starting from their plain mean."""
    mean = float(values.mean())
    for value in values.tolist():
        mean += rate * (value - mean)
    return mean


def new_slots(plan: Plan, count: int, after: int) -> Integers:
    """Return the slots of the pending forecasts whose origins are the last `after` of `count` steps."""
    slots = [
        plan.slots[k] + np.arange(max(count - min(after, horizon), 0), count) % horizon
        for k, horizon in enumerate(plan.horizons.tolist())
    ]
    return np.concatenate(slots)


def undo_largest(running: Singles, labels: Integers, rate: Floats | float) -> None:
    """Remove the last `labels` (K,), assumed to have the largest error, from exponential means (K,), in place."""
    share = np.maximum((1 - np.asarray(rate)) ** labels, LEAST_SHARE)
    running[:] = np.maximum(running - ERROR_CLIP * (1 - share), share * running * LEAST_SHARE) / share


def _rewrite_tables(series: FullState, plan: Plan, row: int, change: Change) -> float:
    """Write the values since the change into the seasonal tables; return the Holt-Winters season of the latest."""
    cadence, first, season = round_cadence(series.cadence[row]), float(series.first[row]), 0.0
    tables = (series.short[row], SHORT_SLOTS), (series.long[row], LONG_SLOTS)
    for i, ((table, most), period) in enumerate(zip(tables, series.period[row].tolist(), strict=True)):
        if period <= 0:
            continue
        slots = slot_count(period, cadence, most)
        for value, time in zip(change.values.tolist(), change.times.astype(float).tolist(), strict=True):
            slot = slot_of(plan.clock, time, time, first, period, slots)
            table[:HOLT_WINTERS, slot] = value - change.center
            if i == 0:
                neighbours = table[HOLT_WINTERS, [(slot - 1) % slots, (slot + 1) % slots]]
                table[HOLT_WINTERS, slot] = season = float(neighbours.mean())
    return season
