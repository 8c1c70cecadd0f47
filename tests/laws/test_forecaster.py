"""The laws of the forecaster: a pure function of what was observed, bit for bit."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.streams import HOUR, START, bits, run, seasonal, small, state

from streamrnn.core.forecaster import Forecaster
from streamrnn.core.network.shapes import GATES

ROWS = 90
BASED, LEAN = {"networks": 3}, {"networks": 3, "variant": "lean"}
ENCODERS = {"encoder": "bidirectional", "context": 5}, {"encoder": "attention", "context": 5, "decay": True}
KINDS = pytest.mark.parametrize("kind", [*({"cell": cell} for cell in GATES), *ENCODERS, BASED, LEAN], ids=str)
VARIANTS = pytest.mark.parametrize("kind", [{}, BASED, LEAN], ids=str)


@VARIANTS
def test_forecasting_changes_no_state(kind: dict[str, Any]) -> None:
    """Asking for the latest forecasts gives what was published, and leaves every byte of the state alone."""
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


@KINDS
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_waves_change_nothing(kind: dict[str, Any], data: st.DataObject) -> None:
    """How the series are cut into waves changes no bit of a forecast, as long as none crosses a learning point."""
    series = 5
    values = seasonal(60, series)
    # multiples of 5 series: learning points fall at the ends of rows, whatever the waves
    options = {**kind, "every": 8, "most": 1000, "head_most": 1000}
    single = small(**options)
    expected = run(single, values)

    def cut(_: int) -> list[list[int]]:
        marks = sorted(data.draw(st.sets(st.integers(1, series - 1))))
        return [list(range(a, b)) for a, b in zip([0, *marks], [*marks, series], strict=True)]

    other = small(**options)
    assert bits(run(other, values, cut=cut)) == bits(expected)
    assert state(other) == state(single)


def test_waves_change_nothing_where_the_memory_is_full() -> None:
    """A label that comes just as its row leaves the memory is had, or not had, whatever the waves."""
    series = 37
    values = seasonal(180, series)
    options = {"networks": 3, "horizons": (80, 82, 83, 84, 85), "every": 40, "most": 10**6, "head_most": 10**6}
    single, whole = small(**options), small(**options)
    expected = run(single, values)
    assert bits(run(whole, values, cut=lambda _: [list(range(series))])) == bits(expected)
    assert state(whole) == state(single)


@VARIANTS
def test_the_number_of_rows_in_a_wave_changes_nothing(kind: dict[str, Any]) -> None:
    """A series among 300 others gets the bits that it gets alone while the network has not learned."""
    values = np.repeat(seasonal(40, 1), 300, axis=1) * np.linspace(1, 5, 300)
    alone = run(small(**kind, enabled=False), values[:, 137:138])
    among = run(small(**kind, enabled=False), values, cut=lambda _: [list(range(300))])
    for one, many in zip(alone, among, strict=True):
        np.testing.assert_array_equal(one.quantiles[0], many.quantiles[137])


def resumed_from(forecaster: Forecaster, **options: Any) -> Forecaster:
    """A new forecaster that takes over the state of another, in pages of four series."""
    count = len(forecaster.names)
    pages = [{k: a.copy() for k, a in forecaster.save_rows(at, 4).items()} for at in range(0, count, 4)]
    shared = {k: a.copy() for k, a in forecaster.save_shared().items()}
    resumed = small(**options)
    resumed.load(shared, pages, forecaster.names)
    return resumed


@KINDS
@pytest.mark.parametrize("rows", [1, 30, 61])
def test_saved_and_loaded_is_never_interrupted(kind: dict[str, Any], rows: int) -> None:
    """Save at any point, tapes and labels half recorded, load, go on: the same forecasts and state, bit for bit."""
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
@pytest.mark.parametrize("series", [1, 7, 8, 9, 16])
def test_series_that_come_after_a_restart_find_room(kind: dict[str, Any], series: int) -> None:
    """New series after loading, across the doubling of the room, are what they are in a forecaster never stopped."""
    values = seasonal(60, series + 12)
    whole, broken = small(**kind), small(**kind)
    run(whole, values[:40, :series])
    run(broken, values[:40, :series])
    resumed = resumed_from(broken, **kind)
    assert bits(run(resumed, values[40:], first=40)) == bits(run(whole, values[40:], first=40))
    assert state(resumed) == state(whole)


@VARIANTS
def test_the_same_forecaster_twice(kind: dict[str, Any]) -> None:
    """Two runs over the same observations agree in every bit; another seed does not."""
    values = seasonal(ROWS, 3)
    first = bits(run(small(**kind), values))
    assert bits(run(small(**kind), values)) == first
    assert bits(run(small(**kind, seed=1), values)) != first


@VARIANTS
def test_series_meet_only_in_the_network(kind: dict[str, Any]) -> None:
    """Without learning no series touches the forecasts of another; with it, only after a learning point."""
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
    """A series, and what all share, take as many bytes after 2,000 observations as after 200."""
    forecaster = small(**kind)

    def sizes() -> dict[str, tuple[Any, ...]]:
        saved = {**forecaster.save_rows(0, 1), **forecaster.save_shared()}
        return {name: (array.shape, array.dtype) for name, array in saved.items() if name != "since"}

    run(forecaster, seasonal(200, 1))
    early, row_bytes = sizes(), forecaster.row_bytes
    run(forecaster, seasonal(2000, 1), first=200)
    assert (sizes(), forecaster.row_bytes) == (early, row_bytes)
    assert len(forecaster.save_shared()["since"]) <= 64


@VARIANTS
def test_a_series_takes_few_bytes(kind: dict[str, Any]) -> None:
    """At most 32 KiB at the default settings, with a base or without one; 1.5 KiB at the lean ones."""
    most, options = (1536, {"hidden_size": 24, "whole": False}) if kind == LEAN else (32 * 1024, {"hidden_size": 64})
    forecaster = small(horizons=(1, 12, 24), **kind, **options)
    forecaster.add("one")
    saved = sum(array.nbytes for array in forecaster.save_rows(0, 1).values())
    assert saved == forecaster.row_bytes <= most


def hostile(rows: int) -> np.ndarray:
    """(rows, 10): spikes, constants, shifts, tiny and huge values."""
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
def test_quantiles_are_finite_and_in_order_whatever_comes(kind: dict[str, Any]) -> None:
    """Whatever values come: quantiles never cross, and no forecast, state or weight is ever non-finite."""
    forecaster = small(**kind, hidden_size=7)
    for forecast in run(forecaster, hostile(200)):
        assert np.isfinite(forecast.quantiles).all()
        assert np.isfinite(forecast.anomaly).all()
        assert np.isfinite(forecast.skill).all()
        assert (np.diff(forecast.quantiles, axis=2) >= 0).all()
    unknown = ("label", "series_short", "series_long", "series_before")  # NaN there says: not known
    for name, array in {**forecaster.save_shared(), **forecaster.save_rows(0, 10)}.items():
        if not any(part in name for part in unknown):
            assert np.isfinite(array.astype(np.float64)).all(), name


@VARIANTS
def test_uneven_times_do_no_harm(kind: dict[str, Any]) -> None:
    """Steps from a millisecond to centuries: forecasts stay finite and in order, and dated after their origin."""
    rng, forecaster = np.random.default_rng(6), small(**kind)
    forecaster.add("one")
    time = -2_000_000_000_000
    for _ in range(300):
        time += int(10 ** rng.uniform(0, 10))
        forecast, _ = forecaster.step(np.array([0]), rng.normal(size=1), np.array([time]))
        if forecaster.due(0):
            forecaster.learn()
        assert np.isfinite(forecast.quantiles).all()
        assert (np.diff(forecast.quantiles, axis=2) >= 0).all()
        assert (forecast.target_times >= time).all()


def test_a_series_that_cannot_be_forecast_falls_back() -> None:
    """On random walks no horizon is worse than persistence by more than 2%; the network's own forecast is another."""
    values = np.cumsum(np.random.default_rng(3).normal(size=(1500, 4)), 0)
    forecaster = Forecaster(horizons=(1, 6), quantiles=(0.1, 0.5, 0.9), hidden_size=16, device="cpu")
    medians = np.stack([f.quantiles[:, :, 1] for f in run(forecaster, values)])
    own = forecaster.save_rows(0, 4)["ledger_networks"][:, :, 0, 1]
    for k, h in enumerate((1, 6)):
        error = np.abs(values[h:] - medians[:-h, :, k])[150:].mean()
        assert error <= 1.02 * np.abs(values[h:] - values[:-h])[150:].mean()
    assert (np.abs(own) > 1e-2).any()


