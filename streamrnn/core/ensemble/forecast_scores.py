"""What a forecast was worth whose truth has just come: the table of scores, which is told and not learned from."""

import numpy as np

from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series.scaling import exact

ERROR_CLIP = 30.0
"""Units; how far one surprise may move the running errors (the scale of a young series may be far too small)."""
COUNT, ERROR, NAIVE, COVERED, PINBALL, WIDTH, SEASONAL, BESIDE, NETWORK = range(9)
"""Rows of the table, whose columns are the horizons: SEASONAL and BESIDE are errors of the value one season before, and
ours of the same truths; from the last on, the |error| of each network's median."""


@compiled
def weigh_up(final: Singles | Floats, levels: Floats, middle: int, truth: float, scores: Floats, k: int) -> None:
    """Add to `scores` (8 + N, K) what a published forecast `final` (Q,) was worth; it and `truth` in units."""
    last = len(final) - 1
    loss = 0.0
    for q in range(len(levels)):
        error = truth - final[q]
        loss += max(levels[q] * error, (levels[q] - 1) * error)
    scores[COUNT, k] += 1
    scores[ERROR, k] += clipped(truth - final[middle])
    scores[NAIVE, k] += clipped(truth)
    scores[COVERED, k] += 1.0 if final[0] <= truth <= final[last] else 0.0
    scores[PINBALL, k] += clipped(loss / len(levels))
    scores[WIDTH, k] += clipped(np.float64(final[last]) - final[0])


@compiled
def clipped(error: float) -> float:
    """Its size, at most ERROR_CLIP, ready to be added up."""
    return exact(min(abs(error), ERROR_CLIP))
