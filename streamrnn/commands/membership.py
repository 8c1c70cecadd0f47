"""Joining a consumer group as its only member, as commands do that write to the log."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from streamrnn.errors import LogError
from streamrnn.log import Log
from streamrnn.records import TopicPartition

ASSIGNMENT_SECONDS = 30.0
"""Longest wait for the group to assign its partitions."""


@contextmanager
def joined_alone(log: Log, group: str, topics: Sequence[str]) -> Iterator[None]:
    """Join the group, whose name is for messages, and wait until all partitions of these topics are assigned.

    Raises:
        LogError: another process has joined the group, or the partitions are not assigned in time.
    """
    wanted = {TopicPartition(topic, n) for topic in topics for n in range(log.partitions(topic))}
    log.subscribe(topics)
    own: set[TopicPartition] = set()
    deadline = time.monotonic() + ASSIGNMENT_SECONDS
    while own != wanted:
        polled = log.poll(0.1, 1)  # returns no records, as there was no seek
        own = (own - set(polled.revoked)) | set(polled.assigned)
        if log.others() or time.monotonic() > deadline:
            break
    if own != wanted or log.others():
        raise LogError(
            f"the group {group} has not assigned all of its partitions to this process within "
            f"{ASSIGNMENT_SECONDS:g} s: another process has joined it, or has just died; stop it and try again. "
            "Nothing was changed"
        )
    yield
