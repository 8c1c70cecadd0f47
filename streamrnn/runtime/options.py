"""The options of a worker, in groups."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from streamrnn.records import Observer, OutputTopics, TopicPartition

if TYPE_CHECKING:
    from streamrnn.runtime.snapshot.task_source import TaskSource

POLL_RECORDS = 1024
"""Records of a poll at most: with many series, four waves between learning points, as each wave and poll has a cost."""


@dataclass(frozen=True)
class CommitPolicy:
    """Intervals of commits and snapshots."""

    interval: float
    """Seconds between commits."""
    snapshot_interval: float | None
    """Seconds between snapshots; None: as `snapshot.policy` decides."""


@dataclass(frozen=True)
class StartPolicy:
    """The position from which partitions are read first."""

    position: Literal["earliest", "latest"] = "earliest"
    """Position in partitions without a commit."""
    accept_new_topic: bool = False
    """Whether to continue with the saved state at the first record of an input topic that was created again."""


@dataclass(frozen=True)
class WorkerChange:
    """A change of the configuration while the worker runs."""

    source: "TaskSource"
    """Makes the tasks; tasks in memory are replaced only if the settings differ."""
    outputs: Mapping[str, OutputTopics]
    """Output topics by input topic; if they differ, the worker leaves the group and joins it again."""
    start: StartPolicy
    commits: CommitPolicy


@dataclass(frozen=True)
class Limits:
    """Limits of the loop."""

    poll_records: int = POLL_RECORDS
    reachable_after: float = 30.0
    """Seconds for which the log may fail at the start."""
    unavailable_after: float = 300.0
    """Seconds for which the log may fail later; a single partition may fail for as long as others work."""
    refused_after: float = 30.0
    """Seconds for which an output topic may refuse records before the worker ends."""
    heartbeat_after: float | None = None
    """Seconds without a record of a partition after which a heartbeat is written; None: never."""


def no_span(_work: str, _partition: TopicPartition | None = None) -> AbstractContextManager[object]:
    """Record no span."""
    return nullcontext()


@dataclass(frozen=True)
class Hooks:
    """The observer of the loop, and functions that it calls around its work."""

    observer: Observer
    warm_up: Callable[[], None] = lambda: None
    """Called once, in a thread, while the brokers assign partitions, to load slow libraries."""
    limit_commit: Callable[[str], AbstractContextManager[object]] = nullcontext
    """Entered for each commit, with its description."""
    span: Callable[..., AbstractContextManager[object]] = no_span
    """Entered for each poll, feed and commit, with its name and partition."""


class Clock(Protocol):
    """The part of the module `time` that the loop uses; it affects when something happens, never outputs."""

    def monotonic(self) -> float:
        """Return the time in seconds."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""
