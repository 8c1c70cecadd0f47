"""The lean variant's feedback of errors."""

import numpy as np
import pytest
from support.streams import HOUR, START

from streamrnn.core.banks.lean.bank import LeanBank
from streamrnn.core.banks.lean.feedback import LAG
from streamrnn.core.ensemble.feedback import TERM_CLIP

LEVELS = (0.1, 0.5, 0.9)


def run(values: np.ndarray, *, off: bool = False) -> tuple[LeanBank, np.ndarray]:
    """Return a bank without networks after hourly `values` (T,), and its one-step medians (T,); `off`: no feedback."""
    bank, medians = LeanBank(horizons=(1, 12, 24), quantiles=LEVELS), []
    rows, networks = bank.add(["a"]), np.zeros((0, 1, 3, 3), np.float32)
    for t, value in enumerate(values):
        bank.update(rows, np.array([value]), np.array([START + t * HOUR]))
        if off:
            bank.feedback.weights[:] = 0
        medians.append(bank.publish(rows, networks, np.zeros((1, 3, 0))).quantiles[0, 0, 1])
    return bank, np.array(medians)


def test_errors_that_can_be_forecast_fall() -> None:
    """A series that alternates, and one that repeats a day, are forecast better; on a walk little is lost."""
    noise = np.random.default_rng(3).normal(size=300)
    day = np.tile(np.random.default_rng(4).normal(size=24) * 5, 13)[:300]
    for values, most in ((noise + 3 * (-1.0) ** np.arange(300), 0.8), (day + noise, 0.8), (noise.cumsum(), 1.01)):
        errors = []
        for off in (False, True):
            bank, medians = run(values, off=off)
            errors.append(np.abs(values[51:] - medians[50:-1]).mean())
            assert (bank.feedback.weights[0] != 0).any() != off
        assert errors[0] < most * errors[1]


def test_regressors_are_the_latest_error_and_the_changes() -> None:
    """All in multiples of the running error, clipped; a change of a day before that is not stored yet is 0."""
    values = np.random.default_rng(5).normal(size=LAG + 10).cumsum()
    for count in (LAG, LAG + 10):
        bank, _ = run(values[:count])
        state, unit = bank.feedback, float(bank.series.unit[0, 0])
        per = unit * float(state.scale[0])
        latest = values[count - 1] - values[count - 2]
        before = values[count - LAG] - values[count - LAG - 1] if count > LAG else 0.0
        expected = [state.error[0], -state.center[0] / state.scale[0], latest / per, before / per]
        assert state.terms[0] == pytest.approx(np.clip(expected, -TERM_CLIP, TERM_CLIP), rel=1e-3, abs=1e-4)


def test_the_interval_shrinks_with_the_errors() -> None:
    """A day that only the feedback knows leaves the noise: the 80% interval is that of the noise, not of the day."""
    rng, rows, networks = np.random.default_rng(7), np.array([0]), np.zeros((0, 1, 3, 3), np.float32)
    bank, found = LeanBank(horizons=(1, 12, 24), quantiles=LEVELS), []
    bank.add(["a"])
    values = np.tile(rng.normal(size=24) * 5, 40) + rng.normal(size=960) * 0.5
    for t, value in enumerate(values):
        bank.update(rows, np.array([value]), np.array([START + t * HOUR]))
        found.append(bank.publish(rows, networks, np.zeros((1, 3, 0))).quantiles[0, 0])
    quantiles, truths = np.array(found[200:-1]), values[201:]
    inside = (quantiles[:, 0] <= truths) & (truths <= quantiles[:, 2])
    assert inside.mean() == pytest.approx(0.8, abs=0.05)


def test_a_gap_leaves_no_error() -> None:
    """An observation that is no label has no error, and teaches nothing."""
    bank, _ = run(np.random.default_rng(6).normal(size=60))
    weights, rows = bank.feedback.weights.copy(), np.array([0])
    assert bank.feedback.error[0] != 0
    bank.update(rows, np.array([3.0]), np.array([START + 65 * HOUR]))
    assert bank.feedback.error[0] == 0
    np.testing.assert_array_equal(bank.feedback.weights, weights)
