"""Analog forecasts: what followed the past stretches of a series that are most similar to its latest steps.

Machines repeat patterns without a fixed period: a job runs, a cache fills, a backup starts. The weighted quantiles of
the changes after the nearest past stretches are a member of the mixture (analog forecasting: Lorenz 1969, "Atmospheric
predictability as revealed by naturally occurring analogues"). The search is one pass over the stored values.
"""

import math
from typing import NamedTuple

import numpy as np

from streamrnn.core.clock.season_clock import clock_change, follows_clock
from streamrnn.core.experts.classical import UNKNOWN
from streamrnn.core.jit import Floats, Integers, Shorts, Singles, compiled, compiled_allocating
from streamrnn.core.series.calendar import round_cadence
from streamrnn.core.series.period_detection import HISTORY
from streamrnn.core.series.plan import REFERENCE_STEPS, Plan
from streamrnn.core.series.scaling import decode16, encode16
from streamrnn.core.series.state import FullState
from streamrnn.core.vector_math import exponential

ANALOGS_VERSION = 1
"""Entry of the layout; incremented when the meaning of the state changes."""
STRETCH = 12  # steps before the last step of a stretch that are compared, by their difference from the last step
FADE = np.float32(0.9)  # weight of a step relative to the next one: later steps are more informative
NEAREST = 16  # number of stretches that are used, N
FOLLOWERS = REFERENCE_STEPS[-1]
"""Horizon up to which all selected stretches have a known follower. At longer horizons, selected stretches without a
known follower are left out."""
MIN_FOLLOWERS = 8  # fewest selected stretches with a known follower
MIN_STRETCHES = 3  # MIN_STRETCHES * NEAREST stretches must be known before there is a forecast
NONE = -1
ANALOG_CLIP = 15.0  # largest |quantile|, units
MAX_DIFFERENCE = np.float32(1e4)  # largest |difference| from the latest value, units of one step


class Analogs(NamedTuple):
    """One row per series. L pending slots, Q quantiles."""

    quantiles: Shorts  # (S, L, Q) pending, 16-bit codes; UNKNOWN: no forecast


ANALOGS_AXES = {"quantiles": "LN"}
"""Kinds of the axes after the first, for arrays whose shape depends on the plan; see `migration`."""


class AnalogSearch(NamedTuple):
    """Scratch of a search. R stored values, K horizons, N = NEAREST."""

    values: Singles  # (R,) oldest first, differences from the latest value in units of one step
    distances: Singles  # (R,) distance of the stretch that ends at each value
    nearest: Integers  # (K, N) indexes of the last steps of the nearest stretches
    weights: Floats  # (K, N) distances of the nearest stretches during the search, then their weights
    changes: Floats  # (N,) changes after the nearest stretches, ascending
    order: Floats  # (N,) weights in the order of `changes`


def allocate_analogs(capacity: int, plan: Plan) -> Analogs:
    """Allocate the state of `capacity` new series."""
    slots = int(plan.horizons.sum())
    return Analogs(quantiles=np.full((capacity, slots, len(plan.levels)), UNKNOWN, np.int16))


@compiled_allocating
def new_search(size: int, horizons: int) -> AnalogSearch:
    """Allocate the scratch of a search among `size` values, for a number of horizons."""
    return AnalogSearch(
        np.empty(size, np.float32), np.empty(size, np.float32), np.empty((horizons, NEAREST), np.int64),
        np.empty((horizons, NEAREST)), np.empty(NEAREST), np.empty(NEAREST),
    )  # fmt: skip


@compiled
def fill_values(ring: Singles, latest: np.float32, unit: np.float32, values: Singles) -> None:
    """Fill `values` (T,): the differences of a part of the ring (T,) from the latest value, in units."""
    for s in range(len(values)):
        values[s] = min(max((ring[s] - latest) / unit, -MAX_DIFFERENCE), MAX_DIFFERENCE)


