"""From the members' quantiles to the published ones, which also go into the ledger until their truth arrives."""

import math

import numpy as np

from streamrnn.core.ensemble.aggregation import prior_of, weigh
from streamrnn.core.ensemble.conformal import apply
from streamrnn.core.ensemble.ledger import WARM, Ledger, listen, read_points
from streamrnn.core.jit import Booleans, Floats, Integers, Singles, compiled, compiled_allocating
from streamrnn.core.series.calendar import rounded
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import code, rough
from streamrnn.core.series.state import POINT_CLIP, Series

UNIT_CLIP = 15.0
"""Units; no network may forecast further away than that."""
YOUNG = 10
"""Observations of a series up to which no network is heard: the units are not known yet."""
FIRST_SCALE = 0.25
"""Share of a value that the next one is taken to differ by before any change was observed; the mean on real streams."""
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
def published_unit(unit: float, scale: float, horizon: int, count: int, value: float) -> float:
    """Unit of the published quantiles: `unit`, but wide for a young series that has not changed yet.

    Its one-step `scale` is then 0, and the size of its `value`, 1 for a zero, is all that is known after `count`
    observations.
    """
    if scale > 0 or count > YOUNG:
        return unit
    size = abs(value) if value != 0 else 1.0
    return max(unit, FIRST_SCALE * size * math.sqrt(horizon) / count)


@compiled
def in_order(quantiles: Floats, middle: int) -> None:
    """Sort what lies on either side of the median, and let none of it lie beyond."""
    for q in range(middle - 1, -1, -1):
        quantiles[q] = min(quantiles[q], quantiles[q + 1])
    for q in range(middle + 1, len(quantiles)):
        quantiles[q] = max(quantiles[q], quantiles[q - 1])


@compiled
def mix(
    series: Series, ledger: Ledger, plan: Plan, chosen: Integers, row: int, k: int, slot: int, prior: Floats,
    room: Floats, mixed: Floats,
) -> None:  # fmt: skip
    """Fill `mixed` (Q,) with the mixture of what the members say; `room` (4, M) is written over."""
    points, sizes, said, weights = room[0, : len(chosen)], room[1, : len(chosen)], room[2], room[3]
    read_points(series, ledger, row, k, slot, chosen, points, sizes)
    for q in range(len(plan.levels)):
        weigh(ledger.regret[row, k, q], ledger.variance[row, k, q], ledger.bound[row, k, q], prior, weights)
        listen(ledger, row, k, slot, q, points, sizes, said)
        mixed[q] = 0.0
        for m in range(len(said)):
            mixed[q] += weights[m] * said[m]
    in_order(mixed, plan.middle)


@compiled_allocating
def publish(
    series: Series,
    ledger: Ledger,
    plan: Plan,
    chosen: Integers,
    young: Floats,
    grown: Floats,
    rows: Integers,
    networks: Singles,
    guests: Floats,
) -> None:
    """One wave into the ledger: `networks` (N, B, K, Q), `guests` (B, K, G) in units, priors (M,) as logs."""
    room, prior = np.empty((4, len(grown))), np.empty(len(grown))
    mixed, published = np.empty(len(plan.levels)), np.empty(len(plan.levels))
    for b in range(len(rows)):
        row = rows[b]
        count = series.seen[row]
        for k in range(len(plan.horizons)):
            horizon = plan.horizons[k]
            slot = plan.slots[k] + (count - 1) % horizon
            for n in range(len(networks)):
                for q in range(len(plan.levels)):
                    said = min(max(networks[n, b, k, q], -UNIT_CLIP), UNIT_CLIP)
                    ledger.networks[row, slot, n, q] = said if count > YOUNG else plan.normal[q]
            for g in range(guests.shape[2]):
                ledger.guests[row, slot, g] = code(guests[b, k, g], POINT_CLIP)
            prior_of(young, grown, count - horizon, prior)
            mix(series, ledger, plan, chosen, row, k, slot, prior, room, mixed)
            apply(mixed, ledger.offset[row, k], ledger.miss[row, k], plan.middle, published)
            ledger.mixed[row, slot] = mixed
            ledger.final[row, slot] = published


@compiled
def read_back(
    series: Series,
    ledger: Ledger,
    plan: Plan,
    rows: Integers,
    target_times: Integers,
    quantiles: Floats,
    skill: Floats,
    warming: Booleans,
) -> None:
    """The latest forecast of each row, as the ledger holds it; changes nothing but the arrays given to be filled.

    Of the H published horizons: `target_times` (B, H) ms, `quantiles` (B, H, Q), `skill` (B, H) = 1 - error / error of
    persistence, and `warming` (B,).
    """
    for b in range(len(rows)):
        row = rows[b]
        count, cadence = series.seen[row], rounded(series.cadence[row])
        warming[b] = count < WARM
        for i in range(len(plan.published)):
            k = plan.published[i]
            horizon = plan.horizons[k]
            slot = plan.slots[k] + (count - 1) % horizon
            target_times[b, i] = series.time[row] + round(horizon * cadence)
            naive = ledger.naive[row, k]
            skill[b, i] = rough(max(1.0 - ledger.wrong[row, k] / naive, -10.0)) if naive > 0 else 0.0
            value, scale = series.value[row], series.scale[row, 0]
            unit = published_unit(series.unit[row, slot], scale, horizon, count, value)
            for q in range(len(plan.levels)):
                quantiles[b, i, q] = shortened(value + ledger.final[row, slot, q] * unit, unit)
