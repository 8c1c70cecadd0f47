"""Laws of the forecaster: a pure function of the observations, bit for bit."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.streams import HOUR, START, bits, each_alone, forecaster_of, run, seasonal, small, state

from streamrnn.core.forecaster import CoreForecaster
from streamrnn.core.network.shapes import GATES
from streamrnn.core.series.state import NETWORK_CLIP

Present = NDArray[np.bool_]
ROWS = 90
BASED, LEAN = {"networks": 3}, {"networks": 3, "variant": "lean"}
BOUNDS = (("*", "auto"),)
BOUNDED = {"bounds": BOUNDS, "level_shifts": True}, {"bounds": BOUNDS, "networks": 3, "variant": "lean"}
ENCODERS = {"encoder": "bidirectional", "context": 5}, {"encoder": "attention", "context": 5, "decay": True}
CELLS = [pytest.param({"cell": cell}, marks=() if cell == "lstm" else pytest.mark.long) for cell in GATES]
KINDS = pytest.mark.parametrize("kind", [*CELLS, *ENCODERS, BASED, LEAN, *BOUNDED], ids=str)
"""In the short run BASED is a GRU, and the plain recurrent cells have the tests of the encoders."""
VARIANTS = pytest.mark.parametrize("kind", [{}, BASED, LEAN, *BOUNDED], ids=str)


@VARIANTS
def test_forecasting_changes_no_state(kind: dict[str, Any]) -> None:
    """Reading the latest forecasts returns what was published, and changes no byte of the state."""
    forecaster = small(**kind)
    published = run(forecaster, seasonal(ROWS, 3))
    before = state(forecaster)
    again = [forecaster.forecast(np.arange(3)) for _ in range(2)]
    assert state(forecaster) == before
    for forecast in again:
        np.testing.assert_array_equal(forecast.quantiles, published[-1].quantiles)
        np.testing.assert_array_equal(forecast.target_times, published[-1].target_times)


@KINDS
def test_no_look_ahead(kind: dict[str, Any]) -> None:
    """Changing the observations from row t on changes no forecast made before t."""
    values = seasonal(ROWS, 2)
    changed = values.copy()
    changed[60:] = changed[60:] * -3 + 1000
    first, second = (run(small(**kind), each) for each in (values, changed))
    assert bits(first[:60]) == bits(second[:60])
    assert bits(first[60:]) != bits(second[60:])


def drawn_waves(data: st.DataObject, series: int) -> Callable[[int], list[list[int]]]:
    """Return the argument `cut` of `run` that divides the series of every row into waves as `data` draws them."""

    def cut(_: int) -> list[list[int]]:
        marks = sorted(data.draw(st.sets(st.integers(1, series - 1))))
        return [list(range(a, b)) for a, b in zip([0, *marks], [*marks, series], strict=True)]

    return cut


@KINDS
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_forecasts_do_not_depend_on_waves(kind: dict[str, Any], data: st.DataObject) -> None:
    """Dividing the series into waves that cross no learning point changes no bit of a forecast."""
    series = 5
    values = seasonal(60, series)
    # multiples of 5 series: learning points fall at the ends of rows, whatever the waves
    options = {**kind, "every": 8, "most": 1000, "head_most": 1000}
    single = small(**options)
    expected = run(single, values, cut=each_alone(series))

    other = small(**options)
    assert bits(run(other, values, cut=drawn_waves(data, series))) == bits(expected)
    assert state(other) == state(single)


def test_forecasts_do_not_depend_on_waves_when_the_buffer_is_full() -> None:
    """A label that matures when its row leaves the buffer is stored or not, independently of the waves."""
    series = 37
    values = seasonal(180, series)
    options = {"networks": 3, "horizons": (80, 82, 83, 84, 85), "every": 40, "most": 10**6, "head_most": 10**6}
    single, whole = small(**options), small(**options)
    expected = run(single, values, cut=each_alone(series))
    assert bits(run(whole, values)) == bits(expected)
    assert state(whole) == state(single)


def with_gaps(rows: int, series: int) -> Present:
    """Return which values are present, (rows, series): after a regular beginning a tenth is missing."""
    present = np.random.default_rng(2).random((rows, series)) > 0.1
    present[:25], present[45:52, 1] = True, False
    present[np.arange(rows), np.arange(rows) % series] = True
    present[50, 1] = False
    return present


GAPS = pytest.mark.parametrize(
    "kind", [{}, BASED, LEAN, *BOUNDED, {"joint": True, "direction": True, "horizons": (1, 2, 30)}], ids=str
)


@pytest.mark.parametrize("kind", [{}, BASED, LEAN, *BOUNDED, {"direction": True, "horizons": (1, 2, 30)}], ids=str)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_forecasts_of_series_with_missing_rows_do_not_depend_on_waves(
    kind: dict[str, Any], data: st.DataObject
) -> None:
    """Nor do those of series some rows of which are missing, in each at others."""
    series = 5
    values, present = seasonal(70, series), with_gaps(70, series)
    options = {**kind, "every": 8, "most": 1000, "head_most": 1000}
    single = small(**options)
    expected = run(single, values, cut=each_alone(series), present=present)

    other = small(**options)
    assert bits(run(other, values, cut=drawn_waves(data, series), present=present)) == bits(expected)
    assert state(other) == state(single)


@GAPS
@pytest.mark.parametrize("rows", [26, 48, 53])
def test_series_with_missing_rows_can_be_saved_and_loaded(kind: dict[str, Any], rows: int) -> None:
    """Save before, in or after a gap, windows and labels incomplete, load, continue: the same bits."""
    values, present = seasonal(ROWS, 5), with_gaps(ROWS, 5)
    whole, broken = small(**kind), small(**kind)
    expected = run(whole, values, present=present)
    run(broken, values[:rows], present=present[:rows])
    resumed = resumed_from(broken, **kind)
    after = run(resumed, values[rows:], first=rows, present=present[rows:])
    assert bits(after) == bits(expected[rows:])
    assert state(resumed) == state(whole)


@VARIANTS
def test_forecasts_do_not_depend_on_the_size_of_a_wave(kind: dict[str, Any]) -> None:
    """Without learning, a series among 300 others has the same bits as alone."""
    values = np.repeat(seasonal(40, 1), 300, axis=1) * np.linspace(1, 5, 300)
    alone = run(small(**kind, enabled=False), values[:, 137:138])
    among = run(small(**kind, enabled=False), values)
    for one, many in zip(alone, among, strict=True):
        np.testing.assert_array_equal(one.quantiles[0], many.quantiles[137])


def resumed_from(forecaster: CoreForecaster, **options: Any) -> CoreForecaster:
    """Load the state of a forecaster into a new one, in pages of four series."""
    count = len(forecaster.names)
    pages = [{k: a.copy() for k, a in forecaster.save_rows(at, 4).items()} for at in range(0, count, 4)]
    shared = {k: a.copy() for k, a in forecaster.save_shared().items()}
    resumed = small(**options)
    resumed.load(shared, pages, forecaster.names)
    return resumed


@KINDS
@pytest.mark.parametrize("rows", [pytest.param(1, marks=pytest.mark.long), 30, 61])
def test_saved_and_loaded_is_never_interrupted(kind: dict[str, Any], rows: int) -> None:
    """Save at any point, windows and labels incomplete, load, continue: the same forecasts and state, bit for bit."""
    values = seasonal(ROWS, 11)
    options = {**kind, "layers": 2}
    whole, broken = small(**options), small(**options)
    expected = run(whole, values)
    run(broken, values[:rows])
    resumed = resumed_from(broken, **options)
    assert resumed.names == whole.names
    assert state(resumed) == state(broken)
    assert bits(run(resumed, values[rows:], first=rows)) == bits(expected[rows:])
    assert state(resumed) == state(whole)


@VARIANTS
@pytest.mark.parametrize("series", [1, 8, *(pytest.param(each, marks=pytest.mark.long) for each in (7, 9, 16))])
def test_series_can_be_added_after_a_restart(kind: dict[str, Any], series: int) -> None:
    """Series added after loading, when arrays grow, are forecast as without a restart."""
    values = seasonal(60, series + 12)
    whole, broken = small(**kind), small(**kind)
    run(whole, values[:40, :series])
    run(broken, values[:40, :series])
    resumed = resumed_from(broken, **kind)
    assert bits(run(resumed, values[40:], first=40)) == bits(run(whole, values[40:], first=40))
    assert state(resumed) == state(whole)


@VARIANTS
def test_forecasts_are_deterministic(kind: dict[str, Any]) -> None:
    """Two runs over the same observations agree in every bit; another seed does not."""
    values = seasonal(ROWS, 3)
    first = bits(run(small(**kind), values))
    assert bits(run(small(**kind), values)) == first
    assert bits(run(small(**kind, seed=1), values)) != first


@VARIANTS
def test_series_interact_only_through_the_networks(kind: dict[str, Any]) -> None:
    """Without learning no series changes the forecasts of another; with it, only after a learning point."""
    values = seasonal(ROWS, 2)
    other = values.copy()
    other[40:, 1] += 500
    frozen, frozen_other = (run(small(**kind, enabled=False), each) for each in (values, other))
    for a, b in zip(frozen, frozen_other, strict=True):
        np.testing.assert_array_equal(a.quantiles[0], b.quantiles[0])
    first, second = (run(small(**kind), each) for each in (values, other))
    other_network = [t for t in range(ROWS) if first[t].model != second[t].model]
    differing = [t for t in range(ROWS) if not np.array_equal(first[t].quantiles[0], second[t].quantiles[0])]
    assert min(differing) >= min(other_network) > 40


@VARIANTS
def test_state_is_bounded(kind: dict[str, Any]) -> None:
    """The state per series and the shared state have the same size after 1,200 observations as after 200."""
    forecaster = small(**kind)

    def sizes() -> dict[str, tuple[Any, ...]]:
        saved = {**forecaster.save_rows(0, 1), **forecaster.save_shared()}
        return {name: (array.shape, array.dtype) for name, array in saved.items() if name != "since"}

    run(forecaster, seasonal(200, 1))
    early, row_bytes = sizes(), forecaster.row_bytes
    run(forecaster, seasonal(1200, 1), first=200)
    assert (sizes(), forecaster.row_bytes) == (early, row_bytes)
    assert len(forecaster.save_shared()["since"]) <= 64


@VARIANTS
def test_state_per_series_is_small(kind: dict[str, Any]) -> None:
    """At most 32 KiB with default settings, pretrained or not; 1.6 KiB with lean ones."""
    most, options = (1664, {"hidden_size": 24, "whole": False}) if kind == LEAN else (32 * 1024, {"hidden_size": 64})
    forecaster = small(horizons=(1, 12, 24), **kind, **options)
    forecaster.add(["one"])
    saved = sum(array.nbytes for array in forecaster.save_rows(0, 1).values())
    assert saved == forecaster.row_bytes <= most


def hostile(rows: int) -> np.ndarray:
    """Return (rows, 10): spikes, constants, shifts, tiny and huge values."""
    rng = np.random.default_rng(5)
    return np.stack([
        rng.choice([0.0, 1e37, -1e37], rows, p=[0.98, 0.01, 0.01]),
        np.zeros(rows),
        np.full(rows, -1e37),
        np.where(np.arange(rows) < rows // 2, 5.0, 5.0 + 1e-300),
        np.where(np.arange(rows) < rows // 2, 5.0, 9e36),
        rng.normal(size=rows) * 1e-310,
        np.cumsum(rng.normal(size=rows)) * 1e30,
        np.minimum(np.exp(np.arange(rows) / 3), 1e37),
        np.arange(rows) * 1e12,
        rng.poisson(0.05, rows).astype(float),
    ], 1)  # fmt: skip


@KINDS
def test_quantiles_are_finite_and_monotone_for_hostile_values(kind: dict[str, Any]) -> None:
    """Quantiles never cross, and no forecast, state or weight is ever non-finite."""
    forecaster = small(**kind, hidden_size=7)
    for forecast in run(forecaster, hostile(200)):
        assert np.isfinite(forecast.quantiles).all()
        assert np.isfinite(forecast.anomaly).all()
        assert np.isfinite(forecast.skill).all()
        assert (np.diff(forecast.quantiles, axis=2) >= 0).all()
    unknown = ("label", "series_short", "series_long", "series_before", "lattice_moved")  # NaN there means unknown
    for name, array in {**forecaster.save_shared(), **forecaster.save_rows(0, 10)}.items():
        if not any(part in name for part in unknown):
            assert np.isfinite(array.astype(np.float64)).all(), name


@VARIANTS
def test_irregular_times(kind: dict[str, Any]) -> None:
    """With steps from a millisecond to months, forecasts are finite, monotone, and dated after their origin."""
    rng, forecaster = np.random.default_rng(6), small(**kind)
    forecaster.add(["one"])
    time = -2_000_000_000_000
    for _ in range(300):
        time += int(10 ** rng.uniform(0, 10))
        forecast, _ = forecaster.step(np.array([0]), rng.normal(size=1), np.array([time]))
        if forecaster.until_due <= 0:
            forecaster.learn()
        assert np.isfinite(forecast.quantiles).all()
        assert (np.diff(forecast.quantiles, axis=2) >= 0).all()
        assert (forecast.target_times >= time).all()


def test_random_walks_fall_back_to_persistence() -> None:
    """On random walks no horizon is more than 2% worse than persistence, while the network's own forecast differs."""
    values = np.cumsum(np.random.default_rng(3).normal(size=(1500, 4)), 0)
    forecaster = forecaster_of(horizons=(1, 6), quantiles=(0.1, 0.5, 0.9), hidden_size=16)
    medians = np.stack([f.quantiles[:, :, 1] for f in run(forecaster, values)])
    own = forecaster.save_rows(0, 4)["ledger_networks"][:, :, 0, 1] * (NETWORK_CLIP / 32767)
    for k, h in enumerate((1, 6)):
        error = np.abs(values[h:] - medians[:-h, :, k])[150:].mean()
        assert error <= 1.02 * np.abs(values[h:] - values[:-h])[150:].mean()
    assert (np.abs(own) > 1e-2).any()


