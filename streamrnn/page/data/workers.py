"""The workers' reports about themselves, and whether they still report."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamrnn.page.data.messages import Message
    from streamrnn.records import TopicPartition

REPORT_SECONDS = 1.0
"""Seconds between two reports of a worker."""
SILENT_SECONDS = 6.0
"""Seconds without a report after which a worker counts as silent."""


@dataclass(frozen=True)
class WorkerState:
    """A worker's report."""

    unready: str = ""
    """Why records are not being processed; empty if they are."""
    compiling: bool = False
    """Whether the worker is loading or compiling its kernels."""
    age: float = 0.0
    """Seconds since the latest progress of its loop."""


class Workers:
    """The workers by the number of their channel. `clock` returns seconds."""

    def __init__(self, count: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = count
        self._clock = clock
        self._start = clock()
        self._states: dict[int, tuple[float, WorkerState]] = {}
        self._owners: dict[TopicPartition, int] = {}

    def add(self, message: "Message", worker: int) -> None:
        """Store a worker's report, or which worker owns the message's task."""
        if message.worker is None:
            self._owners[message.partition] = worker
        else:
            self._states[worker] = (self._clock(), WorkerState(**message.worker))

    def owner(self, partition: "TopicPartition") -> int:
        """Return the number of the worker that reported on this task last."""
        return self._owners.get(partition, 0)

    def silent(self) -> float:
        """Return the seconds since the last report of the worker that has been silent for longest; 0 if all report."""
        now = self._clock()
        ages = [now - self._states.get(number, (self._start,))[0] for number in range(self.count)]
        longest = max(ages)
        return longest if longest > SILENT_SECONDS else 0.0

    def states(self) -> list[WorkerState]:
        """Return the last report of every worker that has reported."""
        return [state for _, (_, state) in sorted(self._states.items())]

    def unready(self) -> str:
        """Return why some worker does not process records; empty if all do."""
        return next((state.unready for state in self.states() if state.unready), "")

    @property
    def compiling(self) -> bool:
        """Whether any worker is compiling its kernels."""
        return any(state.compiling for state in self.states())
