"""State of the series in the lean variant: arrays with one row per series, in first-seen order."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Floats, Integers, Shorts, Singles
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.state import FIRST_TRUST, HALF_LIVES, FullState

LEAN_EXPERTS = ("shape_short", "shape_long", "profile", "mean_fast", "mean")
"""Point forecasters, in the order of all arrays. Persistence, which forecasts 0, is not among them."""
SHORT_BINS, LONG_BINS = 48, 84
"""Most bins of the short and the long season; in a longer season several steps share one."""


class LeanState(NamedTuple):
    """One row per series. K horizons, L pending slots, P evaluated ones, E experts, N networks, Q quantiles.

    Values are centered: distances from the series' center, its first value, so that single precision suffices.
    """

    seen: Integers  # (S,) steps so far, missing ones included
    time: Integers  # (S,) ms, of the latest observation
    first: Integers  # (S,) ms, of the first observation
    value: Floats  # (S,) latest value, field's unit
    center: Floats  # (S,) first value, field's unit
    cadence: Floats  # (S,) ms between observations; 0: unknown
    votes: Shorts  # (S,) votes of the running majority vote on the cadence
    period: Floats  # (S, 2) ms, short and long season; 0: none
    ring: Singles  # (S, R) values of the last R steps; step n is at index n % R
    scale: Floats  # (S, K) robust exponential mean of |y[t] - y[t - h]|, field's unit
    means: Floats  # (S, 6) exponential means, see HALF_LIVES
    variance: Floats  # (S,) around the last of the means
    short: Singles  # (S, SHORT_BINS) profile by phase; NaN: unknown
    long: Singles  # (S, LONG_BINS) profile by phase; NaN: unknown
    error: Singles  # (S, K, E + 1) decayed sum of |error| of each expert and, last, of persistence, units
    loss: Singles  # (S, K, 1 + N) decayed sum of |error| of persistence and of the networks' medians, units
    unit: Singles  # (S, L) scale at the origin of a pending forecast, field's unit; 0: no forecast is pending
    points: Shorts  # (S, P, E) pending expert forecasts, 16-bit codes
    medians: Shorts  # (S, P, N) pending medians of the networks, 16-bit codes
    finals: Shorts  # (S, P, Q) pending published quantiles, 16-bit codes
    latest: Singles  # (S, K, Q) latest published quantiles, units
    offset: Singles  # (S, K, Q) conformal offsets, in multiples of `wrong`
    wrong: Singles  # (S, K) recent mean |error| of the published median, units
    naive: Singles  # (S, K) recent mean |error| of persistence, units
    tail: Singles  # (S,) ratio of the 99% interval to the outermost published interval


AnyState = FullState | LeanState
"""State of either variant, for kernels that both share."""
LEAN_AXES = {
    "ring": "H", "scale": "K", "error": "K.", "loss": "K.", "unit": "L", "points": "P.", "medians": "P.",
    "finals": "PQ", "latest": "KQ", "offset": "KQ", "wrong": "K", "naive": "K", "tail": "O",
}  # fmt: skip
"""Kinds of the axes after the first, for arrays whose shape depends on the plan; see `migration`."""


def allocate_lean(capacity: int, plan: Plan, networks: int, evaluated: int) -> LeanState:
    """Allocate the state of `capacity` new series with N `networks` and P `evaluated` slots."""
    f4, i2, i8 = np.float32, np.int16, np.int64
    k, q, slots = len(plan.horizons), len(plan.levels), int(plan.horizons.sum())
    e = len(LEAN_EXPERTS)
    return LeanState(
        seen=np.zeros(capacity, i8), time=np.full(capacity, -1, i8), first=np.zeros(capacity, i8),
        value=np.zeros(capacity), center=np.zeros(capacity), cadence=np.zeros(capacity), votes=np.zeros(capacity, i2),
        period=np.zeros((capacity, 2)), ring=np.zeros((capacity, int(plan.horizons[-1]) + 1), f4),
        scale=np.zeros((capacity, k)), means=np.zeros((capacity, len(HALF_LIVES))), variance=np.zeros(capacity),
        short=np.full((capacity, SHORT_BINS), np.nan, f4), long=np.full((capacity, LONG_BINS), np.nan, f4),
        error=np.full((capacity, k, e + 1), FIRST_TRUST, f4),
        loss=np.full((capacity, k, 1 + networks), FIRST_TRUST, f4), unit=np.zeros((capacity, slots), f4),
        points=np.zeros((capacity, evaluated, e), i2), medians=np.zeros((capacity, evaluated, networks), i2),
        finals=np.zeros((capacity, evaluated, q), i2), latest=np.zeros((capacity, k, q), f4),
        offset=np.zeros((capacity, k, q), f4), wrong=np.zeros((capacity, k), f4), naive=np.zeros((capacity, k), f4),
        tail=np.full(capacity, plan.tail, f4),
    )  # fmt: skip
