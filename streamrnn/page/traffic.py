"""What flows through the daemon, as the page's process is told: counts, how fast, and how far behind."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamrnn.page.messages import Message
    from streamrnn.records import TopicPartition

SPAN = 10.0
"""Seconds over which the rate is taken."""
SILENT = 30.0
"""Seconds without news after which what a task is behind is not known any more; it is told every five."""


@dataclass(frozen=True)
class Task:
    """A partition that the daemon works on."""

    topic: str
    partition: int
    lag: int
    """Input records that wait to be taken in."""
    event_time: int | None
    """Latest event time seen by the page, milliseconds since the epoch."""


class Traffic:
    """Counts from the beginning of the page's process on. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.records = self.observations = self.dead_letters = self.drops = self.lost = 0
        self._clock = clock
        self._begun = clock()
        self._recent: deque[tuple[float, int]] = deque()
        """When the daemon took in how many records, a second's together."""
        self._lags: dict[TopicPartition, tuple[float, int]] = {}
        self._event_times: dict[TopicPartition, int] = {}

    def take(self, message: "Message") -> None:
        """Count a message."""
        now = self._clock()
        self.records += message.records
        self.observations += len(message.columns.rows)
        self.dead_letters += message.dead_letters
        self.drops += message.drops
        self.lost += message.lost
        if message.records:
            if not self._recent or now - self._recent[-1][0] >= 1.0:
                self._recent.append((now, 0))
            begun, count = self._recent[-1]
            self._recent[-1] = (begun, count + message.records)
        if message.lag is not None:
            self._lags[message.partition] = (now, message.lag)
        if len(message.columns.times):
            latest = max(int(message.columns.times.max()), self._event_times.get(message.partition, 0))
            self._event_times[message.partition] = latest

    def rate(self) -> float:
        """Records a second, over the last ten."""
        now = self._clock()
        while self._recent and now - self._recent[0][0] > SPAN:
            self._recent.popleft()
        return sum(count for _, count in self._recent) / max(1.0, min(SPAN, now - self._begun))

    def tasks(self) -> list[Task]:
        """The partitions that are worked on, in order."""
        now = self._clock()
        held = {task: lag for task, (told, lag) in self._lags.items() if now - told < SILENT}
        return [Task(*task, lag, self._event_times.get(task)) for task, lag in sorted(held.items())]
