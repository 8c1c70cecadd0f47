"""Scales, means and smoothing against numpy over the whole history."""

import math

import numpy as np
import pytest
from support.bank import bank_of, observe
from support.streams import seasonal

from streamrnn.core.series.scaling import SCALE_CLIP, SCALE_RATE, SCALE_TRUST, clip, current_scale, squash
from streamrnn.core.series.state import HALF_LIVES, SMOOTHING

ROWS, HORIZONS = 400, (1, 3, 12, 24, 36)


def spiky() -> np.ndarray:
    """A season, a walk, noise and one spike."""
    values = seasonal(ROWS, 1)[:, 0]
    values[150] += 500
    return values


def test_scales_are_the_robust_mean_of_changes() -> None:
    """The scale of each step equals the exponential mean of its clipped absolute changes, computed from all values."""
    y, bank = spiky(), bank_of(HORIZONS)
    observe(bank, y)
    for k, step in enumerate(HORIZONS):
        expected = 0.0
        for t in range(step, ROWS):
            change = abs(y[t] - y[t - step])
            if t > max(SCALE_TRUST, step + 8) and expected > 0:
                change = min(change, SCALE_CLIP * expected)
            expected += max(SCALE_RATE, 1 / (t - step + 1)) * (change - expected)
        assert bank.series.scale[0, k] == pytest.approx(expected, rel=1e-4)


def test_a_scale_that_is_not_known_yet_follows_the_square_root_law() -> None:
    """Until 2 h + 8 rows have come, the scale of h steps is that of one step times the root of h; it is never 0."""
    bank = bank_of(HORIZONS)
    described = observe(bank, np.cumsum(np.random.default_rng(0).normal(size=100)))
    for t in range(1, 100):
        for k, step in enumerate(HORIZONS):
            if t + 1 <= 2 * step + 8:
                assert described.units[t, k] == pytest.approx(described.units[t, 0] * math.sqrt(step))
    np.testing.assert_allclose(described.units[-1], bank.series.scale[0])
    still = observe(bank_of(HORIZONS), np.full(100, 1e30))
    assert (still.units > 0).all()
    assert current_scale(np.zeros(1), np.array([1]), 0, 100, 0.0) > 0


def test_means_and_smoothing_are_the_plain_formulas() -> None:
    """Exponential means with their half-lives, plain means before; a spike moves them by 50 scales at most."""
    y, bank = spiky(), bank_of(HORIZONS)
    observe(bank, y[:100])
    origin, d = y[0], y[:100] - y[0]
    for i, half_life in enumerate(HALF_LIVES):
        mean = 0.0
        for t, value in enumerate(d):
            mean += max(1 - 0.5 ** (1 / half_life), 1 / (t + 1)) * (value - mean)
        assert bank.series.means[0, i] == pytest.approx(mean, rel=1e-4, abs=1e-4)
    assert bank.series.means[0, -1] == pytest.approx(d.mean(), rel=1e-4)
    variance = 0.0
    for t, value in enumerate(d):
        variance += ((value - d[: t + 1].mean()) ** 2 - variance) / (t + 1)
    assert bank.series.variance[0] == pytest.approx(variance, rel=1e-3)
    for i, rate in enumerate(SMOOTHING):
        smooth = d[0]
        for value in d[1:]:
            smooth += rate * (value - smooth)
        assert bank.series.smooth[0, i] == pytest.approx(smooth, rel=1e-4)
    before, unit = bank.series.means[0].copy(), bank.series.scale[0, HORIZONS.index(24)]
    observe(bank, [origin + 1e6])
    rates = np.array([1 - 0.5 ** (1 / half_life) for half_life in HALF_LIVES])
    assert (np.abs(bank.series.means[0] - before) <= 50 * 1.3 * unit * np.maximum(rates, 1 / 101)).all()


def test_values_are_kept_as_distances_from_the_first() -> None:
    """A small signal on a large level has the same description as on a level of zero."""
    values = np.round(seasonal(300, 1)[:, 0] * 64) / 64  # exact on either level
    low, high = (observe(bank_of(), values + level) for level in (0.0, 2.0**20))
    np.testing.assert_array_equal(low.points[-1], high.points[-1])


def test_size_and_level_do_not_matter() -> None:
    """Described is the same for a x + b, in both inputs and experts, within rounding; units grow with a."""
    values = seasonal(400, 1)[:, 0]
    first, second = observe(bank_of(), values), observe(bank_of(), 1000 * values - 7)
    np.testing.assert_allclose(first.points, second.points, atol=2e-2)
    np.testing.assert_allclose(first.inputs, second.inputs, atol=2e-2)
    np.testing.assert_allclose(second.units[50:], 1000 * first.units[50:], rtol=1e-4)


def test_squash_and_clip() -> None:
    """sign(x) log(1 + |x|); a clip bounds, and makes 0 of what is not known."""
    for x in (-20.0, -0.5, 0.0, 3.0):
        assert squash(x) == pytest.approx(np.sign(x) * np.log1p(abs(x)))
    assert [clip(x, 2.0) for x in (-5.0, 1.5, 9.0, math.inf, math.nan)] == [-2, 1.5, 2, 2, 0]
