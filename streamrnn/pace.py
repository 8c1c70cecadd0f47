"""How often state is saved: what lies between two times is fed again after a crash, what is saved must be written."""

LONGEST = 300.0
"""Seconds between two times, where nothing else is configured and something has changed."""
WORTH_IT = 1_000
"""Records; to feed fewer of them again takes a tenth of a second."""
PER_SERIES = 0.03
"""Seconds that each changed series adds: some 30 KB of the default configuration, and so about 1 MB/s."""
SHARED = 2.5
"""Seconds for what the series of a task share: weights, and what is to be learned from again."""


def due(interval: float | None, *, elapsed: float, records: int, series: int, tasks: int) -> bool:
    """Whether a task's state is to be saved, `elapsed` seconds and `records` after the last time.

    With an `interval`, in seconds, that decides. Without, it is as often as is worth it and keeps the traffic of a
    process bounded: `series` are those of the task that would be written, `tasks` the number of tasks in this process.
    """
    if records == 0:
        return False
    if interval is not None:
        return elapsed >= interval
    return elapsed >= LONGEST or (records >= WORTH_IT and elapsed >= tasks * (SHARED + PER_SERIES * series))
