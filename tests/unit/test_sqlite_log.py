"""The SQLite log beyond the contract of all logs."""

import multiprocessing
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog, file
from streamrnn.records import Output, Record, TopicPartition

PARTITION = TopicPartition("in", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the file of a log with an input topic and an output topic."""
    path = tmp_path / "log.db"
    with closing(SqliteLog(path=path, app="app")) as log:
        log.create([Topic("in", 1), Topic("out", 1)])
    return path


def records(count: int) -> list[Record]:
    """Make records of one partition."""
    return [Record("", 0, -1, number, b"key", b'{"x":%d}' % number) for number in range(count)]


def test_the_latest_member_takes_over(path: Path) -> None:
    """A process that subscribes owns all partitions; the previous owner reports them as revoked and cannot commit."""
    with closing(SqliteLog(path=path, app="app")) as first, closing(SqliteLog(path=path, app="app")) as second:
        first.append("in", records(3))
        first.subscribe(["in"])
        assert first.poll(0, 10).assigned == [PARTITION]
        first.seek(PARTITION, 0)
        old = first.transaction(PARTITION)
        second.subscribe(["in"])
        with pytest.raises(Fenced, match="taken over"):
            old.commit(1, "")
        assert first.poll(0, 10) == ({}, [], [PARTITION])
        assert second.poll(0, 10).assigned == [PARTITION]
        with closing(second.transaction(PARTITION)) as new:
            new.commit(2, "")
        assert first.poll(0, 10) == ({}, [], [])
        with pytest.raises(LogError, match="not assigned"):
            first.seek(PARTITION, 0)


def test_poll_returns_records_of_another_process(path: Path) -> None:
    """The next poll returns records appended through another connection, and poll waits for them."""
    with closing(SqliteLog(path=path, app="app")) as log, closing(SqliteLog(path=path, app="producer")) as producer:
        log.subscribe(["in"])
        log.poll(0, 10)
        log.seek(PARTITION, 0)
        started = time.monotonic()
        assert log.poll(0.05, 10).records == {}
        assert time.monotonic() - started >= 0.05
        producer.append("in", records(2))
        assert len(log.poll(10, 10).records[PARTITION]) == 2


def test_append_is_all_or_nothing_and_fast(path: Path) -> None:
    """A failed append writes nothing; a large one takes less than 50 microseconds of CPU time per record."""
    with closing(SqliteLog(path=path, app="app")) as log:
        with pytest.raises(LogError, match="in/5 does not exist"):
            log.append("in", [*records(10), records(1)[0]._replace(partition=5)])
        assert log.bounds(PARTITION) == (0, 0)
        many = records(50_000)
        started = time.process_time()
        log.append("in", many)
        assert (time.process_time() - started) / len(many) < 50e-6
        assert log.bounds(PARTITION) == (0, 50_000)


def test_truncated_records_cannot_be_read(path: Path) -> None:
    """Reading from before the first remaining record is an error that names the range."""
    with closing(SqliteLog(path=path, app="app")) as log:
        log.append("in", records(10))
        log.truncate(PARTITION, 4)
        assert log.bounds(PARTITION) == (4, 10)
        log.subscribe(["in"])
        log.poll(0, 10)
        log.seek(PARTITION, 3)
        with pytest.raises(LogError, match="holds 4 to 10"):
            log.poll(0, 10)
        log.seek(PARTITION, 4)
        assert [record.offset for record in log.poll(0, 10).records[PARTITION]] == [4, 5, 6, 7, 8, 9]


def test_a_locked_file_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file and the wait for the other process."""
    monkeypatch.setattr(file, "BUSY_TIMEOUT", 0.05)
    with closing(SqliteLog(path=path, app="app")) as log, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogError, match=r"log\.db cannot be written: another process has locked it for 0\.05"):
            log.append("in", records(1))
        other.rollback()
        log.append("in", records(1))


def test_other_files_are_rejected(tmp_path: Path) -> None:
    """A file that is not a log of this version is rejected by name and not modified."""
    text = tmp_path / "text"
    text.write_text("no database, and longer than the header of one would be " * 20)
    with pytest.raises(LogError, match="text cannot be opened: file is not a database"):
        SqliteLog(path=text, app="app")
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
    with pytest.raises(LogError, match="its schema is 0, but 1 is needed"):
        SqliteLog(path=foreign, app="app")
    with pytest.raises(LogError, match="absent"):
        SqliteLog(path=tmp_path / "absent" / "log.db", app="app")


def commit_forever(path: Path) -> None:
    """Commit one output per offset until killed."""
    log = SqliteLog(path=path, app="app")
    log.subscribe(["in"])
    log.poll(0, 10)
    transaction = log.transaction(PARTITION)
    committed = log.committed(PARTITION)
    offset = 0 if committed is None else committed.offset
    while True:
        offset += 1
        transaction.send([Output("out", 0, b"", b"%d" % offset, 0)])
        transaction.commit(offset, "")


def test_a_killed_process_leaves_complete_commits(path: Path) -> None:
    """After kill -9 the outputs are exactly those of the committed offset, and the next process continues from it."""
    context = multiprocessing.get_context("spawn")
    seen = 0
    for _ in range(2):
        process = context.Process(target=commit_forever, args=(path,))
        process.start()
        assert process.pid is not None
        with closing(SqliteLog(path=path, app="app")) as log:
            deadline = time.monotonic() + 60
            while (committed := log.committed(PARTITION)) is None or committed.offset < seen + 20:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            committed = log.committed(PARTITION)
            assert committed is not None
            seen = committed.offset
            assert log.bounds(TopicPartition("out", 0)) == (0, seen)
        process.close()
