"""Classical point forecasts, such as seasonal naive and Holt-Winters (Holt 1957, Winters 1960), and their errors."""

import math

import numpy as np

from streamrnn.core.experts.rls import learn_regression
from streamrnn.core.jit import Floats, Singles, compiled, compiled_allocating
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import centered, clip, current_scale, decode16, encode16
from streamrnn.core.series.seasonal_state import DAMPING, label_change, read_seasons
from streamrnn.core.series.state import EXPERTS, HALF_LIVES, POINT_CLIP, REGRESSIONS, FullState

TRUST_RATE = 0.5 ** (1 / 120)  # decay of the errors per label: a half-life of 120
FIRST_ORIGIN = 8  # first step whose forecasts are scored: earlier scales are unreliable
TRUST_CLIP = 5.0  # largest |log| of a ratio of errors
TRUTH_CLIP = 8.0  # largest |label| by which experts are scored, units: larger spikes cannot be forecast
UNKNOWN = -32768  # code of a missing forecast, such as a seasonal one during the first season
LONG_MEAN = HALF_LIVES.index(200.0)
SIMPLE = len(EXPERTS) - REGRESSIONS


@compiled
def encode_point(forecast: float) -> int:
    """Return the 16-bit code of an expert's forecast, units; UNKNOWN for NaN, a missing forecast."""
    return encode16(forecast, POINT_CLIP) if forecast == forecast else UNKNOWN


@compiled
def decode_point(coded: int) -> float:
    """Return the forecast of an `encode_point` code, units; NaN for UNKNOWN."""
    return decode16(coded, POINT_CLIP) if coded != UNKNOWN else math.nan


@compiled
def score_experts(series: FullState, plan: Plan, row: int, k: int, value: float, time: float) -> None:
    """Update the errors of the experts and the regressions by the label of horizon k, a centered `value` at `time`."""
    now, horizon = series.seen[row], plan.horizons[k]
    origin, slot = now - horizon, plan.slots[k] + now % horizon
    value = centered(value, label_change(series, plan, row, time, horizon))
    truth = (value - series.ring[row, origin % series.ring.shape[1]]) / series.unit[row, slot]
    for r in range(REGRESSIONS):
        learn_regression(series, row, r, k, origin, truth)
    if origin < FIRST_ORIGIN:
        return
    truth = min(max(truth, -TRUTH_CLIP), TRUTH_CLIP)
    error = series.error[row, k]
    for e in range(len(EXPERTS)):
        forecast = clip(decode_point(series.points[row, slot, e]), TRUTH_CLIP)
        error[e] = TRUST_RATE * error[e] + abs(truth - forecast)
    error[len(EXPERTS)] = TRUST_RATE * error[len(EXPERTS)] + abs(truth)


@compiled
def fill_trust(error: Singles, trust: Singles) -> None:
    """Fill `trust` (E,): the log of each decayed |error| over that of persistence, the last of `error` (E + 1,)."""
    persistence = max(error[len(trust)], 1e-2)
    for e in range(len(trust)):
        trust[e] = min(max(math.log(max(error[e], 1e-2) / persistence), -TRUST_CLIP), TRUST_CLIP)


@compiled
def damping_sum(horizon: int) -> float:
    """Return the factor of a damped trend over a horizon: the sum of the powers 1 to `horizon` of DAMPING."""
    return DAMPING * (1 - DAMPING**horizon) / (1 - DAMPING)


@compiled_allocating
def forecast_experts(
    series: FullState, plan: Plan, row: int, cadence: float, now: Floats, forecasts: Floats, points: Singles,
    trust: Singles,
) -> None:  # fmt: skip
    """Fill `points` (K, E), units, and `trust` (K, E), and store the points as pending forecasts.

    A missing forecast is stored as UNKNOWN; in `points` it is replaced by persistence, 0. `now` (5,) are the seasonal
    values at the latest step, see `read_seasons`; `forecasts` (R, K) are those of the regressions, units.
    """
    count, time = series.seen[row], float(series.time[row])
    value = series.value[row] - series.center[row]
    short = series.period[row, 0]
    grown = time - series.first[row] >= max(2 * short, 20 * cadence) - cadence / 2
    then = np.empty(5)
    for k in range(len(plan.horizons)):
        horizon = plan.horizons[k]
        unit = current_scale(series.scale[row], plan.horizons, k, count, series.value[row])
        read_seasons(series, plan, row, time, cadence, horizon, then)
        for i in range(2):
            points[k, i] = (then[i] - value) / unit
            points[k, 2 + i] = (then[i] - now[i]) / unit
            points[k, 4 + i] = (then[2 + i] - value) / unit
            points[k, 6 + i] = (then[2 + i] - now[2 + i]) / unit
        points[k, 8] = (series.smooth[row, 0] - value) / unit
        points[k, 9] = (series.smooth[row, 1] - value) / unit
        points[k, 10] = (series.means[row, LONG_MEAN] - value) / unit
        season = then[4] if then[4] == then[4] else 0.0
        rise = damping_sum(horizon) * series.trend[row]
        points[k, 11] = (series.level[row] + rise + season - value) / unit if grown else math.nan
        for r in range(REGRESSIONS):
            points[k, SIMPLE + r] = forecasts[r, k]
        slot = plan.slots[k] + (count - 1) % horizon
        series.unit[row, slot] = unit
        for e in range(len(EXPERTS)):
            series.points[row, slot, e] = encode_point(points[k, e])
            points[k, e] = clip(points[k, e], POINT_CLIP)
        fill_trust(series.error[row, k], trust[k])
