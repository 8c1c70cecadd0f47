"""The SQLite file of the embedded log: its tables and the statements on them."""

import errno
import json
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from streamrnn.errors import ConfigError, LogError, StateError
from streamrnn.log.checks import check_key, check_position
from streamrnn.records import Headers, Output, Record, TopicPartition

BUSY_TIMEOUT = 10.0  # seconds to wait for a lock of another process
SCHEMA = 1
TRUSTED = 0
"""User id whose files are trusted, as one's own, in a folder that everybody can write to."""
FILES = ("", "-wal", "-shm")
"""Suffixes that SQLite appends to the path for its files, which all exist until the last connection is closed."""
UNUSABLE = {
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged: restore a copy, or save what is readable by `sqlite3 FILE .recover` into another file, "
        "and set sqlite.path to that"
    ),
    sqlite3.SQLITE_NOTADB: "set sqlite.path to another file, or restore a copy of this one",
    sqlite3.SQLITE_READONLY: "the user needs write permission for the file and its folder, on a writable disk",
    sqlite3.SQLITE_PERM: "the user needs read and write permission for the file and its folder",
}
"""Remedies by SQLite error that a retry does not change; all other errors are retried."""
OFFSET_BITS = 40
"""A record's row number is its partition's number, shifted left by this many bits, plus its offset: one partition's
records are adjacent and in offset order without a separate index."""

RECORD = "CAST(timestamp AS INTEGER), CAST(key AS BLOB), CAST(value AS BLOB), CAST(headers AS BLOB)"
"""A record's columns: SQLite keeps the types that a producer has written, such as text, which may not even be UTF-8."""

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


def _unpack(packed: bytes) -> Headers:
    """Return the headers; none if another program has written something else."""
    try:
        return tuple((str(name), None if value is None else bytes.fromhex(value)) for name, value in json.loads(packed))
    except (ValueError, TypeError, RecursionError):
        return ()


class PartitionRow(NamedTuple):
    """A partition's row in the table `partitions`."""

    number: int
    compacted: int
    first: int
    """Offset of the first available record."""
    following: int
    """Offset of the next record to be written."""

    @property
    def base(self) -> int:
        """Row number of offset 0."""
        return self.number << OFFSET_BITS


class LogTables(NamedTuple):
    """The tables of the file within one transaction."""

    connection: sqlite3.Connection
    path: Path

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self.connection.execute(statement, parameters)

    def partition_count(self, topic: str) -> int:
        """Return the number of partitions of a topic; 0 if it does not exist."""
        return int(self.execute("SELECT count(*) FROM partitions WHERE topic = ?", (topic,)).fetchone()[0])

    def current_member(self, app: str) -> str | None:
        """Return the member of an application that reads all partitions."""
        row = self.execute("SELECT member FROM members WHERE app = ?", (app,)).fetchone()
        return None if row is None else str(row[0])

    def find(self, partition: TopicPartition) -> PartitionRow:
        """Return a partition's row. Raises LogError if it does not exist."""
        row = self.execute(
            "SELECT number, compacted, first, following FROM partitions WHERE topic = ? AND partition = ?", partition
        ).fetchone()
        if row is None:
            raise LogError(f"{partition} does not exist in {self.path}: create the topic first")
        return PartitionRow(*row)

    def select(self, partition: TopicPartition, offset: int, limit: int) -> list[Record]:
        """Return at most `limit` records from `offset` on. Raises LogError if the offset is out of range."""
        stored = self.find(partition)
        check_position(partition, offset, (stored.first, stored.following))
        topic, index = partition
        base = stored.base
        rows = self.execute(
            f"SELECT place, {RECORD} FROM records "  # noqa: S608 -- a constant
            "WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
            (base + offset, base + stored.following, limit),
        )
        return [
            Record(topic, index, place - base, timestamp, key, value, () if headers is None else _unpack(headers))
            for place, timestamp, key, value, headers in rows
        ]

    def append(self, topic: str, records: Iterable[Record | Output]) -> None:
        """Append records, possibly of several partitions, to one topic."""
        by_partition: dict[int, list[Record | Output]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        for partition, batch in by_partition.items():
            stored = self.find(TopicPartition(topic, partition))
            if stored.compacted:
                self._update_state(stored.number, batch)
            else:
                rows = [
                    (place, record.timestamp, record.key, record.value, _pack(record.headers))
                    for place, record in enumerate(batch, stored.base + stored.following)
                ]
                self.connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?)", rows)
            self.execute(
                "UPDATE partitions SET following = following + ? WHERE number = ?", (len(batch), stored.number)
            )

    def _update_state(self, number: int, records: Sequence[Record | Output]) -> None:
        for record in records:
            check_key(record)
            if record.value is None:
                self.execute("DELETE FROM state WHERE number = ? AND key = ?", (number, record.key))
            else:
                row = (number, record.key, record.value)
                self.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", row)


