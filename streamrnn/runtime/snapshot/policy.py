"""The decision when to save state: a late snapshot prolongs the replay after a crash, an early one costs writes."""

from typing import NamedTuple

MAX_INTERVAL = 300.0
"""Seconds between snapshots of a changed state, if no interval is configured."""
WORTHWHILE_RECORDS = 1_000
"""Number of records below which a replay takes less than a tenth of a second."""
SECONDS_PER_SERIES = 0.03
"""Seconds that each changed series adds to the interval: about 30 KB by default, hence about 1 MB/s."""
SHARED_BYTES_PER_SECOND = 1e6
"""Write rate of the state that the series of a task share: weights and the replay buffer."""
LEARNED_SHARE = 0.5
"""Share of the interval after which a state with learning steps is saved, so that a replay rarely repeats them."""
PART_SECONDS = 0.5
"""Longest time between two commits while a snapshot is written in parts."""
PART_BYTES_PER_SECOND = 8e6
"""Write rate of these parts."""
MAX_SAVE_SECONDS = 60.0
"""Longest time in seconds to write a large state: the input since its beginning is replayed after a crash."""


class Unsaved(NamedTuple):
    """Changes of a task since its last snapshot."""

    records: int
    """Records to replay after a crash."""
    series: int
    """Changed series, which a snapshot writes."""
    shared: int
    """Bytes of shared state in the last snapshot, as an estimate for the next."""
    learned: bool
    """Whether a whole network has learned: replaying a learning step loads torch, which takes more than a second."""


def part_bytes(elapsed: float, state: int) -> int:
    """Return the size of the next part of a snapshot, `elapsed` seconds after the last one.

    `state` is the size of the task's state in bytes. A part is limited so that no commit takes long.
    """
    return int(min(elapsed, PART_SECONDS) * max(PART_BYTES_PER_SECOND, state / MAX_SAVE_SECONDS))


def snapshot_due(interval: float | None, unsaved: Unsaved, *, elapsed: float, tasks: int) -> bool:
    """Return whether to save a task's state, `elapsed` seconds after its last snapshot.

    A configured `interval` in seconds decides alone. Otherwise the benefit decides, within a bounded write rate of a
    process with this number of `tasks`.
    """
    if unsaved.records == 0:
        return False
    if interval is not None:
        return elapsed >= interval
    worthwhile = unsaved.learned or unsaved.records >= WORTHWHILE_RECORDS
    wait = tasks * (unsaved.shared / SHARED_BYTES_PER_SECOND + SECONDS_PER_SERIES * unsaved.series)
    if unsaved.learned:
        wait *= LEARNED_SHARE
    return elapsed >= MAX_INTERVAL or (worthwhile and elapsed >= wait)
