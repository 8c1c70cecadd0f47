"""Feedback of errors: the regression against the textbook in double precision, its regressors, and its weight."""

import numpy as np
import pytest
from support.streams import HOUR, START

from streamrnn.core.banks.full import FullBank
from streamrnn.core.clock.season_clock import make_clock
from streamrnn.core.ensemble import feedback
from streamrnn.core.ensemble.feedback import Feedback, allocate_feedback
from streamrnn.core.jit import Floats
from streamrnn.core.series.plan import make_plan

LEVELS = (0.1, 0.5, 0.9)
NETWORKS = 3
WIDTH = feedback.FROM_MEMBERS + 1 + len(feedback.MEMBERS) + NETWORKS
ROUNDED = feedback.TERM_CLIP / 127 / 2 + 1e-6  # by a code of 8 bits


def empty() -> Feedback:
    """Return the state of one new series."""
    return allocate_feedback(1, make_plan((1,), LEVELS), NETWORKS)


def run(values: Floats, *, off: bool = False) -> tuple[FullBank, Floats]:
    """Feed a series; its networks forecast the latest value. Return the one-step medians, too.

    With `off` the feedback never learns.
    """
    bank = FullBank(horizons=(1, 12, 24), quantiles=LEVELS, networks=NETWORKS, trained=True)
    row, medians = bank.add(["s"]), []
    outputs = np.tile(bank.plan.normal.astype(np.float32), (NETWORKS, 1, 3, 1))
    for i, value in enumerate(values.tolist()):
        bank.update(row, np.array([value]), np.array([START + HOUR * i]))
        if off:
            bank.parts.feedback.weights[:] = 0
        medians.append(bank.publish(row, outputs, np.zeros((1, 3, 0))).quantiles[0, 0, 1])
    return bank, np.array(medians)


def test_it_is_recursive_least_squares() -> None:
    """Weights equal those of the textbook recursion with two priors, and with surprises clipped."""
    rng, state, product = np.random.default_rng(1), empty(), np.empty(WIDTH, np.float32)
    prior = [feedback.PRIOR_ERRORS] * feedback.FROM_MEMBERS
    covariance = np.diag(prior + [feedback.PRIOR_MEMBERS] * (WIDTH - len(prior)))
    terms = (rng.normal(size=(500, WIDTH)) @ rng.normal(size=(WIDTH, WIDTH)) / 4).astype(np.float32)
    errors = terms @ rng.normal(size=WIDTH) * 0.2 + rng.standard_t(2, size=500)
    weights = np.zeros(WIDTH)
    for x, error in zip(terms, errors.tolist(), strict=True):
        state.terms[0] = x
        feedback.learn_error(state.terms[0], state.weights[0], state.covariance[0], error, product)
        gain = covariance @ x / (feedback.FORGET + x @ covariance @ x)
        covariance = (covariance - np.outer(gain, x @ covariance)) / feedback.FORGET
        weights += gain * np.clip(error - weights @ x, -feedback.ERROR_CLIP, feedback.ERROR_CLIP)
    np.testing.assert_allclose(state.weights[0], weights, atol=2e-3)
    assert np.abs(weights).max() > 0.2


def test_regressors_are_the_errors_of_their_steps() -> None:
    """The last three, those of the target's phase one and two seasons ago, of this one's, and one of the long season.

    A gap moves no phase: the steps in it have no error.
    """
    rng, state = np.random.default_rng(2), empty()
    errors = np.zeros(600)
    steps = np.where(rng.random(400) < 0.1, 3, 1)
    at = 0
    for step in steps.tolist():
        at += step
        if at < len(errors):
            errors[at] = rng.uniform(-3, 3)
            feedback.store_error(state, 0, step, errors[at])
            last = at
    for back in (0, 1, 2, 23, 24, 47, 167):
        assert feedback.past_error(state, 0, back) == pytest.approx(errors[last - back], abs=ROUNDED)
    assert feedback.past_error(state, 0, feedback.STEPS_BACK) == 0
    bank, _ = run(10 * np.sin(np.arange(400) * 2 * np.pi / 24) + rng.normal(size=400))
    terms, stored = bank.parts.feedback.terms[0], bank.parts.feedback
    for term, back in enumerate((0, 1, 2, 23, 47, 24, 167)):
        assert terms[term] == pytest.approx(feedback.past_error(stored, 0, back), abs=1e-6)
        assert terms[term] != 0
    assert terms[7:9] == pytest.approx([stored.mean[0], feedback.CONSTANT])


def test_errors_that_can_be_forecast_fall() -> None:
    """A young series that alternates is forecast by networks that do not know it; on a walk little is lost."""
    noise = np.random.default_rng(3).normal(size=250)
    for values, most in ((noise + 3 * (-1.0) ** np.arange(250), 0.8), (noise.cumsum(), 1.01)):
        errors = []
        for off in (False, True):
            bank, medians = run(values, off=off)
            errors.append(np.abs(values[31:] - medians[30:-1]).mean())
            assert (bank.parts.feedback.weights[0] != 0).any() != off
        assert errors[0] < most * errors[1]


@pytest.mark.parametrize(
    ("zone", "period", "seasons", "expected"),
    [
        ("Europe/Berlin", 24, 1, [24, 24, 23, 23, 24, 24]),
        ("Europe/Berlin", 24, 2, [48, 48, 47, 47, 47, 48]),
        ("Europe/Berlin", 7, 1, [7] * 6),
        ("UTC", 24, 1, [24] * 6),
    ],
)
def test_errors_of_the_same_phase_are_by_the_local_clock(
    zone: str, period: int, seasons: int, expected: list[int]
) -> None:
    """For a day after a change of the clock, the error at the same time of the day before is a row nearer."""
    plan = make_plan((1,), LEVELS)._replace(clock=make_clock(zone))
    change = 1_743_296_400_000  # 2025-03-30, 01:00 UTC
    found = [
        feedback.phase_distance(plan, float(change + hours * HOUR), float(HOUR), float(period * HOUR), seasons)
        for hours in (-30, -2, -1, 22, 23, 60)
    ]
    assert found == expected
