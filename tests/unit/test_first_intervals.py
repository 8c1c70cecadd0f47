"""Intervals of a series before any change has been observed."""

import numpy as np
import pytest
from support.streams import HOUR, START, small

LEAN = {"variant": "lean", "hidden_size": 8}


def published(values: list[float], **changes: object) -> np.ndarray:
    """Return the quantiles (T, K, Q) published after each value."""
    forecaster = small(**changes)
    row = forecaster.add(["pump/temperature"])
    steps = enumerate(values)
    return np.stack(
        [forecaster.step(row, np.array([v]), np.array([START + t * HOUR]))[0].quantiles[0] for t, v in steps]
    )


@pytest.mark.parametrize("changes", [{}, LEAN], ids=["full", "lean"])
@pytest.mark.parametrize("value", [22.39, -4.0, 3e-7, 1e12])
def test_the_first_intervals_are_as_wide_as_a_change_may_be(value: float, changes: dict[str, object]) -> None:
    """Before any label the 90% interval spans half the value at one step, and more at further ones."""
    (quantiles,) = published([value], **changes)
    widths = quantiles[:, -1] - quantiles[:, 0]
    assert widths[0] > 0.5 * abs(value)
    assert (np.diff(widths) > 0).all()
    np.testing.assert_allclose(quantiles[:, 2], value, rtol=1e-4)


@pytest.mark.parametrize("changes", [{}, LEAN], ids=["full", "lean"])
def test_a_zero_has_an_interval_too(changes: dict[str, object]) -> None:
    """A first value of 0 has no scale: its size is assumed to be 1."""
    (quantiles,) = published([0.0], **changes)
    assert quantiles[0, -1] - quantiles[0, 0] > 0.5


@pytest.mark.parametrize("changes", [{}, LEAN], ids=["full", "lean"])
def test_intervals_of_a_constant_series_narrow(changes: dict[str, object]) -> None:
    """Each repetition of a value narrows the intervals; after ten they are the narrowest."""
    quantiles = published([5.0] * 12, **changes)
    widths = quantiles[:, 0, -1] - quantiles[:, 0, 0]
    assert (np.diff(widths[:10]) < 0).all()
    assert widths[11] < 1e-5


@pytest.mark.parametrize("changes", [{}, LEAN], ids=["full", "lean"])
def test_a_change_sets_the_scale(changes: dict[str, object]) -> None:
    """After the first change the intervals are of its size, not of the value's."""
    quantiles = published([1000.0, 1000.5], **changes)
    assert quantiles[1, 0, -1] - quantiles[1, 0, 0] < 10
