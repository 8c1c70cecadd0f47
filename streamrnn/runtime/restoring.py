"""Restoring a partition: its task with the saved state, and the offset to read from."""

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from streamrnn.core.garbage import release_memory
from streamrnn.errors import Fenced
from streamrnn.log import Log
from streamrnn.records import TopicPartition
from streamrnn.runtime.manifest import (
    DECODING,
    NOTHING,
    Resume,
    check_replay,
    known_topic,
    needs_replay,
    report_restored,
    restore_task,
    resume_task,
)  # fmt: skip
from streamrnn.runtime.options import StartPolicy
from streamrnn.runtime.snapshot.task_source import RecordedSettings, TaskSource, recorded_settings

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task

logger = logging.getLogger(__name__)

COMPACTED = "the input topic is compacted, which removes records that were processed"


class Replay(NamedTuple):
    """A replay of committed records, whose outputs are published already."""

    start: int
    """Offset of the saved state."""
    end: int
    """Committed offset."""
    output_hash: str
    """Output hash at the committed offset, hexadecimal."""
    difference: str
    """Explanation why the replay may have other outputs; empty if there is none."""

    def check(self, task: "Task") -> None:
        """Compare the outputs with the published ones. Raises StateError as `check_replay` does."""
        check_replay(task, self.start, self.end, self.output_hash, difference=self.difference)


class RestoredTask(NamedTuple):
    """A restored task and its position."""

    task: "Task"
    source: TaskSource
    """The source that made the task."""
    recorded: RecordedSettings | None
    """The settings that were saved with the state."""
    position: int
    """Offset of the next record."""
    began: int
    """Offset of the first record of all."""
    commits: int = 0
    """Number of commits so far."""
    snapshot: int = NOTHING
    """Offset of a saved state from which later records can be replayed; -1: the first commit must save one."""
    committed: int | None = None
    """Committed offset, if readers wait for the outputs after it."""
    missing: int = 0
    """Number of records that retention has deleted."""
    replay: Replay | None = None


def restore_partition(
    log: Log, partition: TopicPartition, source: TaskSource, *, state: TopicPartition, topic_id: str,
    start: StartPolicy, resume: Resume | None,
) -> RestoredTask:  # fmt: skip
    """Return the task of a partition with its saved state.

    Args:
        log: The log.
        partition: The input partition.
        source: Makes its task; a replay has the settings that were recorded for its records.
        state: The partition of the state topic.
        topic_id: Id of the input topic; empty if the log has none.
        start: Position from which a new task reads.
        resume: Position to continue from without a replay, as for `resume_task`; None: after the last commit.

    Raises:
        StateError: the commit or the saved state cannot be used.
        Fenced: another process commits.
        LogError: the log is unavailable.
    """
    committed, bounds, pieces = log.committed(partition), log.bounds(partition), log.read_state(state)
    if log.committed(partition) != committed:
        raise Fenced(f"{partition} was committed by another process during the restore: it has taken over")
    where: dict[str, Any] = {"bounds": bounds, "topic": state.topic, "topic_id": topic_id}
    before = known_topic(partition, committed, pieces)
    if start.accept_new_topic and pieces and before and topic_id and before != topic_id:
        logger.warning("topic_accepted", extra=partition._asdict())
        resume = "earliest"
    recorded = recorded_settings(pieces)
    source.check_covariates(recorded)
    if resume is None and needs_replay(partition, committed, pieces):
        source = source.for_replay(recorded)
    task = source.make(partition)
    if resume is not None:
        manifest, position, _ = resume_task(task, committed, pieces, start=resume, **where)
        release_memory()
        return RestoredTask(task, source, recorded, position, manifest.began, manifest.commit)
    found = restore_task(task, committed, pieces, release=True, **where)
    release_memory()
    if committed is None or found is None:
        position = bounds[start.position == "latest"]
        return RestoredTask(task, source, recorded, position, position)
    manifest = found.manifest
    earlier = "" if manifest.decoding == DECODING else "an earlier version decoded some records otherwise"
    snapshot = manifest.snapshot if report_restored(task, committed, found) else NOTHING
    difference = task.numerics_difference or earlier or (COMPACTED if log.limits(partition.topic).keyed else "")
    replay = Replay(manifest.snapshot, committed.offset, manifest.chain, difference)
    return RestoredTask(
        task, source, recorded, found.position, manifest.began, manifest.commit, snapshot, committed.offset,
        found.missing, replay,
    )  # fmt: skip
