"""Coverage of the quantile trackers on stationary and on changing streams."""

import numpy as np
import pytest

from streamrnn.core.ensemble import conformal
from streamrnn.core.jit import Floats

LEVELS = np.array([0.05, 0.1, 0.5, 0.9, 0.95])
MIDDLE = 2


def tracked(errors: Floats, sizes: Floats) -> Floats:
    """Return the residual quantiles (T, Q, X) of points with `errors` (T, X) and running `sizes` (X,)."""
    residual, history = np.zeros((len(LEVELS), len(sizes)), np.float32), []
    for seen, error in enumerate(errors):
        for q in (0, 1, 3, 4):
            conformal.track_residuals(residual[q], error, sizes, LEVELS[q], seen)
        history.append(residual.copy())
    return np.array(history)


def test_residual_quantiles_converge() -> None:
    """On skewed noise the trackers end near numpy's quantiles."""
    noise = np.random.default_rng(0).gamma(2.0, 1.0, (20_000, 1)) - 1.0
    found, expected = tracked(noise, np.ones(1))[5000:, :, 0].mean(0), np.quantile(noise, LEVELS)
    np.testing.assert_allclose(found[[0, 1, 3, 4]], expected[[0, 1, 3, 4]], atol=0.12)


def test_residuals_are_multiples_of_the_running_error() -> None:
    """A point whose errors are a tenth as large has the same residuals at every step; each keeps its sign."""
    noise = np.random.default_rng(1).normal(size=(500, 1))
    found = tracked(noise * [1.0, 0.125], np.array([1.0, 0.125]))
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    assert (found[:, :MIDDLE] <= 0).all()
    assert (found[:, MIDDLE + 1 :] >= 0).all()
    assert found[:, 0].min() < -1


def test_residuals_are_bounded() -> None:
    """Residuals stay within their limit where the running error is far too small."""
    found = tracked(np.r_[np.full((20_000, 1), 1e6), np.zeros((1, 1))], np.ones(1))
    assert found.max() <= conformal.RESIDUAL_LIMIT


def covered(truths: Floats, width: float) -> tuple[Floats, Floats]:
    """Return which truths (T,) lie in the 90% interval around a constant mixture, and the final offsets."""
    offset, published = np.zeros(5, np.float32), np.zeros(5)
    mixed, inside, running = np.array([-2, -1, 0, 1, 2], np.float32) * np.float32(width), [], 0.0
    for seen, truth in enumerate(truths):
        conformal.apply_offsets(mixed, offset, max(running, 0.1), MIDDLE, published)
        assert (np.diff(published) >= 0).all()
        inside.append(published[0] <= truth <= published[4])
        conformal.track_offsets(offset, published.astype(np.float32), LEVELS, MIDDLE, truth, conformal.OFFSET_RATE)
        running = conformal.track_error(running, abs(truth), seen)
    return np.array(inside), offset


@pytest.mark.parametrize("width", [0.1, 1.0])
def test_offsets_correct_the_coverage(width: float) -> None:
    """Intervals that are far too narrow or too wide reach nominal coverage; the median does not move."""
    inside, offset = covered(np.random.default_rng(1).normal(size=8000), width)
    assert inside[2000:].mean() == pytest.approx(0.9, abs=0.015)
    assert offset[MIDDLE] == 0


def test_coverage_survives_a_shift() -> None:
    """Coverage recovers within 2,000 labels after the noise triples, and later after it shrinks again."""
    rng = np.random.default_rng(2)
    scale = np.repeat([1.0, 3.0, 1.0, 1.0], 4000)
    inside, _ = covered(rng.normal(size=16_000) * scale, 1.0)
    assert inside[4000:4200].mean() < 0.9
    for start in (2000, 6000, 14_000):
        assert inside[start : start + 2000].mean() == pytest.approx(0.9, abs=0.02)


def test_ties_carry_no_evidence() -> None:
    """Labels equal to the forecast change neither offsets nor residuals."""
    offset = np.array([-1, 0.5, 0, 1, 2], np.float32)
    before = offset.copy()
    for _ in range(1000):
        conformal.track_offsets(offset, np.ones(5, np.float32), LEVELS, MIDDLE, 1.0, conformal.OFFSET_RATE)
    np.testing.assert_array_equal(offset, before)
    assert (tracked(np.zeros((1000, 1)), np.ones(1)) == 0).all()


