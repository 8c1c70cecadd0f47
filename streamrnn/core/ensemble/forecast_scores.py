"""Scores of matured forecasts. They are published and guide the rollback of learning; no forecast learns from them."""

import numpy as np

from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series.scaling import round_to_grid

ERROR_CLIP = 30.0  # largest error in a running sum, units: the scale of a young series may be far too small
COUNT, ERROR, NAIVE, COVERED, PINBALL, WIDTH, SEASONAL, BESIDE, NETWORK = range(9)
"""Rows of a table of sums whose columns are the horizons; errors in units.

Labels; |error| of the median and of persistence; labels inside the outermost interval; pinball loss; width of that
interval; |error| of the value one season before and of the median for the same labels; from NETWORK on, |error| of each
network's median.
"""


@compiled
def add_scores(final: Singles | Floats, levels: Floats, middle: int, truth: float, scores: Floats, k: int) -> None:
    """Add the scores of one forecast `final` (Q,) to `scores` (8 + N, K); it and `truth` in units."""
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
