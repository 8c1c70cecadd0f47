"""The forecasts of a series for every step up to a horizon, from its state as it stands, which stays as it is.

At the configured horizons they are those that were published. In between, the median follows the seasonal profiles of
the series, moved so that it meets the published medians, and the distances of the other quantiles from it are
interpolated; both along the square root of the steps. Beyond the last configured horizon the median follows the
profiles, and the distances grow as the changes of the series do.

A profile has a weight by the past errors of its point forecasts, where these were smallest relative to persistence: at
a horizon of a whole season persistence is as good as any profile, which says nothing about the steps before it.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.clock.season_clock import DAY, HOUR, TIE, WEEK, SeasonClock
from streamrnn.core.clock.zones import offsets_at
from streamrnn.core.forecaster import CoreForecaster, Forecasts
from streamrnn.core.jit import Floats, Integers
from streamrnn.core.series.lean_state import LEAN_EXPERTS
from streamrnn.core.series.seasonal_state import PROFILE, SMOOTH_FROM
from streamrnn.core.series.state import EXPERTS

SHARPNESS = 4.0
"""Exponent of the ratio of errors in the weight of a profile."""
LEAST_GROWTH, MAX_GROWTH = 0.15, 0.5
"""Smallest and largest exponent with which the intervals grow with the steps; the largest is that of a random walk."""
DIGITS = 4  # decimal digits below the width of the interval


class Path(NamedTuple):
    """Forecasts of one series for N steps; Q quantiles."""

    time: int  # ms, of the latest observation
    value: float
    step: float  # ms
    target_times: Integers  # (N,) ms
    quantiles: Floats  # (N, Q) in the field's unit
    latest: Forecasts  # of the one row, at the configured horizons


def step_length(forecaster: CoreForecaster, row: int) -> float:
    """Return the time between two observations of a series, ms; 0 before the second one."""
    rows, horizons = np.array([row]), forecaster.plan.horizons[forecaster.plan.published]
    made, (times, _) = forecaster.forecast(rows), forecaster.latest(rows)
    return float((made.target_times[0, -1] - times[0]) / horizons[-1])


def forecast_path(forecaster: CoreForecaster, row: int, steps: int) -> Path:
    """Return the forecasts of a series for every step up to `steps`."""
    rows, plan = np.array([row]), forecaster.plan_of(row)
    made, (times, values) = forecaster.forecast(rows), forecaster.latest(rows)
    horizons, known, middle = plan.horizons[plan.published], made.quantiles[0], plan.middle
    step, time = step_length(forecaster, row), int(times[0])
    state = {name: array[0] for name, array in forecaster.copy_rows(rows).items()}
    ahead = np.arange(1, max(steps, int(horizons[-1])) + 1)
    course = seasonal_course(state, plan.clock, step, len(ahead))
    root, at = np.sqrt(ahead), np.sqrt(horizons)
    median = course + np.interp(root, at, known[:, middle] - course[horizons - 1])
    distances = np.stack([np.interp(root, at, each - known[:, middle]) for each in known.T], 1)
    growth = np.maximum(ahead / horizons[-1], 1.0) ** _growth(state, plan.horizons)
    quantiles = median[:, None] + distances * growth[:, None]
    low, high = forecaster.bounds(rows)
    quantiles = np.clip(_rounded(quantiles), low[0], high[0]) + 0.0
    targets = time + np.rint(step * ahead).astype(np.int64)
    quantiles[horizons - 1], targets[horizons - 1] = known, made.target_times[0]
    return Path(time, float(values[0]), step, targets[:steps], quantiles[:steps], made)


def seasonal_course(state: Mapping[str, NDArray[Any]], clock: SeasonClock, step: float, count: int) -> Floats:
    """Return by how much the seasonal profiles of a series say that its median changes in 1 to `count` steps, (N,).

    `state` has the arrays of one row, as they are saved; `step` in ms.
    """
    names = EXPERTS if state["series_short"].ndim > 1 else LEAN_EXPERTS
    courses, ratios = [np.zeros(count)], [1.0]
    for i, kind in enumerate(("short", "long")):
        profile = profile_ahead(state, i, clock, step, count) if step > 0 else np.full(1, math.nan)
        if np.isfinite(profile).all():
            errors = state["series_error"].astype(np.float64)
            courses.append(profile[1:] - profile[0])
            ratios.append(float((errors[:, names.index(f"shape_{kind}")] / np.maximum(errors[:, -1], 1e-9)).min()))
    weights = np.maximum(ratios, 1e-9) ** -SHARPNESS
    return np.asarray(weights / weights.sum() @ np.stack(courses))


def profile_ahead(state: Mapping[str, NDArray[Any]], i: int, clock: SeasonClock, step: float, count: int) -> Floats:
    """Return the profile of the short (0) or long (1) season now and 1 to `count` steps ahead; NaN: unknown."""
    period, time, first = (
        float(each) for each in (state["series_period"][i], state["series_time"], state["series_first"])
    )
    if period <= 0 or time - first < period - step / 2:
        return np.full(count + 1, math.nan)
    table = state["series_long" if i else "series_short"].astype(np.float64)
    bins = table[PROFILE] if table.ndim > 1 else table
    slots = min(max(int(period / step + 0.5), 1), len(bins))
    turns = _turns(clock, np.asarray(time + step * np.arange(count + 1), np.float64), first, period)
    at = (turns - np.floor(turns)) * slots
    if table.ndim == 1 and period / step > slots + 0.5:
        return _between(bins[:slots], at + 0.5 * step / period * slots - 0.5)
    slot = (at + 0.5).astype(np.int64) % slots
    if table.ndim == 1 or slots < SMOOTH_FROM:
        return np.asarray(bins[slot])
    near = np.stack([bins[(slot + offset) % slots] for offset in range(-2, 3)])
    known = np.isfinite(near)
    total, found = np.where(known, near, 0.0).sum(0), known.sum(0)
    return np.asarray(np.where(found > 0, total / np.maximum(found, 1), math.nan))


def _turns(clock: SeasonClock, times: Floats, first: float, period: float) -> Floats:
    """Return the seasons since the first observation, by the clock that a season of this period follows, at `times`."""
    follows = period % DAY == 0 or (period % HOUR == 0 and DAY % period == 0)
    if len(clock.zone.offsets) == 0 or not follows:
        return (times - first) / period
    shown = times + offsets_at(clock.zone, times)
    if period % WEEK == 0:
        shown = shown + offsets_at(clock.days, times)
    return np.asarray((shown - (first + float(offsets_at(clock.zone, np.array([first]))[0]) + TIE)) / period)


def _between(bins: Floats, at: Floats) -> Floats:
    """Return a profile in bins between the centers of two, see `read_bins`."""
    below = np.floor(at)
    left, right = (bins[(below + offset).astype(np.int64) % len(bins)] for offset in (0, 1))
    found = left + (at - below) * (right - left)
    return np.asarray(np.where(np.isnan(left), right, np.where(np.isnan(right), left, found)))


def _growth(state: Mapping[str, NDArray[Any]], horizons: Integers) -> float:
    """Return the exponent with which the changes of a series grow between its last two horizons, within limits."""
    before, last = (float(each) for each in state["series_scale"][-2:])
    if before <= 0 or last <= 0:
        return MAX_GROWTH
    found = math.log(last / before) / math.log(int(horizons[-1]) / int(horizons[-2]))
    return min(max(found, LEAST_GROWTH), MAX_GROWTH)


def _rounded(quantiles: Floats) -> Floats:
    """Return the quantiles (N, Q) without digits far below the width of their interval."""
    width = quantiles[:, -1:] - quantiles[:, :1]
    digits = np.clip(DIGITS - np.floor(np.log10(np.where(width > 0, width, 1.0))), 0, 15)
    scaled = quantiles * 10.0**digits
    fine = (width > 0) & (np.abs(scaled) < 2.0**52)
    return np.asarray(np.where(fine, np.rint(scaled) / 10.0**digits, quantiles))
