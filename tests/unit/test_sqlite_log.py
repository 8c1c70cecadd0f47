"""The SQLite log beyond the contract of all logs."""

import multiprocessing
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from streamrnn.errors import ConfigError, Fenced, LogError, StateError
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


GOOD = (7, None, b"{}")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ((7, "pump", '{"a":1}', None), (7, b"pump", b'{"a":1}', ())),
        ((7, 3, 1.5, None), (7, b"3", b"1.5", ())),
        ((7.9, None, None, None), (7, None, None, ())),
        (("yesterday", None, b"\xff", None), (0, None, b"\xff", ())),
        *(((*GOOD, each), (*GOOD, ())) for each in ("", "[", '{"a": 1}', '[["a"]]', '[["a", "zz"]]')),
        ((7, None, b"{}", b"\xff"), (7, None, b"{}", ())),
        ((7, None, b"{}", 5), (7, None, b"{}", ())),
        ((7, None, b"{}", '[[1, "00"]]'), (7, None, b"{}", (("1", b"\0"),))),
    ],
)
def test_records_of_any_types_are_read(path: Path, written: tuple[object, ...], read: tuple[object, ...]) -> None:
    """SQLite stores what a producer gives it: text where bytes belong, fractions, headers that are none."""
    with closing(SqliteLog(path=path, app="app")) as log, closing(sqlite3.connect(path)) as other:
        log.append("in", records(1))
        other.execute("UPDATE records SET timestamp = ?, key = ?, value = ?, headers = ?", written)
        other.commit()
        assert [each[3:] for each in log.read(PARTITION, 0, 1)] == [read]


