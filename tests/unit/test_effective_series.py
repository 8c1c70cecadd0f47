"""How many series a task takes to be alive."""

import numpy as np
import pytest

from streamrnn.core.learning.effective_series import FEWEST, PERIOD, EffectiveSeries


def live_after(rows: list[int], every: int = 1) -> int:
    """After these observations, one by one, with a learning point after `every` of them."""
    activity, marks = EffectiveSeries(), np.full((1000, 2), -1, np.int64)
    for n, row in enumerate(rows, 1):
        activity.hear(marks, np.array([row]))
        if n % every == 0:
            activity.turn()
    return activity.live


def test_series_of_the_same_pace_count_one_each() -> None:
    """In turns, however many; before the first period has ended there is one."""
    assert live_after([]) == 1
    assert live_after([0] * 500) == 1
    assert live_after(list(range(10)) * 100) == 10
    assert live_after(list(range(1000)) * 20) == pytest.approx(1000, rel=0.05)


def test_a_slow_series_hardly_counts() -> None:
    """One observation in 24 of each of three: less than half a series more."""
    assert live_after(([0] * 24 + [1, 2, 3]) * 60) == 1


def test_silent_series_count_no_more() -> None:
    """Forty series, then one of them alone: it is alone after a period."""
    period = PERIOD * 40
    assert live_after(list(range(40)) * 100) == 40
    assert live_after(list(range(40)) * 100 + [7] * (2 * period)) == 1


def test_a_period_ends_at_a_learning_point_only() -> None:
    """Where there is none, nothing changes."""
    rows = list(range(10)) * 100
    assert live_after(rows, every=10_000) == 1
    assert live_after(rows, every=500) == 10


def test_waves_change_nothing() -> None:
    """A wave of ten is the same as ten of one."""
    single, whole, marks = EffectiveSeries(), EffectiveSeries(), np.full((2, 20, 2), -1, np.int64)
    for _ in range(PERIOD * FEWEST):
        for row in range(10):
            single.hear(marks[0], np.array([row]))
        whole.hear(marks[1], np.arange(10))
        np.testing.assert_array_equal(single.save(), whole.save())
        single.turn()
        whole.turn()
    np.testing.assert_array_equal(marks[0], marks[1])
    assert whole.live == 10


def test_saved_and_loaded_is_the_same() -> None:
    """Numbers come back."""
    first, second, marks = EffectiveSeries(), EffectiveSeries(), np.full((5, 2), -1, np.int64)
    first.hear(marks, np.arange(5))
    second.load(first.save())
    np.testing.assert_array_equal(first.save(), second.save())
