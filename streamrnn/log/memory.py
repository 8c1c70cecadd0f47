"""A log in memory, for tests: deterministic, and with the same promises as Kafka.

Several logs may open one store: each is a member of the group named by its application. Everything runs in one thread.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Committed, Poll, Topic
from streamrnn.log.checks import check_headers, check_metadata, check_range, out_of_range
from streamrnn.records import Output, Record, TopicPartition

_offset = attrgetter("offset")


@dataclass
class _Partition:
    compacted: bool
    records: list[Record] = field(default_factory=list)
    first: int = 0
    following: int = 0

    def append(self, topic: str, record: Record | Output) -> None:
        if self.compacted:
            self.records = [kept for kept in self.records if kept.key != record.key]
        kept = Record(
            topic, record.partition, self.following, record.timestamp, record.key, record.value, tuple(record.headers)
        )
        self.records.append(kept)
        self.following += 1


class MemoryStore:
    """What the logs of several members share: topics, committed offsets, writers' epochs, and the groups."""

    def __init__(self) -> None:
        self._topics: dict[str, list[_Partition]] = {}
        self.committed: dict[tuple[str, TopicPartition], Committed] = {}
        self.epochs: defaultdict[tuple[str, TopicPartition], int] = defaultdict(int)
        """Counts the writers that were opened; only the latest may commit."""
        self.groups: defaultdict[str, list[MemoryLog]] = defaultdict(list)
        """Members by application, in the order in which they joined."""

    def topic(self, name: str) -> list[_Partition]:
        """The partitions of a topic. Empty: it does not exist."""
        return self._topics.get(name, [])

    def partition(self, partition: TopicPartition) -> _Partition:
        """One partition. Raises LogError where it does not exist."""
        partitions = self.topic(partition.topic)
        if not 0 <= partition.partition < len(partitions):
            raise LogError(
                f"{partition.topic}/{partition.partition} does not exist: the topic has {len(partitions)} partitions; "
                "create it first"
            )
        return partitions[partition.partition]

    def create(self, topic: Topic) -> None:
        """Create a topic that does not exist. Raises LogError where it has another partition count."""
        existing = len(self.topic(topic.name))
        if existing not in {0, topic.partitions}:
            raise LogError(f"topic {topic.name} has {existing} partitions, and {topic.partitions} are needed")
        if not existing:
            self._topics[topic.name] = [_Partition(topic.compacted) for _ in range(topic.partitions)]

    def append(self, topic: str, records: Iterable[Record]) -> None:
        """Write records to a topic, as a producer does; their own topic and offset are ignored.

        Raises:
            LogError: the topic or the partition does not exist.
        """
        for record in records:
            self.partition(TopicPartition(topic, record.partition)).append(topic, record)

    def read(self, topic: str) -> list[Record]:
        """All records of a topic, by partition and offset."""
        return [record for partition in self.topic(topic) for record in partition.records]

    def truncate(self, partition: TopicPartition, offset: int) -> None:
        """Delete the records before `offset`, as retention does."""
        held = self.partition(partition)
        held.first = offset
        held.records = [record for record in held.records if record.offset >= offset]

    def assignment(self, member: "MemoryLog") -> list[TopicPartition]:
        """What a member is to read: the partitions of all its group's topics are dealt out in order of joining."""
        members = self.groups[member.app]
        if member not in members:
            return []
        topics = sorted({topic for each in members for topic in each.topics})
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(len(self.topic(topic)))]
        return partitions[members.index(member) :: len(members)]


