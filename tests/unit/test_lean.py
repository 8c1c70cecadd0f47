"""The lean variant: binned profiles, pseudorandomly evaluated forecasts, a mixture weighted by decayed errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.streams import HOUR, START, run, small

from streamrnn import app
from streamrnn.core.banks.lean import ledger, profiles
from streamrnn.core.banks.lean.bank import LeanBank
from streamrnn.core.banks.lean.follow_up import FOLLOWED, NO_SLOT, follow_up_slot, make_follow_up
from streamrnn.core.ensemble import aggregation
from streamrnn.core.experts.classical import FIRST_ORIGIN, TRUST_RATE, TRUTH_CLIP
from streamrnn.core.series.lean_state import LEAN_EXPERTS, SHORT_BINS
from streamrnn.core.series.plan import make_plan
from streamrnn.core.series.scaling import decode16
from streamrnn.core.series.state import FIRST_TRUST, POINT_CLIP
from streamrnn.errors import ConfigError
from streamrnn.settings import load

HORIZONS, LEVELS = (1, 12, 24), (0.05, 0.1, 0.5, 0.9, 0.95)
MINUTES = 60_000


def written(values: np.ndarray, cadence: float, period: float, missing: frozenset[int] = frozenset()) -> np.ndarray:
    """Return the bins of a short season after one value every `cadence` ms, except those missing."""
    bins = np.full(SHORT_BINS, np.nan, np.float32)
    for t, value in enumerate(values):
        if t not in missing:
            profiles.write_bin(bins, 0, START + t * cadence, START, period, cadence, value)
    return bins


def test_a_bin_is_a_plain_mean_and_then_an_exponential_one() -> None:
    """With one bin per row, it is the plain mean of five seasons, and moves by a fifth of the error afterwards."""
    values = np.random.default_rng(0).normal(size=24 * 9)
    bins = written(values, HOUR, 24 * HOUR)
    by_hour = values.reshape(9, 24)
    expected = by_hour[:5].mean(0)
    for day in by_hour[5:]:
        expected = expected + 0.2 * (day - expected)
    np.testing.assert_allclose(bins[:24], expected, atol=1e-5)
    assert np.isnan(bins[24:]).all()
    for hour in range(24):
        assert profiles.read_bins(bins, START + (48 + hour) * HOUR, START, 24 * HOUR, HOUR) == bins[hour]


@pytest.mark.parametrize("minutes", [5, 10, 15])
def test_rows_that_share_a_bin_are_interpolated(minutes: int) -> None:
    """A smooth day is read within the error of linear interpolation, at every row."""
    rows, day, cadence = 1440 // minutes, 1440 * MINUTES, minutes * MINUTES
    values = np.sin(2 * np.pi * np.arange(6 * rows) / rows)
    bins = written(values, cadence, day)
    read = [profiles.read_bins(bins, START + (6 * rows + r) * cadence, START, day, cadence) for r in range(rows)]
    np.testing.assert_allclose(read, values[:rows], atol=0.005)


def test_a_gap_shifts_no_bin() -> None:
    """Phases follow event time: missing rows do not move the others."""
    values = np.tile(np.random.default_rng(1).normal(size=24), 8)
    whole, gappy = (written(values, HOUR, 24 * HOUR, missing) for missing in (frozenset(), frozenset(range(30, 71))))
    np.testing.assert_allclose(gappy[:24], whole[:24], atol=1e-5)


@settings(deadline=None)
@given(st.sets(st.integers(1, 200), min_size=1, max_size=4))
def test_no_evaluated_forecast_is_overwritten_before_its_label(horizons: set[int]) -> None:
    """A slot is reused after the horizon at the earliest; one origin per block is evaluated."""
    plan = make_plan(sorted(horizons), LEVELS)
    rules = make_follow_up(plan)
    for k, horizon in enumerate(plan.horizons):
        last: dict[int, int] = {}
        for origin in range(600):
            slot = follow_up_slot(rules, k, origin)
            if slot == NO_SLOT:
                continue
            assert rules.first[k] <= slot < rules.first[k] + rules.slots[k]
            assert origin - last.get(slot, -(10**6)) >= horizon
            last[slot] = origin
    blocks = np.array([[follow_up_slot(rules, k, o) != NO_SLOT for o in range(600)] for k in range(len(plan.horizons))])
    for k, stride in enumerate(rules.stride):
        assert (blocks[k, : 600 // stride * stride].reshape(-1, stride).sum(1) == 1).all()
    assert (rules.slots <= FOLLOWED + 1).all()


@pytest.mark.parametrize("period", [2, 3, 4, 6, 7, 12, 24, 60, 288])
def test_evaluated_origins_cover_all_phases_of_a_season(period: int) -> None:
    """An event of any period is sampled at about its frequency."""
    rules = make_follow_up(make_plan(HORIZONS, LEVELS))
    for k in (1, 2):
        origins = [origin for origin in range(100 * period) if follow_up_slot(rules, k, origin) != NO_SLOT]
        counts = np.bincount(np.array(origins) % period, minlength=period)
        assert counts.min() > 0
        assert counts.max() < 3 * counts.mean()


def test_labels_and_errors_are_those_of_the_forecasts_made() -> None:
    """Labels are changes in the units of their origin; an expert's error is the decayed sum over evaluated ones."""
    rng = np.random.default_rng(2)
    values = 5 * np.sin(2 * np.pi * np.arange(300) / 24) + np.cumsum(rng.normal(size=300)) * 0.3
    bank = LeanBank(horizons=HORIZONS, quantiles=LEVELS)
    rows, networks = bank.add(["a"]), np.zeros((0, 1, 3, 5), np.float32)
    rules, units, points = make_follow_up(bank.plan), [], []
    error = np.full((3, len(LEAN_EXPERTS) + 1), FIRST_TRUST)
    for t, value in enumerate(values):
        update = bank.update(rows, np.array([value]), np.array([START + t * HOUR]))
        bank.publish(rows, networks, np.zeros((1, 3, 0)))
        units.append(update.features.units[0])
        points.append(update.features.points[0].astype(float))
        for k, horizon in enumerate(HORIZONS):
            origin = t - horizon
            if origin < 0:
                assert np.isnan(update.truths[0, k])
                continue
            truth = (value - values[origin]) / units[origin][k]
            assert update.truths[0, k] == pytest.approx(truth, rel=1e-4, abs=1e-4)
            if origin >= FIRST_ORIGIN and follow_up_slot(rules, k, origin) != NO_SLOT:
                stride, truth = rules.stride[k], np.clip(truth, -TRUTH_CLIP, TRUTH_CLIP)
                forecasts = np.append(np.clip(points[origin][k], -TRUTH_CLIP, TRUTH_CLIP), 0.0)
                error[k] = TRUST_RATE**stride * error[k] + stride * np.abs(truth - forecasts)
    np.testing.assert_allclose(bank.series.error[0], error, rtol=2e-3)
    slot = follow_up_slot(rules, 2, 299) if follow_up_slot(rules, 2, 299) != NO_SLOT else follow_up_slot(rules, 0, 299)
    assert decode16(float(bank.series.points[0, slot, 4]), POINT_CLIP) == pytest.approx(points[299][0, 4], abs=1e-3)