@compiled
def add_squares(latest: np.float32, weight: np.float32, earlier: Singles, ends: Singles, distances: Singles) -> None:
    """Add `weight` times the squares of `latest` - (earlier - ends) to `distances` (T,).

    All arrays are indexed by the loop variable only: with offsets, which may be negative, numba would not vectorize it.
    """
    for s in range(len(distances)):
        difference = latest - (earlier[s] - ends[s])
        distances[s] += weight * (difference * difference)


@compiled
def fill_distances(values: Singles, last: int, distances: Singles) -> None:
    """Fill `distances`, from STRETCH to `last`, of the stretches that end there from the latest stretch of `values`."""
    ends, found = values[STRETCH : last + 1], distances[STRETCH : last + 1]
    for s in range(len(found)):
        found[s] = np.float32(0)
    weight = np.float32(1)
    for back in range(1, STRETCH + 1):
        latest = values[len(values) - 1 - back] - values[len(values) - 1]
        add_squares(latest, weight, values[STRETCH - back : last + 1 - back], ends, found)
        weight *= FADE


@compiled
def index_of_largest(values: Floats) -> int:
    """Return the index of the largest value, the first of equal ones."""
    at = 0
    for n in range(1, len(values)):
        if values[n] > values[at]:
            at = n
    return at


@compiled
def last_stretch(plan: Plan, k: int, known: int) -> int:
    """Return the end of the latest stretch with a known follower for horizon k; NONE: too few stretches are known."""
    last = known - 1 - min(plan.horizons[k], FOLLOWERS)
    return last if last - STRETCH >= MIN_STRETCHES * NEAREST else NONE


@compiled
def select_nearest(distances: Singles, first: int, last: int, nearest: Integers, weights: Floats) -> None:
    """Update the `nearest` (N,) stretches, with distances in `weights` (N,), by those from `first` to `last`."""
    farthest = index_of_largest(weights)
    for s in range(first, last + 1):
        if distances[s] < weights[farthest]:
            nearest[farthest], weights[farthest] = s, distances[s]
            farthest = index_of_largest(weights)


@compiled
def weigh_nearest(weights: Floats) -> None:
    """Replace the distances (N,) by weights exp(-(distance - least) / (mean - least))."""
    least, mean = weights[0], 0.0
    for n in range(NEAREST):
        least = min(least, weights[n])
        mean += weights[n] / NEAREST
    for n in range(NEAREST):
        weights[n] = exponential(np.float32((least - weights[n]) / (mean - least))) if mean > least else 1.0


@compiled
def select_by_horizon(plan: Plan, known: int, search: AnalogSearch) -> None:
    """Fill `nearest` and `weights` of a search in one pass, from the longest horizon to the shortest.

    One pass suffices because the stretches of a horizon are also stretches of every shorter horizon. Horizons from
    FOLLOWERS on share the entry of the first of them.
    """
    before = NONE
    for k in range(len(plan.horizons) - 1, -1, -1):
        last = last_stretch(plan, k, known)
        if last == NONE:
            continue
        nearest, weights = search.nearest[k], search.weights[k]
        if before == NONE:
            for n in range(NEAREST):
                nearest[n], weights[n] = STRETCH + n, search.distances[STRETCH + n]
            before = STRETCH + NEAREST - 1
        else:
            for n in range(NEAREST):
                nearest[n], weights[n] = search.nearest[k + 1, n], search.weights[k + 1, n]
        select_nearest(search.distances, before + 1, last, nearest, weights)
        before = last
    for k in range(len(plan.horizons)):
        if last_stretch(plan, k, known) != NONE and (k == 0 or plan.horizons[k - 1] < FOLLOWERS):
            weigh_nearest(search.weights[k])


