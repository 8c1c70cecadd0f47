"""Feedback of errors in the lean variant: a small regression per series that forecasts the mixture's one-step error.

It works as in `ensemble.feedback`, with four regressors: the latest error, the distance of persistence from the
mixture, the latest change, and the change 24 steps before the target. The weight of the forecast error depends on the
decayed errors of the median with and without it.
"""

from typing import NamedTuple

import numpy as np

from streamrnn.core.banks.lean.follow_up import LOSS_DECAY
from streamrnn.core.ensemble.feedback import (
    FIRST_LABEL,
    PRIOR_ERRORS,
    PRIOR_MEMBERS,
    SHIFT_CLIP,
    TERM_CLIP,
    learn_error,
)
from streamrnn.core.experts.classical import TRUTH_CLIP
from streamrnn.core.jit import Floats, Singles, compiled
from streamrnn.core.series.lean_state import LeanState
from streamrnn.core.series.plan import REFERENCE_STEPS
from streamrnn.core.series.scaling import clip

LEAN_FEEDBACK_VERSION = 1
"""Entry of the layout; incremented when the meaning of the state changes."""
LAG = REFERENCE_STEPS[-1]  # steps from the earlier change to the target; the ring has at least one value more
LEAN_TERMS = 4
STEEPNESS = 20.0  # exponent of the ratio of errors in the weight, as in the weights of the mixture
LEAST_LOSS = 1e-6  # smallest decayed error


class LeanFeedback(NamedTuple):
    """One row per series. D regressors. Errors are multiples of the running |error| of the published median."""

    weights: Singles  # (S, D) of the regression
    covariance: Singles  # (S, D (D + 1) / 2) packed lower triangle
    terms: Singles  # (S, D) regressors of the pending forecast
    scale: Singles  # (S,) running |error| at the origin of the pending forecast, units; 0: none is pending
    shift: Singles  # (S,) pending forecast of the error
    center: Singles  # (S,) pending median of the mixture without feedback, units
    error: Singles  # (S,) error of the latest step; 0: unknown
    loss: Singles  # (S, 2) decayed sum of |error| of the median without and with the shift


def allocate_lean_feedback(capacity: int) -> LeanFeedback:
    """Allocate the state of `capacity` new series."""
    f4, d = np.float32, LEAN_TERMS
    new = LeanFeedback(
        weights=np.zeros((capacity, d), f4), covariance=np.zeros((capacity, d * (d + 1) // 2), f4),
        terms=np.zeros((capacity, d), f4), scale=np.zeros(capacity, f4), shift=np.zeros(capacity, f4),
        center=np.zeros(capacity, f4), error=np.zeros(capacity, f4), loss=np.ones((capacity, 2), f4),
    )  # fmt: skip
    new.covariance[:, np.cumsum(np.arange(1, d + 1)) - 1] = [PRIOR_ERRORS, *[PRIOR_MEMBERS] * (d - 1)]
    return new


@compiled
def learn_lean_feedback(feedback: LeanFeedback, row: int, count: int, truth: float, product: Singles) -> None:
    """Learn from the label of the pending one-step forecast, after `count` observations.

    Called for every observation; `truth` is its label, units, NaN if none was pending. `product` (D,) is scratch.
    """
    scale, error = feedback.scale[row], 0.0
    if truth == truth and scale > 0:
        error = (truth - feedback.center[row]) / scale
        if count > FIRST_LABEL:
            learn_error(feedback.terms[row], feedback.weights[row], feedback.covariance[row], error, product)
        loss = feedback.loss[row]
        loss[0] = LOSS_DECAY * loss[0] + min(abs(error), TRUTH_CLIP)
        loss[1] = LOSS_DECAY * loss[1] + min(abs(error - feedback.shift[row]), TRUTH_CLIP)
        error = clip(error, TERM_CLIP)
    feedback.error[row] = error


@compiled
def value_back(series: LeanState, row: int, back: int) -> float:
    """Return the centered value `back` steps before the latest."""
    ring = series.ring[row]
    return float(ring[(series.seen[row] - 1 - back) % len(ring)])


@compiled
def apply_lean_feedback(
    series: LeanState, feedback: LeanFeedback, row: int, middle: int, unit: float, mixed: Floats
) -> None:
    """Shift the one-step quantiles `mixed` (Q,), units, of the mixture in place; `middle` is the index of the median.

    If the shift has reduced the errors, the distances from the median are reduced in proportion, because the width of
    the mixture corresponds to its errors without the shift.
    """
    scale, center, terms = float(series.wrong[row, 0]), mixed[middle], feedback.terms[row]
    feedback.scale[row], feedback.shift[row], feedback.center[row] = scale, 0.0, center
    if scale <= 0:
        return
    per = unit * scale
    terms[0], terms[1], terms[2], terms[3] = feedback.error[row], clip(-center / scale, TERM_CLIP), 0.0, 0.0
    if series.seen[row] > 1:
        terms[2] = clip((value_back(series, row, 0) - value_back(series, row, 1)) / per, TERM_CLIP)
    if series.seen[row] > LAG:
        terms[3] = clip((value_back(series, row, LAG - 1) - value_back(series, row, LAG)) / per, TERM_CLIP)
    expected = 0.0
    for d in range(len(terms)):
        expected += feedback.weights[row, d] * terms[d]
    shift = min(max(expected, -SHIFT_CLIP), SHIFT_CLIP)
    feedback.shift[row] = shift
    before, after = max(feedback.loss[row, 0], LEAST_LOSS), max(feedback.loss[row, 1], LEAST_LOSS)
    weight = 1.0 / (1.0 + (after / before) ** STEEPNESS)
    narrow = 1.0 - weight * max(1.0 - after / before, 0.0)
    for q in range(len(mixed)):
        mixed[q] = center + narrow * (mixed[q] - center) + weight * shift * scale


def forget_lean_errors(feedback: LeanFeedback, row: int) -> None:
    """Remove the pending forecast and the latest error of a series."""
    feedback.scale[row] = feedback.shift[row] = feedback.error[row] = 0.0
