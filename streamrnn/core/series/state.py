"""State of the series in the full variant: arrays with one row per series, in first-seen order."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Floats, Integers, Shorts, Singles
from streamrnn.core.series.period_detection import HISTORY
from streamrnn.core.series.plan import Plan

HALF_LIVES = (2.0, 5.0, 12.0, 40.0, 200.0, 300.0)
"""Half-lives of the exponential means, steps; the variance is around the last mean."""
SMOOTHING = (0.3, 0.1)  # rates of the two exponential smoothings among the experts, per step
SHORT_SLOTS, LONG_SLOTS = 288, 672
"""Most slots of the short and the long season; in a longer season several steps share one."""
EXPERTS = (
    "naive_short", "naive_long", "drifted_short", "drifted_long", "profile_short", "profile_long", "shape_short",
    "shape_long", "smooth_fast", "smooth_slow", "mean", "holt_winters", "regression", "ridge",
)  # fmt: skip
"""Point forecasters, in the order of all arrays. Persistence, which forecasts 0, is not among them."""
REGRESSIONS = 2  # number of recursive least squares regressions, the last of the experts
TERMS = 30  # regressors of each: lags 1 to 12 and 24, 4 of each season, 2 means, 6 of the calendar, a constant
PACKED = TERMS * (TERMS + 1) // 2  # entries of a packed triangle
PRIOR_COVARIANCE = (1.0, 0.02)  # prior variance of the regressions' weights; the smaller one is a strong ridge
COMMON = 29 + 8 + 3 + 11  # inputs before those of the experts
INPUTS = COMMON + 2 * len(EXPERTS)
LEAD = 3  # inputs of the head that describe the horizon
FIRST_TRUST = 4.0  # initial decayed sum of |error| of experts and persistence, units
POINT_CLIP = 10.0  # largest |forecast| of an expert, units
NETWORK_CLIP = 15.0  # largest |quantile| of a network, units


class FullState(NamedTuple):
    """One row per series. K horizons, L pending slots, G = longest horizon + 1, E experts, D regressors.

    Values are centered: distances from the series' center, its first value, so that single precision suffices.
    """

    seen: Integers  # (S,) steps so far, missing ones included
    time: Integers  # (S,) ms, of the latest observation
    first: Integers  # (S,) ms, of the first observation
    value: Floats  # (S,) latest value, field's unit
    center: Floats  # (S,) first value, field's unit
    cadence: Floats  # (S,) ms between observations; 0: unknown
    votes: Integers  # (S,) votes of the running majority vote on the cadence
    own: Floats  # (S,) ms, period detected in the values; 0: none
    period: Floats  # (S, 2) ms, short and long season; 0: none
    ring: Singles  # (S, R) values of the last R steps; step n is at index n % R
    gaps: Shorts  # (S, R) steps of the cadence between each and its predecessor; MISSING: the value was filled in
    scale: Floats  # (S, K) robust exponential mean of |y[t] - y[t - h]|, field's unit
    means: Floats  # (S, 6) exponential means, see HALF_LIVES
    variance: Floats  # (S,) around the last of the means
    smooth: Floats  # (S, 2) exponential smoothings, see SMOOTHING
    short: Singles  # (S, 3, SHORT_SLOTS) by slot: latest value, profile, Holt-Winters season; NaN: unknown
    long: Singles  # (S, 2, LONG_SLOTS) by slot: latest value, profile; NaN: unknown
    before: Singles  # (S, 2) value one short and one long season before the latest; NaN: unknown
    level: Floats  # (S,) of Holt-Winters
    trend: Floats  # (S,) of Holt-Winters, per step
    terms: Shorts  # (S, G, D) regressors of the last G steps, 16-bit codes
    covariance: Singles  # (S, 2, D (D + 1) / 2) of each regression: packed lower triangle
    gain: Shorts  # (S, 2, G, D) gains of the last G steps, 16-bit codes in `gain_unit`
    gain_unit: Singles  # (S, 2, G) largest |gain|; 0: the step is not learned from
    weights: Singles  # (S, 2, K, D)
    residual: Singles  # (S, 2, K) running |error| of the regressions, units
    unit: Singles  # (S, L) scale at the origin of a pending forecast, field's unit; 0: no forecast is pending
    points: Shorts  # (S, L, E) pending expert forecasts, 16-bit codes
    error: Singles  # (S, K, E + 1) decayed sum of |error| of each expert and, last, of persistence, units


AXES = {
    "ring": "H", "gaps": "R", "scale": "K", "terms": "R.", "gain": ".R.", "gain_unit": ".R", "weights": ".K.",
    "residual": ".K", "unit": "L", "points": "L.", "error": "K.",
}  # fmt: skip
"""Kinds of the axes after the first, for arrays whose shape depends on the plan; see `migration`."""


def allocate_full(capacity: int, plan: Plan) -> FullState:
    """Allocate the state of `capacity` new series."""
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
