"""Published quantiles: aggregation of the members' quantiles, calibration, and conversion to the field's unit."""

import math
from typing import NamedTuple

import numpy as np

from streamrnn.core.ensemble.adjustments import EnsembleParts, adjust_quantiles
from streamrnn.core.ensemble.aggregation import fill_prior, fill_weights, label_weight
from streamrnn.core.ensemble.bounds import Bounds, clip_quantiles, current_bounds, within_bounds
from streamrnn.core.ensemble.conformal import apply_offsets, make_monotone, offset_unit, predicted_error
from streamrnn.core.ensemble.ledger import WARM, Ledger, fill_member_quantiles, fill_points
from streamrnn.core.ensemble.widths import apply_widths
from streamrnn.core.experts.analogs import Analogs, compare_stretches, new_search, store_analogs
from streamrnn.core.jit import Booleans, Floats, Integers, Singles, compiled, compiled_allocating, flattened
from streamrnn.core.series.calendar import round_cadence
from streamrnn.core.series.lean_state import AnyState
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import encode16, round_score
from streamrnn.core.series.seasonal_state import profile_change
from streamrnn.core.series.state import NETWORK_CLIP, POINT_CLIP, FullState

YOUNG = 10  # steps up to which persistence replaces the networks, because the scale is not known yet
FIRST_SCALE = 0.25  # scale before any change was observed, as a share of the value: the mean over real streams
DIGITS = 4  # digits of a forecast below the first digit of its unit
MAX_DIGITS = 15  # most decimal places, ...
TINY_UNIT = 1e-12  # ... except for series with a unit below this


class PublishedForecasts(NamedTuple):
    """Forecasts of B rows at the H configured horizons."""

    target_times: Integers  # (B, H) ms
    quantiles: Floats  # (B, H, Q) in the field's unit
    skill: Floats  # (B, H) 1 - recent error / recent error of persistence
    warming: Booleans  # (B,) whether the series is warming up

    @classmethod
    def empty(cls, count: int, horizons: int, quantiles: int) -> "PublishedForecasts":
        """Allocate forecasts of `count` rows."""
        size = count, horizons
        return cls(np.empty(size, np.int64), np.empty((*size, quantiles)), np.empty(size), np.empty(count, np.bool_))


@compiled
def round_to_unit(value: float, unit: float) -> float:
    """Return a value rounded to about 1/10,000 of the unit: further digits are uninformative and cost bytes."""
    digits = max(DIGITS - math.floor(math.log10(unit)), 0)
    if unit >= TINY_UNIT:
        digits = min(digits, MAX_DIGITS)
    power = 10.0**digits
    scaled = value * power
    if abs(scaled) >= 2.0**52:
        return value
    return np.rint(scaled) / power


@compiled
def published_unit(unit: float, scale: float, horizon: int, count: int, value: float) -> float:
    """Return the unit of published quantiles; larger than `unit` while a young series is constant (`scale` is 0).

    It is then FIRST_SCALE times |value| (1 for a value of 0), which decreases with the number of observations.
    """
    if scale > 0 or count > YOUNG:
        return unit
    size = abs(value) if value != 0 else 1.0
    return max(unit, FIRST_SCALE * size * math.sqrt(horizon) / count)


@compiled
def mix_members(
    series: FullState, ledger: Ledger, analogs: Analogs, plan: Plan, chosen: Integers, row: int, k: int, slot: int,
    prior: Floats, scratch: Floats, mixed: Floats,
) -> None:  # fmt: skip
    """Fill `mixed` (Q,), units, with the weighted means of the members' quantiles; `scratch` (5, Q*M)."""
    points, sizes, members = scratch[0, : len(chosen)], scratch[1, : len(chosen)], len(prior)
    outputs, rates, weights, weight = scratch[2], scratch[3], scratch[4], label_weight(plan.horizons[k])
    fill_points(series, ledger, row, k, slot, chosen, points, sizes)
    fill_weights(
        flattened(ledger.regret[row, k]), flattened(ledger.variance[row, k]), flattened(ledger.bound[row, k]), prior,
        weight, rates, weights,
    )  # fmt: skip
    fill_member_quantiles(ledger, analogs, row, k, slot, points, sizes, outputs)
    for q in range(len(plan.levels)):
        mean, total = 0.0, 0.0
        for i in range(q * members, (q + 1) * members):
            if outputs[i] == outputs[i]:  # else the member has no forecast
                mean += weights[i] * outputs[i]
                total += weights[i]
        mixed[q] = mean / total
    make_monotone(mixed, plan.middle)


