"""Inputs of the network of the full variant: causal, and invariant to level and scale."""

import math

import numpy as np

from streamrnn.core.clock.season_clock import SeasonClock, clock_change, season_time
from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series.calendar import DAY, phase
from streamrnn.core.series.lean_state import AnyState
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import clip, current_scale, signed_log1p
from streamrnn.core.series.seasonal_state import read_seasons
from streamrnn.core.series.state import COMMON, EXPERTS, HALF_LIVES, TERMS, FullState

INPUTS_VERSION = 1
"""Incremented when the meaning of an input changes: pretrained weights depend on it, and shapes do not reveal it."""
TERM_CLIP = 10.0  # largest |regressor|, units
ALIGNMENTS = (0, 1, 12, 24)  # steps ahead at which seasonal values are inputs
TWELVE, LONG_MEAN, LAST_MEAN = HALF_LIVES.index(12.0), HALF_LIVES.index(200.0), len(HALF_LIVES) - 1
FURTHER_MEANS = (HALF_LIVES.index(2.0), HALF_LIVES.index(5.0), HALF_LIVES.index(40.0))
LOG_CLIP = 3.0  # largest |log| of a ratio among the inputs


@compiled
def fill_calendar(clock: SeasonClock, terms: Singles, at: int, time: float, short: float, long: float) -> int:
    """Fill six terms from `at` on, and return the next index: two harmonics of the short season, one of the long."""
    for period, harmonic in ((short, 1), (short, 2), (long, 1)):
        if period > 0:
            angle = 2 * math.pi * harmonic * phase(season_time(clock, time, time, period), 0.0, period)
            terms[at], terms[at + 1] = math.sin(angle), math.cos(angle)
        else:
            terms[at], terms[at + 1] = 0.0, 0.0
        at += 2
    return at


@compiled
def fill_lags(
    terms: Singles, ring: Singles, now: int, half: int, day: int, value: float, s1: float, s12: float, s24: float
) -> int:
    """Fill the distances of lags 1 to 12 and 24 from the latest value, in units; return the next index.

    `half` and `day` are the lags in steps that replace 12 and 24 when the clock has changed; see `clock_lag`.
    """
    unit, size = math.sqrt(s1 * s12), len(ring)
    day = min(day, size - 1)
    for k in range(1, 13):
        lag = half if k == 12 else k
        terms[k - 1] = clip((ring[(now - lag) % size] - value) / unit, TERM_CLIP) if lag <= now else 0.0
    terms[12] = clip((ring[(now - day) % size] - value) / s24, TERM_CLIP) if now >= day else 0.0
    return 13


@compiled
def clock_lag(plan: Plan, time: float, cadence: float, steps: int) -> int:
    """Return a lag of `steps`; if it is a day or half a day, corrected by a change of the local clock within it."""
    span = steps * cadence
    if len(plan.clock.zone.changes) == 0 or (span != DAY and span != DAY / 2):
        return steps
    return steps - int(np.rint(clock_change(plan.clock, time - span, time) / cadence))


@compiled
def fill_regressors(
    series: FullState, plan: Plan, row: int, cadence: float, aligned: Floats, terms: Singles, profiles: Singles
) -> None:
    """Fill the regressors `terms` (D,), `profiles` (8,), and `aligned` (4, 5), the seasonal values at ALIGNMENTS."""
    count, time = series.seen[row], float(series.time[row])
    value = series.value[row] - series.center[row]
    s1, s12, s24 = reference_scales(series, plan, row)
    half, day = clock_lag(plan, time, cadence, 12), clock_lag(plan, time, cadence, 24)
    at = fill_lags(terms, series.ring[row], count - 1, half, day, value, s1, s12, s24)
    for a in range(4):
        read_seasons(series, plan, row, time, cadence, ALIGNMENTS[a], aligned[a])
        unit = s24 if a == 3 else s12
        for i in range(2):
            terms[at + 4 * i + a] = clip((aligned[a, i] - value) / unit, TERM_CLIP)
            profiles[4 * i + a] = clip((aligned[a, 2 + i] - value) / s12, TERM_CLIP)
    at += 8
    terms[at] = clip((series.means[row, TWELVE] - value) / s12, TERM_CLIP)
    terms[at + 1] = clip((series.means[row, LONG_MEAN] - value) / s24, TERM_CLIP)
    at = fill_calendar(plan.clock, terms, at + 2, time, series.period[row, 0], series.period[row, 1])
    terms[at] = 1.0


