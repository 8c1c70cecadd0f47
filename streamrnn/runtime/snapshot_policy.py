"""How often state is saved: what lies between two times is fed again after a crash, what is saved must be written."""

from typing import NamedTuple

LONGEST = 300.0
"""Seconds between two times, where nothing else is configured and something has changed."""
WORTH_IT = 1_000
"""Records; to feed fewer of them again takes a tenth of a second."""
PER_SERIES = 0.03
"""Seconds that each changed series adds: some 30 KB of the default configuration, and so about 1 MB/s."""
RATE = 1e6
"""Bytes per second of what the series of a task share: weights, and what is to be learned from again."""


class Unsaved(NamedTuple):
    """What a task has done since its state was last saved."""

    records: int
    """To be fed again after a crash."""
    series: int
    """That changed, and would be written."""
    shared: int
    """Bytes of what the series share that were written last: about as many are to be expected."""
    learned: bool
    """Whether a whole network has learned: to do that again a process has to load torch, for over a second."""


def due(interval: float | None, unsaved: Unsaved, *, elapsed: float, tasks: int) -> bool:
    """Whether a task's state is to be saved, `elapsed` seconds after the last time.

    With an `interval`, in seconds, that decides. Without, it is as often as is worth it and keeps the traffic of a
    process of so many `tasks` bounded.
    """
    if unsaved.records == 0:
        return False
    if interval is not None:
        return elapsed >= interval
    worth_it = unsaved.learned or unsaved.records >= WORTH_IT
    wait = unsaved.shared / RATE + PER_SERIES * unsaved.series
    return elapsed >= LONGEST or (worth_it and elapsed >= tasks * wait)
