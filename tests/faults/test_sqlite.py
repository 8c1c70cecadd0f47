"""The embedded log: kills at random instants, and a disk that is full for a while."""

import itertools
import random
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.daemons import LEAN, stream
from support.fork_server import ForkServer
from support.log_backends import SqliteWorld
from support.oracle import Found, Verdict, judge, sorted_out, topics, undisturbed
from support.process import Daemon, until
from support.table import Row

from streamrnn import app
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import TopicPartition
from streamrnn.settings import load

PARTITIONS = 2
TOPIC = "sensors"

pytestmark = pytest.mark.timeout(300)


class Embedded:
    """One application over one file, and its daemon."""

    def __init__(self, folder: Path, file: Path, fork_server: ForkServer, *overrides: str) -> None:
        self._folder, self._server = folder, fork_server
        self._overrides = [
            "log=sqlite", f"sqlite.path={file}", "app=fault", f"input.topics={TOPIC}", "input.key=series",
            "input.time=time", "device=cpu", "commit.interval=20ms", "commit.snapshot_interval=100ms", *LEAN,
            *overrides,
        ]  # fmt: skip
        self.settings = load(None, self._overrides)
        self._file = file
        self._records = stream(random.Random(7), PARTITIONS)
        self.log = SqliteLog(path=file, app="fault")  # it never subscribes, and so takes nothing from the daemon
        self.log.create([Topic(TOPIC, PARTITIONS)])
        self._partitions = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]

    def close(self) -> None:
        """Let go of the file."""
        self.log.close()

    @contextmanager
    def life(self) -> Iterator[Daemon]:
        """Start the daemon; it is killed at the end of the block if it still runs."""
        with Daemon(self._folder, self._overrides, fork_server=self._server) as daemon:
            yield daemon

    def send(self, count: int) -> None:
        """Append records."""
        self.log.append(TOPIC, list(itertools.islice(self._records, count)))

    @property
    def committed(self) -> int:
        """Records committed, over all partitions."""
        found = [self.log.committed(partition) for partition in self._partitions]
        return sum(each.offset for each in found if each is not None)

    def goes_on(self, daemon: Daemon, more: int = 40) -> None:
        """Append records, and wait until as many more are committed."""
        before = self.committed
        self.send(more)
        until(lambda: daemon.alive() and self.committed >= before + more, "progress")

    def finish(self) -> Verdict:
        """One more life, ended cleanly; then judge."""
        with self.life() as daemon:
            until(lambda: daemon.alive() and len(daemon.events("task_restored")) == PARTITIONS, "all restored")
            end = sum(self.log.bounds(partition)[1] for partition in self._partitions)
            until(lambda: daemon.alive() and self.committed == end, "everything committed")
            assert daemon.stop()[0] == 0
        world = SqliteWorld(self._file)
        expected = undisturbed(self.settings, world.read(TOPIC), PARTITIONS)
        outputs = sorted_out(record for topic in topics(self.settings) for record in world.read(topic))
        committed = {partition: self.log.committed(partition) for partition in self._partitions}
        names = [TopicPartition(app.output_topics(self.settings, TOPIC).state, n) for n in range(PARTITIONS)]
        state = {place: self.log.read_state(place) for place in names}
        offsets = {partition: each.offset for partition, each in committed.items() if each is not None}
        return judge(expected, Found(outputs, offsets, state))


def killed(tmp_path: Path, fork_server: ForkServer, times: int, row: Row) -> None:
    """Kill at a random instant while records come in, so many times."""
    chance = random.Random(2)
    with closing(Embedded(tmp_path, tmp_path / "log.db", fork_server)) as one:
        for _ in range(times):
            with one.life() as daemon:
                if chance.random() < 0.7:
                    one.goes_on(daemon)
                end = time.monotonic() + chance.uniform(0.0, 0.4)
                while time.monotonic() < end:
                    one.send(5)
                    time.sleep(0.01)
                assert daemon.alive()
        row.survive(one.finish(), times)


def test_kills_over_sqlite(tmp_path: Path, fork_server: ForkServer, row: Row) -> None:
    """A reader of the file sees what one undisturbed task says."""
    killed(tmp_path, fork_server, 5, row)


@pytest.mark.faults
def test_many_kills_over_sqlite(tmp_path: Path, fork_server: ForkServer, row: Row) -> None:
    """The same, more often."""
    killed(tmp_path, fork_server, 50, row)


def full_for_a_while(one: Embedded, fill: Callable[[Daemon], None], empty: Callable[[Daemon], None], row: Row) -> None:
    """Let the daemon meet a full disk, say so, and go on when there is space again."""
    with one.life() as daemon:
        one.goes_on(daemon)
        one.send(400)
        fill(daemon)
        until(lambda: daemon.alive() and any("cannot be written" in line for line in complaints(daemon)), "a complaint")
        stuck = one.committed
        empty(daemon)
        until(lambda: daemon.alive() and one.committed > stuck, "progress")
        row.remark = next(line for line in complaints(daemon) if "cannot be written" in line)
        assert daemon.stop()[0] == 0
    row.survive(one.finish())


def complaints(daemon: Daemon) -> list[str]:
    """The errors that the daemon has told of."""
    return [str(each["error"]) for name in ("task_failed", "log_unavailable") for each in daemon.events(name)]


def test_no_more_may_be_written(tmp_path: Path, fork_server: ForkServer, row: Row) -> None:
    """A limit on the size of files, lifted after a while."""

    def limit(size: int) -> Callable[[Daemon], None]:
        def apply(daemon: Daemon) -> None:
            resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        return apply

    with closing(Embedded(tmp_path, tmp_path / "log.db", fork_server)) as one:
        full_for_a_while(one, limit(16 * 1024), limit(resource.RLIM_INFINITY), row)


@pytest.mark.faults
def test_the_disk_is_full(tmp_path: Path, fork_server: ForkServer, row: Row) -> None:
    """A file system of its own, filled up by somebody else's file, which goes away again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")

    def fill(_: Daemon) -> None:
        with (disk / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    try:
        with closing(Embedded(tmp_path, disk / "log.db", fork_server)) as one:
            full_for_a_while(one, fill, lambda _: (disk / "ballast").unlink(), row)
            assert "full" in row.remark
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
