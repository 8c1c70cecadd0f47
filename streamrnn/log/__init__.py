"""The log behind the daemon: one protocol, and twins that keep it (`kafka`, `sqlite`, `memory`; `files` only reads).

A log has topics with partitions; a record has an offset. One process opens one `Log`, which joins the group named by
the application. For each input partition it is given, it opens one `Transaction`, through which everything that belongs
together is written: outputs, state, and the offset of the next record to read. Nothing of it is seen before `commit`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from streamrnn.records import Output, Record, TopicPartition


class Committed(NamedTuple):
    """Where a group stands in a partition."""

    offset: int
    """Of the next record to read."""
    metadata: str
    """What was committed with it, at most 4,000 bytes of UTF-8."""


class Poll(NamedTuple):
    """What one poll brought."""

    records: Mapping[TopicPartition, Sequence[Record]]
    assigned: Sequence[TopicPartition] = ()
    """Newly given to this process; nothing is read from them before `seek`."""
    revoked: Sequence[TopicPartition] = ()
    """Taken away: their tasks and transactions are to be thrown away without a commit. Comes before `assigned`."""


class Topic(NamedTuple):
    """A topic that must exist."""

    name: str
    partitions: int
    compacted: bool = False
    """Only the latest record of a key is kept (state)."""


class Transaction(Protocol):
    """The writer of one input partition: a sequence of transactions, one open at a time.

    Opening it fences every earlier writer of the same partition, and rolls back what that one left open. After any
    exception it must be closed and a new one opened: whether the last commit took place is then read from `committed`.
    """

    def send(self, outputs: Sequence[Output]) -> None:
        """Write records; they become visible with the next `commit`. Begins a transaction if none is open."""

    def commit(self, offset: int, metadata: str) -> None:
        """Make visible all that was sent, and move the group's offset of the input partition, in one step.

        Raises:
            Fenced: another process has taken the partition over; nothing was written.
            ConfigError: another process has joined under this one's name, and goes on in its place.
            LogError: it failed, or it is unknown whether it took place.
        """

    def close(self) -> None:
        """Roll back what is open and let go. Never raises."""


class Log(Protocol):
    """One process's connection to a log."""

    def partitions(self, topic: str) -> int:
        """Number of partitions of a topic. 0: it does not exist."""

    def create(self, topics: Sequence[Topic]) -> None:
        """Create the topics that do not exist. Raises LogError where one exists with another partition count."""

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group; the partitions to read come with `poll`."""

    def poll(self, timeout: float, limit: int) -> Poll:
        """At most `limit` committed records, in offset order by partition; waits `timeout` seconds for the first."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`; needed once for every newly assigned partition."""

    def committed(self, partition: TopicPartition) -> Committed | None:
        """Where the group stands; None: it never committed. Ask once the transaction is open, which ends older ones."""

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """Offset of the first record that is still there, and of the next one to be written."""

    def transaction(self, partition: TopicPartition) -> Transaction:
        """Open the writer of an input partition, fencing all earlier ones."""

    def read_state(self, partition: TopicPartition) -> dict[bytes, bytes]:
        """All of one partition of a compacted topic: the latest value by key, without the deleted ones."""

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[Record]:
        """Committed records of any partition from offset `start` to before `end`, in order; takes no part in the group.

        Offsets that hold no record are passed over. Not for compacted topics. May be abandoned at any record.

        Raises:
            LogError: the log does not hold these offsets, or does not give them within its time limits.
        """

    def others(self) -> bool:
        """Whether other members of the group are alive, as far as the log can tell."""

    def close(self) -> None:
        """Leave the group and let go of everything. Never raises."""
