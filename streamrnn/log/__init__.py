"""The log that the daemon reads and writes: one protocol, implemented by `kafka`, `confluent`, `sqlite` and `memory`.

A log has topics with partitions; a record has an offset. Each process opens one `Log`, which joins the consumer group
named by the application. For each assigned input partition it opens one `Transaction`, which writes outputs, state and
the offset of the next record to read atomically: nothing is visible before `commit`.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from streamrnn.log.limits import TopicLimits
from streamrnn.records import Output, Record, TopicPartition


class Committed(NamedTuple):
    """A group's committed position in a partition."""

    offset: int
    """Offset of the next record to read."""
    metadata: str
    """Text committed with the offset, at most 4,000 bytes of UTF-8."""


MAX_OTHERS = 500
"""Largest number of other applications that `Log.other_commits` reads."""


class Poll(NamedTuple):
    """The result of one poll."""

    records: Mapping[TopicPartition, Sequence[Record]]
    assigned: Sequence[TopicPartition] = ()
    """Partitions newly assigned to this process; nothing is read from them before `seek`."""
    revoked: Sequence[TopicPartition] = ()
    """Partitions no longer assigned; handle them before `assigned`: discard their transactions without a commit."""


class Topic(NamedTuple):
    """A required topic."""

    name: str
    partitions: int
    compacted: bool = False
    """Whether only the latest record of each key is retained, as for state."""


class Transaction(Protocol):
    """The writer of one input partition: a sequence of transactions, one open at a time.

    Opening a writer fences all earlier writers of the partition and aborts their open transactions. After any exception
    close it and open a new one, then read `Log.committed` to learn whether the last commit succeeded.
    """

    def send(self, outputs: Sequence[Output]) -> None:
        """Write records, which become visible with the next `commit`. Begins a transaction if none is open."""

    def commit(self, offset: int, metadata: str) -> None:
        """Make everything sent visible and commit the group's offset of the input partition, atomically.

        Raises:
            Fenced: another process owns the partition; nothing was written.
            ConfigError: another process has joined the group under this one's instance name.
            LogError: the commit failed, or its outcome is unknown.
        """

    def begin_commit(self, offset: int, metadata: str) -> Future[float]:
        """Begin a commit; return a future of the seconds for which it goes on in the background.

        The errors are those of `commit`, raised here or by the future. Before it is done call nothing but `close`,
        which waits for it shortly.
        """

    def close(self) -> None:
        """Abort the open transaction and release resources. Never raises."""


class Log(Protocol):
    """One process's connection to a log."""

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic; 0 if it does not exist."""

    def create(self, topics: Sequence[Topic]) -> None:
        """Create the topics that do not exist, and add the partitions that existing ones lack."""

    def limits(self, topic: str) -> TopicLimits:
        """Return the limits of a topic, as of its last `create`."""

    def limit_warning(self, topic: str) -> str:
        """Return a warning about outputs that a topic's limits will change, with the remedy; empty if none."""

    def topic_id(self, topic: str) -> str:
        """Return the id of a topic, which differs if the topic is deleted and created again under the same name.

        Return an empty text if the topic does not exist, or the log has no ids.
        """

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group; `poll` reports the assigned partitions."""

    def poll(self, timeout: float, limit: int) -> Poll:
        """Return at most `limit` committed records by partition, in offset order; wait `timeout` seconds for one."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the offset to read from; required once for every newly assigned partition."""

    def committed(self, partition: TopicPartition) -> Committed | None:
        """Return the group's committed position; None if there is none.

        Open the partition's transaction first: that aborts the transactions of earlier writers.
        """

    def other_commits(self, partition: TopicPartition) -> dict[str, Committed]:
        """Return the positions that other applications have committed in a partition, of at most MAX_OTHERS."""

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """Return the offset of the first available record and the offset of the next record to be written."""

    def readable(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Return the offset up to which readers of committed records can read, and the end, by partition of any topic.

        An open transaction of any producer ends the readable part. A log without such transactions returns nothing.
        """

    def position(self, partition: TopicPartition) -> int:
        """Return the offset up to which `poll` has read a partition, at least that of its next record.

        Once everything is read, it equals the end in `bounds`: it is beyond offsets without a record for this reader,
        such as those of aborted transactions and of the markers that end transactions.
        """

    def transaction(self, partition: TopicPartition) -> Transaction:
        """Open the writer of an input partition, fencing all earlier ones."""

    def read_state(self, partition: TopicPartition) -> dict[bytes, bytes]:
        """Return the latest value of each key in a partition of a compacted topic, without deleted keys."""

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[Record]:
        """Yield the committed records of any partition from offset `start` up to, excluding, `end`, without the group.

        Offsets without a record are skipped. Not for compacted topics. The caller may stop iterating at any record.

        Raises:
            LogError: the offsets are out of range, or reading exceeds the log's time limits.
        """

    def others(self) -> bool:
        """Return whether the group has other live members, as far as the log knows."""

    def close(self) -> None:
        """Leave the group and release all resources. Never raises."""