@compiled_allocating
def publish_wave(
    series: FullState, ledger: Ledger, parts: EnsembleParts, bounds: Bounds, plan: Plan, chosen: Integers,
    young: Floats, mature: Floats, rows: Integers, networks: Singles, extra: Floats,
) -> None:  # fmt: skip
    """Compute and store the forecasts of a wave.

    `networks` (N, B, K, Q) and `extra` (B, K, G) are in units; `young` and `mature` (M,) are log priors.
    """
    quantiles = len(plan.levels)
    scratch, prior = np.empty((5, quantiles * len(mature))), np.empty(len(mature))
    search = new_search(series.ring.shape[1], len(plan.horizons))
    mixed, published, shares = np.empty(quantiles), np.empty(quantiles), np.empty((2, 2 * quantiles))
    for b in range(len(rows)):
        row = rows[b]
        count = series.seen[row]
        value = series.ring[row, (count - 1) % series.ring.shape[1]]
        compare_stretches(series, plan, row, search)
        for k in range(len(plan.horizons)):
            horizon = plan.horizons[k]
            slot = plan.slots[k] + (count - 1) % horizon
            for n in range(len(networks)):
                for q in range(len(plan.levels)):
                    output = networks[n, b, k, q] if count > YOUNG else plan.normal[q]
                    ledger.networks[row, slot, n, q] = encode16(output, NETWORK_CLIP)
            for g in range(extra.shape[2]):
                ledger.guests[row, slot, g] = encode16(extra[b, k, g], POINT_CLIP)
            fill_prior(young, mature, count - horizon, prior)
            store_analogs(series, parts.analogs, plan, row, k, slot, search)
            mix_members(series, ledger, parts.analogs, plan, chosen, row, k, slot, prior, scratch, mixed)
            for q in range(quantiles):
                ledger.mixed[row, slot, q] = mixed[q]
            adjust_quantiles(
                series, parts, plan, row, k, slot, ledger.networks[row, slot], ledger.final[row], ledger.miss[row, k],
                shares, mixed,
            )  # fmt: skip
            step = offset_unit(mixed, plan.normal, ledger.miss[row, k])
            predicted = predicted_error(mixed, plan.normal, ledger.miss[row, k])
            target = float(series.time[row]) + horizon * round_cadence(series.cadence[row])
            apply_widths(series, parts.widths, plan, row, k, slot, predicted, target, mixed)
            apply_offsets(mixed, ledger.offset[row, k], step, plan.middle, published)
            clip_quantiles(bounds, row, series.center[row], value, series.unit[row, slot], published)
            for q in range(quantiles):
                ledger.final[row, slot, q] = published[q]


@compiled
def fill_forecast(
    series: AnyState, bounds: Bounds, plan: Plan, row: int, i: int, latest: Singles, error: float,
    persistence_error: float, change: float, published: PublishedForecasts, b: int,
) -> None:  # fmt: skip
    """Fill entry (b, i) of `published` from the quantiles `latest` (Q,), units, and the recent mean errors, units.

    `change` is added to the quantiles, field's unit; see `profile_change`.
    """
    count, k = series.seen[row], plan.published[i]
    horizon, value = plan.horizons[k], series.value[row]
    unit = series.unit[row, plan.slots[k] + (count - 1) % horizon]
    unit = published_unit(unit, series.scale[row, 0], horizon, count, value)
    published.warming[b] = count < WARM
    published.target_times[b, i] = series.time[row] + round(horizon * round_cadence(series.cadence[row]))
    published.skill[b, i] = round_score(max(1.0 - error / persistence_error, -10.0)) if persistence_error > 0 else 0.0
    if change != 0.0:
        value += change
    for q in range(len(latest)):
        published.quantiles[b, i, q] = round_to_unit(value + latest[q] * unit, unit)
    if len(bounds.seen) > 0:
        low, high = current_bounds(bounds, row)
        for q in range(len(latest)):
            published.quantiles[b, i, q] = within_bounds(published.quantiles[b, i, q], low, high)


@compiled
def read_forecasts(
    series: FullState, ledger: Ledger, bounds: Bounds, plan: Plan, rows: Integers, published: PublishedForecasts
) -> None:
    """Fill `published` with the latest forecast of each row (B,) in the ledger."""
    for b in range(len(rows)):
        row = rows[b]
        time, cadence = float(series.time[row]), round_cadence(series.cadence[row])
        for i in range(len(plan.published)):
            k = plan.published[i]
            latest = ledger.final[row, plan.slots[k] + (series.seen[row] - 1) % plan.horizons[k]]
            error, persistence_error = ledger.wrong[row, k], ledger.naive[row, k]
            change = profile_change(series, plan, row, time, cadence, plan.horizons[k])
            fill_forecast(series, bounds, plan, row, i, latest, error, persistence_error, change, published, b)
