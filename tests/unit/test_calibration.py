"""Quantile trackers against what they promise, on streams that stay as they are and on streams that change."""

import numpy as np
import pytest

from streamrnn.core import calibration
from streamrnn.core.compiled import Floats

LEVELS = np.array([0.05, 0.1, 0.5, 0.9, 0.95])
MIDDLE = 2


def test_residual_quantiles_are_found() -> None:
    """On skewed noise the trackers end near numpy's quantiles; the median stays where it was put."""
    noise = np.random.default_rng(0).gamma(2.0, 1.0, 20_000) - 1.0
    residual, history = np.zeros(5, np.float32), []
    for seen, truth in enumerate(noise):
        calibration.track_residuals(residual, LEVELS, MIDDLE, truth, 1.0, seen)
        history.append(residual.copy())
    found, expected = np.mean(history[5000:], 0), np.quantile(noise, LEVELS)
    assert found[MIDDLE] == 0
    np.testing.assert_allclose(found[[0, 1, 3, 4]], expected[[0, 1, 3, 4]], atol=0.12)


def test_residuals_move_by_their_usual_size() -> None:
    """An expert whose errors are a tenth as large has residuals a tenth as large, step by step; none changes sides."""
    large, little = np.zeros(5, np.float32), np.zeros(5, np.float32)
    for seen, error in enumerate(np.random.default_rng(1).normal(size=500)):
        calibration.track_residuals(large, LEVELS, MIDDLE, error, 1.0, seen)
        calibration.track_residuals(little, LEVELS, MIDDLE, 0.1 * error, 0.1, seen)
        np.testing.assert_allclose(little, 0.1 * large, atol=1e-5)
        assert (large[:MIDDLE] <= 0).all()
        assert (large[MIDDLE + 1 :] >= 0).all()


def covered(truths: Floats, width: float) -> tuple[Floats, Floats]:
    """Which truths lie in the 90% interval (T,) around a constant mixture, and the offsets in the end."""
    offset, published = np.zeros(5, np.float32), np.zeros(5)
    mixed, inside, miss = np.array([-2, -1, 0, 1, 2], np.float32) * np.float32(width), [], 0.0
    for seen, truth in enumerate(truths):
        calibration.apply(mixed, offset, max(miss, 0.1), MIDDLE, published)
        assert (np.diff(published) >= 0).all()
        inside.append(published[0] <= truth <= published[4])
        calibration.track_offsets(offset, published.astype(np.float32), LEVELS, MIDDLE, truth)
        miss = calibration.track_miss(miss, abs(truth), seen)
    return np.array(inside), offset


@pytest.mark.parametrize("width", [0.1, 1.0])
def test_offsets_bring_the_coverage_home(width: float) -> None:
    """Intervals that are far too narrow or too wide get the promised coverage; the median never moves."""
    inside, offset = covered(np.random.default_rng(1).normal(size=8000), width)
    assert inside[2000:].mean() == pytest.approx(0.9, abs=0.015)
    assert offset[MIDDLE] == 0


def test_coverage_survives_a_shift() -> None:
    """Where the noise grows threefold, the coverage is back in 2,000 labels; where it shrinks again, in some more."""
    rng = np.random.default_rng(2)
    scale = np.repeat([1.0, 3.0, 1.0, 1.0], 4000)
    inside, _ = covered(rng.normal(size=16_000) * scale, 1.0)
    assert inside[4000:4200].mean() < 0.9
    for start in (2000, 6000, 14_000):
        assert inside[start : start + 2000].mean() == pytest.approx(0.9, abs=0.02)


def test_ties_carry_no_evidence() -> None:
    """Truths that equal the forecast move no offset, no residual."""
    offset, residual = np.array([-1, 0.5, 0, 1, 2], np.float32), np.zeros(5, np.float32)
    before = offset.copy()
    for seen in range(1000):
        calibration.track_offsets(offset, np.ones(5, np.float32), LEVELS, MIDDLE, 1.0)
        calibration.track_residuals(residual, LEVELS, MIDDLE, 0.0, 1.0, seen)
    np.testing.assert_array_equal(offset, before)
    assert (residual == 0).all()


def test_published_quantiles_keep_their_order() -> None:
    """Offsets may pull a quantile beyond its neighbour or the median: it stops there."""
    published = np.zeros(5)
    mixed, offset = np.array([-2, -1, 0, 1, 2], np.float32), np.array([5, 1, 0, -3, 1], np.float32)
    calibration.apply(mixed, offset, 1.0, MIDDLE, published)
    assert published.tolist() == [0, 0, 0, 0, 3]
    rng = np.random.default_rng(3)
    for _ in range(300):
        mixed, offset = np.sort(rng.normal(size=5)).astype(np.float32), rng.normal(size=5).astype(np.float32) * 4
        calibration.apply(mixed, offset, rng.gamma(1.0), MIDDLE, published)
        assert (np.diff(published) >= 0).all()
        assert published[MIDDLE] == mixed[MIDDLE]


def test_offsets_are_bounded() -> None:
    """However long the truth stays on one side, an offset is at most eight."""
    offset = np.zeros(5, np.float32)
    for _ in range(100_000):
        calibration.track_offsets(offset, np.zeros(5, np.float32), LEVELS, MIDDLE, 1e30)
    assert offset.max() == calibration.OFFSET_LIMIT


def test_one_wild_error_moves_the_usual_one_little() -> None:
    """An error counts as eight times the running one at most."""
    miss = 1.0
    for seen in range(500):
        miss = calibration.track_miss(miss, 1.0, seen)
    moved = calibration.track_miss(miss, 1e30, 500)
    assert moved - miss == pytest.approx(calibration.MISS_RATE * (calibration.MISS_CLIP - 1) * miss)


def test_the_tail_is_exceeded_once_in_a_hundred() -> None:
    """Whatever the errors look like, the score reaches 1 on 1% of them."""
    tail, over = 1.5, []
    for ratio in np.abs(np.random.default_rng(2).standard_t(3, 40_000)):
        over.append(ratio > tail)
        tail = calibration.track_tail(tail, ratio)
    assert np.mean(over[2000:]) == pytest.approx(0.01, abs=0.002)


def test_an_exceedance_is_measured_in_widths_of_its_side() -> None:
    """1 at the outermost quantile of either side, 0 at the median, finite where the interval has no width."""
    published = np.array([-2, -1, 0, 1, 4], np.float32)
    truths = (-4, -2, 0, 2, 4, 8)
    assert [calibration.exceedance(published, MIDDLE, float(t)) for t in truths] == [2, 1, 0, 0.5, 1, 2]
    assert np.isfinite(calibration.exceedance(np.zeros(5, np.float32), MIDDLE, 5.0))
