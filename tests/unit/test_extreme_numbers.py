"""Numbers of any size: forecasts of tiny, huge and finely stepped values are those of ordinary ones in another unit."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.streams import run, small

from streamrnn.core.ensemble.publish import round_to_unit
from streamrnn.core.ensemble.resolution import is_negligible, smallest_step

Values = NDArray[np.float64]
ROWS, FIRST = 500, 100
VARIANTS = pytest.mark.parametrize("variant", ["full", "lean"])
UNITS = {
    "tiny": (1e-14, 2e-13),
    "tiny around 0": (1e-14, 0.0),
    "hardly anything": (1e-30, 5e-28),
    "1e12": (1.0, 1e12),
    "1e15": (8.0, 1e15),
    "small steps": (1e-2, 1e8),
    "single precision": (64.0, 2.0**27),
}
"""Unit and level of a series."""


def shapes() -> Values:
    """Return an autoregressive, a seasonal, a random and an independent series around 0, (ROWS, 4)."""
    noise = np.random.default_rng(0).normal(size=(ROWS, 4))
    values = noise.copy()
    for t in range(1, ROWS):
        values[t, 0] = 0.9 * values[t - 1, 0] + noise[t, 0]
    values[:, 1] = 3 * np.sin(2 * np.pi * np.arange(ROWS) / 24) + 0.3 * noise[:, 1]
    values[:, 2] = np.cumsum(noise[:, 2])
    return values


def forecasts(values: Values, variant: str) -> tuple[Values, Values]:
    """Return one-step quantiles (T, S, Q) and anomaly scores (T, S) of values (T, S), without learning."""
    forecaster = small(networks=3, variant=variant, enabled=False)
    published = run(forecaster, values)
    return np.array([each.quantiles[:, 0] for each in published]), np.array([each.anomaly for each in published])


def errors(values: Values, quantiles: Values) -> Values:
    """Return the mean |error| of the one-step median over that of persistence, by series (S,)."""
    truth, before = values[FIRST + 1 :], values[FIRST:-1]
    return np.abs(truth - quantiles[FIRST:-1, :, 2]).mean(0) / np.abs(truth - before).mean(0)


@VARIANTS
@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_changes_nothing(variant: str, unit: str) -> None:
    """Accuracy, intervals and anomalies are those of the same series in an ordinary unit, but for rounding."""
    size, level = UNITS[unit]
    plain = 20.0 + shapes()
    values = level + size * shapes()
    if unit == "single precision":
        values = values.astype(np.float32).astype(np.float64)
    expected, normal = forecasts(plain, variant)
    found, anomaly = forecasts(values, variant)
    assert (errors(values, found) <= 1.05 * np.maximum(errors(plain, expected), 1.0)).all()
    widths, usual = (each[FIRST:, :, -1] - each[FIRST:, :, 0] for each in (found, expected))
    np.testing.assert_allclose(np.median(widths / size / usual, axis=0), 1.0, atol=0.15)
    np.testing.assert_allclose((anomaly >= 1).mean(0), (normal >= 1).mean(0), atol=0.01)


@VARIANTS
def test_a_jump_out_of_the_smallest_scale_is_survived(variant: str) -> None:
    """Values of 1e-30, then of 1e30: labels in units of the scale are no numbers any more, forecasts are."""
    values = 1e-30 * shapes()[:200]
    values[100:] *= 1e60
    found, anomaly = forecasts(values, variant)
    assert np.isfinite(found).all()
    assert np.isfinite(anomaly).all()
    assert (np.diff(found, axis=2) >= 0).all()
    assert (np.abs(found[-1]).max(1) > 1e25).all()


@VARIANTS
def test_a_counter_of_sixteen_digits_is_forecast(variant: str) -> None:
    """9e15 + 1 per step: steps of the last place. A jump of a hundred thousand is an anomaly, its rounding is none."""
    values = 9e15 + np.arange(ROWS, dtype=float)[:, None] + np.zeros((1, 2))
    values[300:, 1] += 100_000
    found, anomaly = forecasts(values, variant)
    assert errors(values[:, :1], found[:, :1])[0] <= 1.05
    assert np.median(found[FIRST:, 0, -1] - found[FIRST:, 0, 0]) < 10.0
    assert anomaly[:, 0].max() < 1.0
    assert anomaly[300, 1] > 1.0


@VARIANTS
@pytest.mark.parametrize(
    ("level", "blip", "anomalous"),
    [(0.0, 1e-9, False), (5.0, 1e-12, False), (1e15, 0.125, False), (0.0, 1.0, True), (5.0, 1e-6, True)],
)
def test_a_blip_below_the_resolution_is_no_anomaly(variant: str, level: float, blip: float, anomalous: bool) -> None:
    """On a constant: what lies below 1e-8 of its value (of 1, for 0) is noise, what lies above it is not."""
    values = np.full((ROWS, 1), level)
    values[200::97] += blip
    found, anomaly = forecasts(values, variant)
    assert (anomaly.max() >= 1.0) == anomalous
    assert np.isfinite(found).all()
    assert np.abs(found[300:] - level).max() <= 10 * blip


def test_a_deviation_is_compared_with_the_smallest_step() -> None:
    """A deviation counts if it is larger than 1.5 of the smallest change in the ring, and than rounding."""
    ring = np.array([9.0, 7.0, 0.0, 5.0, 9.5], np.float32)
    assert smallest_step(ring, 5) == 2.0
    assert smallest_step(ring, 7) == 0.5  # from the last of the ring to the first
    assert smallest_step(ring, 1) == 0.0
    assert is_negligible(2.9, 1e12, ring, 5, 1e12)
    assert not is_negligible(3.1, 1e12, ring, 5, 1e12)
    assert is_negligible(3.1, 1e16, ring, 5, 1e16)
    assert not is_negligible(2.9, 1e3, ring, 5, 1e3)
    constant = np.zeros(5, np.float32)
    assert is_negligible(1e-9, 0.0, constant, 5, 0.0)
    assert is_negligible(1e-9, 5.0, constant, 5, 5.0)
    assert not is_negligible(1e-9, 1e-9, constant, 5, 1e-9)


@pytest.mark.parametrize("unit", [3e-19, 2.5e-14, 0.7, 4e9])
def test_published_digits_follow_the_unit(unit: float) -> None:
    """Numbers are rounded to about 1/10,000 of the unit, tiny ones too."""
    value = 1.23456789 * unit
    assert abs(round_to_unit(value, unit) - value) <= 1e-4 * unit
    assert round_to_unit(value, unit) != value or unit > 1