@compiled
def sort_changes(search: AnalogSearch, k: int, known: int, horizon: int, factor: float) -> int:
    """Fill `changes` over `horizon` steps after the nearest stretches of entry k, times `factor`, and `order`.

    Returns the number of stretches whose follower is among the `known` values; others are left out.
    """
    filled = 0
    for n in range(NEAREST):
        last = search.nearest[k, n]
        if last + horizon >= known:
            continue
        change = (search.values[last + horizon] - search.values[last]) * factor
        at = filled
        while at > 0 and search.changes[at - 1] > change:
            search.changes[at], search.order[at] = search.changes[at - 1], search.order[at - 1]
            at -= 1
        search.changes[at], search.order[at] = change, search.weights[k, n]
        filled += 1
    return filled


@compiled
def weighted_quantile(changes: Floats, weights: Floats, level: float) -> float:
    """Return a quantile of ascending `changes` (N,) with `weights` (N,), interpolated between midpoints of weights."""
    total, below, middle = 0.0, 0.0, 0.0
    for n in range(len(weights)):
        total += weights[n]
    wanted = level * total
    for n in range(len(changes)):
        before, middle = middle, below + weights[n] / 2
        if middle >= wanted:
            if n == 0:
                return changes[0]
            return changes[n - 1] + (changes[n] - changes[n - 1]) * (wanted - before) / (middle - before)
        below += weights[n]
    return changes[len(changes) - 1]


@compiled
def crosses_change(series: FullState, plan: Plan, row: int) -> bool:
    """Return whether the local clock has changed within the latest stretch of a series with a season that follows it.

    The past stretches that are similar then ended at another time of the day.
    """
    if len(plan.clock.zone.changes) == 0:
        return False
    time, short, long = float(series.time[row]), series.period[row, 0], series.period[row, 1]
    if not ((short > 0 and follows_clock(short)) or (long > 0 and follows_clock(long))):
        return False
    return clock_change(plan.clock, time - STRETCH * round_cadence(series.cadence[row]), time) != 0.0


@compiled
def compare_stretches(series: FullState, plan: Plan, row: int, search: AnalogSearch) -> None:
    """Find the past stretches of a series that are nearest to its latest steps, for each horizon."""
    ring, count = series.ring[row], series.seen[row]
    size = len(ring)
    known = min(count, HISTORY)
    if last_stretch(plan, 0, known) == NONE:
        return
    latest, unit = ring[(count - 1) % size], np.float32(series.unit[row, (count - 1) % plan.horizons[0]])
    first = (count - known) % size
    end = min(first + known, size)  # the rest is at the beginning of the ring
    fill_values(ring[first:end], latest, unit, search.values[: end - first])
    fill_values(ring[: known - (end - first)], latest, unit, search.values[end - first : known])
    fill_distances(search.values[:known], known - 2, search.distances)
    select_by_horizon(plan, known, search)


@compiled
def store_analogs(
    series: FullState, analogs: Analogs, plan: Plan, row: int, k: int, slot: int, search: AnalogSearch
) -> None:
    """Store the pending quantiles of horizon k, after `compare_stretches`."""
    codes, horizon = analogs.quantiles[row, slot], plan.horizons[k]
    one, known, filled = series.unit[row, (series.seen[row] - 1) % plan.horizons[0]], min(series.seen[row], HISTORY), 0
    if last_stretch(plan, k, known) != NONE and not crosses_change(series, plan, row):
        at = k  # entry of the first horizon with the same stretches
        while at > 0 and plan.horizons[at - 1] >= FOLLOWERS:
            at -= 1
        filled = sort_changes(search, at, known, horizon, one / series.unit[row, slot])
    for q in range(len(codes)):
        codes[q] = UNKNOWN
        if filled >= MIN_FOLLOWERS:
            quantile = weighted_quantile(search.changes[:filled], search.order[:filled], plan.levels[q])
            codes[q] = encode16(quantile, ANALOG_CLIP)


@compiled
def analog_quantile(code: int) -> float:
    """Return the quantile of a code, units; NaN: no forecast."""
    return decode16(code, ANALOG_CLIP) if code != UNKNOWN else math.nan
