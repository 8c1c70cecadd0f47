"""The number of live series of a task."""

import numpy as np
import pytest

from streamrnn.core.learning.effective_series import MIN_SERIES, PERIOD, EffectiveSeries


def live_after(rows: list[int], every: int = 1) -> int:
    """Return the live series after these observations, one by one, with a learning point after `every` of them."""
    series, marks = EffectiveSeries(), np.full((1000, 2), -1, np.int64)
    for n, row in enumerate(rows, 1):
        series.add(marks, np.array([row]))
        if n % every == 0:
            series.end_period()
    return series.live


def test_equally_frequent_series_count_one_each() -> None:
    """Any number of alternating series; before the first period has ended there is one."""
    assert live_after([]) == 1
    assert live_after([0] * 500) == 1
    assert live_after(list(range(10)) * 100) == 10
    assert live_after(list(range(1000)) * 20) == pytest.approx(1000, rel=0.05)


def test_a_rare_series_hardly_counts() -> None:
    """Three series with one observation in 24 each add less than half a series."""
    assert live_after(([0] * 24 + [1, 2, 3]) * 60) == 1


def test_ended_series_no_longer_count() -> None:
    """Of forty series all but one end; after a period one is live."""
    period = PERIOD * 40
    assert live_after(list(range(40)) * 100) == 40
    assert live_after(list(range(40)) * 100 + [7] * (2 * period)) == 1


def test_a_period_ends_at_a_learning_point_only() -> None:
    """Without a learning point nothing changes."""
    rows = list(range(10)) * 100
    assert live_after(rows, every=10_000) == 1
    assert live_after(rows, every=500) == 10


def test_the_cut_into_waves_has_no_effect() -> None:
    """One wave of ten rows equals ten waves of one."""
    single, whole, marks = EffectiveSeries(), EffectiveSeries(), np.full((2, 20, 2), -1, np.int64)
    for _ in range(PERIOD * MIN_SERIES):
        for row in range(10):
            single.add(marks[0], np.array([row]))
        whole.add(marks[1], np.arange(10))
        np.testing.assert_array_equal(single.save(), whole.save())
        single.end_period()
        whole.end_period()
    np.testing.assert_array_equal(marks[0], marks[1])
    assert whole.live == 10


def test_saved_and_loaded_is_the_same() -> None:
    """The counters are restored."""
    first, second, marks = EffectiveSeries(), EffectiveSeries(), np.full((5, 2), -1, np.int64)
    first.add(marks, np.arange(5))
    second.load(first.save())
    np.testing.assert_array_equal(first.save(), second.save())
