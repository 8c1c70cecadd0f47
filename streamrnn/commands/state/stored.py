"""Reading the committed offset and the state of partitions from the log."""

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamrnn import app
from streamrnn.errors import ConfigError, LogError, StateError
from streamrnn.log import Committed, Log
from streamrnn.records import Heartbeat, TopicPartition
from streamrnn.runtime.manifest import read_manifest
from streamrnn.runtime.silence.heartbeats import read_heartbeats
from streamrnn.runtime.snapshot import read_meta
from streamrnn.runtime.snapshot.archive import StoredPartition
from streamrnn.settings import Settings

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task

RETRY_SECONDS = 0.1
"""Wait before reading again, until offset and state belong to the same commit."""


def select_partitions(log: Log, settings: Settings, names: Sequence[str]) -> list[TopicPartition]:
    """Return the partitions with names such as `sensors/0`; without names, all partitions of the input topics.

    Raises:
        ConfigError: a name is not a partition of an input topic.
        LogError: an input topic does not exist.
    """
    counts = {topic: log.partitions(topic) for topic in settings.input.topics}
    for topic, count in counts.items():
        if not count:
            raise LogError(f"the input topic {topic} does not exist: create it, or correct input.topics")
    partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    by_name = {str(partition): partition for partition in partitions}
    for name in names:
        if name not in by_name:
            raise ConfigError(
                f"--partition: {name!r} is not a partition of an input topic; allowed are "
                + ", ".join(f"{topic}/0 to {topic}/{count - 1}" for topic, count in counts.items())
            )
    return [by_name[name] for name in names] if names else partitions


def state_partition(settings: Settings, partition: TopicPartition) -> TopicPartition:
    """Return the partition of the state topic that belongs to an input partition."""
    return TopicPartition(app.output_topics(settings, partition.topic).state, partition.partition)


def read_stored(log: Log, settings: Settings, partition: TopicPartition) -> StoredPartition:
    """Return the offset and the state of one commit, even if a daemon commits meanwhile.

    State that belongs to no commit is returned unchanged.
    """
    topic = state_partition(settings, partition)
    exists = log.partitions(topic.topic) > 0
    before: list[Committed | None] = []
    while True:
        committed = log.committed(partition)
        pieces = log.read_state(topic) if exists else {}
        consistent = all(_belong(partition, each, pieces) for each in (committed, log.committed(partition)))
        if consistent or committed in before:  # without a new commit, reading again would return the same
            return StoredPartition(partition, committed, pieces)
        before.append(committed)
        time.sleep(RETRY_SECONDS)


def pending_heartbeats(log: Log, settings: Settings, task: "Task", end: int) -> deque[Heartbeat]:
    """Return the heartbeats up to the input offset `end` that a new or restored task has not applied yet."""
    partition = task.partition
    topic = app.output_topics(settings, partition.topic).heartbeat
    if topic is None:
        return deque()
    return read_heartbeats(
        log, TopicPartition(topic, partition.partition), partition, topic_id=log.topic_id(partition.topic),
        after=task.last_heartbeat, end=end,
    )  # fmt: skip


def _belong(partition: TopicPartition, committed: Committed | None, pieces: dict[bytes, bytes]) -> bool:
    """Return whether the state was saved by this commit."""
    if committed is None or not pieces:
        return committed is None and not pieces
    try:
        snapshot: int = read_meta(pieces)["offset"]
        return read_manifest(partition, committed).snapshot == snapshot
    except StateError:
        return False
