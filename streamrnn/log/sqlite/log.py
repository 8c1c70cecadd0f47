"""The log of one application in one SQLite file."""

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from streamrnn.errors import Fenced, LogError, StateError
from streamrnn.log import MAX_OTHERS, Committed, Poll, Topic
from streamrnn.log.checks import check_range
from streamrnn.log.local import BufferedTransaction, ReadPositions, WithoutLimits
from streamrnn.log.sqlite.file import LogFile, LogTables
from streamrnn.log.sqlite.member_lock import MemberLock
from streamrnn.records import Output, Record, TopicPartition

POLL_INTERVAL = 0.01  # seconds between two queries for new records while `poll` waits
CLAIM_SECONDS = 1.0
"""Seconds between two checks of a standby member."""
STATE = "SELECT CAST(key AS BLOB), CAST(value AS BLOB) FROM state WHERE number = ?"
READ_BATCH = 1000  # records per query of `read`


class SqliteLog(WithoutLimits):
    """The log of one application in one file, implementing `Log`. Use it from one thread.

    One member of an application owns all partitions. A member that subscribes takes them over from the previous one,
    which learns of it at its next poll, and whose commits until then raise Fenced. The previous member becomes a
    standby: once the new member has left, or no other process of the application is alive, it takes the partitions
    back. Any number of processes may append to the file.

    Compacted topics store only the latest value of each key: read them with `read_state`, not with `poll`.
    """

    def __init__(self, *, path: Path, app: str) -> None:
        self._file = LogFile(path)
        self._app = app
        self._member = uuid.uuid4().hex
        self._lock = MemberLock(path, app)
        self._topics: tuple[str, ...] = ()
        self._positions = ReadPositions()
        self._next_claim = 0.0

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        with self._file.reading() as tables:
            return tables.partition_count(topic)

    def create(self, topics: Sequence[Topic]) -> None:
        """See `Log.create`."""
        with self._file.writing() as tables:
            for topic in topics:
                lacking = range(tables.partition_count(topic.name), topic.partitions)
                tables.connection.executemany(
                    "INSERT INTO partitions (topic, partition, compacted, first, following) VALUES (?, ?, ?, 0, 0)",
                    [(topic.name, partition, topic.compacted) for partition in lacking],
                )

    def append(self, topic: str, records: Iterable[Record]) -> None:
        """Write records to a topic in one transaction, as a producer does, ignoring their own topic and offset."""
        with self._file.writing() as tables:
            tables.append(topic, records)

    def truncate(self, partition: TopicPartition, offset: int) -> None:
        """Delete the records before `offset`, as retention does."""
        with self._file.writing() as tables:
            stored = tables.find(partition)
            offset = min(max(offset, stored.first), stored.following)
            rows = (stored.base, stored.base + offset)
            tables.execute("DELETE FROM records WHERE place >= ? AND place < ?", rows)
            tables.execute("UPDATE partitions SET first = ? WHERE number = ?", (offset, stored.number))

    def subscribe(self, topics: Sequence[str]) -> None:
        """See `Log.subscribe`; takes all partitions over from any other member of the application."""
        self._topics = tuple(topics)
        self._lock.acquire()
        with self._file.writing() as tables:
            tables.execute("INSERT OR REPLACE INTO members VALUES (?, ?)", (self._app, self._member))

    def poll(self, timeout: float, limit: int) -> Poll:
        """See `Log.poll`."""
        deadline = time.monotonic() + timeout
        while True:
            self._claim()
            with self._file.reading() as tables:
                assigned, revoked = self._positions.assign(self._owned(tables))
                records = self._positions.read(limit, tables.select)
            remaining = deadline - time.monotonic()
            if records or assigned or revoked or remaining <= 0:
                return Poll(records, assigned, revoked)
            time.sleep(min(POLL_INTERVAL, remaining))

    def _claim(self) -> None:
        """Take the partitions back, if this member is a standby and their member has left."""
        if not self._topics or time.monotonic() < self._next_claim:
            return
        self._next_claim = time.monotonic() + CLAIM_SECONDS
        with self._file.reading() as tables:
            member = tables.current_member(self._app)
        if member == self._member or (member is not None and self._lock.others()):
            return
        with self._file.writing() as tables:
            if tables.current_member(self._app) == member:
                tables.execute("INSERT OR REPLACE INTO members VALUES (?, ?)", (self._app, self._member))

    def _owned(self, tables: LogTables) -> list[TopicPartition]:
        if tables.current_member(self._app) != self._member:
            return []
        return [TopicPartition(topic, each) for topic in self._topics for each in range(tables.partition_count(topic))]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Log.seek`."""
        self._positions.seek(partition, offset)

    def committed(self, partition: TopicPartition) -> Committed | None:
        """See `Log.committed`."""
        with self._file.reading() as tables:
            row = tables.execute(
                "SELECT committed, metadata FROM offsets WHERE app = ? AND topic = ? AND partition = ?",
                (self._app, *partition),
            ).fetchone()
        return None if row is None else Committed(*row)

    def other_commits(self, partition: TopicPartition) -> dict[str, Committed]:
        """See `Log.other_commits`."""
        with self._file.reading() as tables:
            rows = tables.execute(
                "SELECT app, committed, metadata FROM offsets WHERE topic = ? AND partition = ? AND app != ? LIMIT ?",
                (*partition, self._app, MAX_OTHERS),
            ).fetchall()
        return {app: Committed(offset, metadata) for app, offset, metadata in rows}

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """See `Log.bounds`."""
        with self._file.reading() as tables:
            stored = tables.find(partition)
        return stored.first, stored.following

    def position(self, partition: TopicPartition) -> int:
        """See `Log.position`."""
        return self._positions.position(partition)

    def transaction(self, partition: TopicPartition) -> "SqliteTransaction":
        """See `Log.transaction`."""
        return SqliteTransaction(self._file, self._app, self._member, partition, self._positions)

    def read_state(self, partition: TopicPartition) -> dict[bytes, bytes]:
        """See `Log.read_state`."""
        with self._file.reading() as tables:
            number = tables.find(partition).number
            return dict(tables.execute(STATE, (number,)).fetchall())

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[Record]:
        """See `Log.read`."""
        check_range(partition, start, end, self.bounds(partition))
        for first in range(start, end, READ_BATCH):
            with self._file.reading() as tables:
                batch = tables.select(partition, first, min(READ_BATCH, end - first))
            yield from batch

    def others(self) -> bool:
        """See `Log.others`."""
        return self._lock.others()

    def close(self) -> None:
        """See `Log.close`."""
        self._lock.close()
        with suppress(LogError, StateError), self._file.writing() as tables:
            tables.execute("DELETE FROM members WHERE app = ? AND member = ?", (self._app, self._member))
        self._file.close()


class SqliteTransaction(BufferedTransaction):
    """The writer of one input partition."""

    def __init__(
        self, file: LogFile, app: str, member: str, partition: TopicPartition, positions: ReadPositions
    ) -> None:
        super().__init__(partition)
        self._positions = positions
        self._file = file
        self._app = app
        self._member = member
        with file.writing() as tables:
            tables.find(partition)
            (self._epoch,) = tables.execute(
                "INSERT INTO writers VALUES (?, ?, ?, 1) "
                "ON CONFLICT (app, topic, partition) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
                (app, *partition),
            ).fetchone()

    def _write(self, offset: int, metadata: str) -> None:
        by_topic: dict[str, list[Output]] = {}
        for output in self._pending:
            by_topic.setdefault(output.topic, []).append(output)
        with self._file.writing() as tables:
            self._require_ownership(tables)
            for topic, outputs in by_topic.items():
                tables.append(topic, outputs)
            tables.execute(
                "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?, ?)",
                (self._app, *self._partition, offset, metadata),
            )

    def _require_ownership(self, tables: LogTables) -> None:
        where = f"{self._partition} of {self._app} in {self._file.path}"
        (epoch,) = tables.execute(
            "SELECT epoch FROM writers WHERE app = ? AND topic = ? AND partition = ?", (self._app, *self._partition)
        ).fetchone()
        if tables.current_member(self._app) != self._member:
            raise Fenced(f"another process has taken over {where}")
        if epoch != self._epoch:
            self._positions.release(self._partition)  # still this member's: the next poll assigns it again
            raise Fenced(f"another writer of {where} has been opened")
