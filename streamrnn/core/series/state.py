"""State of the series of the full variant: plain arrays, one row per series in first-seen order."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Floats, Integers, Shorts, Singles
from streamrnn.core.series.period_detection import HISTORY
from streamrnn.core.series.plan import Plan

HALF_LIVES = (2.0, 5.0, 12.0, 40.0, 200.0, 300.0)
"""Half-lives of the exponential means, rows; the variance belongs to the last one."""
SMOOTHING = (0.3, 0.1)  # rates of the two exponential smoothings among the experts, per row
SHORT_SLOTS, LONG_SLOTS = 288, 672
"""Most phases of the short and the long season; in a longer season several rows share one."""
EXPERTS = (
    "naive_short", "naive_long", "drifted_short", "drifted_long", "profile_short", "profile_long", "shape_short",
    "shape_long", "smooth_fast", "smooth_slow", "mean", "holt_winters", "regression", "ridge",
)  # fmt: skip
"""Point forecasters, in the order of all arrays. Persistence, which forecasts 0, is not among them."""
REGRESSIONS = 2  # number of recursive least squares regressions, the last of the experts
TERMS = 30  # regressors of each: 12 lags, the 24th, four of either season, two means, six of the calendar, a constant
PACKED = TERMS * (TERMS + 1) // 2
PRIOR_COVARIANCE = (1.0, 0.02)  # variance of the regressions' first weights; the smaller one is a strong ridge
COMMON = 29 + 8 + 3 + 11  # inputs that do not depend on a horizon
INPUTS = COMMON + 2 * len(EXPERTS)
LEAD = 3  # inputs of the head that describe the horizon
FIRST_TRUST = 4.0  # initial decayed sum of |error| of the experts and of persistence, units
POINT_CLIP = 10.0  # largest expert forecast, units
NETWORK_CLIP = 15.0  # largest quantile of a network, units


class FullState(NamedTuple):
    """One row per series. K horizons, L pending slots, G = longest horizon + 1, E experts, D regressors.

    Values are distances from the series' center, its first value, so that single precision suffices.
    """

    seen: Integers  # (S,) rows, missing ones included
    time: Integers  # (S,) ms, of the latest observation
    first: Integers  # (S,) ms, of the first observation
    value: Floats  # (S,) latest value, field's unit
    center: Floats  # (S,) first value, field's unit
    cadence: Floats  # (S,) ms between observations; 0: unknown
    votes: Integers  # (S,) majority count of the cadence
    own: Floats  # (S,) ms, period detected in the values; 0: none
    period: Floats  # (S, 2) ms, short and long season; 0: none
    ring: Singles  # (S, R) last R values
    gaps: Shorts  # (S, R) steps of the cadence between each and the one before; MISSING: it is filled in
    scale: Floats  # (S, K) robust exponential mean of |y[t] - y[t - h]|
    means: Floats  # (S, 6) exponential means, see HALF_LIVES
    variance: Floats  # (S,) around the last of them
    smooth: Floats  # (S, 2) exponential smoothings, see SMOOTHING
    short: Singles  # (S, 3, SHORT_SLOTS) by phase: latest value, profile, Holt-Winters season; NaN: unknown
    long: Singles  # (S, 2, LONG_SLOTS) by phase: latest value, profile
    before: Singles  # (S, 2) value one season before the latest; NaN: unknown
    level: Floats  # (S,) of Holt-Winters
    trend: Floats  # (S,) of Holt-Winters, per row
    terms: Shorts  # (S, G, D) regressors of the last G rows, 16-bit codes
    covariance: Singles  # (S, 2, D (D + 1) / 2) lower triangle, row by row
    gain: Shorts  # (S, 2, G, D) gains of the last G rows, 16-bit codes in `gain_unit`
    gain_unit: Singles  # (S, 2, G) 0: the row is not learned from
    weights: Singles  # (S, 2, K, D)
    residual: Singles  # (S, 2, K) running |error| of the regressions, units
    unit: Singles  # (S, L) scale at the origin of a pending forecast; 0: there is none
    points: Shorts  # (S, L, E) pending expert forecasts, 16-bit codes
    error: Singles  # (S, K, E + 1) decayed sum of |error| of each expert and, last, of persistence; units


AXES = {
    "ring": "H", "gaps": "R", "scale": "K", "terms": "R.", "gain": ".R.", "gain_unit": ".R", "weights": ".K.",
    "residual": ".K", "unit": "L", "points": "L.", "error": "K.",
}  # fmt: skip
"""Meaning of the axes after the first, of the arrays whose shape depends on the plan; see migration."""


def allocate_full(capacity: int, plan: Plan) -> FullState:
    """Allocate `capacity` new series."""
    f4, i2, i8 = np.float32, np.int16, np.int64
    k, slots, longest, e = len(plan.horizons), int(plan.horizons.sum()), int(plan.horizons[-1]) + 1, len(EXPERTS)
    new = FullState(
        seen=np.zeros(capacity, i8), time=np.full(capacity, -1, i8), first=np.zeros(capacity, i8),
        value=np.zeros(capacity), center=np.zeros(capacity), cadence=np.zeros(capacity), votes=np.zeros(capacity, i8),
        own=np.zeros(capacity), period=np.zeros((capacity, 2)), ring=np.zeros((capacity, max(longest, HISTORY)), f4),
        gaps=np.ones((capacity, max(longest, HISTORY)), i2), scale=np.zeros((capacity, k)),
        means=np.zeros((capacity, len(HALF_LIVES))), variance=np.zeros(capacity),
        smooth=np.zeros((capacity, len(SMOOTHING))), short=np.full((capacity, 3, SHORT_SLOTS), np.nan, f4),
        long=np.full((capacity, 2, LONG_SLOTS), np.nan, f4), before=np.full((capacity, 2), np.nan, f4),
        level=np.zeros(capacity), trend=np.zeros(capacity), terms=np.zeros((capacity, longest, TERMS), i2),
        covariance=np.zeros((capacity, REGRESSIONS, PACKED), f4),
        gain=np.zeros((capacity, REGRESSIONS, longest, TERMS), i2),
        gain_unit=np.zeros((capacity, REGRESSIONS, longest), f4),
        weights=np.zeros((capacity, REGRESSIONS, k, TERMS), f4), residual=np.ones((capacity, REGRESSIONS, k), f4),
        unit=np.zeros((capacity, slots), f4), points=np.zeros((capacity, slots, e), i2),
        error=np.full((capacity, k, e + 1), FIRST_TRUST, f4),
    )  # fmt: skip
    diagonal = np.cumsum(np.arange(1, TERMS + 1)) - 1
    for r, prior in enumerate(PRIOR_COVARIANCE):
        new.covariance[:, r, diagonal] = prior
    return new
