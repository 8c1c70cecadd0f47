"""Point forecasts of the lean variant, and the inputs of its network: causal, and invariant to level and scale."""

import math

from streamrnn.core.banks.lean.profiles import read_bins
from streamrnn.core.clock.season_clock import clock_change, season_origin, season_time
from streamrnn.core.experts.classical import fill_trust
from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series import features
from streamrnn.core.series.calendar import DAY, WEEK, round_cadence
from streamrnn.core.series.lean_state import LEAN_EXPERTS, LeanState
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import clip, signed_log1p
from streamrnn.core.series.state import HALF_LIVES, POINT_CLIP
from streamrnn.core.series.update import bend, fill_missing, smooth_missing, trusted_shape

SHAPE_SHORT, SHAPE_LONG = LEAN_EXPERTS.index("shape_short"), LEAN_EXPERTS.index("shape_long")
LAGS, PROFILES, MEANS, CALENDAR, EXTRA = 13, 8, 5, 6, 11  # inputs of each kind
LEAN_INPUTS = LAGS + PROFILES + MEANS + CALENDAR + EXTRA + 2 * len(LEAN_EXPERTS)
NEAR_MEANS = (HALF_LIVES.index(2.0), HALF_LIVES.index(5.0), features.TWELVE, HALF_LIVES.index(40.0))
FAST, LONG_MEAN = HALF_LIVES.index(5.0), HALF_LIVES.index(200.0)


@compiled
def fill_profiles(series: LeanState, plan: Plan, row: int, cadence: float, found: Floats) -> None:
    """Fill `found` (1 + K, 2): the short and the long profile, now and at each horizon, centered; NaN: unknown."""
    time, first = float(series.time[row]), float(series.first[row])
    for i in range(2):
        period = series.period[row, i]
        known = period > 0 and time - first >= period - cadence / 2
        bins = series.short[row] if i == 0 else series.long[row]
        origin = season_origin(plan.clock, first, period) if known else first
        for a in range(len(found)):
            ahead = plan.horizons[a - 1] if a > 0 else 0
            found[a, i] = math.nan
            if known:
                then = season_time(plan.clock, time + ahead * cadence, time, period)
                found[a, i] = read_bins(bins, then, origin, period, cadence)


@compiled
def fill_missing_lean(series: LeanState, plan: Plan, row: int, value: float, time: int) -> None:
    """Fill in the steps missing before a centered `value` at `time`, and update the means by them."""
    first = series.seen[row]
    missing = fill_missing(series, plan, row, value, time)
    if missing == 0:
        return
    i = trusted_shape(series.error[row, 0], SHAPE_SHORT, SHAPE_LONG)
    period, cadence = series.period[row, max(i, 0)], round_cadence(series.cadence[row])
    if i >= 0 and period > 0:
        bins = series.short[row] if i == 0 else series.long[row]
        origin = season_origin(plan.clock, float(series.first[row]), period)
        then = time - (missing + 1) * cadence
        begin = read_bins(bins, season_time(plan.clock, then, then, period), origin, period, cadence)
        then = float(time)
        end = read_bins(bins, season_time(plan.clock, then, then, period), origin, period, cadence)
        for n in range(missing):
            then = time - (missing - n) * cadence
            middle = read_bins(bins, season_time(plan.clock, then, then, period), origin, period, cadence)
            bend(series.ring[row], first + n, (n + 1) / (missing + 1), begin, middle, end)
    smooth_missing(series, row, missing)


@compiled
def lean_profile_change(series: LeanState, plan: Plan, row: int, time: float, cadence: float, ahead: int) -> float:
    """Return the effect of a clock change on the value `ahead` steps after `time`; see `profile_change`."""
    first, then = float(series.first[row]), time + ahead * cadence
    if clock_change(plan.clock, time, then) == 0.0:
        return 0.0
    for i in (1, 0):
        period = series.period[row, i]
        if period in (DAY, WEEK) and time - first >= 2 * period:
            bins = series.short[row] if i == 0 else series.long[row]
            origin = season_origin(plan.clock, first, period)
            moved = read_bins(bins, season_time(plan.clock, then, then, period), origin, period, cadence)
            unmoved = read_bins(bins, season_time(plan.clock, then, time, period), origin, period, cadence)
            return moved - unmoved if moved == moved and unmoved == unmoved else 0.0
    return 0.0


@compiled
def forecast_lean_experts(
    series: LeanState, row: int, units: Floats, found: Floats, points: Singles, trust: Singles
) -> None:
    """Fill `points` (K, E), in `units` (K,), and `trust` (K, E); `found` (1 + K, 2) is from `fill_profiles`."""
    value, now = series.value[row] - series.center[row], found[0]
    for k in range(len(units)):
        then, unit = found[1 + k], units[k]
        points[k, 0] = clip((then[0] - now[0]) / unit, POINT_CLIP)
        points[k, 1] = clip((then[1] - now[1]) / unit, POINT_CLIP)
        points[k, 2] = clip(((then[1] if then[1] == then[1] else then[0]) - value) / unit, POINT_CLIP)
        points[k, 3] = clip((series.means[row, FAST] - value) / unit, POINT_CLIP)
        points[k, 4] = clip((series.means[row, LONG_MEAN] - value) / unit, POINT_CLIP)
        fill_trust(series.error[row, k], trust[k])


@compiled
def fill_lean_inputs(
    series: LeanState, plan: Plan, row: int, cadence: float, passed: float, found: Floats, points: Singles,
    trust: Singles, inputs: Singles,
) -> None:  # fmt: skip
    """Fill `inputs` (F,) from the profiles `found` (1 + K, 2), and `points` and `trust` (E,) at horizon 12."""
    value = series.value[row] - series.center[row]
    s1, s12, s24 = features.reference_scales(series, plan, row)
    time = float(series.time[row])
    half, day = features.clock_lag(plan, time, cadence, 12), features.clock_lag(plan, time, cadence, 24)
    features.fill_lags(inputs, series.ring[row], series.seen[row] - 1, half, day, value, s1, s12, s24)
    for a in range(4):
        then = found[1 + plan.references[a - 1]] if a > 0 else found[0]
        for i in range(2):
            inputs[LAGS + 4 * i + a] = clip((then[i] - value) / s12, features.TERM_CLIP)
    at = LAGS + PROFILES
    for i in range(MEANS - 1):
        inputs[at + i] = clip((series.means[row, NEAR_MEANS[i]] - value) / s12, features.TERM_CLIP)
    inputs[at + MEANS - 1] = clip((series.means[row, LONG_MEAN] - value) / s24, features.TERM_CLIP)
    at += MEANS
    for d in range(at):
        inputs[d] = signed_log1p(inputs[d])
    short, long = series.period[row, 0], series.period[row, 1]
    features.fill_calendar(plan.clock, inputs, at, float(series.time[row]), short, long)
    at += CALENDAR
    features.fill_spread(series, row, value, s1, s12, s24, inputs, at)
    features.fill_age(series, row, cadence, passed, inputs, at + 4)
    at += EXTRA
    for e in range(len(LEAN_EXPERTS)):
        inputs[at + e] = signed_log1p(points[e])
        inputs[at + len(LEAN_EXPERTS) + e] = trust[e]