def test_a_series_that_can_be_forecast_is_forecast() -> None:
    """On a noisy daily season the error is below half of persistence's, and the 80% interval holds 80% ± 6."""
    values = seasonal(1500, 2)
    forecaster = Forecaster(horizons=(1, 6), quantiles=(0.1, 0.5, 0.9), hidden_size=16, device="cpu")
    quantiles = np.stack([f.quantiles for f in run(forecaster, values)])
    truth, said = values[6:], quantiles[:-6, :, 1]
    error = np.abs(truth - said[..., 1])[300:].mean()
    inside = ((truth >= said[..., 0]) & (truth <= said[..., 2]))[600:].mean()  # they are too wide before
    assert error < 0.5 * np.abs(values[6:] - values[:-6])[300:].mean()
    assert 0.74 <= inside <= 0.86


def test_a_base_that_knows_nothing_is_left_behind() -> None:
    """Random weights as a base lean on the mixture at first; later the forecasts are as good as without it."""
    values = seasonal(900, 2)
    errors = []
    for kind in ({}, BASED, LEAN):
        medians = np.stack([f.quantiles[:, 2, 2] for f in run(small(**kind), values)])
        errors.append(np.abs(values[6:] - medians[:-6])[500:].mean())
    assert errors[1] < 1.1 * errors[0]


