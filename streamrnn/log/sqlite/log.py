"""The log of one application in one SQLite file."""

import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Committed, Poll, Topic
from streamrnn.log.checks import check_headers, check_metadata, check_range
from streamrnn.log.sqlite.file import File, count, locate, owner, read, write
from streamrnn.log.sqlite.member_lock import Presence
from streamrnn.records import Output, Record, TopicPartition

LOOK_AGAIN = 0.01  # seconds between two looks for new records while poll waits
BATCH = 1000  # records that `read` takes from the file at once


class SqliteLog:
    """The log of one application in one file; the promises are those of `Log`. To be used by one thread.

    One live member of an application reads all partitions: a single process is enough here. One that subscribes takes
    everything over from another; that one hears of it at its next poll, its commits until then raise Fenced, and it
    reads nothing more until it subscribes again. Any number of processes may append to the file.

    Of a compacted topic only the latest value by key is kept: it is read by `read_state`, not by `poll`.
    """

    def __init__(self, *, path: Path, app: str) -> None:
        self._file = File(path)
        self._app = app
        self._member = uuid.uuid4().hex
        self._presence = Presence(path, app)
        self._topics: tuple[str, ...] = ()
        self._positions: dict[TopicPartition, int | None] = {}
        """Of the partitions that the caller knows to be its own; None before `seek`. The first is served first."""

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        with self._file.reading() as connection:
            return count(connection, topic)

    def create(self, topics: Sequence[Topic]) -> None:
        """See `Log.create`."""
        with self._file.writing() as connection:
            for topic in topics:
                existing = count(connection, topic.name)
                if existing not in {0, topic.partitions}:
                    raise LogError(
                        f"topic {topic.name} in {self._file.path} has {existing} partitions, and {topic.partitions} "
                        "are needed"
                    )
                if not existing:
                    connection.executemany(
                        "INSERT INTO partitions (topic, partition, compacted, first, following) VALUES (?, ?, ?, 0, 0)",
                        [(topic.name, partition, topic.compacted) for partition in range(topic.partitions)],
                    )

    def append(self, topic: str, records: Iterable[Record]) -> None:
        """Write records to a topic in one transaction, as a producer does; their own topic and offset are ignored.

        Raises:
            LogError: the topic or a partition does not exist, or the file cannot be written; nothing was.
        """
        with self._file.writing() as connection:
            write(connection, self._file.path, topic, records)

    def truncate(self, partition: TopicPartition, offset: int) -> None:
        """Delete the records before `offset`, as retention does."""
        with self._file.writing() as connection:
            held = locate(connection, self._file.path, partition)
            offset = min(max(offset, held.first), held.following)
            connection.execute("DELETE FROM records WHERE place >= ? AND place < ?", (held.base, held.base + offset))
            connection.execute("UPDATE partitions SET first = ? WHERE number = ?", (offset, held.number))

    def subscribe(self, topics: Sequence[str]) -> None:
        """See `Log.subscribe`; takes over from any other member of the application."""
        self._topics = tuple(topics)
        self._presence.show()
        with self._file.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO members VALUES (?, ?)", (self._app, self._member))

    def poll(self, timeout: float, limit: int) -> Poll:
        """See `Log.poll`."""
        deadline = time.monotonic() + timeout
        while True:
            with self._file.reading() as connection:
                assigned, revoked = self._reassign(connection)
                records = self._read(connection, limit)
            remaining = deadline - time.monotonic()
            if records or assigned or revoked or remaining <= 0:
                return Poll(records, assigned, revoked)
            time.sleep(min(LOOK_AGAIN, remaining))

    def _reassign(self, connection: sqlite3.Connection) -> tuple[list[TopicPartition], list[TopicPartition]]:
        """Partitions gained and lost since the last look."""
        owned: list[TopicPartition] = []
        if owner(connection, self._app) == self._member:
            owned = [TopicPartition(topic, each) for topic in self._topics for each in range(count(connection, topic))]
        revoked = [partition for partition in self._positions if partition not in owned]
        assigned = [partition for partition in owned if partition not in self._positions]
        for partition in revoked:
            del self._positions[partition]
        for partition in assigned:
            self._positions[partition] = None
        return assigned, revoked

    def _read(self, connection: sqlite3.Connection, limit: int) -> dict[TopicPartition, list[Record]]:
        batches: dict[TopicPartition, list[Record]] = {}
        for partition, position in list(self._positions.items()):
            if position is None or limit <= 0:
                continue
            batch = read(connection, self._file.path, partition, position, limit)
            if batch:
                batches[partition] = batch
                limit -= len(batch)
                del self._positions[partition]  # to the end: the others are served first the next time
                self._positions[partition] = position + len(batch)
        return batches

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Log.seek`."""
        if partition not in self._positions:
            raise LogError(f"{partition.topic}/{partition.partition} is not assigned to this process: it cannot seek")
        self._positions[partition] = offset

    def committed(self, partition: TopicPartition) -> Committed | None:
        """See `Log.committed`."""
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT committed, metadata FROM offsets WHERE app = ? AND topic = ? AND partition = ?",
                (self._app, *partition),
            ).fetchone()
        return None if row is None else Committed(*row)

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """See `Log.bounds`."""
        with self._file.reading() as connection:
            held = locate(connection, self._file.path, partition)
        return held.first, held.following

    def transaction(self, partition: TopicPartition) -> "SqliteTransaction":
        """See `Log.transaction`."""
        return SqliteTransaction(self._file, self._app, self._member, partition)

    def read_state(self, partition: TopicPartition) -> dict[bytes, bytes]:
        """See `Log.read_state`."""
        with self._file.reading() as connection:
            held = locate(connection, self._file.path, partition)
            return dict(connection.execute("SELECT key, value FROM state WHERE number = ?", (held.number,)).fetchall())

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[Record]:
        """See `Log.read`."""
        check_range(partition, start, end, self.bounds(partition))
        for first in range(start, end, BATCH):
            with self._file.reading() as connection:
                batch = read(connection, self._file.path, partition, first, min(BATCH, end - first))
            yield from batch

    def others(self) -> bool:
        """See `Log.others`."""
        return self._presence.others()

    def close(self) -> None:
        """See `Log.close`."""
        self._presence.close()
        with suppress(LogError), self._file.writing() as connection:
            connection.execute("DELETE FROM members WHERE app = ? AND member = ?", (self._app, self._member))
        self._file.close()


class SqliteTransaction:
    """The writer of one input partition; the promises are those of `Transaction`.

    What is sent is held in memory until `commit`, so that the writers of several partitions do not wait for each other.
    """

    def __init__(self, file: File, app: str, member: str, partition: TopicPartition) -> None:
        self._file = file
        self._app = app
        self._member = member
        self._partition = partition
        self._pending: list[Output] = []
        self._usable = True
        with file.writing() as connection:
            locate(connection, file.path, partition)
            (self._epoch,) = connection.execute(
                "INSERT INTO writers VALUES (?, ?, ?, 1) "
                "ON CONFLICT (app, topic, partition) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
                (app, *partition),
            ).fetchone()

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
        by_topic: dict[str, list[Output]] = {}
        for output in self._pending:
            by_topic.setdefault(output.topic, []).append(output)
        with self._file.writing() as connection:
            self._require_ownership(connection)
            for topic, outputs in by_topic.items():
                write(connection, self._file.path, topic, outputs)
            connection.execute(
                "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?, ?)",
                (self._app, *self._partition, offset, metadata),
            )
        self._pending.clear()
        self._usable = True

    def close(self) -> None:
        """See `Transaction.close`."""
        self._pending.clear()
        self._usable = False

    def _require_ownership(self, connection: sqlite3.Connection) -> None:
        where = f"{self._partition.topic}/{self._partition.partition} of {self._app} in {self._file.path}"
        (epoch,) = connection.execute(
            "SELECT epoch FROM writers WHERE app = ? AND topic = ? AND partition = ?", (self._app, *self._partition)
        ).fetchone()
        if epoch != self._epoch:
            raise Fenced(f"another writer of {where} has been opened")
        if owner(connection, self._app) != self._member:
            raise Fenced(f"another process has taken over {where}")

    def _require_usable(self) -> None:
        if not self._usable:
            raise LogError(
                f"the writer of {self._partition.topic}/{self._partition.partition} has failed or was closed: "
                "open a new one"
            )
