"""Quantile trackers against what they promise, on streams that stay as they are and on streams that change."""

import numpy as np
import pytest

from streamrnn.core.ensemble import conformal
from streamrnn.core.jit import Floats

LEVELS = np.array([0.05, 0.1, 0.5, 0.9, 0.95])
MIDDLE = 2


def tracked(errors: Floats, sizes: Floats) -> Floats:
    """Residual quantiles (T, Q, X) of points whose `errors` are (T, X) and usually of the `sizes` (X,)."""
    residual, history = np.zeros((len(LEVELS), len(sizes)), np.float32), []
    for seen, error in enumerate(errors):
        for q in (0, 1, 3, 4):
            conformal.track_residuals(residual[q], error, sizes, LEVELS[q], seen)
        history.append(residual.copy())
    return np.array(history)


def test_residual_quantiles_are_found() -> None:
    """On skewed noise the trackers end near numpy's quantiles."""
    noise = np.random.default_rng(0).gamma(2.0, 1.0, (20_000, 1)) - 1.0
    found, expected = tracked(noise, np.ones(1))[5000:, :, 0].mean(0), np.quantile(noise, LEVELS)
    np.testing.assert_allclose(found[[0, 1, 3, 4]], expected[[0, 1, 3, 4]], atol=0.12)


def test_residuals_are_multiples_of_the_usual_error() -> None:
    """A point whose errors are a tenth as large has the same residuals, step by step; none changes sides."""
    noise = np.random.default_rng(1).normal(size=(500, 1))
    found = tracked(noise * [1.0, 0.125], np.array([1.0, 0.125]))
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    assert (found[:, :MIDDLE] <= 0).all()
    assert (found[:, MIDDLE + 1 :] >= 0).all()
    assert found[:, 0].min() < -1


def test_residuals_are_bounded() -> None:
    """A point whose usual error says too little does not run away, and is found again."""
    found = tracked(np.r_[np.full((20_000, 1), 1e6), np.zeros((1, 1))], np.ones(1))
    assert found.max() <= conformal.RESIDUAL_LIMIT


def covered(truths: Floats, width: float) -> tuple[Floats, Floats]:
    """Which truths lie in the 90% interval (T,) around a constant mixture, and the offsets in the end."""
    offset, published = np.zeros(5, np.float32), np.zeros(5)
    mixed, inside, miss = np.array([-2, -1, 0, 1, 2], np.float32) * np.float32(width), [], 0.0
    for seen, truth in enumerate(truths):
        conformal.apply(mixed, offset, max(miss, 0.1), MIDDLE, published)
        assert (np.diff(published) >= 0).all()
        inside.append(published[0] <= truth <= published[4])
        conformal.track_offsets(offset, published.astype(np.float32), LEVELS, MIDDLE, truth, 1)
        miss = conformal.track_miss(miss, abs(truth), seen)
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
    offset = np.array([-1, 0.5, 0, 1, 2], np.float32)
    before = offset.copy()
    for _ in range(1000):
        conformal.track_offsets(offset, np.ones(5, np.float32), LEVELS, MIDDLE, 1.0, 1)
    np.testing.assert_array_equal(offset, before)
    assert (tracked(np.zeros((1000, 1)), np.ones(1)) == 0).all()


def test_a_truth_may_stand_for_several() -> None:
    """One that stands for seven moves the offsets as far as seven would."""
    once, often = np.zeros(5, np.float32), np.zeros(5, np.float32)
    conformal.track_offsets(once, np.zeros(5, np.float32), LEVELS, MIDDLE, 1.0, 7)
    for _ in range(7):
        conformal.track_offsets(often, np.zeros(5, np.float32), LEVELS, MIDDLE, 1.0, 1)
    assert (once[[0, 1, 3, 4]] > 0).all()
    np.testing.assert_allclose(once, often, rtol=1e-5)


def test_published_quantiles_keep_their_order() -> None:
    """Offsets may pull a quantile beyond its neighbour or the median: it stops there."""
    published = np.zeros(5)
    mixed, offset = np.array([-2, -1, 0, 1, 2], np.float32), np.array([5, 1, 0, -3, 1], np.float32)
    conformal.apply(mixed, offset, 1.0, MIDDLE, published)
    assert published.tolist() == [0, 0, 0, 0, 3]
    rng = np.random.default_rng(3)
    for _ in range(300):
        mixed, offset = np.sort(rng.normal(size=5)).astype(np.float32), rng.normal(size=5).astype(np.float32) * 4
        conformal.apply(mixed, offset, rng.gamma(1.0), MIDDLE, published)
        assert (np.diff(published) >= 0).all()
        assert published[MIDDLE] == mixed[MIDDLE]


def test_offsets_are_bounded() -> None:
    """However long the truth stays on one side, an offset is at most eight."""
    offset = np.zeros(5, np.float32)
    for _ in range(100_000):
        conformal.track_offsets(offset, np.zeros(5, np.float32), LEVELS, MIDDLE, 1e30, 1)
    assert offset.max() == conformal.OFFSET_LIMIT


def test_one_wild_error_moves_the_usual_one_little() -> None:
    """An error counts as eight times the running one at most."""
    miss = 1.0
    for seen in range(500):
        miss = conformal.track_miss(miss, 1.0, seen)
    moved = conformal.track_miss(miss, 1e30, 500)
    assert moved - miss == pytest.approx(conformal.MISS_RATE * (conformal.MISS_CLIP - 1) * miss)


def test_the_tail_is_exceeded_once_in_a_hundred() -> None:
    """Whatever the errors look like, the score reaches 1 on 1% of them."""
    tail, over = 1.5, []
    for ratio in np.abs(np.random.default_rng(2).standard_t(3, 40_000)):
        over.append(ratio > tail)
        tail = conformal.track_tail(tail, ratio)
    assert np.mean(over[2000:]) == pytest.approx(0.01, abs=0.002)


def test_an_exceedance_is_measured_in_widths_of_its_side() -> None:
    """1 at the outermost quantile of either side, 0 at the median, finite where the interval has no width."""
    published = np.array([-2, -1, 0, 1, 4], np.float32)
    truths = (-4, -2, 0, 2, 4, 8)
    assert [conformal.exceedance(published, MIDDLE, float(t)) for t in truths] == [2, 1, 0, 0.5, 1, 2]
    assert np.isfinite(conformal.exceedance(np.zeros(5, np.float32), MIDDLE, 5.0))