@VARIANTS
def test_anomalies_stand_out(kind: dict[str, Any]) -> None:
    """A spike of ten times the noise scores above 1; on quiet rows about one in a hundred does."""
    values = seasonal(1500, 1)
    values[1400] += 60
    scores = np.array([f.anomaly[0] for f in run(small(**kind), values)])
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


def test_only_the_horizons_asked_for_are_published() -> None:
    """The forecaster needs steps 1, 12 and 24 for itself; what is published are the configured ones."""
    forecast = run(small(horizons=(3, 6)), seasonal(30, 1))[-1]
    assert forecast.quantiles.shape == (1, 2, 5)
    full = run(small(), seasonal(30, 1))[-1]
    assert forecast.target_times.tolist() == full.target_times[:, 1:].tolist()
    _, scores = small(horizons=(3, 6)).step(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
    assert scores.matured.shape == (2,)


@VARIANTS
def test_the_model_changes_only_at_learning_points(kind: dict[str, Any]) -> None:
    """The networks' version is the same between two learning points and another one after each that learned."""
    forecaster, seen = small(**kind, every=8, head_every=3), []
    values = seasonal(80, 1)
    forecaster.add("s0")
    for t, row in enumerate(values):
        forecast, _ = forecaster.step(np.array([0]), row, np.array([START + t * HOUR]))
        learned = forecaster.learn() if forecaster.due(0) else None
        seen.append((forecast.model, learned is not None))
    for (model, learned), (following, _) in itertools.pairwise(seen):
        assert (model != following) == learned
    assert sum(learned for _, learned in seen) >= (15 if kind else 4)


def test_without_learning_the_networks_stay_as_they_are() -> None:
    """With `enabled` off there is the base alone, and the model keeps its name; so does a network without a base."""
    for networks in (1, 3):
        forecaster = small(networks=networks, enabled=False)
        models = {forecast.model for forecast in run(forecaster, seasonal(ROWS, 2))}
        assert len(models) == 1
        assert forecaster.save_rows(0, 1)["ledger_networks"].shape[2] == 1


def test_sums_over_waves_do_not_depend_on_the_waves() -> None:
    """Errors of many sizes, summed for the guard of learning wave by wave or one by one: the same bits."""
    values = seasonal(60, 6) * 1000.0 ** -np.arange(6)
    values[40:, 3] = values[40, 3] * (1 + 1e-7 * np.random.default_rng(1).normal(size=20))
    options: dict[str, Any] = {"networks": 3, "every": 8, "most": 1000, "head_most": 1000}
    single, whole = small(**options), small(**options)
    run(single, values)
    run(whole, values, cut=lambda _: [list(range(6))])
    assert state(whole) == state(single)
