"""Totals, rates and lags of the daemon, from its messages."""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamrnn.page.data.messages import Message
    from streamrnn.records import TopicPartition

SPAN = 10.0
"""Seconds over which the rate is averaged."""
EXPIRY = 30.0
"""Seconds after which a lag that was not reported again is dropped; workers report it every five seconds."""
MAX_REASONS = 50
"""Largest number of reasons of dead letters with an example."""


@dataclass(frozen=True)
class LetterExample:
    """A dead letter."""

    topic: str
    partition: int
    offset: int
    """Offset of the last refused record of its batch."""
    example: str
    """The value of the first record refused for this reason, with its contents masked."""


@dataclass(frozen=True)
class TaskStatus:
    """A partition that the daemon processes."""

    topic: str
    partition: int
    lag: int
    """Input records not yet processed."""
    event_time: int | None
    """Latest event time seen by the page, milliseconds since the epoch."""


class Traffic:
    """Totals since the start of the page's process. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.records = self.observations = self.lost = 0
        self.dead_letters: Counter[str] = Counter()
        """Dead letters by reason, as `drops`."""
        self.drops: Counter[str] = Counter()
        self.letters: dict[str, LetterExample] = {}
        """The latest dead letter by reason."""
        self._clock = clock
        self._start = clock()
        self._latest_record: float | None = None
        self._recent: deque[tuple[float, int]] = deque()
        """(time, records) per second of the last SPAN seconds."""
        self._lags: dict[TopicPartition, tuple[float, int]] = {}
        self._event_times: dict[TopicPartition, int] = {}

    def add(self, message: "Message") -> None:
        """Count a message."""
        now = self._clock()
        self.records += message.records
        self.observations += len(message.columns.rows)
        self.lost += message.lost
        if message.drops:
            self.drops.update(message.drops)
        if message.dead_letters:
            self._add_dead_letters(message)
        if message.records:
            self._latest_record = now
            if not self._recent or now - self._recent[-1][0] >= 1.0:
                self._recent.append((now, 0))
            start, count = self._recent[-1]
            self._recent[-1] = (start, count + message.records)
        if message.lag is not None:
            self._lags[message.partition] = (now, message.lag)
        if len(message.columns.times):
            latest = max(int(message.columns.times.max()), self._event_times.get(message.partition, 0))
            self._event_times[message.partition] = latest

    def _add_dead_letters(self, message: "Message") -> None:
        self.dead_letters.update(message.dead_letters)
        for reason in message.dead_letters:
            if reason not in self.letters and len(self.letters) >= MAX_REASONS:
                continue
            known = self.letters.get(reason)
            example = message.examples.get(reason) or (known.example if known else "")
            self.letters[reason] = LetterExample(*message.partition, message.offset, example)

    def idle_seconds(self) -> float | None:
        """Return the seconds since the last record; None without one."""
        return None if self._latest_record is None else self._clock() - self._latest_record

    def rate(self) -> float:
        """Return the records per second over the last SPAN seconds."""
        now = self._clock()
        while self._recent and now - self._recent[0][0] > SPAN:
            self._recent.popleft()
        return sum(count for _, count in self._recent) / max(1.0, min(SPAN, now - self._start))

    def tasks(self) -> list[TaskStatus]:
        """Return the partitions that are being processed, sorted."""
        now = self._clock()
        lags = {task: lag for task, (time, lag) in self._lags.items() if now - time < EXPIRY}
        return [TaskStatus(*task, lag, self._event_times.get(task)) for task, lag in sorted(lags.items())]
