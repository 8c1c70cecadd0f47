"""Update of one series by one observation, as far as both variants share it.

Rows of a regular series are numbered by its cadence, so that a row that is missing has a number, too: lags, pending
forecasts and labels of `h` rows are those of `h` steps in event time. When an observation arrives after a gap, the
missing rows are filled in by interpolation, as values that later rows have as lags: in a straight line, or bent as the
profile of a season that forecasts the series better than persistence. No forecast was made at them, which a `unit` of
0 in its slot says, and nothing is learned from them. After a gap longer than the ring no row before it matters, so
that the work is bounded.
"""

import math

from streamrnn.core.jit import Singles, compiled
from streamrnn.core.series.calendar import steps_passed, vote_cadence
from streamrnn.core.series.lean_state import AnyState
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import centered, current_scale, update_means, update_scales


@compiled
def begin_update(series: AnyState, plan: Plan, row: int, observed: float, time: int) -> tuple[float, float]:
    """Update cadence, scales and means; return the ms since the previous observation, and the centered value."""
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
    """Return whether the next row is the label of a forecast with horizon k."""
    horizon, now = plan.horizons[k], series.seen[row]
    return now >= horizon and series.unit[row, plan.slots[k] + now % horizon] > 0


@compiled
def fill_missing(series: AnyState, plan: Plan, row: int, value: float, time: int) -> int:
    """Fill in the rows that are missing before a centered `value` at `time` in a line, once; return their number."""
    if not is_pending(series, plan, row, 0):
        return 0  # the first observation, or done before
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
    """Return the season, short (0) or long (1), whose shape forecasts the next row best; -1: none as persistence does.

    `error` (E + 1,): decayed |error| of the experts, among which the shapes are `short` and `long`, and of persistence.
    """
    if min(error[short], error[long]) >= error[len(error) - 1]:
        return -1
    return 1 if error[long] < error[short] else 0


@compiled
def bend(ring: Singles, number: int, share: float, begin: float, then: float, end: float) -> None:
    """Bend a filled row, at a `share` of a gap, as a profile does: `begin` and `end` are around the gap. NaN: not."""
    curve = then - begin - share * (end - begin)
    if curve == curve:
        ring[number % len(ring)] += curve


@compiled
def smooth_missing(series: AnyState, row: int, missing: int) -> None:
    """Update the means by the last `missing` rows, which were filled in."""
    for number in range(series.seen[row] - missing, series.seen[row]):
        filled = float(series.ring[row, number % series.ring.shape[1]])
        update_means(series.means[row], series.variance[row], number, filled, math.inf)


@compiled
def horizon_passed(series: AnyState, plan: Plan, row: int, time: int) -> int:
    """Return the index of the horizon that has passed from the latest observation to `time`; -1: none."""
    steps = steps_passed(series.cadence[row], series.votes[row], float(time - series.time[row]))
    for k in range(len(plan.horizons)):
        if plan.horizons[k] == steps:
            return k
    return -1


@compiled
def finish_update(series: AnyState, row: int, observed: float, time: int, value: float) -> None:
    """Store the observation: `observed` in the field's unit, `value` centered."""
    count = series.seen[row]
    series.ring[row, count % series.ring.shape[1]] = value
    series.time[row], series.value[row], series.seen[row] = time, observed, count + 1
