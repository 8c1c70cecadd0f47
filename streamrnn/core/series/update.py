"""Update of one series by one observation: the part that both variants share.

The steps of a regular series are numbered by its cadence, missing steps included, so that lags and horizons of `h`
steps have the same length in event time. When an observation arrives after a gap, the missing steps are filled in by
interpolation, because later steps read them as lags: along a straight line, bent by the profile of a season that
forecasts the series better than persistence. Missing steps have no pending forecasts (their `unit` is 0), and nothing
is learned from them. After a gap longer than the ring, only the steps that fit into the ring are filled in, which
bounds the work.
"""

import math

from streamrnn.core.jit import Singles, compiled
from streamrnn.core.series.calendar import steps_passed, vote_cadence
from streamrnn.core.series.lean_state import AnyState
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import centered, current_scale, update_means, update_scales


@compiled
def begin_update(series: AnyState, plan: Plan, row: int, observed: float, time: int) -> tuple[float, float]:
    """Update cadence, scales and means; return the ms since the previous observation and the centered value."""
    count, passed = series.seen[row], 0.0
    if count == 0:
        series.center[row], series.first[row], series.time[row] = observed, time, time
    else:
        passed = float(time - series.time[row])
        series.cadence[row], series.votes[row] = vote_cadence(series.cadence[row], series.votes[row], passed)
    value = centered(observed, series.center[row])
    update_scales(
        series.scale[row], series.ring[row], plan.horizons, plan.slots, series.unit[row], count, value
    )  # fmt: skip
    unit = current_scale(series.scale[row], plan.horizons, plan.references[2], count + 1, observed)
    series.variance[row] = update_means(series.means[row], series.variance[row], count, value, unit)
    return passed, value


@compiled
def is_pending(series: AnyState, plan: Plan, row: int, k: int) -> bool:
    """Return whether the next step is the label of a pending forecast with horizon k."""
    horizon, now = plan.horizons[k], series.seen[row]
    return now >= horizon and series.unit[row, plan.slots[k] + now % horizon] > 0


@compiled
def fill_missing(series: AnyState, plan: Plan, row: int, value: float, time: int) -> int:
    """Fill in the steps missing before a centered `value` at `time` along a straight line; return their number.

    A second call for the same observation returns 0.
    """
    if not is_pending(series, plan, row, 0):
        return 0  # the first observation, or a second call
    passed = float(time - series.time[row])
    missing = steps_passed(series.cadence[row], series.votes[row], passed) - 1
    if missing == 0:
        return 0
    count, ring = series.seen[row], series.ring[row]
    missing = min(missing, len(ring))
    last = float(ring[(count - 1) % len(ring)])
    for i in range(missing):
        ring[(count + i) % len(ring)] = last + (value - last) * (i + 1) / (missing + 1)
    for k in range(len(plan.horizons)):
        horizon = plan.horizons[k]
        for i in range(max(missing - horizon, 0), missing):
            series.unit[row, plan.slots[k] + (count + i) % horizon] = 0.0
    series.seen[row] = count + missing
    return missing


@compiled
def trusted_shape(error: Singles, short: int, long: int) -> int:
    """Return the season, short (0) or long (1), whose shape forecasts one step best; -1: persistence is better.

    `error` (E + 1,) is the decayed |error| of the experts and, last, of persistence; `short` and `long` are the indexes
    of the experts that forecast by the shape of a season.
    """
    if min(error[short], error[long]) >= error[len(error) - 1]:
        return -1
    return 1 if error[long] < error[short] else 0


@compiled
def bend(ring: Singles, number: int, share: float, begin: float, then: float, end: float) -> None:
    """Add the curvature of a profile to the filled value of a step, at a `share` of its gap.

    `begin`, `then` and `end` are the profile before the gap, at the step and after the gap; nothing is added if one is
    NaN.
    """
    curve = then - begin - share * (end - begin)
    if curve == curve:
        ring[number % len(ring)] += curve


@compiled
def smooth_missing(series: AnyState, row: int, missing: int) -> None:
    """Update the means by the last `missing` steps, which were filled in."""
    for number in range(series.seen[row] - missing, series.seen[row]):
        filled = float(series.ring[row, number % series.ring.shape[1]])
        update_means(series.means[row], series.variance[row], number, filled, math.inf)


@compiled
def horizon_passed(series: AnyState, plan: Plan, row: int, time: int) -> int:
    """Return the index of the horizon whose steps have passed between the latest observation and `time`; -1: none."""
    steps = steps_passed(series.cadence[row], series.votes[row], float(time - series.time[row]))
    for k in range(len(plan.horizons)):
        if plan.horizons[k] == steps:
            return k
    return -1


@compiled
def finish_update(series: AnyState, row: int, observed: float, time: int, value: float) -> None:
    """Store an observation, `observed` in the field's unit and `value` centered."""
    count = series.seen[row]
    series.ring[row, count % series.ring.shape[1]] = value
    series.time[row], series.value[row], series.seen[row] = time, observed, count + 1
