"""Reading dead letters: their headers, and the records that they were."""

import re
from typing import NamedTuple

from streamrnn import app
from streamrnn.commands.state.stored import select_partitions
from streamrnn.dead_letters import PREFIX, is_cut
from streamrnn.errors import LogError
from streamrnn.log import Log
from streamrnn.records import Output, Record, TopicPartition
from streamrnn.settings import Settings

RETRY_PREFIX = "__streamrnn.retry."
"""Prefix of the header names of a retried record."""
UNKNOWN = "unknown"
"""The reason of a dead letter whose message names none."""
_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class Letter(NamedTuple):
    """One dead letter."""

    record: Record
    """The record in the topic of the dead letters."""
    reason: str
    explanation: str
    source: TopicPartition
    """Input partition of the rejected record."""
    offset: int
    """Input offset of the rejected record."""
    timestamp: int
    """Timestamp of the rejected record, milliseconds since the epoch; -1 if it has none."""
    first_offset: int
    """Offset at which a retried record was first read; `offset` if it has not been retried."""
    retries: int
    """Number of times that the rejected record has been retried."""
    cut: bool
    """Whether a part of the rejected record is missing."""

    @property
    def partition(self) -> TopicPartition:
        """Partition of the dead letter itself."""
        return TopicPartition(self.record.topic, self.record.partition)

    def retried(self) -> Output:
        """Return the rejected record as an output to its input topic, with headers that name this dead letter."""
        record, (topic, partition) = self.record, self.partition
        provenance = {
            "count": self.retries + 1, "topic": topic, "partition": partition, "offset": record.offset,
            "first.offset": self.first_offset,
        }  # fmt: skip
        own = tuple(
            (name, value or b"") for name, value in record.headers if not name.startswith((PREFIX, RETRY_PREFIX))
        )
        headers = own + tuple((RETRY_PREFIX + name, str(value).encode()) for name, value in provenance.items())
        return Output(*self.source, record.key, record.value, self.timestamp, headers)


def read_letter(record: Record) -> Letter | None:
    """Return the dead letter in a record; None if another program has written the record."""
    headers = {name: (value or b"") for name, value in record.headers if name.startswith((PREFIX, RETRY_PREFIX))}
    texts = {name: value.decode("utf-8", "replace") for name, value in headers.items()}
    try:
        message = texts[f"{PREFIX}message"]
        source = TopicPartition(texts[f"{PREFIX}topic"], int(texts[f"{PREFIX}partition"]))
        offset = int(texts[f"{PREFIX}offset"])
        timestamp = int(texts.get(f"{PREFIX}timestamp", record.timestamp))  # earlier versions wrote none
        retries = int(texts.get(f"{RETRY_PREFIX}count", 0))
        first_offset = int(texts.get(f"{RETRY_PREFIX}first.offset", offset))
    except (KeyError, ValueError):
        return None
    reason, colon, explanation = message.partition(": ")
    if not colon or not _REASON.fullmatch(reason):
        reason, explanation = UNKNOWN, message
    cut = is_cut(headers[f"{PREFIX}message"])
    return Letter(record, reason, explanation, source, offset, timestamp, first_offset, retries, cut)


def letter_partitions(log: Log, settings: Settings, names: list[str]) -> dict[TopicPartition, str]:
    """Return the partitions of dead letters, each with its input topic, for the named input partitions or for all.

    Raises:
        ConfigError: a name is not a partition of an input topic.
        LogError: an input topic does not exist, or no topic of dead letters does.
    """
    inputs = select_partitions(log, settings, names)
    topics = {each.topic: app.output_topics(settings, each.topic).dead_letters for each in inputs}
    counts = {topic: log.partitions(letters) for topic, letters in topics.items()}
    if not any(counts.values()):
        raise LogError(
            f"there are no dead letters: the topic {', '.join(topics.values())} does not exist; the daemon creates it "
            "when it starts"
        )
    return {
        TopicPartition(topics[each.topic], each.partition): each.topic
        for each in inputs
        if each.partition < counts[each.topic]
    }
