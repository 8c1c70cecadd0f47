"""Dead letters in a log, without a daemon, and what a retry writes."""

import json
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from support.log_backends import World

from streamrnn.dead_letters import make_dead_letter
from streamrnn.errors import RecordError
from streamrnn.log import Topic
from streamrnn.records import Record, TopicPartition

RETRY = "__streamrnn.retry."


def bad_record(number: int, partition: int = 0, topic: str = "sensors", **changes: Any) -> Record:
    """Return the input record at this offset."""
    value = json.dumps({"series": f"pump-{number}", "time": "yesterday"}).encode()
    made = Record(topic, partition, number, 1_700_000_000_000 + number, b"key-%d" % number, value, (("h", b"\x00"),))
    return made._replace(**changes)


def letter_of(record: Record, reason: str = "invalid_time", words: str = "the time is wrong") -> Record:
    """Return the dead letter of a record, as its topic has it."""
    output = make_dead_letter(record, RecordError(reason, words), f"{record.topic}.dead-letters")
    return Record(output.topic, output.partition, -1, output.timestamp, output.key, output.value, output.headers)


def with_moved_timestamp(letter: Record, timestamp: int) -> Record:
    """Return a dead letter as a topic has it that changes timestamps."""
    headers = (*letter.headers, ("__streams.errors.timestamp", b"%d" % letter.timestamp))
    return letter._replace(timestamp=timestamp, headers=headers)


def make_topics(world: World, partitions: int = 2, topic: str = "sensors") -> None:
    """Create an input topic and that of its dead letters."""
    with closing(world.open("creator")) as log:
        log.create([Topic(topic, partitions), Topic(f"{topic}.dead-letters", partitions)])


def write_letters(world: World, letters: Sequence[Record]) -> None:
    """Append dead letters to their topic."""
    world.produce(letters[0].topic, letters)


def retried(world: World, topic: str = "sensors") -> list[tuple[int, int]]:
    """Return partition and offset of the dead letter of each retried record in the input topic, sorted."""
    found = []
    for record in world.read(topic):
        headers = dict(record.headers)
        if f"{RETRY}count" in headers:
            origin = TopicPartition((headers[f"{RETRY}topic"] or b"").decode(), int(headers[f"{RETRY}partition"] or 0))
            assert origin == (f"{topic}.dead-letters", record.partition)
            found.append((record.partition, int(headers[f"{RETRY}offset"] or 0)))
    return sorted(found)
