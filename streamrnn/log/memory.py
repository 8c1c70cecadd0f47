"""A deterministic log in memory, for tests, with the same guarantees as Kafka.

Several logs may share one store: each is a member of the group named by its application. Everything runs in one thread.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Committed, Poll, Topic
from streamrnn.log.checks import check_key, check_position, check_range, latest_values
from streamrnn.log.local import BufferedTransaction, ReadPositions, WithoutLimits
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
            self.records = [each for each in self.records if each.key != record.key]
        key, value, headers = record.key, record.value, tuple(record.headers)
        self.records.append(Record(topic, record.partition, self.following, record.timestamp, key, value, headers))
        self.following += 1


class MemoryStore:
    """The store that the logs of all members share: topics, committed offsets, writers' epochs and the groups."""

    def __init__(self) -> None:
        self._topics: dict[str, list[_Partition]] = {}
        self.ids: dict[str, str] = {}
        """Id of each topic by name."""
        self._created = 0
        self.committed: dict[tuple[str, TopicPartition], Committed] = {}
        self.epochs: defaultdict[tuple[str, TopicPartition], int] = defaultdict(int)
        """Number of writers opened so far; only the latest may commit."""
        self.groups: defaultdict[str, list[MemoryLog]] = defaultdict(list)
        """Members by application, in the order in which they joined."""

    def topic(self, name: str) -> list[_Partition]:
        """Return the partitions of a topic; empty if it does not exist."""
        return self._topics.get(name, [])

    def partition(self, partition: TopicPartition) -> _Partition:
        """Return one partition. Raises LogError if it does not exist."""
        partitions = self.topic(partition.topic)
        if not 0 <= partition.partition < len(partitions):
            raise LogError(f"{partition} does not exist: the topic has {len(partitions)} partitions; create it first")
        return partitions[partition.partition]

    def create(self, topic: Topic) -> None:
        """Create a topic if it does not exist, and add the partitions that it lacks."""
        found = self._topics.setdefault(topic.name, [])
        if not found:
            self.ids[topic.name] = f"{topic.name}-{self._created}"
            self._created += 1
        found += [_Partition(topic.compacted) for _ in range(topic.partitions - len(found))]

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        del self._topics[topic], self.ids[topic]

    def append(self, topic: str, records: Iterable[Record]) -> None:
        """Write records to a topic, as a producer does, ignoring their own topic and offset."""
        for record in records:
            self.partition(TopicPartition(topic, record.partition)).append(topic, record)

    def read(self, topic: str) -> list[Record]:
        """Return all records of a topic, by partition and offset."""
        return [record for partition in self.topic(topic) for record in partition.records]

    def truncate(self, partition: TopicPartition, offset: int) -> None:
        """Delete the records before `offset`, as retention does."""
        stored = self.partition(partition)
        stored.first = offset
        stored.records = [record for record in stored.records if record.offset >= offset]

    def assignment(self, member: "MemoryLog") -> list[TopicPartition]:
        """Return a member's share of the group's partitions, dealt out in the order of joining."""
        members = self.groups[member.app]
        if member not in members:
            return []
        topics = sorted({topic for each in members for topic in each.topics})
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(len(self.topic(topic)))]
        return partitions[members.index(member) :: len(members)]


class MemoryLog(WithoutLimits):
    """One member's log over a store, implementing `Log`.

    `poll` never waits: in a single thread nothing can arrive meanwhile. A partition moves to another member at once;
    the previous owner learns of it at its next poll, and its commits until then raise Fenced.
    """

    def __init__(self, *, store: MemoryStore, app: str) -> None:
        self.app = app
        self.topics: Sequence[str] = ()
        self._store = store
        self._positions = ReadPositions()

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        return len(self._store.topic(topic))

    def create(self, topics: Sequence[Topic]) -> None:
        """See `Log.create`."""
        for topic in topics:
            self._store.create(topic)

    def topic_id(self, topic: str) -> str:
        """See `Log.topic_id`."""
        return self._store.ids.get(topic, "")

    def subscribe(self, topics: Sequence[str]) -> None:
        """See `Log.subscribe`."""
        self.topics = tuple(topics)
        if self not in self._store.groups[self.app]:
            self._store.groups[self.app].append(self)

    def poll(self, timeout: float, limit: int) -> Poll:  # noqa: ARG002  # nothing can arrive while waiting
        """See `Log.poll`; never waits."""
        assigned, revoked = self._positions.assign(self._store.assignment(self))
        return Poll(self._positions.read(limit, self._fetch), assigned, revoked)

    def _fetch(self, partition: TopicPartition, offset: int, limit: int) -> list[Record]:
        check_position(partition, offset, self.bounds(partition))
        records = self._store.partition(partition).records
        start = bisect_left(records, offset, key=_offset)
        return records[start : start + limit]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Log.seek`."""
        self._positions.seek(partition, offset)

    def committed(self, partition: TopicPartition) -> Committed | None:
        """See `Log.committed`."""
        return self._store.committed.get((self.app, partition))

    def other_commits(self, partition: TopicPartition) -> dict[str, Committed]:
        """See `Log.other_commits`."""
        found = self._store.committed.items()
        return {app: each for (app, where), each in found if where == partition and app != self.app}

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """See `Log.bounds`."""
        stored = self._store.partition(partition)
        return stored.first, stored.following

    def position(self, partition: TopicPartition) -> int:
        """See `Log.position`."""
        return self._positions.position(partition)

    def transaction(self, partition: TopicPartition) -> "MemoryTransaction":
        """See `Log.transaction`."""
        return MemoryTransaction(self._store, self, partition)

    def read_state(self, partition: TopicPartition) -> dict[bytes, bytes]:
        """See `Log.read_state`."""
        return latest_values(self._store.partition(partition).records)

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


class MemoryTransaction(BufferedTransaction):
    """The writer of one input partition."""

    def __init__(self, store: MemoryStore, log: MemoryLog, partition: TopicPartition) -> None:
        super().__init__(partition)
        self._store = store
        self._log = log
        self._writer = (log.app, partition)
        store.partition(partition)
        store.epochs[self._writer] += 1
        self._epoch = store.epochs[self._writer]

    def _write(self, offset: int, metadata: str) -> None:
        if self._store.epochs[self._writer] != self._epoch:
            raise Fenced(f"another writer of {self._partition} has been opened")
        if self._partition not in self._store.assignment(self._log):
            raise Fenced(f"{self._partition} is assigned to another member of the group")
        targets = [self._store.partition(TopicPartition(output.topic, output.partition)) for output in self._pending]
        for target, output in zip(targets, self._pending, strict=True):
            if target.compacted:
                check_key(output)
        for target, output in zip(targets, self._pending, strict=True):
            target.append(output.topic, output)
        self._store.committed[self._writer] = Committed(offset, metadata)
