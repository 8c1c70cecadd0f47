"""Point forecasts that need no network, and how far each is to be trusted."""

import math

import numpy as np

from streamrnn.core.experts.rls import learn
from streamrnn.core.jit import Floats, Singles, compiled, compiled_allocating
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import clip, code, current_scale, decoded
from streamrnn.core.series.seasonal_state import DAMPING, read_seasons
from streamrnn.core.series.state import EXPERTS, HALF_LIVES, POINT_CLIP, REGRESSIONS, Series

TRUST_RATE = 0.5 ** (1 / 120)
"""Of the running errors, kept per label."""
FIRST_ORIGIN = 8
"""Rows before this one are no measure of anybody."""
TRUST_CLIP = 5.0
TRUTH_CLIP = 8.0
"""Units; what lies beyond is a spike that nobody could have known."""
LONG_MEAN = HALF_LIVES.index(200.0)
SIMPLE = len(EXPERTS) - REGRESSIONS


@compiled
def score(series: Series, plan: Plan, row: int, k: int, value: float) -> None:
    """Judge the experts by the label of horizon k, and let the regressions learn it; `value` less the center."""
    now, horizon = series.seen[row], plan.horizons[k]
    origin, slot = now - horizon, plan.slots[k] + now % horizon
    truth = (value - series.ring[row, origin % series.ring.shape[1]]) / series.unit[row, slot]
    for r in range(REGRESSIONS):
        learn(series, row, r, k, origin, truth)
    if origin < FIRST_ORIGIN:
        return
    truth = min(max(truth, -TRUTH_CLIP), TRUTH_CLIP)
    error = series.error[row, k]
    for e in range(len(EXPERTS)):
        said = decoded(series.points[row, slot, e], POINT_CLIP)
        wrong = abs(truth - min(max(said, -TRUTH_CLIP), TRUTH_CLIP))
        error[e] = TRUST_RATE * error[e] + wrong
    error[len(EXPERTS)] = TRUST_RATE * error[len(EXPERTS)] + abs(truth)


@compiled
def read_trust(error: Singles, trust: Singles) -> None:
    """Fill `trust` (E,): log of the running |error| over persistence's, from `error` (E + 1,)."""
    naive = max(error[len(trust)], 1e-2)
    for e in range(len(trust)):
        trust[e] = min(max(math.log(max(error[e], 1e-2) / naive), -TRUST_CLIP), TRUST_CLIP)


@compiled
def damped(horizon: int) -> float:
    """Sum of the powers of the damping up to the horizon: how often the trend is added."""
    return DAMPING * (1 - DAMPING**horizon) / (1 - DAMPING)


@compiled_allocating
def advise(
    series: Series, plan: Plan, row: int, cadence: float, now: Floats, forecasts: Floats, points: Singles,
    trust: Singles,
) -> None:  # fmt: skip
    """Fill `points` (K, E) in units and `trust` (K, E), and keep the points until their labels come.

    `now` (5,) are the seasons at the latest row, `forecasts` (R, K) those of the regressions.
    """
    count, time = series.seen[row], float(series.time[row])
    value = series.value[row] - series.center[row]
    short = series.period[row, 0]
    grown = time - series.first[row] >= max(2 * short, 20 * cadence) - cadence / 2
    then = np.empty(5)
    for k in range(len(plan.horizons)):
        horizon = plan.horizons[k]
        unit = current_scale(series.scale[row], plan.horizons, k, count, series.value[row])
        read_seasons(series, row, time, cadence, horizon, then)
        for i in range(2):
            points[k, i] = clip((then[i] - value) / unit, POINT_CLIP)
            points[k, 2 + i] = clip((then[i] - now[i]) / unit, POINT_CLIP)
            points[k, 4 + i] = clip((then[2 + i] - value) / unit, POINT_CLIP)
            points[k, 6 + i] = clip((then[2 + i] - now[2 + i]) / unit, POINT_CLIP)
        points[k, 8] = clip((series.smooth[row, 0] - value) / unit, POINT_CLIP)
        points[k, 9] = clip((series.smooth[row, 1] - value) / unit, POINT_CLIP)
        points[k, 10] = clip((series.means[row, LONG_MEAN] - value) / unit, POINT_CLIP)
        season = then[4] if then[4] == then[4] else 0.0
        rise = damped(horizon) * series.trend[row]
        points[k, 11] = clip((series.level[row] + rise + season - value) / unit, POINT_CLIP) if grown else 0.0
        for r in range(REGRESSIONS):
            points[k, SIMPLE + r] = clip(forecasts[r, k], POINT_CLIP)
        slot = plan.slots[k] + (count - 1) % horizon
        series.unit[row, slot] = unit
        for e in range(len(EXPERTS)):
            series.points[row, slot, e] = code(points[k, e], POINT_CLIP)
        read_trust(series.error[row, k], trust[k])
