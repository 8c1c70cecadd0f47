"""The laws of the forecaster: a pure function of what was observed, bit for bit."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.streams import HOUR, START, bits, run, seasonal, small, state

from streamrnn.core.cells import CELLS
from streamrnn.core.forecaster import Forecaster

ROWS = 90


def test_forecasting_changes_no_state() -> None:
    """Asking for the latest forecasts gives what was published, and leaves every byte of the state alone."""
    forecaster = small()
    published = run(forecaster, seasonal(ROWS, 3))
    before = state(forecaster)
    again = [forecaster.forecast(np.arange(3)) for _ in range(2)]
    assert state(forecaster) == before
    for forecast in again:
        np.testing.assert_array_equal(forecast.quantiles, published[-1].quantiles)
        np.testing.assert_array_equal(forecast.target_times, published[-1].target_times)


@pytest.mark.parametrize("cell", CELLS)
def test_no_look_ahead(cell: str) -> None:
    """Changing the observations from row t on changes no forecast made before t."""
    values = seasonal(ROWS, 2)
    changed = values.copy()
    changed[60:] = changed[60:] * -3 + 1000
    first, second = run(small(cell=cell), values), run(small(cell=cell), changed)
    assert bits(first[:60]) == bits(second[:60])
    assert bits(first[60:]) != bits(second[60:])


@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_waves_change_nothing(cell: str, data: st.DataObject) -> None:
    """How the series are cut into waves changes no bit of a forecast, as long as none crosses a learning point."""
    series = 5
    values = seasonal(60, series)
    # every = 8 rows x 5 series: learning points fall at the ends of rows, whatever the waves
    single = run(small(cell=cell, every=8, most=1000), values)

    def cut(_: int) -> list[list[int]]:
        marks = sorted(data.draw(st.sets(st.integers(1, series - 1))))
        return [list(range(a, b)) for a, b in zip([0, *marks], [*marks, series], strict=True)]

    assert bits(run(small(cell=cell, every=8, most=1000), values, cut=cut)) == bits(single)


def test_the_number_of_rows_in_a_wave_changes_nothing() -> None:
    """A series among 300 others gets the bits that it gets alone while the network has not learned."""
    values = np.repeat(seasonal(40, 1), 300, axis=1) * np.linspace(1, 5, 300)
    alone = run(small(enabled=False), values[:, 137:138])
    among = run(small(enabled=False), values, cut=lambda _: [list(range(300))])
    for one, many in zip(alone, among, strict=True):
        np.testing.assert_array_equal(one.quantiles[0], many.quantiles[137])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("rows", [1, 30, 61])
def test_saved_and_loaded_is_never_interrupted(cell: str, rows: int) -> None:
    """Save at any point, load into a new forecaster, go on: the same forecasts and the same state, bit for bit."""
    values = seasonal(ROWS, 11)
    whole, broken = small(cell=cell, layers=2), small(cell=cell, layers=2)
    expected = run(whole, values)
    run(broken, values[:rows])
    pages = [{k: a.copy() for k, a in broken.save_rows(first, 4).items()} for first in (0, 4, 8)]
    shared = {k: a.copy() for k, a in broken.save_shared().items()}
    resumed = small(cell=cell, layers=2)
    resumed.load(shared, pages, broken.names)
    assert resumed.names == whole.names
    assert bits(run(resumed, values[rows:], first=rows)) == bits(expected[rows:])
    assert state(resumed) == state(whole)


def test_the_same_forecaster_twice() -> None:
    """Two runs over the same observations agree in every bit; another seed does not."""
    values = seasonal(ROWS, 3)
    assert bits(run(small(), values)) == bits(run(small(), values))
    assert bits(run(small(), values)) != bits(run(small(seed=1), values))


def test_series_meet_only_in_the_network() -> None:
    """Without learning no series touches the forecasts of another; with it, only after a learning point."""
    values = seasonal(ROWS, 2)
    other = values.copy()
    other[40:, 1] += 500
    frozen, frozen_other = run(small(enabled=False), values), run(small(enabled=False), other)
    for a, b in zip(frozen, frozen_other, strict=True):
        np.testing.assert_array_equal(a.quantiles[0], b.quantiles[0])
    first, second = run(small(), values), run(small(), other)
    other_network = [t for t in range(ROWS) if first[t].model != second[t].model]
    differing = [t for t in range(ROWS) if not np.array_equal(first[t].quantiles[0], second[t].quantiles[0])]
    assert min(differing) == min(other_network) > 40


def test_state_is_bounded() -> None:
    """A series takes as many bytes after 2,000 observations as after 200, at most 32 KiB by default."""
    forecaster = small()
    run(forecaster, seasonal(200, 1))
    early = {
        k: (a.shape, a.nbytes)
        for k, a in {**forecaster.save_rows(0, 1), **forecaster.save_shared()}.items()
        if k != "since"
    }
    run(forecaster, seasonal(2000, 1), first=200)
    late = {
        k: (a.shape, a.nbytes)
        for k, a in {**forecaster.save_rows(0, 1), **forecaster.save_shared()}.items()
        if k != "since"
    }
    assert late == early
    assert len(forecaster.save_shared()["since"]) <= 64
    default = Forecaster(horizons=(1, 12, 24), quantiles=(0.05, 0.1, 0.5, 0.9, 0.95), device="cpu")
    assert default.row_bytes <= 32 * 1024


@pytest.mark.parametrize("cell", CELLS)
def test_quantiles_are_finite_and_in_order_whatever_comes(cell: str) -> None:
    """Spikes, constants, shifts, tiny and huge values: quantiles never cross, nothing is ever non-finite."""
    rng = np.random.default_rng(5)
    rows = 200
    hostile = np.stack([
        rng.choice([0.0, 1e37, -1e37], rows, p=[0.98, 0.01, 0.01]),
        np.zeros(rows),
        np.where(np.arange(rows) < 100, 5.0, 5.0 + 1e-300),
        rng.normal(size=rows) * 1e-310,
        np.cumsum(rng.normal(size=rows)) * 1e30,
        np.exp(np.arange(rows) / 3),
        np.arange(rows) * 1e12,
        rng.poisson(0.05, rows).astype(float),
    ], 1)  # fmt: skip
    forecaster = small(cell=cell, hidden_size=7)
    for forecast in run(forecaster, hostile):
        assert np.isfinite(forecast.quantiles).all()
        assert np.isfinite(forecast.anomaly).all()
        assert np.isfinite(forecast.skill).all()
        assert (np.diff(forecast.quantiles, axis=2) >= 0).all()
    for name, array in {**forecaster.save_shared(), **forecaster.save_rows(0, 8)}.items():
        if "labels" not in name:
            assert np.isfinite(array.astype(np.float64)).all(), name


def test_a_series_that_cannot_be_forecast_falls_back() -> None:
    """On random walks no horizon is worse than persistence by more than 2%; the network's own forecast is."""
    values = np.cumsum(np.random.default_rng(3).normal(size=(1500, 4)), 0)
    forecaster = Forecaster(horizons=(1, 6), quantiles=(0.1, 0.5, 0.9), hidden_size=16, device="cpu")
    medians = np.stack([f.quantiles[:, :, 1] for f in run(forecaster, values)])
    own = forecaster.save_rows(0, 4)["pending"][..., 1, 1]
    for k, h in enumerate((1, 6)):
        error = np.abs(values[h:] - medians[:-h, :, k])[150:].mean()
        assert error <= 1.02 * np.abs(values[h:] - values[:-h])[150:].mean()
    assert (np.abs(own) > 1e-3).any()  # the network did say something else


