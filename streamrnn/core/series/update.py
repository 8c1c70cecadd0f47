"""Update of one series by one observation, as far as both variants share it."""

from streamrnn.core.jit import compiled
from streamrnn.core.series.calendar import vote_cadence
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
    update_scales(series.scale[row], series.ring[row], plan.horizons, count, value)
    unit = current_scale(series.scale[row], plan.horizons, plan.references[2], count + 1, observed)
    series.variance[row] = update_means(series.means[row], series.variance[row], count, value, unit)
    return passed, value


@compiled
def finish_update(series: AnyState, row: int, observed: float, time: int, value: float) -> None:
    """Store the observation: `observed` in the field's unit, `value` centered."""
    count = series.seen[row]
    series.ring[row, count % series.ring.shape[1]] = value
    series.time[row], series.value[row], series.seen[row] = time, observed, count + 1