class MemoryLog:
    """One member's log over a store; the promises are those of `Log`.

    `poll` never waits: in one thread nothing can come while it does. A partition passes to another member at once; the
    old owner hears of it at its next poll, and its commits until then raise Fenced.
    """

    def __init__(self, *, store: MemoryStore, app: str) -> None:
        self.app = app
        self.topics: Sequence[str] = ()
        self._store = store
        self._positions: dict[TopicPartition, int | None] = {}
        """Of the partitions that the caller knows to be its own; None before `seek`. The first is served first."""

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        return len(self._store.topic(topic))

    def create(self, topics: Sequence[Topic]) -> None:
        """See `Log.create`."""
        for topic in topics:
            self._store.create(topic)

    def subscribe(self, topics: Sequence[str]) -> None:
        """See `Log.subscribe`."""
        self.topics = tuple(topics)
        if self not in self._store.groups[self.app]:
            self._store.groups[self.app].append(self)

    def poll(self, timeout: float, limit: int) -> Poll:  # noqa: ARG002  # nothing can come while it waits
        """See `Log.poll`; never waits."""
        owned = self._store.assignment(self)
        revoked = [partition for partition in self._positions if partition not in owned]
        assigned = [partition for partition in owned if partition not in self._positions]
        for partition in revoked:
            del self._positions[partition]
        for partition in assigned:
            self._positions[partition] = None
        return Poll(self._read(limit), assigned, revoked)

    def _read(self, limit: int) -> dict[TopicPartition, list[Record]]:
        batches: dict[TopicPartition, list[Record]] = {}
        for partition, position in list(self._positions.items()):
            if position is None or limit <= 0:
                continue
            held = self._store.partition(partition)
            if not held.first <= position <= held.following:
                raise out_of_range(partition, position, held.first, held.following)
            start = bisect_left(held.records, position, key=_offset)
            batch = held.records[start : start + limit]
            if batch:
                batches[partition] = batch
                limit -= len(batch)
                del self._positions[partition]  # to the end: the others are served first the next time
                self._positions[partition] = batch[-1].offset + 1
        return batches

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Log.seek`."""
        if partition not in self._positions:
            raise LogError(f"{partition.topic}/{partition.partition} is not assigned to this process: it cannot seek")
        self._positions[partition] = offset

    def committed(self, partition: TopicPartition) -> Committed | None:
        """See `Log.committed`."""
        return self._store.committed.get((self.app, partition))

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """See `Log.bounds`."""
        held = self._store.partition(partition)
        return held.first, held.following

    def transaction(self, partition: TopicPartition) -> "MemoryTransaction":
        """See `Log.transaction`."""
        return MemoryTransaction(self._store, self, partition)

    def read_state(self, partition: TopicPartition) -> dict[bytes, bytes]:
        """See `Log.read_state`."""
        records = self._store.partition(partition).records
        return {record.key: record.value for record in records if record.key is not None and record.value is not None}

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[Record]:
        """See `Log.read`."""
        check_range(partition, start, end, self.bounds(partition))
        records = self._store.partition(partition).records
        yield from [record for record in records if start <= record.offset < end]

    def others(self) -> bool:
        """See `Log.others`."""
        return any(member is not self for member in self._store.groups[self.app])

    def close(self) -> None:
        """See `Log.close`."""
        if self in self._store.groups[self.app]:
            self._store.groups[self.app].remove(self)


class MemoryTransaction:
    """The writer of one input partition; the promises are those of `Transaction`."""

    def __init__(self, store: MemoryStore, log: MemoryLog, partition: TopicPartition) -> None:
        self._store = store
        self._log = log
        self._partition = partition
        self._name = (log.app, partition)
        store.partition(partition)
        store.epochs[self._name] += 1
        self._epoch = store.epochs[self._name]
        self._pending: list[Output] = []
        self._usable = True

    def send(self, outputs: Sequence[Output]) -> None:
        """See `Transaction.send`."""
        self._require_usable()
        self._usable = False  # until it has succeeded
        check_headers(outputs)
        self._pending.extend(outputs)
        self._usable = True

    def commit(self, offset: int, metadata: str) -> None:
        """See `Transaction.commit`."""
        self._require_usable()
        self._usable = False  # until it has succeeded
        check_metadata(self._partition, metadata)
        if self._store.epochs[self._name] != self._epoch:
            raise Fenced(f"another writer of {self._partition.topic}/{self._partition.partition} has been opened")
        if self._partition not in self._store.assignment(self._log):
            raise Fenced(f"{self._partition.topic}/{self._partition.partition} belongs to another member of the group")
        targets = [self._store.partition(TopicPartition(output.topic, output.partition)) for output in self._pending]
        for target, output in zip(targets, self._pending, strict=True):
            if target.compacted and output.key is None:
                raise LogError(f"a record for {output.topic}/{output.partition} has no key, and the topic is compacted")
        for target, output in zip(targets, self._pending, strict=True):
            target.append(output.topic, output)
        self._pending.clear()
        self._store.committed[self._name] = Committed(offset, metadata)
        self._usable = True

    def close(self) -> None:
        """See `Transaction.close`."""
        self._pending.clear()
        self._usable = False

    def _require_usable(self) -> None:
        if not self._usable:
            raise LogError(
                f"the writer of {self._partition.topic}/{self._partition.partition} has failed or was closed: "
                "open a new one"
            )