class LogFile:
    """One connection to the file; every SQLite error becomes a LogError, or a StateError if it is permanent."""

    def __init__(self, path: Path) -> None:
        self.path = path = Path(path)
        self._identities: list[tuple[int, int]] = []
        """Device and inode of each of FILES when it was opened."""
        _create(path)
        with self._explained("opened"):
            self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            with self._explained("opened"):
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
            with self.writing() as tables:
                self._prepare(tables)
            self._identities = self._identify()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, tables: LogTables) -> None:
        (version,) = tables.execute("PRAGMA user_version").fetchone()
        names = {name for (name,) in tables.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version == 0 and not names:
            for statement in TABLES.split(";"):
                tables.execute(statement)
            tables.execute(f"PRAGMA user_version = {SCHEMA}")
        elif version != SCHEMA:
            raise ConfigError(
                f"{self.path} is not a log of this version of streamrnn: its schema is {version}, but {SCHEMA} is "
                "needed; set sqlite.path to another file"
            )
        elif missing := {each.split()[0] for each in TABLES.split("CREATE TABLE ")[1:]} - names:
            raise ConfigError(
                f"{self.path} is not a log of streamrnn: it has no table {', '.join(sorted(missing))}; set sqlite.path "
                "to another file"
            )

    def _identify(self) -> list[tuple[int, int]]:
        """Return the device and the inode of each of FILES. Raises StateError if one is missing."""
        found = []
        for suffix in FILES:
            try:
                status = os.stat(f"{self.path}{suffix}")  # noqa: PTH116 -- at each transaction: a Path is slower
            except FileNotFoundError:
                raise self._changed(suffix) from None
            except OSError as error:
                raise LogError(f"the log {self.path} cannot be read: {error.strerror}") from error
            found.append((status.st_dev, status.st_ino))
        return found

    def _require_unchanged(self) -> None:
        """Raise StateError if one of FILES has been removed or replaced: further writes would be lost."""
        for suffix, before, now in zip(FILES, self._identities, self._identify(), strict=True):
            if before != now:
                raise self._changed(suffix)

    def _changed(self, suffix: str) -> StateError:
        return StateError(
            f"{self.path}{suffix} has been removed or replaced while this process was using it: nothing more is "
            "written, as it would be lost. Stop all processes that use the log, restore its files, and start again"
        )

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            if remedy := UNUSABLE.get(code & 0xFF):  # the other bits are details
                raise StateError(f"the log {self.path} cannot be {action}: {error}; {remedy}") from error
            if code == sqlite3.SQLITE_BUSY:
                raise LogError(
                    f"the log {self.path} cannot be {action}: another process has locked it for {BUSY_TIMEOUT:g} s; "
                    "stop that process, or use a file for each (sqlite.path)"
                ) from error
            raise LogError(f"the log {self.path} cannot be {action}: {error}") from error

    @contextmanager
    def _within(self, begin: str, action: str) -> Iterator[LogTables]:
        with self._explained(action):
            if self._identities:
                self._require_unchanged()
            self._connection.execute(begin)
            try:
                yield LogTables(self._connection, self.path)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def reading(self) -> AbstractContextManager[LogTables]:
        """Run a read transaction, with a consistent view while other processes write."""
        return self._within("BEGIN", "read")

    def writing(self) -> AbstractContextManager[LogTables]:
        """Run a write transaction; an exception rolls it back."""
        return self._within("BEGIN IMMEDIATE", "written")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _create(path: Path) -> None:
    """Create the file, readable by its user only, if it does not exist; SQLite gives its other files the same mode.

    Raises:
        ConfigError: another user could have placed one of the files.
        LogError: it cannot be created.
    """
    try:
        shared = path.parent.stat().st_mode & stat.S_IWOTH
        for each in (Path(f"{path}{suffix}") for suffix in FILES):
            if shared and os.path.lexists(each) and each.lstat().st_uid not in (TRUSTED, os.geteuid()):
                raise ConfigError(
                    f"{each} belongs to another user, in a folder that everybody can write to: set sqlite.path to a "
                    "file in a folder of this user"
                )
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except PermissionError:
        pass  # an existing read-only file: SQLite reports it
    except OSError as error:
        gone = f"; create the folder {path.parent}, or correct sqlite.path" if error.errno == errno.ENOENT else ""
        raise LogError(f"the log {path} cannot be opened: {error.strerror}{gone}") from error
