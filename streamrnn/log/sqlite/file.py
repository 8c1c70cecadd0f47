"""The file beneath the embedded log: its tables, and how records lie in them."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from streamrnn.errors import LogError
from streamrnn.log.checks import out_of_range
from streamrnn.records import Headers, Output, Record, TopicPartition

BUSY = 10.0  # seconds to wait for a lock that another process holds
SCHEMA = 1
OFFSET_BITS = 40
"""A record's row number is its partition's number, shifted by these bits, plus its offset: so that one partition's
records lie side by side in the order of their offsets, with no index beside the table."""

TABLES = """
CREATE TABLE partitions (number INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
    compacted INTEGER NOT NULL, first INTEGER NOT NULL, following INTEGER NOT NULL, UNIQUE (topic, partition));
CREATE TABLE records (place INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, key BLOB, value BLOB, headers TEXT);
CREATE TABLE state (number INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (number, key));
CREATE TABLE offsets (app TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, committed INTEGER NOT NULL,
    metadata TEXT NOT NULL, PRIMARY KEY (app, topic, partition));
CREATE TABLE writers (app TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (app, topic, partition));
CREATE TABLE members (app TEXT PRIMARY KEY, member TEXT NOT NULL);
"""


def _pack(headers: Headers) -> str | None:
    if not headers:
        return None
    return json.dumps([(name, None if value is None else value.hex()) for name, value in headers])


def _unpack(text: str) -> Headers:
    return tuple((name, None if value is None else bytes.fromhex(value)) for name, value in json.loads(text))


class File:
    """One connection to the file; every error of the library becomes a LogError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained("opened"):
            self._connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
        try:
            with self._explained("opened"):
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
            with self.writing() as connection:
                self._prepare(connection)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and tables == 0:
            for statement in TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
        elif version != SCHEMA:
            raise LogError(
                f"{self.path} is not a log of this version of streamrnn: its schema is {version}, and {SCHEMA} is "
                "needed; name another file under sqlite.path"
            )

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise LogError(
                    f"the log {self.path} cannot be {action}: another process has held it locked for {BUSY:g} s; end "
                    "that process, or give each its own file"
                ) from error
            raise LogError(f"the log {self.path} cannot be {action}: {error}") from error

    @contextmanager
    def _within(self, begin: str, action: str) -> Iterator[sqlite3.Connection]:
        with self._explained(action):
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """One view of the file, whatever others write meanwhile."""
        return self._within("BEGIN", "read")

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """One write transaction: all of it or nothing."""
        return self._within("BEGIN IMMEDIATE", "written")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


class Held(NamedTuple):
    """What the file knows of a partition."""

    number: int
    compacted: int
    first: int
    following: int
    """Offset of the next record to be written."""

    @property
    def base(self) -> int:
        """The place of offset 0."""
        return self.number << OFFSET_BITS


def count(connection: sqlite3.Connection, topic: str) -> int:
    """Number of partitions of a topic."""
    return int(connection.execute("SELECT count(*) FROM partitions WHERE topic = ?", (topic,)).fetchone()[0])


def owner(connection: sqlite3.Connection, app: str) -> str | None:
    """The member that reads all partitions."""
    row = connection.execute("SELECT member FROM members WHERE app = ?", (app,)).fetchone()
    return None if row is None else str(row[0])


def locate(connection: sqlite3.Connection, path: Path, partition: TopicPartition) -> Held:
    """Where a partition lies in the file. Raises LogError where it does not exist."""
    row = connection.execute(
        "SELECT number, compacted, first, following FROM partitions WHERE topic = ? AND partition = ?", partition
    ).fetchone()
    if row is None:
        raise LogError(f"{partition.topic}/{partition.partition} does not exist in {path}: create the topic first")
    return Held(*row)


def read(
    connection: sqlite3.Connection, path: Path, partition: TopicPartition, position: int, limit: int
) -> list[Record]:
    """At most `limit` records from offset `position` on."""
    held = locate(connection, path, partition)
    if not held.first <= position <= held.following:
        raise out_of_range(partition, position, held.first, held.following)
    rows = connection.execute(
        "SELECT place, timestamp, key, value, headers FROM records "
        "WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
        (held.base + position, held.base + held.following, limit),
    )
    topic, index = partition
    base = held.base
    return [
        Record(topic, index, place - base, timestamp, key, value, () if headers is None else _unpack(headers))
        for place, timestamp, key, value, headers in rows
    ]


def write(connection: sqlite3.Connection, path: Path, topic: str, records: Iterable[Record | Output]) -> None:
    """Append records, which may be of several partitions, to one topic."""
    by_partition: dict[int, list[Record | Output]] = {}
    for record in records:
        by_partition.setdefault(record.partition, []).append(record)
    for partition, batch in by_partition.items():
        held = locate(connection, path, TopicPartition(topic, partition))
        if held.compacted:
            _write_state(connection, held.number, topic, batch)
        else:
            place = held.base + held.following
            connection.executemany(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?)",
                [
                    (at, record.timestamp, record.key, record.value, _pack(record.headers))
                    for at, record in enumerate(batch, place)
                ],
            )
        connection.execute(
            "UPDATE partitions SET following = following + ? WHERE number = ?", (len(batch), held.number)
        )


def _write_state(connection: sqlite3.Connection, number: int, topic: str, records: Sequence[Record | Output]) -> None:
    for record in records:
        if record.key is None:
            raise LogError(f"a record for {topic}/{record.partition} has no key, and the topic is compacted")
        if record.value is None:
            connection.execute("DELETE FROM state WHERE number = ? AND key = ?", (number, record.key))
        else:
            connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", (number, record.key, record.value))
