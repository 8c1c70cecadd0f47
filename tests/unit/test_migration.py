"""State goes on under other horizons, quantiles and windows."""

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from support.streams import run, seasonal, small

from streamrnn.core.forecaster import Forecaster
from streamrnn.core.series.migration import words

KINDS = pytest.mark.parametrize("kind", [{}, {"variant": "lean"}], ids=["full", "lean"])
STILL: dict[str, Any] = {"networks": 3, "enabled": False}
ROWS = 120


def carried(forecaster: Forecaster, **options: Any) -> Forecaster:
    """A new forecaster that goes on with the state of another, which was configured otherwise."""
    count = len(forecaster.names)
    pages = [{k: a.copy() for k, a in forecaster.save_rows(at, 3).items()} for at in range(0, count, 3)]
    shared = {k: a.copy() for k, a in forecaster.save_shared().items()}
    resumed = small(**options)
    assert resumed.carries(forecaster.layout)
    resumed.load(shared, pages, forecaster.names, forecaster.layout)
    return resumed


@KINDS
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"horizons": (1, 6)}, {"horizons": (1, 3, 6, 40)}),
        ({"horizons": (1, 3, 6, 40)}, {"horizons": (1, 6)}),
        ({"quantiles": (0.1, 0.5, 0.9)}, {"quantiles": (0.1, 0.25, 0.5, 0.6, 0.9)}),
        ({"quantiles": (0.1, 0.25, 0.5, 0.6, 0.9)}, {"quantiles": (0.1, 0.5, 0.9)}),
        (
            {"horizons": (1, 6), "quantiles": (0.1, 0.5, 0.9)},
            {"horizons": (1, 6, 12), "quantiles": (0.1, 0.3, 0.5, 0.9)},
        ),
        ({"window": 12}, {"window": 5}),
    ],
    ids=["more horizons", "fewer horizons", "more quantiles", "fewer quantiles", "both", "window"],
)
def test_what_stays_is_forecast_as_if_nothing_had_changed(
    kind: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Where networks do not learn, horizons and quantiles that stay are forecast as by a run without the change.

    To the bit, but where quantiles that cross are put in order.
    """
    values = seasonal(ROWS + 30, 5)
    unchanged, broken = (small(**STILL, **kind, **before) for _ in range(2))
    expected = run(unchanged, values)[ROWS:]
    run(broken, values[:ROWS])
    found = run(carried(broken, **STILL, **kind, **after), values[ROWS:], first=ROWS)
    mine, others = (small(**STILL, **kind, **side).layout for side in (before, after))
    left, right = (np.stack([each.quantiles for each in side]) for side in (expected, found))
    for axis, name in ((2, "horizons"), (3, "quantiles")):
        places: list[Any] = [layout[name] for layout in (mine, others)]
        common = sorted({*places[0]} & {*places[1]})
        left, right = (
            side.take([place.index(each) for each in common], axis)
            for side, place in zip((left, right), places, strict=True)
        )
    assert (left == right).mean() >= (0.8 if "quantiles" in after else 1.0)
    np.testing.assert_allclose(left, right, rtol=0, atol=0.2 * float(np.ptp(left, axis=-1).mean()))
    if "quantiles" not in after:
        np.testing.assert_array_equal([each.anomaly for each in expected], [each.anomaly for each in found])


@KINDS
def test_a_new_quantile_lies_between_its_neighbours(kind: dict[str, Any]) -> None:
    """At once, and beyond the outermost ones outside of them."""
    values = seasonal(ROWS, 5)
    broken = small(**STILL, **kind, quantiles=(0.1, 0.5, 0.9))
    run(broken, values)
    levels = (0.02, 0.1, 0.3, 0.5, 0.9, 0.98)
    resumed = carried(broken, **STILL, **kind, quantiles=levels)
    said = resumed.forecast(np.arange(5)).quantiles
    np.testing.assert_array_equal(said[..., [1, 3, 4]], broken.forecast(np.arange(5)).quantiles)
    share = NormalDist().inv_cdf(0.3) / NormalDist().inv_cdf(0.1)
    expected = said[..., 3] + share * (said[..., 1] - said[..., 3])
    np.testing.assert_allclose(said[..., 2], expected, atol=0.02 * float(np.ptp(said[..., [1, 4]], axis=-1).max()))
    assert (said[..., 0] < said[..., 1]).all()
    assert (said[..., 5] > said[..., 4]).all()
    (after,) = run(resumed, values[-1:], first=ROWS)
    assert (np.diff(after.quantiles, axis=-1) >= 0).all()


@KINDS
@pytest.mark.parametrize("horizon", [9, 40, 600])
def test_a_new_horizon_is_soon_as_good_as_an_old_one(kind: dict[str, Any], horizon: int) -> None:
    """Its forecasts are finite and in order from the first on, and its calibration does not start from nothing."""
    rows = 2 * ROWS
    values = seasonal(rows + 60, 8)
    broken = small(networks=3, **kind, horizons=(1, 6))
    run(broken, values[:rows])
    resumed = carried(broken, networks=3, **kind, horizons=(1, 6, horizon))
    found = np.stack([each.quantiles for each in run(resumed, values[rows:], first=rows)])
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=-1) >= 0).all()
    if horizon < 60:
        truth, said = values[rows + horizon :], found[: 60 - horizon, :, 2]
        persistence = np.abs(values[rows : rows + len(truth)] - truth).mean()
        assert np.abs(said[..., 2] - truth).mean() < 0.4 * persistence
        old = run(small(networks=3, **kind, horizons=(1, 6, horizon)), values)[rows : rows + len(truth)]
        held, usual = (
            ((each[..., 0] <= truth) & (truth <= each[..., 4])).mean()
            for each in (said, np.stack([each.quantiles for each in old])[:, :, 2])
        )
        assert held >= usual - 0.3


@KINDS
def test_what_is_learned_from_is_collected_anew(kind: dict[str, Any]) -> None:
    """With other horizons the weights stay, rows and tapes begin empty, and learning goes on."""
    values = seasonal(2 * ROWS, 6)
    broken = small(networks=3, **kind, whole=True)
    run(broken, values[:ROWS])
    resumed = carried(broken, networks=3, **kind, whole=True, horizons=(1, 3, 8))
    before, after = broken.save_shared(), resumed.save_shared()
    for name in ("weights", "average", "first_moment", "head_weights", "head_steps"):
        np.testing.assert_array_equal(before[name], after[name])
    assert before["rows_taken"][0] > after["rows_taken"][0] == 0
    run(resumed, values[ROWS:], first=ROWS)
    later = resumed.save_shared()
    assert later["head_steps"][0] > after["head_steps"][0]
    assert later["learning_steps"][0] > after["learning_steps"][0]


def test_the_last_values_are_held_in_a_larger_ring() -> None:
    """The order of what is kept of the latest rows survives a change of their number, in either direction."""
    values = seasonal(ROWS, 3)
    lean = {**STILL, "variant": "lean"}
    broken = small(**lean, horizons=(1, 6))
    run(broken, values)
    longer = carried(broken, **lean, horizons=(1, 6, 70))
    for s, ring in enumerate(longer.save_rows(0, 3)["series_ring"]):
        latest = [ring[(ROWS - 1 - age) % len(ring)] for age in range(60)]
        kept = 25  # the reference of 24 steps is the longest horizon
        np.testing.assert_allclose(latest[:kept], (values[::-1, s] - values[0, s])[:kept], rtol=1e-5, atol=1e-5)
        assert set(latest[kept:]) == {latest[kept - 1]}
    back = carried(longer, **lean, horizons=(1, 6))
    np.testing.assert_array_equal(back.save_rows(0, 3)["series_ring"], broken.save_rows(0, 3)["series_ring"])


def test_only_some_of_a_layout_may_change() -> None:
    """Words for what is carried over, none for what is not."""
    layout = small(networks=3).layout
    assert words(layout, layout) == ""
    for key, value in (("cell", "lstm"), ("hidden_size", 9), ("base", None), ("variant", "lean"), ("seasons", [1.0])):
        assert words(layout, {**layout, key: value}) == ""
        assert words(layout, {**layout, key: value, "quantiles": [0.5]}) == ""
    assert "quantiles was [0.05, 0.1, 0.5, 0.9, 0.95] and is [0.5]" in words(layout, {**layout, "quantiles": [0.5]})
    assert "windows to learn from" in words(layout, {**layout, "window": 3})
    guests = {**layout, "experts": ["time_series.HoltWinters"]}
    assert words(guests, {**guests, "quantiles": [0.5]})
    assert words(guests, {**guests, "horizons": [1]}) == ""