def test_weights_follow_the_decayed_errors() -> None:
    """Equal errors give the prior, 10% more error a seventh of the weight; SHARE of the prior is the least."""
    prior, weights = np.array([0.2, 0.4, 0.4]), np.empty(3)
    ledger.fill_lean_weights(np.full(3, 7.0, np.float32), prior, weights)
    np.testing.assert_allclose(weights, prior, rtol=1e-6)
    ledger.fill_lean_weights(np.array([7.0, 7.0, 7.7], np.float32), prior, weights)
    assert weights[2] / weights[1] == pytest.approx(1.1**-20, rel=0.02)
    ledger.fill_lean_weights(np.array([1.0, 100.0, 100.0], np.float32), prior, weights)
    np.testing.assert_allclose(weights[1:], aggregation.SHARE * prior[1:], rtol=1e-6)
    assert weights.sum() == pytest.approx(1.0)


def test_coverage_with_periodic_noise() -> None:
    """With more noise every twelve rows, the 90% intervals of both far horizons cover 90% of all rows."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=3000) * np.where(np.arange(3000) % 12, 1.0, 5.0)
    published = run(small(variant="lean", networks=3, enabled=False, horizons=HORIZONS), values[:, None])
    for k, horizon in ((1, 12), (2, 24)):
        quantiles = np.array([forecast.quantiles[0, k] for forecast in published])[600:-horizon]
        truths = values[600 + horizon :]
        assert ((truths >= quantiles[:, 0]) & (truths <= quantiles[:, 4])).mean() == pytest.approx(0.9, abs=0.03)


@pytest.mark.usefixtures("bare_environment")
def test_river_experts_are_refused() -> None:
    """The configuration error names the variant that supports them."""
    with pytest.raises(ConfigError, match=r"requires model\.variant: full"):
        load(None, ["input.topics=a", "model.variant=lean", 'experts=[{"river": "time_series.HoltWinters"}]'])


@pytest.mark.usefixtures("bare_environment")
def test_the_lean_configuration_has_pretrained_weights() -> None:
    """The lean network has packaged weights of its own shape."""
    lean = load(None, ["input.topics=a", "model.variant=lean", "model.hidden_size=24", "learning.whole=false"])
    assert app.base(lean) is not None
    assert app.forecaster(lean).row_bytes <= 1664
    assert app.base(load(None, ["input.topics=a", "model.hidden_size=24"])) is None