def test_a_seasonal_series_is_forecast() -> None:
    """On a noisy daily season the error is below half of persistence's, and the 80% interval covers 80% ± 6."""
    values = seasonal(1500, 2)
    forecaster = forecaster_of(horizons=(1, 6), quantiles=(0.1, 0.5, 0.9), hidden_size=16)
    quantiles = np.stack([f.quantiles for f in run(forecaster, values)])
    truth, predicted = values[6:], quantiles[:-6, :, 1]
    error = np.abs(truth - predicted[..., 1])[300:].mean()
    inside = ((truth >= predicted[..., 0]) & (truth <= predicted[..., 2]))[600:].mean()  # they are too wide before
    assert error < 0.5 * np.abs(values[6:] - values[:-6])[300:].mean()
    assert 0.74 <= inside <= 0.86


def test_useless_pretrained_weights_lose_their_weight() -> None:
    """With random weights as pretrained ones, later forecasts are as good as without them."""
    values = seasonal(900, 2)
    errors = []
    for kind in ({}, BASED, LEAN):
        medians = np.stack([f.quantiles[:, 2, 2] for f in run(small(**kind), values)])
        errors.append(np.abs(values[6:] - medians[:-6])[500:].mean())
    assert errors[1] < 1.1 * errors[0]


@VARIANTS
def test_anomalies_stand_out(kind: dict[str, Any]) -> None:
    """A spike of ten times the noise scores above 1; about 1% of the other rows do."""
    values = seasonal(1500, 1)
    values[1400] += 60
    scores = np.array([f.anomaly[0] for f in run(small(**kind), values)])
    assert (scores[:32] == 0).all()
    assert scores[1400] > 1.5
    assert 0.001 <= (scores[200:1400] >= 1).mean() <= 0.025


