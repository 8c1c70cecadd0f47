"""What a task knows of its series apart from the network: plain arrays, one row a series in first-seen order."""

from typing import NamedTuple, Protocol

import numpy as np

from streamrnn.core.jit import Floats, Integers, Shorts, Singles
from streamrnn.core.series.period_detection import HISTORY
from streamrnn.core.series.plan import Plan

HALF_LIVES = (2.0, 5.0, 12.0, 40.0, 200.0, 300.0)
"""Rows; of the exponential means. The last one goes with the variance."""
SMOOTHING = (0.3, 0.1)
"""Of the two exponential smoothings among the experts."""
SHORT_SLOTS, LONG_SLOTS = 288, 672
"""Phases kept of the short and of the long season; where a season has more rows, several share one."""
EXPERTS = (
    "naive_short", "naive_long", "drifted_short", "drifted_long", "profile_short", "profile_long", "shape_short",
    "shape_long", "smooth_fast", "smooth_slow", "mean", "holt_winters", "regression", "ridge",
)  # fmt: skip
"""Point forecasters, in the order of all arrays. Persistence is zero, and therefore none of them."""
REGRESSIONS = 2
"""Of the experts, the last ones: recursive least squares."""
TERMS = 30
"""Regressors of each: 12 lags, the 24th, four of either season, two means, six of the calendar, a constant."""
PACKED = TERMS * (TERMS + 1) // 2
PRIOR_COVARIANCE = (1.0, 0.02)
"""Of the regressions' weights; the smaller one is a strong ridge."""
COMMON = 29 + 8 + 3 + 11
"""Inputs that belong to no horizon."""
INPUTS = COMMON + 2 * len(EXPERTS)
LEAD = 3
"""Numbers that tell the head which horizon it answers for."""
FIRST_TRUST = 4.0
"""Running |error| of every expert and of persistence before there was any, in units of the scale."""
POINT_CLIP = 10.0
"""Units; no expert is believed to know more."""


class Series(NamedTuple):
    """One row a series. K horizons, L pending slots, G = longest horizon + 1, E experts, D regressors.

    Values are kept as distances from the series' first one, so that single precision suffices.
    """

    seen: Integers  # (S,) observations accepted
    time: Integers  # (S,) ms, of the latest observation
    first: Integers  # (S,) ms, of the first one
    value: Floats  # (S,) the latest one
    center: Floats  # (S,) the first one
    cadence: Floats  # (S,) ms between observations; 0 until known
    votes: Integers  # (S,) how firmly the cadence is known
    own: Floats  # (S,) ms, of a season found in the values; 0: none
    period: Floats  # (S, 2) ms, of the short and the long season; 0: none
    ring: Singles  # (S, R) the last R values
    gaps: Shorts  # (S, R) how many steps of the cadence each came after the one before
    scale: Floats  # (S, K) exponential mean of |y[t] - y[t - h]|, robust
    means: Floats  # (S, 6) exponential means, see HALF_LIVES
    variance: Floats  # (S,) around the last of them
    smooth: Floats  # (S, 2) exponential smoothing, see SMOOTHING
    short: Singles  # (S, 3, SHORT_SLOTS) by phase: latest value, profile, Holt-Winters' season; NaN: unknown
    long: Singles  # (S, 2, LONG_SLOTS) by phase: latest value, profile
    before: Singles  # (S, 2) the value one season before the latest one; NaN: unknown
    level: Floats  # (S,) of Holt-Winters
    trend: Floats  # (S,)
    terms: Shorts  # (S, G, D) regressors of the last G rows, coded
    covariance: Singles  # (S, 2, D (D + 1) / 2) lower triangle, row by row
    gain: Shorts  # (S, 2, G, D) of the last G rows, coded in `gain_unit`
    gain_unit: Singles  # (S, 2, G) 0: nothing may be learned from that row
    weights: Singles  # (S, 2, K, D)
    residual: Singles  # (S, 2, K) running |error| of the regressions, units
    unit: Singles  # (S, L) scale at the origin of a pending forecast
    points: Shorts  # (S, L, E) the experts' pending forecasts, coded
    error: Singles  # (S, K, E + 1) decayed sum of |error| of each expert, and of persistence; units


AXES = {
    "ring": "H", "gaps": "R", "scale": "K", "terms": "R.", "gain": ".R.", "gain_unit": ".R", "weights": ".K.",
    "residual": ".K", "unit": "L", "points": "L.", "error": "K.",
}  # fmt: skip
"""What the axes after the first count, where that follows from the configuration; see carry."""


class Known(Protocol):
    """What either variant knows of its series, one row each; see Series."""

    @property
    def seen(self) -> Integers:
        """(S,)."""

    @property
    def time(self) -> Integers:
        """(S,)."""

    @property
    def first(self) -> Integers:
        """(S,)."""

    @property
    def value(self) -> Floats:
        """(S,)."""

    @property
    def period(self) -> Floats:
        """(S, 2)."""

    @property
    def scale(self) -> Floats:
        """(S, K)."""


def allocate(capacity: int, plan: Plan) -> Series:
    """Room for `capacity` new series."""
    f4, i2, i8 = np.float32, np.int16, np.int64
    k, slots, longest, e = len(plan.horizons), int(plan.horizons.sum()), int(plan.horizons[-1]) + 1, len(EXPERTS)
    new = Series(
        seen=np.zeros(capacity, i8),
        time=np.full(capacity, -1, i8),
        first=np.zeros(capacity, i8),
        value=np.zeros(capacity),
        center=np.zeros(capacity),
        cadence=np.zeros(capacity),
        votes=np.zeros(capacity, i8),
        own=np.zeros(capacity),
        period=np.zeros((capacity, 2)),
        ring=np.zeros((capacity, max(longest, HISTORY)), f4),
        gaps=np.ones((capacity, max(longest, HISTORY)), i2),
        scale=np.zeros((capacity, k)),
        means=np.zeros((capacity, len(HALF_LIVES))),
        variance=np.zeros(capacity),
        smooth=np.zeros((capacity, len(SMOOTHING))),
        short=np.full((capacity, 3, SHORT_SLOTS), np.nan, f4),
        long=np.full((capacity, 2, LONG_SLOTS), np.nan, f4),
        before=np.full((capacity, 2), np.nan, f4),
        level=np.zeros(capacity),
        trend=np.zeros(capacity),
        terms=np.zeros((capacity, longest, TERMS), i2),
        covariance=np.zeros((capacity, REGRESSIONS, PACKED), f4),
        gain=np.zeros((capacity, REGRESSIONS, longest, TERMS), i2),
        gain_unit=np.zeros((capacity, REGRESSIONS, longest), f4),
        weights=np.zeros((capacity, REGRESSIONS, k, TERMS), f4),
        residual=np.ones((capacity, REGRESSIONS, k), f4),
        unit=np.zeros((capacity, slots), f4),
        points=np.zeros((capacity, slots, e), i2),
        error=np.full((capacity, k, e + 1), FIRST_TRUST, f4),
    )
    diagonal = np.cumsum(np.arange(1, TERMS + 1)) - 1
    for r, prior in enumerate(PRIOR_COVARIANCE):
        new.covariance[:, r, diagonal] = prior
    return new
