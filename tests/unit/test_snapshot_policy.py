"""How often state is saved."""

import pytest

from streamrnn.runtime.snapshot_policy import LONGEST, WORTH_IT, Unsaved, due

SHARED = 2_500_000
"""Bytes."""


@pytest.mark.parametrize("elapsed", [0.0, 9.99, 10.0, 1000.0])
def test_an_interval_decides_alone(elapsed: float) -> None:
    """With an interval neither records nor series count."""
    for records, series in ((1, 0), (10**6, 1), (1, 10**6)):
        assert due(10.0, Unsaved(records, series, SHARED, learned=False), elapsed=elapsed, tasks=3) == (elapsed >= 10.0)


@pytest.mark.parametrize(
    ("series", "tasks", "seconds"),
    [(1, 1, 2.53), (28, 1, 3.34), (28, 4, 13.36), (1000, 1, 32.5), (2000, 4, 250.0), (10_000, 1, 300.0)],
)
def test_traffic_is_bounded(series: int, tasks: int, seconds: float) -> None:
    """The more there is to be written, the longer it takes until it is; never longer than five minutes."""
    for elapsed in (seconds - 0.01, seconds + 0.01):
        assert due(None, Unsaved(10**6, series, SHARED, learned=False), elapsed=elapsed, tasks=tasks) == (
            elapsed > seconds
        )


@pytest.mark.parametrize("interval", [None, 10.0])
def test_what_has_not_changed_is_not_saved(interval: float | None) -> None:
    """However long it was."""
    assert not due(interval, Unsaved(0, 0, SHARED, learned=False), elapsed=1e9, tasks=1)


def test_what_is_soon_fed_again_is_not_saved() -> None:
    """A few records wait for the longest interval, a thousand do not."""
    assert not due(None, Unsaved(WORTH_IT - 1, 1, SHARED, learned=False), elapsed=100.0, tasks=1)
    assert due(None, Unsaved(WORTH_IT, 1, SHARED, learned=False), elapsed=100.0, tasks=1)
    assert due(None, Unsaved(1, 1, SHARED, learned=False), elapsed=LONGEST, tasks=1)


def test_a_learning_step_is_worth_it() -> None:
    """What it would take to learn once more is saved as soon as the traffic allows it."""
    assert due(None, Unsaved(1, 7, SHARED, learned=True), elapsed=2.8, tasks=1)
    assert not due(None, Unsaved(1, 7, SHARED, learned=True), elapsed=2.8, tasks=2)
    assert not due(None, Unsaved(1, 7, SHARED, learned=False), elapsed=2.8, tasks=1)


def test_ten_thousand_series_write_a_megabyte_a_second() -> None:
    """All series of the default configuration, 29.5 KB each, in one task or in several."""
    for tasks in (1, 4, 10):
        each = 10_000 // tasks
        unsaved = Unsaved(10**6, each, 2_600_000, learned=False)
        seconds = next(s for s in range(1, 1000) if due(None, unsaved, elapsed=s, tasks=tasks))
        assert (10_000 * 29_500 + tasks * 2_600_000) / seconds <= 1.1e6
