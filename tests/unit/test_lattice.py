"""Lattice of recurring values: which series are quantized, the nearest value, and what it gains."""

import numpy as np
import pytest
from support.streams import HOUR, START

from streamrnn.core.banks.full import FullBank
from streamrnn.core.ensemble import lattice
from streamrnn.core.jit import Floats

LEVELS = (0.1, 0.5, 0.9)


def run(values: Floats, forecasts: Floats, *, off: bool = False) -> tuple[FullBank, Floats]:
    """Feed a series whose network has these `forecasts` one step ahead; return the one-step medians, too."""
    bank = FullBank(horizons=(1, 12, 24), quantiles=LEVELS, networks=1, trained=True)
    row, medians = bank.add(["s"]), []
    for i, (value, forecast) in enumerate(zip(values.tolist(), forecasts.tolist(), strict=True)):
        update = bank.update(row, np.array([value]), np.array([START + HOUR * i]))
        outputs = 0.1 * bank.plan.normal + (forecast - value) / update.features.units[0][:, None]
        if off:
            bank.parts.lattice.recurring[:] = 0
        medians.append(
            bank.publish(row, outputs[None, None].astype(np.float32), np.zeros((1, 3, 0))).quantiles[0, 0, 1]
        )
    return bank, np.array(medians)


@pytest.mark.parametrize("count", [3, 8, 20])
def test_recurring_values_are_counted_among_observations(count: int) -> None:
    """The share of observations whose value is among the last ones; parts of the ring not yet filled do not count."""
    bank = FullBank(horizons=(1,), quantiles=LEVELS)
    row = bank.add(["s"])
    state, share, values = bank.parts.lattice, 0.0, [5.0, 7.0, 5.0, 9.0, 5.0, 11.0] * 4
    for i, value in enumerate(values[:count]):
        bank.observe(row, np.array([value]), np.array([START + HOUR * i]))
        lattice.track_recurrence(state, 0, bank.series.ring[0], i + 1)
        share += ((value in values[:i]) - share) / (i + 1)
    assert state.recurring[0] == pytest.approx(share, rel=1e-5)


def test_the_nearest_value_is_one_of_the_ring() -> None:
    """It equals numpy's, and values that the ring does not have yet are not found."""
    ring = np.random.default_rng(0).normal(size=64).astype(np.float32)
    for count in (1, 10, 64, 1000):
        known = ring[:count]
        for wanted in (-3.0, 0.1, 0.7):
            assert lattice.nearest_value(ring, count, wanted) == known[np.abs(known - wanted).argmin()]


def test_medians_of_a_quantized_series_are_its_values() -> None:
    """Where the network forecasts what the sensor rounds, the error falls by a quarter; other series are left alone."""
    signal = 4 * np.sin(np.arange(600) / 7) + 0.05 * np.random.default_rng(1).normal(size=600)
    for values, quantized in ((signal.round(), True), (signal, False)):
        forecasts = np.roll(signal, -1)
        _, before = run(values, forecasts, off=True)
        bank, after = run(values, forecasts)
        errors = [np.abs(values[301:] - medians[300:-1]).mean() for medians in (before, after)]
        assert (bank.parts.lattice.recurring[0] > lattice.MIN_RECURRING_SHARE) == quantized
        if quantized:
            assert errors[1] < 0.75 * errors[0]
        else:
            np.testing.assert_array_equal(before, after)
            assert np.isnan(bank.parts.lattice.moved[0]).all()
