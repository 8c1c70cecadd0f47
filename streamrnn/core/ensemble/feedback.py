"""Feedback of errors: a regression per series of the mixture's one-step error on its earlier errors.

Errors that are autocorrelated or seasonal can be forecast. Recursive least squares forecast the next error from the
last three errors, the errors at the same phase in earlier seasons, their mean, and the distances of some members from
the mixture. All quantiles are shifted by this forecast times its weight, which is aggregated online against a shift of
0, so that a useless forecast does little harm. Errors are multiples of the running |error| of the published median.
Feedback is applied at horizon 1 only: at horizons of 12 and more it did not reduce the loss.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from streamrnn.core.clock.season_clock import clock_change, follows_clock
from streamrnn.core.ensemble.aggregation import FIRST_BOUND, FIRST_VARIANCE, fill_weights, update_regrets
from streamrnn.core.experts.classical import decode_point
from streamrnn.core.experts.rls import update_covariance
from streamrnn.core.jit import Floats, Integers, Shorts, Singles, Tinies, compiled, flattened
from streamrnn.core.series.calendar import round_cadence, slot_count, steps_passed
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import CODES, CODES8, clip, decode8, decode16, encode8
from streamrnn.core.series.state import EXPERTS, LONG_SLOTS, NETWORK_CLIP, FullState

FEEDBACK_VERSION = 1
"""Entry of the layout; incremented when the meaning of the state changes."""
FORGET = 0.9995  # forgetting factor of the regression, per label
ERROR_CLIP = 1.5  # largest |error| that updates the weights, multiples of the running |error|
TERM_CLIP = 4.0  # largest |regressor|, in the same multiples
SHIFT_CLIP = 3.0  # largest |shift|, in the same multiples
FIRST_LABEL = 10  # number of labels before the first one that the regression learns from
MEAN_RATE = 0.1  # rate of the mean error, per label
CONSTANT = 0.3  # value of the constant regressor
BACK = 3  # number of latest errors among the regressors
PRIOR_ERRORS, PRIOR_MEMBERS = 1.0, 0.1
"""Prior variance of the weights of errors and of members' distances; the smaller one is a stronger ridge."""
SEASONS = 4  # number of errors from earlier seasons among the regressors, see `fill_terms`
MEMBERS = tuple(EXPERTS.index(name) for name in ("ridge", "regression", "holt_winters", "naive_short"))
FROM_MEMBERS = BACK + SEASONS + 2  # index of the first member's distance: persistence, then MEMBERS, then networks
STEPS_BACK = LONG_SLOTS  # number of steps whose errors are stored: a week of 15-minute steps
FEEDBACK_PRIOR = np.array([0.5, 0.5])  # prior weights of no shift and of the full shift


class Feedback(NamedTuple):
    """One row per series. D regressors, Q quantiles, R = STEPS_BACK. Errors are multiples of the running |error|."""

    weights: Singles  # (S, D) of the regression
    covariance: Singles  # (S, D (D + 1) / 2) packed lower triangle
    terms: Singles  # (S, D) regressors of the pending forecast
    scale: Singles  # (S,) running |error| at the origin of the pending forecast, units; 0: none is pending
    shift: Singles  # (S,) pending forecast of the error
    shifted: Singles  # (S, Q) pending quantiles with feedback, units
    regret: Singles  # (S, Q, 2) of no shift and of the full shift, see aggregation
    variance: Singles  # (S, Q, 2) second moment of the regrets
    bound: Singles  # (S, Q, 2) decayed maximum of their changes
    mean: Singles  # (S,) exponential mean of the errors
    errors: Tinies  # (S, R) errors of the last R steps, 8-bit codes; 0: unknown
    position: Integers  # (S,) steps of the cadence so far


FEEDBACK_AXES = {"shifted": "Q", "regret": "N.", "variance": "N.", "bound": "N."}
"""Kinds of the axes after the first, for arrays whose shape depends on the plan; see `migration`."""


