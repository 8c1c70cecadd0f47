"""When state is saved."""

import pytest

from streamrnn.runtime.snapshot.policy import MAX_INTERVAL, WORTHWHILE_RECORDS, Unsaved, snapshot_due

SHARED = 2_500_000
"""Bytes."""


@pytest.mark.parametrize("elapsed", [0.0, 9.99, 10.0, 1000.0])
def test_an_interval_decides_alone(elapsed: float) -> None:
    """A configured interval alone decides, whatever the numbers of records and series."""
    for records, series in ((1, 0), (10**6, 1), (1, 10**6)):
        assert snapshot_due(10.0, Unsaved(records, series, SHARED, learned=False), elapsed=elapsed, tasks=3) == (
            elapsed >= 10.0
        )


@pytest.mark.parametrize(
    ("series", "tasks", "seconds"),
    [(1, 1, 2.53), (28, 1, 3.34), (28, 4, 13.36), (1000, 1, 32.5), (2000, 4, 250.0), (10_000, 1, 300.0)],
)
def test_traffic_is_bounded(series: int, tasks: int, seconds: float) -> None:
    """The interval grows with the number of changed series, up to five minutes."""
    for elapsed in (seconds - 0.01, seconds + 0.01):
        assert snapshot_due(None, Unsaved(10**6, series, SHARED, learned=False), elapsed=elapsed, tasks=tasks) == (
            elapsed > seconds
        )


@pytest.mark.parametrize("interval", [None, 10.0])
def test_unchanged_state_is_not_saved(interval: float | None) -> None:
    """However much time has passed."""
    assert not snapshot_due(interval, Unsaved(0, 0, SHARED, learned=False), elapsed=1e9, tasks=1)


def test_a_short_replay_is_preferred_to_a_snapshot() -> None:
    """Fewer than a thousand records wait for the longest interval."""
    assert not snapshot_due(None, Unsaved(WORTHWHILE_RECORDS - 1, 1, SHARED, learned=False), elapsed=100.0, tasks=1)
    assert snapshot_due(None, Unsaved(WORTHWHILE_RECORDS, 1, SHARED, learned=False), elapsed=100.0, tasks=1)
    assert snapshot_due(None, Unsaved(1, 1, SHARED, learned=False), elapsed=MAX_INTERVAL, tasks=1)


def test_a_learning_step_is_saved_soon() -> None:
    """State after a learning step of a whole network is saved after half of the interval of other changes."""
    assert snapshot_due(None, Unsaved(10**6, 7, SHARED, learned=True), elapsed=1.4, tasks=1)
    assert not snapshot_due(None, Unsaved(10**6, 7, SHARED, learned=False), elapsed=1.4, tasks=1)
    assert not snapshot_due(None, Unsaved(1, 7, SHARED, learned=True), elapsed=1.3, tasks=1)
    assert snapshot_due(None, Unsaved(1, 7, SHARED, learned=True), elapsed=2.8, tasks=2)
    assert not snapshot_due(None, Unsaved(1, 7, SHARED, learned=False), elapsed=2.8, tasks=1)


def test_ten_thousand_series_write_a_megabyte_a_second() -> None:
    """The write rate is bounded in one task or in several, with 29.5 KB per series of the default configuration."""
    for tasks in (1, 4, 10):
        each = 10_000 // tasks
        unsaved = Unsaved(10**6, each, 2_600_000, learned=False)
        seconds = next(s for s in range(1, 1000) if snapshot_due(None, unsaved, elapsed=s, tasks=tasks))
        assert (10_000 * 29_500 + tasks * 2_600_000) / seconds <= 1.1e6
