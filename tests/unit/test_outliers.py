"""Outliers: which values are, what the forecasts after them are, and how their weight is learned."""

import numpy as np
import pytest
from support.streams import HOUR, START

from streamrnn.core.banks.full import FullBank
from streamrnn.core.jit import Floats, Integers

LEVELS = (0.1, 0.5, 0.9)
ROWS = 300
SPIKES = np.arange(60, ROWS, 20)


def run(values: Floats, times: Integers | None = None) -> tuple[FullBank, Floats, list[bool]]:
    """Feed a series whose network forecasts the latest value; return the one-step medians and where outliers were."""
    bank = FullBank(horizons=(1, 12, 24), quantiles=LEVELS, networks=1, trained=True)
    row, medians, outliers = bank.add(["s"]), [], []
    outputs = np.tile(bank.plan.normal.astype(np.float32), (1, 1, 3, 1))
    for value, time in zip(
        values.tolist(), START + HOUR * np.arange(len(values)) if times is None else times, strict=True
    ):
        bank.update(row, np.array([value]), np.array([time]))
        medians.append(bank.publish(row, outputs, np.zeros((1, 3, 0))).quantiles[0, 0, 1])
        outliers.append(bool(bank.parts.outliers.outlying[0]))
    return bank, np.array(medians), outliers


def noise(rows: int = ROWS) -> Floats:
    """Return a level with noise."""
    return 10 + np.random.default_rng(1).normal(size=rows)


def test_a_value_far_from_both_before_it_is_an_outlier() -> None:
    """A spike is one, the return from it and what follows are none; nor are values of the first steps."""
    values = noise()
    values[[20, *SPIKES]] += 60
    _, _, outliers = run(values)
    assert np.flatnonzero(outliers).tolist() == SPIKES.tolist()


def test_a_value_after_missing_ones_is_no_outlier() -> None:
    """The step before it has no forecast; nor is the return from it one."""
    values, times = noise(), START + HOUR * np.arange(ROWS)
    values[200] += 60
    assert np.flatnonzero(run(values, times)[2]).tolist() == [200]
    times[200:] += 3 * HOUR
    assert not any(run(values, times)[2])


def test_forecasts_return_from_spikes() -> None:
    """The more spikes there were, the nearer is the median after one to the level before it."""
    values = noise()
    values[SPIKES] += 60
    bank, medians, _ = run(values)
    distances = np.abs(medians[SPIKES] - 10)
    assert distances[0] > 30
    assert distances[-1] < 15
    assert (bank.parts.outliers.regret[0, :, 1] > bank.parts.outliers.regret[0, :, 0]).all()


def test_forecasts_stay_after_steps() -> None:
    """Where outliers begin another level, the median after one stays at it."""
    values = noise() + 60 * (np.searchsorted(SPIKES, np.arange(ROWS), side="right") % 2)
    _, medians, outliers = run(values)
    assert np.flatnonzero(outliers).tolist() == SPIKES.tolist()
    distances = np.abs(medians[SPIKES] - values[SPIKES])
    assert distances[0] > 10
    assert distances[-1] < 3


@pytest.mark.parametrize("size", [0.0, 3.0])
def test_other_values_change_nothing(size: float) -> None:
    """Without an outlier nothing is learned."""
    values = noise()
    values[SPIKES] += size
    bank, _, outliers = run(values)
    assert not any(outliers)
    assert (bank.parts.outliers.regret == 0).all()
