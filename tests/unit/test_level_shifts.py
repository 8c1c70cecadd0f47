"""Changes of level and unit: found, followed, marked; nothing else is one."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.streams import HOUR, START, bits, each_alone, run, small, state, wave

from streamrnn.core.experts.level_shifts import BEFORE, RECENT_VALUES, are_calm, change_of, division_of
from streamrnn.library import Forecaster

Values = NDArray[np.float64]
ROWS, AT = 460, 300
VARIANTS = pytest.mark.parametrize("variant", ["full", "lean"])


def series() -> Values:
    """Return an autoregressive, a seasonal, a random and two independent series, (ROWS, 5)."""
    noise = np.random.default_rng(7).normal(size=(ROWS, 5))
    values = noise.copy()
    for t in range(1, ROWS):
        values[t, 0] = 0.9 * values[t - 1, 0] + noise[t, 0]
    values[:, 1] += 10 * np.sin(2 * np.pi * np.arange(ROWS) / 24)
    values[:, 2] = np.cumsum(noise[:, 2])
    return values + np.array([20.0, 50.0, 200.0, 100.0, 0.0])


def changed(values: Values, kind: str) -> Values:
    """Return the values with a change of unit or level from row AT on."""
    after = values.copy()
    if kind == "shifted":
        after[AT:] += 50 * np.abs(np.diff(values[:AT], axis=0)).mean(0)
    else:
        after[AT:] *= float(kind)
    return after


def followed(values: Values, variant: str) -> tuple[Values, NDArray[np.bool_]]:
    """Return quantiles (T, S, H, Q) and whether each series is drifting, (T, S), by the base network."""
    size = {"variant": "lean", "hidden_size": 24} if variant == "lean" else {}
    forecaster = Forecaster(
        forecast={"horizons": [1, 3, 6]}, model=size, learning={"level_shifts": True, "enabled": False}, device="cpu"
    )
    names = [f"s{s}/value" for s in range(values.shape[1])]
    published = [forecaster.step(names, START + t * HOUR, row) for t, row in enumerate(values)]
    return np.array([each.quantiles for each in published]), np.array([each.drifting for each in published])


@VARIANTS
@pytest.mark.parametrize("kind", ["1000", "0.001", "shifted"])
def test_forecasts_follow_a_change(variant: str, kind: str) -> None:
    """Within 60 observations the outermost interval covers more than 80% again, and is not too wide."""
    plain = series()[:, :4]
    values, factor = changed(plain, kind), 1.0 if kind == "shifted" else float(kind)
    (quantiles, drifting), (usual, _) = followed(values, variant), followed(plain, variant)
    assert not drifting[: AT + RECENT_VALUES - 2].any()
    assert drifting[AT + RECENT_VALUES : AT + 100].all()
    assert not drifting[AT + 120 :].any()
    for h, horizon in enumerate((1, 3, 6)):
        truth, final = values[AT + 60 :], quantiles[AT + 60 - horizon : -horizon, :, h]
        inside = (final[..., 0] <= truth) & (truth <= final[..., -1])
        assert (inside.mean(0) > 0.8).all()
        expected = usual[AT + 60 - horizon : -horizon, :, h]
        widths = (final[..., -1] - final[..., 0]) / (expected[..., -1] - expected[..., 0])
        assert (np.median(widths, axis=0) < 2.5 * factor).all()


@VARIANTS
def test_times_around_zero_are_times(variant: str) -> None:
    """A change is found after the same observations where the first of them has the time 0."""
    values, found = changed(series()[:, :4], "shifted")[: AT + 2 * RECENT_VALUES], []
    for first in (1 - AT, 1 - AT + 4 * 7 * 24):
        forecaster = small(variant=variant, level_shifts=True, enabled=False)
        rows = forecaster.add(["a", "b", "c", "d"])
        found.append([wave(forecaster, rows, row, (first + t) * HOUR).drifting for t, row in enumerate(values)])
    assert found[0][AT + RECENT_VALUES - 1].any()
    np.testing.assert_array_equal(found[0], found[1])


@VARIANTS
def test_what_is_no_change_is_left_alone(variant: str) -> None:
    """Noise, seasons, walks, a few outliers and a slow ramp: forecasts are those without the option."""
    values = series()
    values[200:205, 0] += 500
    values[250:, 3] += np.arange(ROWS - 250)
    assert not followed(values, variant)[1].any()
    plain, marked = (small(variant=variant, level_shifts=on) for on in (False, True))
    assert bits(run(marked, values)) == bits(run(plain, values))


@VARIANTS
@pytest.mark.parametrize("rows", [AT + 3, AT + RECENT_VALUES + 1])
def test_a_change_survives_a_restart_and_any_waves(variant: str, rows: int) -> None:
    """Saved between a change and its detection, or after: the same forecasts and state, bit for bit."""
    values = changed(series()[:, :3], "1000")
    options: dict[str, Any] = {"variant": variant, "level_shifts": True, "enabled": False}
    whole, broken, single = small(**options), small(**options), small(**options)
    expected = run(whole, values)
    assert bits(run(single, values, cut=each_alone(3))) == bits(expected)
    run(broken, values[:rows])
    resumed = small(**options)
    resumed.load(broken.save_shared(), [broken.save_rows(0, 3)], broken.names)
    assert bits(run(resumed, values[rows:], first=rows)) == bits(expected[rows:])
    assert state(resumed) == state(whole)


def test_the_option_can_be_switched() -> None:
    """On and off, all that was learned is retained."""
    values = series()
    plain, marked = small(enabled=False), small(enabled=False, level_shifts=True)
    run(plain, values[:200])
    assert "level_shifts was off and is True" in marked.describe_migration(plain.layout)
    marked.load(plain.save_shared(), [plain.save_rows(0, 5)], plain.names, plain.layout)
    assert bits(run(marked, values[200:], first=200)) == bits(run(plain, values[200:], first=200))
    assert marked.row_bytes > plain.row_bytes


def test_a_search_that_is_switched_on_waits_for_its_values() -> None:
    """Until it has as many as it compares, nothing is found, because the missing ones are no values."""
    values = series()
    values[200:] += 100
    plain, marked = small(enabled=False), small(enabled=False, level_shifts=True)
    run(plain, values[:200])
    marked.load(plain.save_shared(), [plain.save_rows(0, 5)], plain.names, plain.layout)
    drifting = [each.drifting.any() for each in run(marked, values[200 : 201 + RECENT_VALUES], first=200)]
    assert drifting == [False] * RECENT_VALUES + [True]


NORMAL = np.array([0.5, -1.0, 1.5, -0.5, 0.2, -0.8, 1.1, -0.3])


@pytest.mark.parametrize(
    ("recent", "expected"),
    [
        (100 + NORMAL, None),
        (160 + NORMAL, (1.0, 160.0)),
        (40 + NORMAL, (1.0, 40.0)),
        (1000 * (100 + NORMAL), (1000.0, 100_000.0)),
        ((100 + NORMAL) / 1000, (0.001, 0.1)),
        (np.r_[100 + NORMAL[:2], 160 + NORMAL[2:]], None),
        (np.r_[100 + NORMAL[:1], 160 + NORMAL[1:]], (1.0, 160.0)),
        (np.full(8, 160.0), (1.0, 160.0)),
    ],
)
def test_a_change_is_measured(recent: Values, expected: tuple[float, float] | None) -> None:
    """Seven of eight values far from those before: a shift by the largest step, or a power of ten."""
    before = 100 + np.tile(NORMAL, 2)
    assert len(before) == BEFORE
    change = change_of(before, recent, np.arange(8), 1.2, 100.0)
    if change is None or expected is None:
        assert change is expected
    else:
        assert (change.factor, change.center) == (
            pytest.approx(expected[0]),
            pytest.approx(expected[1], abs=3 * expected[0]),
        )


CALM = 100 + np.tile(NORMAL, 2)


@pytest.mark.parametrize(
    ("recent", "expected"),
    [
        (np.r_[101, CALM[1:8] / 1000], (0.001, 0.1)),
        (np.r_[101, CALM[1:8] / 100], (0.01, 1.0)),
        (np.r_[101, CALM[1:8] / 10], None),
        (np.r_[101, 0.37 + CALM[1:8] / 100_000], None),
        (np.r_[101, 0.101, 0.101 + NORMAL[2:8] / 10], None),
        (np.r_[101, -CALM[1:8] / 1000], None),
        (np.r_[0, CALM[1:8] / 1000], None),
        (np.r_[10, CALM[1:8] / 1000], None),
    ],
)
def test_a_division_is_measured(recent: Values, expected: tuple[float, float] | None) -> None:
    """Level and changes are smaller by one power of ten; off, reversed, little smaller or gradual is no division."""
    change = division_of(CALM, CALM, recent, np.arange(8), 1.2, 100.0)
    assert (None if change is None else (change.factor, change.center)) == expected
    assert change is None or (change.values.tolist(), change.times.tolist()) == (recent[1:].tolist(), [*range(1, 8)])


def test_values_seen_before_are_no_division() -> None:
    """A machine that now and then is off has been as low before; one such value in a hundred does not matter."""
    recent = np.r_[101, CALM[1:8] / 1000]
    earlier = np.tile(CALM, 20)
    assert division_of(CALM, np.r_[earlier, 0.1], recent, np.arange(8), 1.2, 100.0) is not None
    assert division_of(CALM, np.r_[earlier, np.full(10, 0.1)], recent, np.arange(8), 1.2, 100.0) is None
    assert division_of(CALM + np.r_[30, np.zeros(15)], earlier, recent, np.arange(8), 1.2, 100.0) is None


def test_calm_values_vary_but_little() -> None:
    """From the second value on; a stuck sensor does not vary, and a first value nearby shows no step."""
    rows = np.array([np.r_[101, CALM[1:8] / 1000], np.r_[101, np.zeros(7)], np.r_[1, CALM[1:8] / 1000], CALM[:8]])
    assert are_calm(rows, np.full(4, 1.2)).tolist() == [True, False, False, False]
