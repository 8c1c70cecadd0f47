"""What the lean network reads of a series, and what its experts say: from the past alone."""

import math

from streamrnn.core.banks.lean.profiles import read
from streamrnn.core.banks.lean.state import CALENDAR, EXPERTS, EXTRA, LAGS, MEANS, PROFILES, Series
from streamrnn.core.experts.classical import read_trust
from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series.features import LOG_CLIP, TERM_CLIP, TWELVE, calendar, read_age, read_lags, reference_scales
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import clip, squash
from streamrnn.core.series.state import HALF_LIVES, POINT_CLIP

NEAR_MEANS = (HALF_LIVES.index(2.0), HALF_LIVES.index(5.0), TWELVE, HALF_LIVES.index(40.0))
FAST, LONG_MEAN, LAST_MEAN = HALF_LIVES.index(5.0), HALF_LIVES.index(200.0), len(HALF_LIVES) - 1


@compiled
def read_profiles(series: Series, plan: Plan, row: int, cadence: float, found: Floats) -> None:
    """Fill `found` (1 + K, 2): both profiles, now and at each horizon, as distances from the center; NaN: unknown."""
    time, first = float(series.time[row]), float(series.first[row])
    for i in range(2):
        period = series.period[row, i]
        known = period > 0 and time - first >= period - cadence / 2
        bins = series.short[row] if i == 0 else series.long[row]
        for a in range(len(found)):
            ahead = plan.horizons[a - 1] if a > 0 else 0
            found[a, i] = read(bins, time + ahead * cadence, first, period, cadence) if known else math.nan


@compiled
def advise(series: Series, row: int, units: Floats, found: Floats, points: Singles, trust: Singles) -> None:
    """Fill `points` (K, E), in `units` (K,), of one row, and `trust` (K, E); `found` (1 + K, 2) are the profiles."""
    value, now = series.value[row] - series.center[row], found[0]
    for k in range(len(units)):
        then, unit = found[1 + k], units[k]
        points[k, 0] = clip((then[0] - now[0]) / unit, POINT_CLIP)
        points[k, 1] = clip((then[1] - now[1]) / unit, POINT_CLIP)
        points[k, 2] = clip(((then[1] if then[1] == then[1] else then[0]) - value) / unit, POINT_CLIP)
        points[k, 3] = clip((series.means[row, FAST] - value) / unit, POINT_CLIP)
        points[k, 4] = clip((series.means[row, LONG_MEAN] - value) / unit, POINT_CLIP)
        read_trust(series.error[row, k], trust[k])


@compiled
def read_inputs(
    series: Series, plan: Plan, row: int, cadence: float, passed: float, found: Floats, points: Singles, trust: Singles,
    inputs: Singles,
) -> None:  # fmt: skip
    """Fill `inputs` (F,) of one row; `points` and `trust` (E,) are those of the middle one of the reference steps."""
    value = series.value[row] - series.center[row]
    s1, s12, s24 = reference_scales(series, plan, row)
    read_lags(inputs, series.ring[row], series.seen[row] - 1, value, s1, s12, s24)
    for a in range(4):
        then = found[1 + plan.references[a - 1]] if a > 0 else found[0]
        for i in range(2):
            inputs[LAGS + 4 * i + a] = clip((then[i] - value) / s12, TERM_CLIP)
    at = LAGS + PROFILES
    for i in range(MEANS - 1):
        inputs[at + i] = clip((series.means[row, NEAR_MEANS[i]] - value) / s12, TERM_CLIP)
    inputs[at + MEANS - 1] = clip((series.means[row, LONG_MEAN] - value) / s24, TERM_CLIP)
    at += MEANS
    for d in range(at):
        inputs[d] = squash(inputs[d])
    calendar(inputs, at, float(series.time[row]), series.period[row, 0], series.period[row, 1])
    at += CALENDAR
    spread = math.sqrt(series.variance[row]) + 1e-9 * abs(series.value[row]) + 1e-12
    inputs[at] = squash(clip((value - series.means[row, LAST_MEAN]) / spread, 5.0))
    inputs[at + 1] = clip(math.log(max(spread / s1, 1e-3)) / 2, LOG_CLIP)
    inputs[at + 2] = clip(math.log(s12 / s1), LOG_CLIP)
    inputs[at + 3] = clip(math.log(s24 / s1), LOG_CLIP)
    read_age(series, row, cadence, passed, inputs, at + 4)
    at += EXTRA
    for e in range(len(EXPERTS)):
        inputs[at + e] = squash(points[e])
        inputs[at + len(EXPERTS) + e] = trust[e]
