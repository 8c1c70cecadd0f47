"""What an observation does to its series: due forecasts are scored, then it is taken in, then described."""

from streamrnn.core.calibration import exceedance, track_miss, track_offsets, track_residuals, track_tail
from streamrnn.core.compiled import Floats, Integers, Singles, compiled
from streamrnn.core.inputs import current_scale, read_inputs, update_means, update_scales
from streamrnn.core.mixture import reward
from streamrnn.core.season import vote
from streamrnn.core.series import RING, Plan, Series

SKILL_RATE = 1 / 200
ERROR_CLIP = 30.0
"""Units; how far one surprise may move the running errors (the scale of a young series may be far too small)."""
LABEL_CLIP = 8.0
"""Units; beyond it a label would teach the network only that spikes exist."""
WARM = 32
"""Observations before a series counts as warm: until then its anomaly score is 0."""
COUNT, ERROR, NAIVE, COVERED = 0, 1, 2, 3
"""Rows of the score table."""


@compiled
def mature(series: Series, plan: Plan, row: int, k: int, value: float, scores: Floats) -> None:
    """Score the forecast of horizon k that was made for this observation, and learn from it."""
    horizon, now = plan.horizons[k], series.seen[row]
    slot = plan.slots[k] + now % horizon
    seen, middle = now - horizon, plan.middle
    truth = (value - series.anchor[row, slot]) / series.unit[row, slot]
    final, mixed = series.final[row, slot], series.mixed[row, slot]
    for q in range(len(plan.levels)):
        reward(
            series.regret[row, k, q], series.variance[row, k, q], series.bound[row, k, q],
            mixed[q], series.pending[row, slot, :, q], truth, plan.levels[q],
        )  # fmt: skip
    track_residuals(series.residual[row, k], plan.levels, middle, truth, seen)
    track_offsets(series.offset[row, k], final, plan.levels, middle, truth)
    wrong, naive = min(abs(truth - final[middle]), ERROR_CLIP), min(abs(truth), ERROR_CLIP)
    rate = max(SKILL_RATE, 1.0 / (seen + 1))
    series.miss[row, k] = track_miss(series.miss[row, k], wrong, seen)
    series.error[row, k] += rate * (wrong - series.error[row, k])
    series.naive[row, k] += rate * (naive - series.naive[row, k])
    clipped = min(max(truth, -LABEL_CLIP), LABEL_CLIP)
    series.labels[row, seen % series.labels.shape[1], k] = clipped
    scores[COUNT, k] += 1
    scores[ERROR, k] += wrong
    scores[NAIVE, k] += naive
    scores[COVERED, k] += 1.0 if final[0] <= truth <= final[len(final) - 1] else 0.0


@compiled
def surprise(series: Series, plan: Plan, row: int, value: float) -> float:
    """Anomaly score of an observation, before anything is learned from it; 0 for a series that is not warm."""
    now = series.seen[row]
    if now < 1:
        return 0.0
    slot = plan.slots[0]  # horizon 1 has one slot
    truth = (value - series.anchor[row, slot]) / series.unit[row, slot]
    ratio = exceedance(series.final[row, slot], plan.middle, truth)
    score = ratio / series.tail[row]
    series.tail[row] = track_tail(series.tail[row], ratio)
    return min(score, 1e6) if now >= WARM else 0.0


@compiled
def take_in(series: Series, plan: Plan, row: int, value: float, time: int) -> float:
    """Update scale, means, cadence and ring; ms since the observation before (0 for the first)."""
    count = series.seen[row]
    passed = 0.0
    if count == 0:
        series.center[row] = value
    else:
        passed = float(time - series.time[row])
        series.cadence[row], series.votes[row] = vote(series.cadence[row], series.votes[row], passed)
    relative = value - series.center[row]
    update_scales(series.scale[row], series.ring[row], plan.steps, count, relative)
    unit = current_scale(series.scale[row], plan.steps, plan.references[2], count + 1, value)
    update_means(series.means[row], count, value, unit)
    series.ring[row, count % RING] = relative
    series.time[row] = time
    series.seen[row] = count + 1
    return passed


@compiled
def observe(
    series: Series,
    plan: Plan,
    rows: Integers,
    values: Floats,
    times: Integers,
    inputs: Singles,
    seasonals: Singles,
    anomaly: Floats,
    scores: Floats,
) -> None:
    """One wave: `rows` (B,) distinct, `values` (B,), `times` (B,) ms.

    Fills `inputs` (B, F), `seasonals` (B, K, 4) and `anomaly` (B,), and adds to `scores` (4, K).
    """
    for b in range(len(rows)):
        row = rows[b]
        anomaly[b] = surprise(series, plan, row, values[b])
        for k in range(len(plan.horizons)):
            if series.seen[row] >= plan.horizons[k]:
                mature(series, plan, row, k, values[b], scores)
        passed = take_in(series, plan, row, values[b], times[b])
        read_inputs(series, plan, row, values[b], passed, inputs[b], seasonals[b])