def test_text_that_is_not_utf8_is_read(path: Path) -> None:
    """Neither in a record nor in a piece of state, which is then looked at as any other."""
    with closing(SqliteLog(path=path, app="app")) as log, closing(sqlite3.connect(path)) as other:
        log.create([Topic("state", 1, compacted=True)])
        log.append("in", records(1))
        log.append("state", records(1))
        for table in ("records", "state"):
            other.execute(f"UPDATE {table} SET value = CAST(x'ff7b' AS TEXT)")
        other.commit()
        assert [each.value for each in log.read(PARTITION, 0, 1)] == [b"\xff{"]
        assert log.read_state(TopicPartition("state", 0)) == {b"key": b"\xff{"}


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
    with pytest.raises(StateError, match=r"text cannot be opened: file is not a database; set sqlite.path"):
        SqliteLog(path=text, app="app")
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE users (name TEXT)")
    with pytest.raises(ConfigError, match="its schema is 0, but 1 is needed"):
        SqliteLog(path=foreign, app="app")
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(ConfigError, match=r"it has no table members, offsets, .*; set sqlite.path to another file"):
        SqliteLog(path=foreign, app="app")
    with pytest.raises(LogError, match="absent"):
        SqliteLog(path=tmp_path / "absent" / "log.db", app="app")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a member that stands by check at each poll."""
    monkeypatch.setattr("streamrnn.log.sqlite.log.CLAIM_SECONDS", 0.0)


@pytest.mark.usefixtures("eager")
def test_a_displaced_member_takes_back_what_its_successor_has_left(path: Path) -> None:
    """A member stands by while its successor lives, and reads and commits again once that has gone."""
    with closing(SqliteLog(path=path, app="app")) as first:
        first.append("in", records(3))
        first.subscribe(["in"])
        assert first.poll(0, 10).assigned == [PARTITION]
        with closing(SqliteLog(path=path, app="app")) as second:
            second.subscribe(["in"])
            assert first.poll(0, 10).revoked == [PARTITION]
            assert first.poll(0, 10) == ({}, [], [])
            assert second.poll(0, 10).assigned == [PARTITION]
        assert first.poll(0, 10).assigned == [PARTITION]
        first.seek(PARTITION, 0)
        assert len(first.poll(0, 10).records[PARTITION]) == 3
        with closing(first.transaction(PARTITION)) as transaction:
            transaction.commit(3, "")


def subscribe_and_wait(path: Path, ready: str) -> None:
    """Take the partitions over, and wait to be killed."""
    log = SqliteLog(path=path, app="app")
    log.subscribe(["in"])
    Path(ready).touch()
    while True:
        time.sleep(60)


@pytest.mark.usefixtures("eager")
def test_a_displaced_member_takes_back_what_a_killed_one_had(path: Path, tmp_path: Path) -> None:
    """A successor that is killed, and cannot leave, is replaced as well."""
    with closing(SqliteLog(path=path, app="app")) as first:
        first.subscribe(["in"])
        first.poll(0, 10)
        ready = tmp_path / "ready"
        process = multiprocessing.get_context("spawn").Process(target=subscribe_and_wait, args=(path, str(ready)))
        process.start()
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert first.poll(0, 10).revoked == [PARTITION]
        assert first.poll(0, 10).assigned == []
        process.kill()
        process.join()
        assert first.poll(0, 10).assigned == [PARTITION]


def test_a_fenced_partition_is_assigned_again(path: Path) -> None:
    """A writer that has not joined the group fences a member's once only: the member's next poll assigns it again."""
    with closing(SqliteLog(path=path, app="app")) as log, closing(SqliteLog(path=path, app="app")) as other:
        log.subscribe(["in"])
        log.poll(0, 10)
        old = log.transaction(PARTITION)
        other.transaction(PARTITION).close()
        with pytest.raises(Fenced, match="another writer"):
            old.commit(1, "")
        assert log.poll(0, 10).assigned == [PARTITION]
        with closing(log.transaction(PARTITION)) as new:
            new.commit(1, "")


def test_files_are_created_for_their_user_only(tmp_path: Path) -> None:
    """New files have mode 0600; those that exist keep theirs."""
    umask = os.umask(0)
    try:
        with closing(SqliteLog(path=tmp_path / "log.db", app="app")) as log:
            log.create([Topic("in", 1)])
            log.subscribe(["in"])
            files = sorted(tmp_path.iterdir())
            assert [file.name for file in files] == ["log.db", "log.db-app.lock", "log.db-shm", "log.db-wal"]
            assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
        (tmp_path / "log.db").chmod(0o640)
        with closing(SqliteLog(path=tmp_path / "log.db", app="app")):
            modes = {(tmp_path / f"log.db{suffix}").stat().st_mode & 0o777 for suffix in ("", "-wal", "-shm")}
            assert modes == {0o640}
    finally:
        os.umask(umask)


def test_a_lock_that_is_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    """The file that a link names is not created."""
    Path(f"{path}-app.lock").symlink_to(tmp_path / "victim")
    with closing(SqliteLog(path=path, app="app")) as log, pytest.raises(LogError, match="must be no symbolic link"):
        log.subscribe(["in"])
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_files_of_others_in_a_shared_folder_are_refused(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder such as /tmp another user may have placed a file, or a link, under one of the names."""
    tmp_path.chmod(0o1777)
    Path(f"{tmp_path / 'log.db'}{suffix}").symlink_to(tmp_path / "victim")
    os.chown(f"{tmp_path / 'log.db'}{suffix}", os.geteuid(), -1, follow_symlinks=False)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(file, "TRUSTED", 12346)
    with pytest.raises(ConfigError, match=rf"log\.db{suffix} belongs to another user"):
        SqliteLog(path=tmp_path / "log.db", app="app")
    assert not (tmp_path / "victim").exists()
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("replaced", [False, True])
def test_files_that_are_removed_under_a_process_are_noticed(path: Path, suffix: str, replaced: bool) -> None:
    """What is written afterwards would be lost: the next commit, and the next poll, is a StateError, not retried."""
    with closing(SqliteLog(path=path, app="app")) as log:
        log.subscribe(["in"])
        log.poll(0, 10)
        transaction = log.transaction(PARTITION)
        victim = Path(f"{path}{suffix}")
        content = victim.read_bytes()
        victim.rename(f"{path}.moved")
        if replaced:
            victim.write_bytes(content)
        for work in (lambda: transaction.commit(1, ""), lambda: log.poll(0, 10)):
            with pytest.raises(StateError, match=f"log.db{suffix} has been removed or replaced") as refused:
                work()
            assert refused.value.exit_code == 78


def test_a_damaged_file_is_not_retried(path: Path) -> None:
    """Pages overwritten with noise are a StateError that says how to save the rest."""
    with closing(SqliteLog(path=path, app="app")) as log:
        log.append("in", records(5000))
    with path.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xa5" * (path.stat().st_size - 4096))
    with (
        closing(SqliteLog(path=path, app="app")) as log,
        pytest.raises(StateError, match=r"malformed; the file is damaged: restore a copy, or .* FILE \.recover"),
    ):
        log.read_state(PARTITION)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_CORRUPT, StateError), (sqlite3.SQLITE_CORRUPT_INDEX, StateError),
        (sqlite3.SQLITE_NOTADB, StateError), (sqlite3.SQLITE_READONLY_DIRECTORY, StateError),
        (sqlite3.SQLITE_PERM, StateError), (sqlite3.SQLITE_BUSY, LogError), (sqlite3.SQLITE_FULL, LogError),
        (sqlite3.SQLITE_IOERR_WRITE, LogError), (sqlite3.SQLITE_CANTOPEN, LogError),
    ],
)  # fmt: skip
def test_lasting_and_passing_errors_are_told_apart(path: Path, code: int, kind: type[Exception]) -> None:
    """A full disk may be emptied, and a damaged file stays damaged."""
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    with closing(file.LogFile(path)) as opened, pytest.raises(kind) as caught, opened.writing():
        raise error
    assert type(caught.value) is kind
    assert str(path) in str(caught.value)


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
