"""Progress of the retries: positions by reason, stored in a separate compacted topic.

The positions are not in the metadata of the group's offsets: Kafka forgets those of a group without members after a
week, and a dead letter would be retried twice.
"""

from typing import Any, NamedTuple

import orjson

from streamrnn.commands.deadletters.letters import Letter
from streamrnn.errors import StateError
from streamrnn.log import Log
from streamrnn.records import Output, TopicPartition

MAX_RETRIES = 3
"""Largest number of retries of one record, unless forced."""
EVERY = "*"
"""Key of the position that applies to all reasons."""
GROUP = "{app}.deadletters"
"""Name of the group that retries."""
TOPIC = "{app}.deadletters.retried"
"""Name of the topic of the positions."""


class Progress(NamedTuple):
    """The offsets before which the dead letters of one partition have been retried, by reason or EVERY."""

    topic_id: str = ""
    """Id of the topic of the dead letters; empty if the log has none."""
    usual: dict[str, int] = {}  # noqa: RUF012 -- never changed
    """Offsets for the records that have been retried less than MAX_RETRIES times."""
    forced: dict[str, int] = {}  # noqa: RUF012 -- never changed
    """Offsets for all other records."""

    def covers(self, letter: Letter) -> bool:
        """Return whether a dead letter has been retried, or skipped because it cannot be retried."""
        positions = self.forced if letter.retries >= MAX_RETRIES else self.usual
        return letter.record.offset < max(positions.get(EVERY, 0), positions.get(letter.reason, 0))

    def advanced(self, reason: str, offset: int, *, force: bool) -> "Progress":
        """Return the progress after the dead letters before `offset` of a reason, or of EVERY reason, are retried."""
        usual = _advanced(self.usual, reason, offset)
        return self._replace(usual=usual, forced=_advanced(self.forced, reason, offset) if force else self.forced)

    @property
    def lowest(self) -> int:
        """Offset before which nothing is left to do without force."""
        return self.usual.get(EVERY, 0)

    def output(self, topic: str, partition: TopicPartition, now: int) -> Output:
        """Return the record that stores this progress in `topic`."""
        value = {"topic_id": self.topic_id, "usual": self.usual, "forced": self.forced}
        return Output(topic, partition.partition, partition.topic.encode(), orjson.dumps(value), now)


def _advanced(positions: dict[str, int], reason: str, offset: int) -> dict[str, int]:
    moved = positions | {reason: max(offset, positions.get(reason, 0))}
    return {each: at for each, at in moved.items() if each == EVERY or at > moved.get(EVERY, 0)}


def read_progress(log: Log, topic: str, partition: TopicPartition) -> Progress:
    """Return the progress in a partition of dead letters; `topic` is that of the positions, which may not exist yet.

    Raises:
        StateError: another program has written to the topic.
    """
    identity = log.topic_id(partition.topic)
    exists = partition.partition < log.partitions(topic)
    stored = log.read_state(TopicPartition(topic, partition.partition)) if exists else {}
    value = stored.get(partition.topic.encode())
    if value is None:
        return Progress(identity)
    try:
        read: Any = orjson.loads(value)
        found = Progress(str(read["topic_id"]), _positions(read["usual"]), _positions(read["forced"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"{topic}/{partition.partition} has no positions of {partition.topic}, but {value[:80]!r}: another program "
            "has written to it; delete the topic, after which every dead letter counts as not retried"
        ) from error
    # a topic that was created again begins at offset 0
    return found if found.topic_id == identity else Progress(identity)


def _positions(read: Any) -> dict[str, int]:
    return {str(reason): int(offset) for reason, offset in read.items()}
