"""Quantile trackers and the mixture, against independent computations."""

import numpy as np
import pytest

from streamrnn.core import calibration, mixture
from streamrnn.core.series import FIRST_VARIANCE

LEVELS = np.array([0.05, 0.1, 0.5, 0.9, 0.95])


def test_residual_quantiles_are_found() -> None:
    """On skewed noise the trackers end near numpy's quantiles; the median stays where it was put."""
    noise = np.random.default_rng(0).gamma(2.0, 1.0, 20_000) - 1.0
    residual = np.zeros(5, np.float32)
    history = []
    for seen, truth in enumerate(noise):
        calibration.track_residuals(residual, LEVELS, 2, truth, seen)
        history.append(residual.copy())
    found, expected = np.mean(history[5000:], 0), np.quantile(noise, LEVELS)
    assert found[2] == 0
    np.testing.assert_allclose(found[[0, 1, 3, 4]], expected[[0, 1, 3, 4]], atol=0.12)


def test_offsets_bring_the_coverage_home() -> None:
    """Intervals that are far too narrow get the promised coverage; ties are no evidence; the median never moves."""
    rng = np.random.default_rng(1)
    offset, published = np.zeros(5, np.float32), np.zeros(5)
    mixed = np.array([-0.2, -0.1, 0.0, 0.1, 0.2], np.float32)
    inside = []
    for truth in rng.normal(size=8000):
        calibration.apply(mixed, offset, 1.0, 2, published)
        inside.append(published[0] <= truth <= published[4])
        calibration.track_offsets(offset, published.astype(np.float32), LEVELS, 2, truth)
    assert np.mean(inside[2000:]) == pytest.approx(0.9, abs=0.015)
    assert offset[2] == 0
    before = offset.copy()
    for _ in range(1000):
        calibration.track_offsets(offset, np.ones(5, np.float32), LEVELS, 2, 1.0)
    np.testing.assert_array_equal(offset, before)


def test_published_quantiles_keep_their_order() -> None:
    """Offsets may pull a quantile beyond its neighbour or the median: it stops there."""
    published = np.zeros(5)
    mixed, offset = np.array([-2, -1, 0, 1, 2], np.float32), np.array([5, 1, 0, -3, 1], np.float32)
    calibration.apply(mixed, offset, 1.0, 2, published)
    assert published.tolist() == [0, 0, 0, 0, 3]


def test_the_tail_is_exceeded_once_in_a_hundred() -> None:
    """Whatever the errors look like, the score reaches 1 on 1% of them."""
    tail, over = 1.5, []
    for ratio in np.abs(np.random.default_rng(2).standard_t(3, 40_000)):
        over.append(ratio > tail)
        tail = calibration.track_tail(tail, ratio)
    assert np.mean(over[2000:]) == pytest.approx(0.01, abs=0.002)


def test_the_mixture_is_bernstein_aggregation() -> None:
    """Weights equal those of the published recursion, written out with arrays in double precision."""
    rng = np.random.default_rng(3)
    regret, variance = np.zeros(2, np.float32), np.full(2, FIRST_VARIANCE, np.float32)
    bound, weights = np.full(2, 1e-6, np.float32), np.zeros(2)
    r, v, b, prior = np.zeros(2), np.full(2, FIRST_VARIANCE), np.full(2, 1e-6), np.array(mixture.PRIOR)
    for _ in range(300):
        mixture.weigh(regret, variance, bound, weights)
        eta = np.minimum(0.5 / b, np.sqrt(2 / v))
        z = eta * r + np.log(eta) + np.log(prior)
        expected = np.exp(z - z.max()) / np.exp(z - z.max()).sum() * (1 - mixture.SHARE) + mixture.SHARE * prior
        np.testing.assert_allclose(weights, expected, atol=1e-4)
        truth, experts = rng.normal(), np.array([0.4, 0.05]) + rng.normal(size=2) * 0.05
        mixed = float(weights @ experts)
        mixture.reward(regret, variance, bound, mixed, experts.astype(np.float32), truth, 0.5)
        gain = np.clip((float(truth < mixed) - 0.5) * (mixed - experts.astype(np.float32)), -10, 10)
        v = mixture.FORGET * v + gain**2
        b = np.maximum(mixture.FORGET * b, np.abs(gain))
        r = mixture.FORGET * r + gain - np.minimum(0.5 / b, np.sqrt(2 / v)) * gain**2
    assert weights[1] > 0.9