def test_a_series_that_can_be_forecast_is_forecast() -> None:
    """On a noisy daily season the error is below half of persistence's, and the 80% interval holds 80% ± 6."""
    values = seasonal(1500, 2)
    forecaster = Forecaster(horizons=(1, 6), quantiles=(0.1, 0.5, 0.9), hidden_size=16, device="cpu")
    quantiles = np.stack([f.quantiles for f in run(forecaster, values)])
    truth, given = values[6:], quantiles[:-6, :, 1]
    error = np.abs(truth - given[..., 1])[300:].mean()
    inside = ((truth >= given[..., 0]) & (truth <= given[..., 2]))[300:].mean()
    assert error < 0.5 * np.abs(values[6:] - values[:-6])[300:].mean()
    assert 0.74 <= inside <= 0.86


def test_anomalies_stand_out() -> None:
    """A spike of ten times the noise scores above 1; on quiet rows about one in a hundred does."""
    values = seasonal(1500, 1)
    values[1400] += 60
    scores = np.array([f.anomaly[0] for f in run(small(), values)])
    assert (scores[:32] == 0).all()
    assert scores[1400] > 1.5
    assert 0.001 <= (scores[200:1400] >= 1).mean() <= 0.025


def test_false_alarms_stay_at_one_in_a_hundred() -> None:
    """Errors with tails far heavier than the first guess: after a while 1% of the scores reach 1, not 4%."""
    values = np.random.default_rng(8).standard_t(2, (4000, 1))
    scores = np.array([f.anomaly[0] for f in run(small(enabled=False), values)])
    assert 0.005 <= (scores[1000:] >= 1).mean() <= 0.018


def test_target_times_follow_the_cadence() -> None:
    """A forecast for h rows ahead is dated h cadences after its origin."""
    forecaster = small()
    last = run(forecaster, seasonal(40, 1))[-1]
    assert (last.target_times - (START + 39 * HOUR)).tolist() == [[h * HOUR for h in (1, 3, 6)]]


def test_horizons_without_one_are_published_as_asked() -> None:
    """The forecaster needs horizon 1 for itself; only the configured horizons are published."""
    forecaster = small(horizons=(3, 6))
    forecast = run(forecaster, seasonal(30, 1))[-1]
    assert forecast.quantiles.shape == (1, 2, 5)
    full = run(small(), seasonal(30, 1))[-1]
    assert forecast.target_times.tolist() == full.target_times[:, 1:].tolist()


def test_the_model_changes_only_at_learning_points() -> None:
    """The network's version is the same between two learning points and another one after each that learned."""
    forecaster, seen = small(every=8), []
    values = seasonal(60, 1)
    forecaster.add("s0")
    for t, row in enumerate(values):
        forecast, _ = forecaster.step(np.array([0]), row, np.array([START + t * HOUR]))
        learned = forecaster.learn() if forecaster.due(0) else None
        seen.append((forecast.model, learned is not None))
    for (model, learned), (following, _) in itertools.pairwise(seen):
        assert (model != following) == learned
    assert sum(learned for _, learned in seen) >= 4
