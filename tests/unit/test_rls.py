"""Recursive least squares against the textbook, in double precision, and its guards."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.bank import bank_of, observe

from streamrnn.core.experts import rls
from streamrnn.core.jit import Floats
from streamrnn.core.series.plan import make_plan
from streamrnn.core.series.state import PRIOR_COVARIANCE, TERMS, FullState, allocate_full

HORIZONS = (1, 12, 24)
FIRST = 100
"""Observations before the first row."""


def packed(matrix: Floats) -> Floats:
    """Return the lower triangle, row by row."""
    return matrix[np.tril_indices(TERMS)]


def terms_of(rows: int, seed: int = 0) -> NDArray[np.float32]:
    """Return (rows, TERMS) correlated regressors, the last one constant."""
    rng = np.random.default_rng(seed)
    terms = rng.normal(size=(rows, TERMS)) @ rng.normal(size=(TERMS, TERMS)) / 6
    terms[:, -1] = 1
    return terms.astype(np.float32)


def fed(terms: NDArray[np.float32], truths: Floats) -> tuple[FullState, list[Floats]]:
    """Feed regressors (T, D) and labels (T, K) as they mature; return the state and the forecasts (T, R, K)."""
    series = allocate_full(1, make_plan(HORIZONS, (0.5,)))
    series.seen[0] = FIRST
    product, forecasts = np.empty(TERMS, np.float32), []
    for t in range(len(terms)):
        for k, h in enumerate(HORIZONS):
            if t >= h:
                for r in range(2):
                    rls.learn_regression(series, 0, r, k, FIRST + t - h, truths[t - h, k])
        series.seen[0] += 1
        rls.update_regressions(series, 0, terms[t], product)
        forecasts.append(np.empty((2, len(HORIZONS))))
        rls.predict_regressions(series, 0, terms[t], forecasts[-1])
    return series, forecasts


def reference(terms: Floats, truths: Floats, r: int, horizon: int, *, clipped: bool = True) -> dict[str, Any]:
    """Compute robust least squares of one horizon row by row; that labels are not delayed changes no weight."""
    forget, prior, most = rls.FORGET[r], PRIOR_COVARIANCE[r], rls.ERROR_CLIP[r]
    covariance, weights, running = np.eye(TERMS) * prior, np.zeros(TERMS), 1.0
    for t, x in enumerate(terms):
        news = x @ covariance @ x
        gain = covariance @ x / (forget + news)
        keeps = forget if news >= rls.EXCITED * TERMS * (1 - forget) else 1.0
        covariance = (covariance - np.outer(gain, x @ covariance)) / keeps
        if t + horizon >= len(terms):
            continue  # its label has not matured
        error = truths[t] - weights @ x
        limit = most * running
        running = max(0.995 * running + 0.005 * min(abs(error), 3 * limit), 1e-6)
        weights = weights + gain * (np.clip(error, -limit, limit) if clipped else error)
    return {"weights": weights, "covariance": covariance, "running": running}


def test_it_is_recursive_least_squares() -> None:
    """Weights, covariance and running error equal those of the textbook recursion, with spikes clipped."""
    rng = np.random.default_rng(1)
    terms = terms_of(600)
    truths = terms @ rng.normal(size=(TERMS, 3)) * 0.3 + rng.normal(size=(600, 3))
    truths[rng.random(600) < 0.02] += 50
    series, _ = fed(terms, truths)
    for r in range(2):
        for k, h in enumerate(HORIZONS):
            expected = reference(terms.astype(np.float64), truths[:, k], r, h)
            np.testing.assert_allclose(series.weights[0, r, k], expected["weights"], atol=4e-3)
            assert series.residual[0, r, k] == pytest.approx(expected["running"], rel=1e-3)
        size = np.abs(expected["covariance"]).max()
        np.testing.assert_allclose(series.covariance[0, r], packed(expected["covariance"]), atol=1e-3 * size)


def test_without_clipping_it_is_weighted_ridge_regression() -> None:
    """Where no error is clipped, the weights are the closed form: (X'LX + l^n / p)^-1 X'L y."""
    rng = np.random.default_rng(2)
    rows, h = 300, HORIZONS[1]
    terms = terms_of(rows, 3)
    truths = np.repeat(terms @ rng.normal(size=(TERMS, 1)) * 0.01 + 0.01 * rng.normal(size=(rows, 1)), 3, axis=1)
    series, forecasts = fed(terms, truths)
    x, y = terms[: rows - h].astype(np.float64), truths[: rows - h, 1]
    for r in range(2):
        decay = rls.FORGET[r] ** np.arange(rows - h - 1, -1, -1)
        prior = rls.FORGET[r] ** (rows - h) / PRIOR_COVARIANCE[r] * np.eye(TERMS)
        expected = np.linalg.solve((x.T * decay) @ x + prior, (x.T * decay) @ y)
        np.testing.assert_allclose(series.weights[0, r, 1], expected, atol=2e-4)
        assert forecasts[-1][r, 1] == pytest.approx(terms[-1] @ expected, abs=1e-3)


def test_a_spike_is_clipped() -> None:
    """The weights move by the gain times the clipped error, however large the label."""
    terms, moves = terms_of(200), []
    for spike in (100.0, 1e30):
        truths = np.zeros((200, 3))
        truths[150] = spike
        moves.append(fed(terms, truths)[0].weights[0].copy())
    assert np.abs(moves[0]).max() > 0
    np.testing.assert_allclose(moves[0], moves[1], rtol=1e-5)


def test_nothing_is_learned_before_the_scale_is_known() -> None:
    """The first 30 rows of a series leave the weights at zero, and its forecasts are those of persistence."""
    bank = bank_of()
    features = observe(bank, np.random.default_rng(0).normal(size=rls.FIRST_STEP))
    assert (bank.series.weights == 0).all()
    assert (features.points[..., -2:] == 0).all()
    assert (observe(bank, np.random.default_rng(1).normal(size=200)).points[-1, :, -2:] != 0).all()


def test_rows_without_information_do_not_wind_up_the_covariance() -> None:
    """After 30,000 rows with most terms at 0 all stays finite, and new information is learned at once."""
    rng, news = np.random.default_rng(4), 800
    terms = np.zeros((30_000 + news, TERMS), np.float32)
    terms[:, -1] = 1
    terms[-news:] = terms_of(news)
    truths = rng.normal(size=(len(terms), len(HORIZONS)))
    truths[-news:] = 0.1 * truths[-news:] + terms[-news:] @ rng.normal(size=(TERMS, 1)) / 3
    series, forecasts = fed(terms, truths)
    outputs = np.array(forecasts)
    assert np.isfinite(outputs).all()
    assert np.isfinite(series.covariance).all()
    late = slice(-news // 2, None)
    for r in range(2):
        assert np.abs(truths[late, 0] - outputs[late, r, 0]).mean() < 0.3 * np.abs(truths[late, 0]).mean()


@pytest.mark.parametrize("quiet", [0.0, 1e-9])
def test_long_constant_stretches_leave_everything_finite(quiet: float) -> None:
    """30,000 (almost) constant rows, then a jump: weights and forecasts stay finite and bounded."""
    rng, bank = np.random.default_rng(4), bank_of()
    observe(bank, np.cumsum(rng.normal(size=2000)))
    for _ in range(3):
        observe(bank, quiet * rng.normal(size=10_000))
        assert np.isfinite(bank.series.covariance).all()
    features = observe(bank, np.cumsum(rng.normal(size=2000)))
    for array in (*features, bank.series.weights, bank.series.covariance, bank.series.residual):
        assert np.isfinite(array).all()
    assert np.abs(features.points).max() <= 10


@pytest.mark.parametrize("size", [1e-300, 1e-9, 1e9, 1e36])
def test_huge_and_tiny_values_stay_finite(size: float) -> None:
    """Values near the accepted limits, and jumps between them, leave finite weights and forecasts."""
    rng, bank = np.random.default_rng(5), bank_of()
    values = rng.normal(size=3000) * np.where(rng.random(3000) < 0.01, size, 1.0)
    features = observe(bank, np.clip(np.concatenate([values, values * size]), -1e37, 1e37))
    series = bank.series
    for array in (*features, series.weights, series.covariance, series.residual, series.gain_unit):
        assert np.isfinite(array).all()
    assert np.abs(features.points).max() <= 10


def test_a_diverged_covariance_is_reset() -> None:
    """A covariance with a negative or huge eigenvalue is reset to the prior; the weights stay."""
    terms = terms_of(50)
    for wrong in (-1.0, 1e12):
        series, _ = fed(terms, np.ones((50, 3)))
        weights = series.weights.copy()
        series.covariance[0, 0] = 0
        series.covariance[0, 0, np.cumsum(np.arange(1, TERMS + 1)) - 1] = wrong
        rls.update_regressions(series, 0, terms[0], np.empty(TERMS, np.float32))
        matrix = np.zeros((TERMS, TERMS))
        matrix[np.tril_indices(TERMS)] = series.covariance[0, 0]
        spread = np.linalg.eigvalsh(matrix)
        assert spread.min() > 0
        assert spread.max() <= 1.01 * PRIOR_COVARIANCE[0] / rls.FORGET[0]
        np.testing.assert_array_equal(series.weights, weights)