def test_false_alarms_stay_at_one_in_a_hundred() -> None:
    """With heavy-tailed errors, 1% of the scores reach 1 after adaptation, not 4%."""
    values = np.random.default_rng(8).standard_t(2, (4000, 1))
    scores = np.array([f.anomaly[0] for f in run(small(enabled=False), values)])
    assert 0.005 <= (scores[1000:] >= 1).mean() <= 0.018


def test_target_times_follow_the_cadence() -> None:
    """A forecast for h rows ahead is dated h cadences after its origin."""
    forecaster = small()
    last = run(forecaster, seasonal(40, 1))[-1]
    assert (last.target_times - (START + 39 * HOUR)).tolist() == [[h * HOUR for h in (1, 3, 6)]]


def test_only_configured_horizons_are_published() -> None:
    """Steps 1, 12 and 24 are always evaluated, and published only if configured."""
    forecast = run(small(horizons=(3, 6)), seasonal(30, 1))[-1]
    assert forecast.quantiles.shape == (1, 2, 5)
    full = run(small(), seasonal(30, 1))[-1]
    assert forecast.target_times.tolist() == full.target_times[:, 1:].tolist()
    _, scores = small(horizons=(3, 6)).step(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
    assert scores.shape == (8, 2)


@VARIANTS
def test_the_model_changes_only_at_learning_points(kind: dict[str, Any]) -> None:
    """The networks' version changes at each learning point that learned, and at no other time."""
    forecaster, seen = small(**kind, every=8, head_every=3), []
    values = seasonal(80, 1)
    forecaster.add(["s0"])
    for t, row in enumerate(values):
        forecast, _ = forecaster.step(np.array([0]), row, np.array([START + t * HOUR]))
        learned = forecaster.learn() if forecaster.until_due <= 0 else None
        seen.append((forecast.model, learned is not None))
    for (model, learned), (next_model, _) in itertools.pairwise(seen):
        assert (model != next_model) == learned
    assert sum(learned for _, learned in seen) >= (15 if "networks" in kind else 4)


def test_without_learning_the_networks_stay_as_they_are() -> None:
    """With `enabled` off the version never changes, with pretrained weights and without."""
    for networks in (1, 3):
        forecaster = small(networks=networks, enabled=False)
        models = {forecast.model for forecast in run(forecaster, seasonal(ROWS, 2))}
        assert len(models) == 1
        assert forecaster.save_rows(0, 1)["ledger_networks"].shape[2] == 1


def test_sums_over_waves_do_not_depend_on_the_waves() -> None:
    """Errors of many magnitudes, summed for the rollback wave by wave or one by one, give the same bits."""
    values = seasonal(60, 6) * 1000.0 ** -np.arange(6)
    values[40:, 3] = values[40, 3] * (1 + 1e-7 * np.random.default_rng(1).normal(size=20))
    options: dict[str, Any] = {"networks": 3, "every": 8, "most": 1000, "head_most": 1000}
    single, whole = small(**options), small(**options)
    run(single, values, cut=each_alone(6))
    run(whole, values)
    assert state(whole) == state(single)
