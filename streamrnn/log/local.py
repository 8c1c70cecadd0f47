"""Shared parts of the logs without a broker (`memory` and `sqlite`): read positions and buffered transactions."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

from streamrnn.errors import LogError
from streamrnn.log.checks import FailClosedWriter, check_headers, check_metadata
from streamrnn.log.limits import TopicLimits
from streamrnn.records import Output, Record, TopicPartition

Fetch = Callable[[TopicPartition, int, int], list[Record]]
"""Returns the records of a partition from an offset on, at most as many as the limit."""


class WithoutLimits:
    """The part of a log whose topics accept every output, are never created again, and have no open transactions."""

    def limits(self, topic: str) -> TopicLimits:
        """See `Log.limits`."""
        del topic
        return TopicLimits()

    def limit_warning(self, topic: str) -> str:
        """See `Log.limit_warning`."""
        del topic
        return ""

    def topic_id(self, topic: str) -> str:
        """See `Log.topic_id`."""
        del topic
        return ""

    def readable(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """See `Log.readable`."""
        del partitions
        return {}


class ReadPositions:
    """The partitions assigned to one member, and the offset of the next record of each.

    Partitions take turns: the one that was read last comes last in the next read.
    """

    def __init__(self) -> None:
        self._offsets: dict[TopicPartition, int | None] = {}
        """Offset of the next record by partition, in the order of the next read; None before `seek`."""

    def assign(self, owned: Sequence[TopicPartition]) -> tuple[list[TopicPartition], list[TopicPartition]]:
        """Set the assigned partitions; return those gained and those lost."""
        revoked = [partition for partition in self._offsets if partition not in owned]
        assigned = [partition for partition in owned if partition not in self._offsets]
        for partition in revoked:
            del self._offsets[partition]
        self._offsets.update(dict.fromkeys(assigned))
        return assigned, revoked

    def release(self, partition: TopicPartition) -> None:
        """Forget a partition, which `assign` then returns as gained if it is still owned."""
        self._offsets.pop(partition, None)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the offset to read from. Raises LogError if the partition is not assigned."""
        if partition not in self._offsets:
            raise LogError(f"cannot seek in {partition}: the partition is not assigned to this process")
        self._offsets[partition] = offset

    def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next record of a partition; 0 before `seek`."""
        return self._offsets.get(partition) or 0

    def read(self, limit: int, fetch: Fetch) -> dict[TopicPartition, list[Record]]:
        """Return at most `limit` records of all partitions together, and advance."""
        batches: dict[TopicPartition, list[Record]] = {}
        for partition, offset in list(self._offsets.items()):
            if offset is not None and limit > 0 and (batch := fetch(partition, offset, limit)):
                batches[partition] = batch
                limit -= len(batch)
                del self._offsets[partition]  # insert it again at the end
                self._offsets[partition] = batch[-1].offset + 1
        return batches


class BufferedTransaction(FailClosedWriter):
    """The writer of one input partition, implementing `Transaction`.

    Outputs are buffered in memory until `commit`, so that writers of several partitions do not block each other.
    """

    def __init__(self, partition: TopicPartition) -> None:
        super().__init__(str(partition))
        self._partition = partition
        self._pending: list[Output] = []

    def send(self, outputs: Sequence[Output]) -> None:
        """See `Transaction.send`."""
        with self._fail_closed():
            check_headers(outputs)
            self._pending.extend(outputs)

    def commit(self, offset: int, metadata: str) -> None:
        """See `Transaction.commit`."""
        with self._fail_closed():
            check_metadata(self._partition, metadata)
            self._write(offset, metadata)
            self._pending.clear()

    def close(self) -> None:
        """See `Transaction.close`."""
        self._pending.clear()
        self._usable = False

    @abstractmethod
    def _write(self, offset: int, metadata: str) -> None:
        """Write the buffered outputs and the offset atomically."""
