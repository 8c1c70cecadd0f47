"""The lean variant: profiles in bins, forecasts followed up at rows that look random, a mixture by decayed errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.streams import HOUR, START, run, small

from streamrnn import app
from streamrnn.core.banks.lean import ledger, profiles
from streamrnn.core.banks.lean.bank import LeanBank
from streamrnn.core.banks.lean.state import EXPERTS, FOLLOWED, NONE, SHORT_BINS, following, place_of
from streamrnn.core.ensemble import aggregation
from streamrnn.core.experts.classical import FIRST_ORIGIN, TRUST_RATE, TRUTH_CLIP
from streamrnn.core.series.plan import planned
from streamrnn.core.series.scaling import decoded
from streamrnn.core.series.state import FIRST_TRUST, POINT_CLIP
from streamrnn.errors import ConfigError
from streamrnn.settings import load

HORIZONS, LEVELS = (1, 12, 24), (0.05, 0.1, 0.5, 0.9, 0.95)
MINUTES = 60_000


def written(values: np.ndarray, cadence: float, period: float, missing: frozenset[int] = frozenset()) -> np.ndarray:
    """Bins of a short season after one value every `cadence` ms, but for those missing."""
    bins = np.full(SHORT_BINS, np.nan, np.float32)
    for t, value in enumerate(values):
        if t not in missing:
            profiles.write(bins, 0, START + t * cadence, START, period, cadence, value)
    return bins


def test_a_bin_a_row_is_the_mean_and_then_an_exponential_one() -> None:
    """With a bin for each row, its mean is plain for five seasons and moves by a fifth of the error from then on."""
    values = np.random.default_rng(0).normal(size=24 * 9)
    bins = written(values, HOUR, 24 * HOUR)
    by_hour = values.reshape(9, 24)
    expected = by_hour[:5].mean(0)
    for day in by_hour[5:]:
        expected = expected + 0.2 * (day - expected)
    np.testing.assert_allclose(bins[:24], expected, atol=1e-5)
    assert np.isnan(bins[24:]).all()
    for hour in range(24):
        assert profiles.read(bins, START + (48 + hour) * HOUR, START, 24 * HOUR, HOUR) == bins[hour]


@pytest.mark.parametrize("minutes", [5, 10, 15])
def test_several_rows_share_a_bin_and_are_told_apart_between_its_neighbours(minutes: int) -> None:
    """A smooth day is read back within what a straight line between bins can tell, at every row of it."""
    rows, day, cadence = 1440 // minutes, 1440 * MINUTES, minutes * MINUTES
    values = np.sin(2 * np.pi * np.arange(6 * rows) / rows)
    bins = written(values, cadence, day)
    read = [profiles.read(bins, START + (6 * rows + r) * cadence, START, day, cadence) for r in range(rows)]
    np.testing.assert_allclose(read, values[:rows], atol=0.005)


def test_a_gap_shifts_no_bin() -> None:
    """Phases go by time: missing rows leave the others where they are."""
    values = np.tile(np.random.default_rng(1).normal(size=24), 8)
    whole, gappy = (written(values, HOUR, 24 * HOUR, missing) for missing in (frozenset(), frozenset(range(30, 71))))
    np.testing.assert_allclose(gappy[:24], whole[:24], atol=1e-5)


@settings(deadline=None)
@given(st.sets(st.integers(1, 200), min_size=1, max_size=4))
def test_no_followed_forecast_is_written_over_before_its_truth(horizons: set[int]) -> None:
    """Slots of a horizon are taken in turns, each for longer than the horizon; one origin in a block is followed."""
    plan = planned(sorted(horizons), LEVELS)
    rules = following(plan)
    for k, horizon in enumerate(plan.horizons):
        last: dict[int, int] = {}
        for origin in range(600):
            slot = place_of(rules, k, origin)
            if slot == NONE:
                continue
            assert rules.first[k] <= slot < rules.first[k] + rules.slots[k]
            assert origin - last.get(slot, -(10**6)) >= horizon
            last[slot] = origin
    blocks = np.array([[place_of(rules, k, o) != NONE for o in range(600)] for k in range(len(plan.horizons))])
    for k, stride in enumerate(rules.stride):
        assert (blocks[k, : 600 // stride * stride].reshape(-1, stride).sum(1) == 1).all()
    assert (rules.slots <= FOLLOWED + 1).all()


@pytest.mark.parametrize("period", [2, 3, 4, 6, 7, 12, 24, 60, 288])
def test_what_is_followed_is_no_phase_of_a_season(period: int) -> None:
    """Whatever comes every so many rows is seen as often as it comes."""
    rules = following(planned(HORIZONS, LEVELS))
    for k in (1, 2):
        origins = [origin for origin in range(100 * period) if place_of(rules, k, origin) != NONE]
        counts = np.bincount(np.array(origins) % period, minlength=period)
        assert counts.min() > 0
        assert counts.max() < 3 * counts.mean()


def test_labels_and_errors_are_those_of_the_forecasts_made() -> None:
    """Labels are changes in the units of their origin; an expert's error is the decayed sum over what was followed."""
    rng = np.random.default_rng(2)
    values = 5 * np.sin(2 * np.pi * np.arange(300) / 24) + np.cumsum(rng.normal(size=300)) * 0.3
    bank = LeanBank(horizons=HORIZONS, quantiles=LEVELS)
    rows, silent = np.array([bank.add("a")]), np.zeros((0, 1, 3, 5), np.float32)
    rules, units, points = following(bank.plan), [], []
    error = np.full((3, len(EXPERTS) + 1), FIRST_TRUST)
    for t, value in enumerate(values):
        taken = bank.take(rows, np.array([value]), np.array([START + t * HOUR]))
        bank.publish(rows, silent, np.zeros((1, 3, 0)))
        units.append(taken.described.units[0])
        points.append(taken.described.points[0].astype(float))
        for k, horizon in enumerate(HORIZONS):
            origin = t - horizon
            if origin < 0:
                assert np.isnan(taken.truths[0, k])
                continue
            truth = (value - values[origin]) / units[origin][k]
            assert taken.truths[0, k] == pytest.approx(truth, rel=1e-4, abs=1e-4)
            if origin >= FIRST_ORIGIN and place_of(rules, k, origin) != NONE:
                stride, truth = rules.stride[k], np.clip(truth, -TRUTH_CLIP, TRUTH_CLIP)
                said = np.append(np.clip(points[origin][k], -TRUTH_CLIP, TRUTH_CLIP), 0.0)
                error[k] = TRUST_RATE**stride * error[k] + stride * np.abs(truth - said)
    np.testing.assert_allclose(bank.series.error[0], error, rtol=2e-3)
    slot = place_of(rules, 2, 299) if place_of(rules, 2, 299) != NONE else place_of(rules, 0, 299)
    assert decoded(float(bank.series.points[0, slot, 4]), POINT_CLIP) == pytest.approx(points[299][0, 4], abs=1e-3)


