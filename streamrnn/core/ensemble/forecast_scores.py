"""Scores of forecasts whose labels have arrived, for metrics and for the rollback of learning."""

import numpy as np

from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series.scaling import round_to_grid

ERROR_CLIP = 30.0  # largest error in a running sum, units: the scale of a young series may be far too small
COUNT, ERROR, NAIVE, COVERED, PINBALL, WIDTH, SEASONAL, ERROR_IN_SEASON, NETWORK = range(9)
"""Rows of a table of sums (8 + N, K) with one column per horizon; errors in units.

COUNT: labels. ERROR, NAIVE: |error| of the median and of persistence. COVERED: labels inside the outermost interval.
PINBALL: pinball loss. WIDTH: width of the outermost interval. SEASONAL, ERROR_IN_SEASON: |error| of the seasonal naive
forecast, and of the median for the same labels. From NETWORK on: |error| of each network's median.
"""


@compiled
def add_scores(final: Singles | Floats, levels: Floats, middle: int, truth: float, scores: Floats, k: int) -> None:
    """Add the scores of one forecast `final` (Q,), units, by its `truth`, units, to column k of `scores` (8 + N, K)."""
    last = len(final) - 1
    loss = 0.0
    for q in range(len(levels)):
        error = truth - final[q]
        loss += max(levels[q] * error, (levels[q] - 1) * error)
    scores[COUNT, k] += 1
    scores[ERROR, k] += clipped_error(truth - final[middle])
    scores[NAIVE, k] += clipped_error(truth)
    scores[COVERED, k] += 1.0 if final[0] <= truth <= final[last] else 0.0
    scores[PINBALL, k] += clipped_error(loss / len(levels))
    scores[WIDTH, k] += clipped_error(np.float64(final[last]) - final[0])


@compiled
def clipped_error(error: float) -> float:
    """Return |error|, at most ERROR_CLIP, on a grid on which sums are exact."""
    return round_to_grid(min(abs(error), ERROR_CLIP))
