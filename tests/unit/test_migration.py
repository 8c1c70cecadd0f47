"""Migration of state to other horizons, quantiles and windows."""

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from support.streams import run, seasonal, small

from streamrnn.core.forecaster import CoreForecaster
from streamrnn.core.series.migration import NEW_PARTS, OF_VERSIONS, LayoutChange
from streamrnn.runtime import manifest


def described(saved: dict[str, Any], present: dict[str, Any]) -> str:
    """Return what a migration between two layouts retains and resets."""
    return LayoutChange(saved, present).describe()


KINDS = pytest.mark.parametrize("kind", [{}, {"variant": "lean"}], ids=["full", "lean"])
STILL: dict[str, Any] = {"networks": 3, "enabled": False}
ROWS = 120


def migrated(forecaster: CoreForecaster, **options: Any) -> CoreForecaster:
    """Load the state of a forecaster into a new one of another configuration."""
    count = len(forecaster.names)
    pages = [{k: a.copy() for k, a in forecaster.save_rows(at, 3).items()} for at in range(0, count, 3)]
    shared = {k: a.copy() for k, a in forecaster.save_shared().items()}
    resumed = small(**options)
    assert resumed.describe_migration(forecaster.layout)
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
def test_horizons_and_quantiles_in_common_are_forecast_as_before(
    kind: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Without learning, forecasts in common equal those of a run without the change.

    Bit for bit, except where crossing quantiles are sorted; later widths depend on the errors in multiples of those.
    """
    values = seasonal(ROWS + 30, 5)
    unchanged, broken = (small(**STILL, **kind, **before) for _ in range(2))
    expected = run(unchanged, values)[ROWS:]
    run(broken, values[:ROWS])
    found = run(migrated(broken, **STILL, **kind, **after), values[ROWS:], first=ROWS)
    mine, others = (small(**STILL, **kind, **side).layout for side in (before, after))
    left, right = (np.stack([each.quantiles for each in side]) for side in (expected, found))
    for axis, name in ((2, "horizons"), (3, "quantiles")):
        indexes: list[Any] = [layout[name] for layout in (mine, others)]
        common = sorted({*indexes[0]} & {*indexes[1]})
        left, right = (
            side.take([levels.index(each) for each in common], axis)
            for side, levels in zip((left, right), indexes, strict=True)
        )
    assert (left == right).mean() >= (0.6 if "quantiles" in after else 1.0)
    np.testing.assert_allclose(left, right, rtol=0, atol=0.2 * float(np.ptp(left, axis=-1).mean()))
    if "quantiles" not in after:
        np.testing.assert_array_equal([each.anomaly for each in expected], [each.anomaly for each in found])


@KINDS
def test_a_new_quantile_lies_between_its_neighbours(kind: dict[str, Any]) -> None:
    """From the first forecast on; one beyond the outermost level lies outside it."""
    values = seasonal(ROWS, 5)
    broken = small(**STILL, **kind, quantiles=(0.1, 0.5, 0.9))
    run(broken, values)
    levels = (0.02, 0.1, 0.3, 0.5, 0.9, 0.98)
    resumed = migrated(broken, **STILL, **kind, quantiles=levels)
    quantiles = resumed.forecast(np.arange(5)).quantiles
    np.testing.assert_array_equal(quantiles[..., [1, 3, 4]], broken.forecast(np.arange(5)).quantiles)
    share = NormalDist().inv_cdf(0.3) / NormalDist().inv_cdf(0.1)
    expected = quantiles[..., 3] + share * (quantiles[..., 1] - quantiles[..., 3])
    np.testing.assert_allclose(
        quantiles[..., 2], expected, atol=0.02 * float(np.ptp(quantiles[..., [1, 4]], axis=-1).max())
    )
    assert (quantiles[..., 0] < quantiles[..., 1]).all()
    assert (quantiles[..., 5] > quantiles[..., 4]).all()
    (after,) = run(resumed, values[-1:], first=ROWS)
    assert (np.diff(after.quantiles, axis=-1) >= 0).all()


@KINDS
@pytest.mark.parametrize("horizon", [9, 40, 600])
def test_a_new_horizon_is_soon_as_good_as_an_old_one(kind: dict[str, Any], horizon: int) -> None:
    """Its forecasts are finite and monotone from the first on, and its coverage is near that of an old one."""
    rows = 2 * ROWS
    values = seasonal(rows + 60, 8)
    broken = small(networks=3, **kind, horizons=(1, 6))
    run(broken, values[:rows])
    resumed = migrated(broken, networks=3, **kind, horizons=(1, 6, horizon))
    found = np.stack([each.quantiles for each in run(resumed, values[rows:], first=rows)])
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=-1) >= 0).all()
    if horizon < 60:
        truth, quantiles = values[rows + horizon :], found[: 60 - horizon, :, 2]
        persistence = np.abs(values[rows : rows + len(truth)] - truth).mean()
        assert np.abs(quantiles[..., 2] - truth).mean() < 0.4 * persistence
        old = run(small(networks=3, **kind, horizons=(1, 6, horizon)), values)[rows : rows + len(truth)]
        covered, usual = (
            ((each[..., 0] <= truth) & (truth <= each[..., 4])).mean()
            for each in (quantiles, np.stack([each.quantiles for each in old])[:, :, 2])
        )
        assert covered >= usual - 0.3


@KINDS
def test_training_windows_are_discarded(kind: dict[str, Any]) -> None:
    """With other horizons the weights stay, the replay buffers are empty, and learning continues."""
    values = seasonal(2 * ROWS, 6)
    broken = small(networks=3, **kind, whole=True)
    run(broken, values[:ROWS])
    resumed = migrated(broken, networks=3, **kind, whole=True, horizons=(1, 3, 8))
    before, after = broken.save_shared(), resumed.save_shared()
    for name in ("weights", "average", "first_moment", "head_weights", "head_steps"):
        np.testing.assert_array_equal(before[name], after[name])
    assert before["rows_taken"][0] > after["rows_taken"][0] == 0
    run(resumed, values[ROWS:], first=ROWS)
    later = resumed.save_shared()
    assert later["head_steps"][0] > after["head_steps"][0]
    assert later["learning_steps"][0] > after["learning_steps"][0]


def test_the_ring_of_values_is_resized() -> None:
    """The latest values keep their order in a larger and in a smaller ring."""
    values = seasonal(ROWS, 3)
    lean = {**STILL, "variant": "lean"}
    broken = small(**lean, horizons=(1, 6))
    run(broken, values)
    longer = migrated(broken, **lean, horizons=(1, 6, 70))
    for s, ring in enumerate(longer.save_rows(0, 3)["series_ring"]):
        latest = [ring[(ROWS - 1 - age) % len(ring)] for age in range(60)]
        known = 25  # the reference of 24 steps is the longest horizon
        np.testing.assert_allclose(latest[:known], (values[::-1, s] - values[0, s])[:known], rtol=1e-5, atol=1e-5)
        assert set(latest[known:]) == {latest[known - 1]}
    back = migrated(longer, **lean, horizons=(1, 6))
    np.testing.assert_array_equal(back.save_rows(0, 3)["series_ring"], broken.save_rows(0, 3)["series_ring"])


def test_only_some_of_a_layout_may_change() -> None:
    """Supported changes are described; others give an empty text."""
    layout = small(networks=3).layout
    assert described(layout, layout) == ""
    for key, value in (("cell", "lstm"), ("hidden_size", 9), ("base", None), ("variant", "lean"), ("seasons", [1.0])):
        assert described(layout, {**layout, key: value}) == ""
        assert described(layout, {**layout, key: value, "quantiles": [0.5]}) == ""
    assert "quantiles was [0.05, 0.1, 0.5, 0.9, 0.95] and is [0.5]" in described(layout, {**layout, "quantiles": [0.5]})
    assert "training windows" in described(layout, {**layout, "window": 3})
    guests = {**layout, "experts": ["time_series.HoltWinters"]}
    assert described(guests, {**guests, "quantiles": [0.5]})
    assert described(guests, {**guests, "horizons": [1]}) == ""


def test_parts_that_the_saved_state_does_not_have_begin_empty() -> None:
    """The rest is as saved, the description names the parts, and the series goes on; a lost array is an error."""
    before, resumed, values = small(**STILL), small(**STILL), seasonal(ROWS + 30, 5)
    run(before, values[:ROWS])
    rows = before.save_rows(0, 5)
    page = {name: array for name, array in rows.items() if name.partition("_")[0] not in NEW_PARTS}
    layout = {key: value for key, value in before.layout.items() if key not in NEW_PARTS}
    assert 0 < len(page) < len(rows)
    told = resumed.describe_migration(layout)
    assert all(part in told for part in NEW_PARTS.values())
    assert told.startswith("it was saved by another version; retained: ")
    assert manifest.NEW_PARTS == OF_VERSIONS
    resumed.load(before.save_shared(), [page], before.names, layout)
    found, blank = resumed.save_rows(0, 5), small(**STILL)
    blank.add(before.names)
    for name, array in blank.save_rows(0, 5).items():
        expected = rows[name] if name in page else array
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    forecasts = run(resumed, values[ROWS:], first=ROWS)
    assert np.isfinite([each.quantiles for each in forecasts]).all()
    assert (resumed.save_rows(0, 5)["feedback_position"] == 30).all()
    del rows["feedback_mean"]
    with pytest.raises(KeyError, match="feedback_mean"):
        small(**STILL).load(before.save_shared(), [rows], before.names)