def test_a_member_that_is_worse_loses_its_weight_and_comes_back_with_the_prior() -> None:
    """Equal errors leave the prior; 10% more error leaves a seventh of the weight; nobody falls below its share."""
    prior, weights = np.array([0.2, 0.4, 0.4]), np.empty(3)
    ledger.weigh(np.full(3, 7.0, np.float32), prior, weights)
    np.testing.assert_allclose(weights, prior, rtol=1e-6)
    ledger.weigh(np.array([7.0, 7.0, 7.7], np.float32), prior, weights)
    assert weights[2] / weights[1] == pytest.approx(1.1**-20, rel=0.02)
    ledger.weigh(np.array([1.0, 100.0, 100.0], np.float32), prior, weights)
    np.testing.assert_allclose(weights[1:], aggregation.SHARE * prior[1:], rtol=1e-6)
    assert weights.sum() == pytest.approx(1.0)


def test_intervals_hold_where_something_comes_every_hour() -> None:
    """More noise every twelve rows: the 90% interval of either far horizon holds 90% of all rows."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=3000) * np.where(np.arange(3000) % 12, 1.0, 5.0)
    published = run(small(variant="lean", networks=3, enabled=False, horizons=HORIZONS), values[:, None])
    for k, horizon in ((1, 12), (2, 24)):
        quantiles = np.array([forecast.quantiles[0, k] for forecast in published])[600:-horizon]
        truths = values[600 + horizon :]
        assert ((truths >= quantiles[:, 0]) & (truths <= quantiles[:, 4])).mean() == pytest.approx(0.9, abs=0.03)


@pytest.mark.usefixtures("bare_environment")
def test_experts_of_river_have_no_place() -> None:
    """The lean mixture has no room for them: the configuration is refused, with what to do."""
    with pytest.raises(ConfigError, match=r"need model\.variant: full"):
        load(None, ["input.topics=a", "model.variant=lean", 'experts=[{"river": "time_series.HoltWinters"}]'])


@pytest.mark.usefixtures("bare_environment")
def test_the_lean_configuration_starts_from_the_base_that_comes_with_it() -> None:
    """config/lean.yaml finds its base network, of another shape than the default one's."""
    lean = load(None, ["input.topics=a", "model.variant=lean", "model.hidden_size=24", "learning.whole=false"])
    assert app.base(lean) is not None
    assert app.forecaster(lean).row_bytes <= 1536
    assert app.base(load(None, ["input.topics=a", "model.hidden_size=24"])) is None
