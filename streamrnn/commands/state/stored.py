"""What a log keeps of an application's partitions: the committed offset and the pieces of the state."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from streamrnn import app
from streamrnn.errors import ConfigError, LogError, StateError
from streamrnn.log import Committed, Log
from streamrnn.records import TopicPartition
from streamrnn.runtime.manifest import read_manifest, where
from streamrnn.runtime.snapshot import read_meta
from streamrnn.settings import Settings

BETWEEN = 0.1  # seconds between two looks, until offset and state are of one commit


class Kept(NamedTuple):
    """Of one partition."""

    partition: TopicPartition
    committed: Committed | None
    pieces: dict[bytes, bytes]
    """Of the state; empty: there is none."""


def chosen(log: Log, settings: Settings, names: Sequence[str]) -> list[TopicPartition]:
    """The partitions named as in `sensors/0`, or without names all of the configured topics.

    Raises:
        ConfigError: a name is none of a configured topic's partition.
        LogError: an input topic does not exist.
    """
    counts = {topic: log.partitions(topic) for topic in settings.input.topics}
    for topic, count in counts.items():
        if not count:
            raise LogError(f"the input topic {topic} does not exist: create it, or correct input.topics")
    present = {where(each): each for topic, count in counts.items() for each in _all(topic, count)}
    for name in names:
        if name not in present:
            raise ConfigError(
                f"--partition: {name!r} is no partition of an input topic; allowed are "
                + ", ".join(f"{topic}/0 to {topic}/{count - 1}" for topic, count in counts.items())
            )
    return [present[name] for name in names] if names else list(present.values())


def _all(topic: str, count: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(count)]


def state_of(settings: Settings, partition: TopicPartition) -> TopicPartition:
    """The partition of the state topic that belongs to an input partition."""
    return TopicPartition(app.output_topics(settings, partition.topic).state, partition.partition)


def look(log: Log, settings: Settings, partition: TopicPartition) -> Kept:
    """What is kept of one partition, of one and the same commit even if a daemon commits meanwhile.

    State that no commit speaks of is given as it is found.
    """
    topic = state_of(settings, partition)
    exists = log.partitions(topic.topic) > 0
    before: list[Committed | None] = []
    while True:
        committed = log.committed(partition)
        pieces = log.read_state(topic) if exists else {}
        sound = all(_together(partition, each, pieces) for each in (committed, log.committed(partition)))
        if sound or committed in before:  # nobody commits, so that another look would find the same
            return Kept(partition, committed, pieces)
        before.append(committed)
        time.sleep(BETWEEN)


def _together(partition: TopicPartition, committed: Committed | None, pieces: dict[bytes, bytes]) -> bool:
    if committed is None or not pieces:
        return committed is None and not pieces
    try:
        snapshot: int = read_meta(pieces)["offset"]
        return read_manifest(partition, committed).snapshot == snapshot
    except StateError:
        return False