def allocate_feedback(capacity: int, plan: Plan, networks: int) -> Feedback:
    """Allocate the state of `capacity` new series, with N `networks` in the mixture."""
    f4, q, width = np.float32, len(plan.levels), FROM_MEMBERS + 1 + len(MEMBERS) + networks
    prior = np.where(np.arange(width) < FROM_MEMBERS, PRIOR_ERRORS, PRIOR_MEMBERS)
    diagonal = np.cumsum(np.arange(1, width + 1)) - 1
    new = Feedback(
        weights=np.zeros((capacity, width), f4), covariance=np.zeros((capacity, width * (width + 1) // 2), f4),
        terms=np.zeros((capacity, width), f4), scale=np.zeros(capacity, f4), shift=np.zeros(capacity, f4),
        shifted=np.zeros((capacity, q), f4), regret=np.zeros((capacity, q, 2), f4),
        variance=np.full((capacity, q, 2), FIRST_VARIANCE, f4), bound=np.full((capacity, q, 2), FIRST_BOUND, f4),
        mean=np.zeros(capacity, f4), errors=np.zeros((capacity, STEPS_BACK), np.int8),
        position=np.zeros(capacity, np.int64),
    )  # fmt: skip
    new.covariance[:, diagonal] = prior
    return new


def upgrade_feedback(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved arrays, by prefixed name; earlier versions have errors as 16-bit codes, or no feedback."""
    errors = saved.get("feedback_errors")
    if errors is None or errors.dtype == np.int8:
        return dict(saved)
    return {**saved, "feedback_errors": np.rint(errors * (CODES8 / CODES)).astype(np.int8)}


@compiled
def past_error(feedback: Feedback, row: int, back: int) -> float:
    """Return the error `back` steps before the latest step; 0: unknown."""
    if not 0 <= back < STEPS_BACK:
        return 0.0
    return decode8(feedback.errors[row, (feedback.position[row] - back) % STEPS_BACK], TERM_CLIP)


@compiled
def phase_distance(plan: Plan, time: float, cadence: float, period: float, seasons: int) -> int:
    """Return the number of steps from the same phase `seasons` earlier to the step after `time`, by the local clock."""
    steps = seasons * slot_count(period, cadence, 1 << 20)
    if len(plan.clock.zone.changes) == 0 or not follows_clock(period):
        return steps
    target = time + cadence
    return steps - int(np.rint(clock_change(plan.clock, target - seasons * period, target) / cadence))


@compiled
def store_error(feedback: Feedback, row: int, steps: int, error: float) -> None:
    """Store the error of a step that is `steps` after the latest one; errors of the steps between are unknown."""
    for back in range(min(steps - 1, STEPS_BACK)):
        feedback.errors[row, (feedback.position[row] + steps - 1 - back) % STEPS_BACK] = 0
    feedback.position[row] += steps
    feedback.errors[row, feedback.position[row] % STEPS_BACK] = encode8(error, TERM_CLIP)


@compiled
def learn_error(terms: Singles, weights: Singles, covariance: Singles, error: float, product: Singles) -> None:
    """Update a regression by the `error` of a pending forecast; arrays as in Feedback; `product` (D,) is scratch."""
    expected = 0.0
    for d in range(len(terms)):
        expected += weights[d] * terms[d]
    surprise = min(max(error - expected, -ERROR_CLIP), ERROR_CLIP)
    update_covariance(covariance, terms, product, PRIOR_ERRORS, FORGET)
    for d in range(len(terms)):
        weights[d] += product[d] * surprise


@compiled
def learn_feedback(
    series: FullState, feedback: Feedback, plan: Plan, row: int, time: int, mixed: Singles, truth: float,
    outputs: Floats, product: Singles,
) -> None:  # fmt: skip
    """Learn from the label of the pending one-step forecast, before the observation at `time` (ms) is stored.

    Called for every observation; `truth` is its label, units, NaN if none was pending. `mixed` (Q,) are the quantiles
    of the mixture without feedback, units; `outputs` (2*Q,) and `product` (D,) are scratch.
    """
    count, scale, error = series.seen[row], feedback.scale[row], 0.0
    if count == 0:
        return
    steps = steps_passed(series.cadence[row], series.votes[row], float(time - series.time[row]))
    if truth == truth and scale > 0:
        shift = scale * feedback.shift[row]
        error = (truth - mixed[plan.middle]) / scale
        if count > FIRST_LABEL:
            learn_error(feedback.terms[row], feedback.weights[row], feedback.covariance[row], error, product)
        for q in range(len(plan.levels)):
            outputs[2 * q], outputs[2 * q + 1] = mixed[q], mixed[q] + shift
        update_regrets(
            flattened(feedback.regret[row]), flattened(feedback.variance[row]), flattened(feedback.bound[row]),
            feedback.shifted[row], outputs, truth, plan.levels, 1.0,
        )  # fmt: skip
        error = clip(error, TERM_CLIP)
        feedback.mean[row] += MEAN_RATE * (error - feedback.mean[row])
    store_error(feedback, row, steps, error)


@compiled
def fill_terms(series: FullState, feedback: Feedback, plan: Plan, row: int, networks: Shorts, center: float) -> None:
    """Fill the regressors for the next error, from `networks` (N, Q), 16-bit codes, and the median `center`, units."""
    terms, scale, cadence = feedback.terms[row], feedback.scale[row], round_cadence(series.cadence[row])
    for back in range(BACK):
        terms[back] = past_error(feedback, row, back)
    for i in range(SEASONS):
        terms[BACK + i] = 0.0
    time, short, long = float(series.time[row]), series.period[row, 0], series.period[row, 1]
    if cadence > 0 and short > 0:
        steps = phase_distance(plan, time, cadence, short, 1)
        terms[BACK] = past_error(feedback, row, steps - 1)  # at the phase of the target
        terms[BACK + 1] = past_error(feedback, row, phase_distance(plan, time, cadence, short, 2) - 1)
        terms[BACK + 2] = past_error(feedback, row, steps) if steps >= BACK else 0.0
    if cadence > 0 and long > 0:
        terms[BACK + 3] = past_error(feedback, row, phase_distance(plan, time, cadence, long, 1) - 1)
    terms[FROM_MEMBERS - 2], terms[FROM_MEMBERS - 1] = feedback.mean[row], CONSTANT
    terms[FROM_MEMBERS] = clip(-center / scale, TERM_CLIP)
    at = FROM_MEMBERS + 1
    for e in MEMBERS:
        terms[at] = clip((decode_point(series.points[row, plan.slots[0], e]) - center) / scale, TERM_CLIP)
        at += 1
    for n in range(len(networks)):
        terms[at + n] = clip((decode16(networks[n, plan.middle], NETWORK_CLIP) - center) / scale, TERM_CLIP)


@compiled
def apply_feedback(
    series: FullState, feedback: Feedback, plan: Plan, row: int, networks: Shorts, scale: float, shares: Floats,
    mixed: Floats,
) -> None:  # fmt: skip
    """Shift the quantiles `mixed` (Q,), units, of the one-step forecast in place.

    `networks` (N, Q) are the quantiles of the networks, 16-bit codes; `scale` is the running |error| of the published
    median, units; `shares` (2, 2*Q) is scratch.
    """
    feedback.scale[row], feedback.shift[row] = scale, 0.0
    if scale > 0:
        fill_terms(series, feedback, plan, row, networks, mixed[plan.middle])
        expected = 0.0
        for d in range(len(feedback.terms[row])):
            expected += feedback.weights[row, d] * feedback.terms[row, d]
        shift = min(max(expected, -SHIFT_CLIP), SHIFT_CLIP)
        feedback.shift[row] = shift
        fill_weights(
            flattened(feedback.regret[row]), flattened(feedback.variance[row]), flattened(feedback.bound[row]),
            FEEDBACK_PRIOR, 1.0, shares[0], shares[1],
        )  # fmt: skip
        for q in range(len(mixed)):
            mixed[q] += shares[1, 2 * q + 1] * shift * scale


def forget_errors(feedback: Feedback, row: int, steps: int) -> None:
    """Remove the pending forecast and the errors of the last `steps` of a series."""
    latest = np.arange(feedback.position[row] - min(steps, STEPS_BACK), feedback.position[row]) + 1
    feedback.errors[row, latest % STEPS_BACK] = 0
    feedback.scale[row] = feedback.mean[row] = feedback.shift[row] = 0.0