def test_the_step_of_a_far_horizon_is_smaller() -> None:
    """Labels that overlap move the offsets less, but more than if those of h steps were one."""
    steps = [conformal.offset_step(horizon, conformal.OFFSET_RATE, conformal.OVERLAP) for horizon in (1, 12, 24)]
    assert steps[0] == conformal.OFFSET_RATE
    assert steps[0] > steps[1] > steps[2] > conformal.OFFSET_RATE / np.sqrt(24)


def test_the_steps_of_a_young_series_are_larger() -> None:
    """They fall from 1.6 times to 1.3 times in 500 labels, and in the end to those of an old series."""
    assert [conformal.young_steps(labels) for labels in (0, 500, 10**7)] == pytest.approx([1.6, 1.3, 1.0], abs=1e-3)


def test_offsets_follow_the_running_error_and_the_width() -> None:
    """Their unit is the mean of the running error and of the one that a normal interval of that width has."""
    normal = np.array([-2.0, -1.5, 0.0, 1.5, 2.0])
    for width, running in ((1.0, 1.0), (3.0, 1.0), (1.0, 0.2), (0.0, 1.0)):
        unit = conformal.offset_unit(normal * width, normal, running)
        assert unit == pytest.approx((width + running) / 2)
    assert conformal.offset_unit(np.zeros(1), np.zeros(1), 0.7) == 0.7


def test_published_quantiles_keep_their_order() -> None:
    """An offset moves a quantile at most to its neighbour or the median."""
    published = np.zeros(5)
    mixed, offset = np.array([-2, -1, 0, 1, 2], np.float32), np.array([5, 1, 0, -3, 1], np.float32)
    conformal.apply_offsets(mixed, offset, 1.0, MIDDLE, published)
    assert published.tolist() == [0, 0, 0, 0, 3]
    rng = np.random.default_rng(3)
    for _ in range(300):
        mixed, offset = np.sort(rng.normal(size=5)).astype(np.float32), rng.normal(size=5).astype(np.float32) * 4
        conformal.apply_offsets(mixed, offset, rng.gamma(1.0), MIDDLE, published)
        assert (np.diff(published) >= 0).all()
        assert published[MIDDLE] == mixed[MIDDLE]


def test_offsets_are_bounded() -> None:
    """An offset is at most eight, however long the labels stay on one side."""
    offset = np.zeros(5, np.float32)
    for _ in range(100_000):
        conformal.track_offsets(offset, np.zeros(5, np.float32), LEVELS, MIDDLE, 1e30, conformal.OFFSET_RATE)
    assert offset.max() == conformal.OFFSET_LIMIT


def test_one_large_error_moves_the_running_one_little() -> None:
    """An error is clipped at eight times the running one."""
    running = 1.0
    for seen in range(500):
        running = conformal.track_error(running, 1.0, seen)
    moved = conformal.track_error(running, 1e30, 500)
    assert moved - running == pytest.approx(conformal.MISS_RATE * (conformal.MISS_CLIP - 1) * running)


def test_the_tail_is_exceeded_once_in_a_hundred() -> None:
    """The score reaches 1 on 1% of heavy-tailed errors."""
    tail, over = 1.5, []
    for ratio in np.abs(np.random.default_rng(2).standard_t(3, 40_000)):
        over.append(ratio > tail)
        tail = conformal.track_tail(tail, ratio)
    assert np.mean(over[2000:]) == pytest.approx(0.01, abs=0.002)


def test_an_exceedance_is_measured_in_widths_of_its_side() -> None:
    """1 at the outermost quantile of either side, 0 at the median, finite for an interval of zero width."""
    published = np.array([-2, -1, 0, 1, 4], np.float32)
    truths = (-4, -2, 0, 2, 4, 8)
    assert [conformal.exceedance(published, MIDDLE, float(t)) for t in truths] == [2, 1, 0, 0.5, 1, 2]
    assert np.isfinite(conformal.exceedance(np.zeros(5, np.float32), MIDDLE, 5.0))
