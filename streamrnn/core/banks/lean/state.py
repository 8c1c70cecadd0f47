"""What the lean variant knows of its series: plain arrays, one row a series in first-seen order."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.experts.classical import TRUST_RATE
from streamrnn.core.jit import Floats, Integers, Shorts, Singles, compiled
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.state import FIRST_TRUST, HALF_LIVES

EXPERTS = ("shape_short", "shape_long", "profile", "mean_fast", "mean")
"""Point forecasters, in the order of all arrays. Persistence is zero, and therefore none of them."""
SHORT_BINS, LONG_BINS = 48, 84
"""Phases kept of the short and of the long season; where a season has more rows, several share one."""
LAGS, PROFILES, MEANS, CALENDAR, EXTRA = 13, 8, 5, 6, 11
INPUTS = LAGS + PROFILES + MEANS + CALENDAR + EXTRA + 2 * len(EXPERTS)
FOLLOWED = 3
"""Forecasts of one horizon that are followed up at a time, or one more; the others are published and forgotten."""


KEEP = 0.998
"""Of the errors of the mixture's members, per row."""


NONE = -1


class Following(NamedTuple):
    """Which forecasts are judged when their truth comes. K horizons, P followed slots."""

    stride: Integers
    """(K,) one origin in each block of so many rows is followed up, see `place_of`."""
    slots: Integers
    """(K,) slots of each horizon."""
    first: Integers
    """(K,) first slot of each horizon."""
    errors_kept: Floats
    """(K,) of the decayed errors of the experts, per followed forecast; ..."""
    losses_kept: Floats
    """(K,) ... and of those of the members of the mixture."""


class Series(NamedTuple):
    """One row a series. K horizons, L pending slots, P followed ones, E experts, N networks, Q quantiles.

    Values are kept as distances from the series' first one, so that single precision suffices.
    """

    seen: Integers  # (S,) observations accepted
    time: Integers  # (S,) ms, of the latest observation
    first: Integers  # (S,) ms, of the first one
    value: Floats  # (S,) the latest one
    center: Floats  # (S,) the first one
    cadence: Floats  # (S,) ms between observations; 0 until known
    votes: Shorts  # (S,) how firmly the cadence is known
    period: Floats  # (S, 2) ms, of the short and the long season; 0: none
    ring: Singles  # (S, R) the last R values
    scale: Floats  # (S, K) exponential mean of |y[t] - y[t - h]|, robust
    means: Floats  # (S, 6) exponential means, see HALF_LIVES
    variance: Floats  # (S,) around the last of them
    short: Singles  # (S, SHORT_BINS) profile by phase; NaN: unknown
    long: Singles  # (S, LONG_BINS)
    error: Singles  # (S, K, E + 1) decayed sum of |error| of each expert, and of persistence; units
    loss: Singles  # (S, K, 1 + N) the same of the members of the mixture: persistence and the networks' medians
    unit: Singles  # (S, L) scale at the origin of a pending forecast
    points: Shorts  # (S, P, E) the experts' forecasts, coded
    medians: Shorts  # (S, P, N) the networks' medians, coded
    finals: Shorts  # (S, P, Q) as published, coded
    latest: Singles  # (S, K, Q) as published last, units
    offset: Singles  # (S, K, Q) calibration offsets, in multiples of `wrong`
    wrong: Singles  # (S, K) recent mean |error| of the published median, units
    naive: Singles  # (S, K) the same of persistence
    tail: Singles  # (S,) ratio of the 99% interval to the outermost one


AXES = {
    "ring": "H", "scale": "K", "error": "K.", "loss": "K.", "unit": "L", "points": "P.", "medians": "P.",
    "finals": "PQ", "latest": "KQ", "offset": "KQ", "wrong": "K", "naive": "K", "tail": "O",
}  # fmt: skip
"""What the axes after the first count, where that follows from the configuration; see carry."""


def following(plan: Plan) -> Following:
    """About FOLLOWED forecasts of a horizon at a time, or as many as it has."""
    stride = -(-plan.horizons // FOLLOWED)
    slots = -(-(plan.horizons + stride - 1) // stride)
    first = np.concatenate([[0], np.cumsum(slots)[:-1]]).astype(np.int64)
    errors_kept, losses_kept = (np.power(rate, stride, dtype=np.float64) for rate in (TRUST_RATE, KEEP))
    return Following(stride, slots, first, errors_kept, losses_kept)


@compiled
def scattered(number: int) -> int:
    """A number of 32 bits that has nothing to do with this one."""
    mixed = (number + 1) * 0x9E3779B1 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 15) * 0x2C1B3C6D & 0xFFFFFFFF
    return mixed ^ mixed >> 12


@compiled
def place_of(following: Following, k: int, origin: int) -> int:
    """Slot of the forecast of horizon k made at row `origin`; NONE: it is not followed up.

    Which row of a block it is looks random: at a fixed one, what comes every hour would always be seen, or never.
    """
    block = origin // following.stride[k]
    if origin % following.stride[k] != scattered(block) % following.stride[k]:
        return NONE
    return int(following.first[k] + block % following.slots[k])


def allocate(capacity: int, plan: Plan, networks: int) -> Series:
    """Room for `capacity` new series, of which as many networks speak."""
    f4, i2, i8 = np.float32, np.int16, np.int64
    k, q, slots = len(plan.horizons), len(plan.levels), int(plan.horizons.sum())
    followed, e = int(following(plan).slots.sum()), len(EXPERTS)
    return Series(
        seen=np.zeros(capacity, i8),
        time=np.full(capacity, -1, i8),
        first=np.zeros(capacity, i8),
        value=np.zeros(capacity),
        center=np.zeros(capacity),
        cadence=np.zeros(capacity),
        votes=np.zeros(capacity, i2),
        period=np.zeros((capacity, 2)),
        ring=np.zeros((capacity, int(plan.horizons[-1]) + 1), f4),
        scale=np.zeros((capacity, k)),
        means=np.zeros((capacity, len(HALF_LIVES))),
        variance=np.zeros(capacity),
        short=np.full((capacity, SHORT_BINS), np.nan, f4),
        long=np.full((capacity, LONG_BINS), np.nan, f4),
        error=np.full((capacity, k, e + 1), FIRST_TRUST, f4),
        loss=np.full((capacity, k, 1 + networks), FIRST_TRUST, f4),
        unit=np.zeros((capacity, slots), f4),
        points=np.zeros((capacity, followed, e), i2),
        medians=np.zeros((capacity, followed, networks), i2),
        finals=np.zeros((capacity, followed, q), i2),
        latest=np.zeros((capacity, k, q), f4),
        offset=np.zeros((capacity, k, q), f4),
        wrong=np.zeros((capacity, k), f4),
        naive=np.zeros((capacity, k), f4),
        tail=np.full(capacity, plan.tail, f4),
    )