@compiled
def reference_scales(series: AnyState, plan: Plan, row: int) -> tuple[float, float, float]:
    """Return the scales of the change over each of REFERENCE_STEPS, field's unit."""
    scale, horizons, references = series.scale[row], plan.horizons, plan.references
    count, value = series.seen[row], series.value[row]
    return (
        current_scale(scale, horizons, references[0], count, value),
        current_scale(scale, horizons, references[1], count, value),
        current_scale(scale, horizons, references[2], count, value),
    )


@compiled
def fill_age(series: AnyState, row: int, cadence: float, passed: float, inputs: Singles, at: int) -> int:
    """Fill seven inputs from `at` on, and return the next index: age of seasons and series, and the time step."""
    short, long = series.period[row, 0], series.period[row, 1]
    elapsed, count = float(series.time[row] - series.first[row]), series.seen[row]
    inputs[at] = math.log(short / cadence) / 4 if short > 0 else 0.0
    inputs[at + 1] = 1.0 if 0 < short < elapsed else 0.0
    inputs[at + 2] = 1.0 if 0 < 2 * short < elapsed else 0.0
    inputs[at + 3] = 1.0 if 0 < long < elapsed else 0.0
    inputs[at + 4] = math.log1p(count - 1.0) / 5
    inputs[at + 5] = min((count - 1) / 100, 3.0)
    inputs[at + 6] = clip(math.log(passed / cadence), LOG_CLIP) if cadence > 0 and passed > 0 else 0.0
    return at + 7


@compiled
def fill_spread(
    series: AnyState, row: int, value: float, s1: float, s12: float, s24: float, inputs: Singles, at: int
) -> None:
    """Fill four inputs from `at` on: the distance of the centered `value` from its mean, and ratios of scales."""
    spread = math.sqrt(series.variance[row]) + min(1e-9 * abs(series.value[row]) + 1e-12, s1)
    inputs[at] = signed_log1p(clip((value - series.means[row, LAST_MEAN]) / spread, 5.0))
    inputs[at + 1] = clip(math.log(max(spread / s1, 1e-3)) / 2, LOG_CLIP)
    inputs[at + 2] = clip(math.log(s12 / s1), LOG_CLIP)
    inputs[at + 3] = clip(math.log(s24 / s1), LOG_CLIP)


@compiled
def fill_common_inputs(
    series: FullState, plan: Plan, row: int, cadence: float, passed: float, terms: Singles, profiles: Singles,
    inputs: Singles,
) -> None:  # fmt: skip
    """Fill the first COMMON of `inputs` (F,); `passed` are the ms since the previous observation."""
    value = series.value[row] - series.center[row]
    s1, s12, s24 = reference_scales(series, plan, row)
    at = TERMS - 1
    for d in range(at):
        inputs[d] = signed_log1p(terms[d])
    for p in range(8):
        inputs[at + p] = signed_log1p(profiles[p])
    at += 8
    for i in range(3):
        inputs[at + i] = signed_log1p(clip((series.means[row, FURTHER_MEANS[i]] - value) / s12, TERM_CLIP))
    at += 3
    fill_spread(series, row, value, s1, s12, s24, inputs, at)
    fill_age(series, row, cadence, passed, inputs, at + 4)


@compiled
def fill_expert_inputs(points: Singles, trust: Singles, inputs: Singles) -> None:
    """Fill the remaining `inputs` (F,): the experts' forecasts and trust (E,) at the middle reference horizon."""
    for e in range(len(EXPERTS)):
        inputs[COMMON + e] = signed_log1p(points[e])
        inputs[COMMON + len(EXPERTS) + e] = trust[e]


@compiled
def fill_lead(series: AnyState, plan: Plan, row: int, cadence: float, units: Floats, lead: Singles) -> None:
    """Fill `lead` (K, 3): log of the horizon, its share of the short season, log of its scale over that of one step."""
    short, one = series.period[row, 0], units[0]
    for k in range(len(plan.horizons)):
        horizon = plan.horizons[k]
        lead[k, 0] = math.log(horizon) / 3
        lead[k, 1] = min(horizon * cadence / short, 2.0) if short > 0 else 0.0
        lead[k, 2] = clip(math.log(units[k] / one) / 2, 8.0)
