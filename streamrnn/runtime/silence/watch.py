"""Writing heartbeats when they are due: once a partition is silent, and again while it stays silent."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from streamrnn.errors import LogError
from streamrnn.records import StepReport

if TYPE_CHECKING:
    from streamrnn.runtime.partition import OwnedPartition


class SilenceWatch:
    """Writes heartbeats of the partitions of a process without a record for `after` seconds; None: never."""

    def __init__(self, *, after: float | None, now: Callable[[], float]) -> None:
        self._after, self._now = after, now

    def beat_if_due(self, owned: "OwnedPartition") -> StepReport | None:
        """Write a heartbeat of an open partition, to be committed at once; return its report, or None if none is due.

        Raises:
            LogError: it cannot be written.
        """
        if self._after is None or owned.replaying or owned.heartbeats.pending:
            return None
        silence, now = owned.heartbeats.silence, self._now()
        time = silence.due(owned.position, owned.heartbeats.stream_time, now=now, after=self._after)
        if time is None:
            return None
        silence.wait(now)
        try:
            if owned.lag():
                return None
        except LogError:  # the check of the lag reports it
            return None
        report = owned.beat(time)
        silence.written(time, now)
        owned.next_commit = now
        return report
