"""The embedded log: kills at random instants, and a disk that is full for a while."""

import random
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.daemons import WAITING, WHOLE
from support.embedded import NAMED, Embedded
from support.fork_server import ForkServer
from support.process import Daemon, until
from support.table import Row

pytestmark = pytest.mark.timeout(300)


FEATURES: dict[str, tuple[Sequence[str], dict[str, Any]]] = {
    "plans, thresholds, events": (
        (
            "model.variant=full", *WHOLE, "learning.whole=true", "input.planned=speed", "output.events={topic}.events",
            'forecast.thresholds=[{"field":"load","above":60}]', "anomaly.direction=up", "output.every=2",
        ),
        {"fields": ("load", "speed")},
    ),
    "series that end or are stale": (
        (
            "input.max_ahead=1d", "series.ttl=90m", "series.stale=10m", "input.max_series=12",
            "series.evict=longest_silent", "output.events={topic}.events",
        ),
        {"lifetime": 120},
    ),
}  # fmt: skip


def killed(tmp_path: Path, fork_server: ForkServer, times: int, row: Row, *overrides: str, **streamed: Any) -> None:
    """Kill at a random instant while records are written, `times` times."""
    chance = random.Random(2)
    with closing(Embedded(tmp_path, tmp_path / "log.db", fork_server, *overrides, **streamed)) as one:
        for _ in range(times):
            with one.life() as daemon:
                if chance.random() < 0.7:
                    one.progress(daemon)
                end = time.monotonic() + chance.uniform(0.0, 0.4)
                while time.monotonic() < end:
                    one.send(5)
                    time.sleep(0.01)
                assert daemon.alive()
        row.survive(one.finish(), times)


def test_kills_over_sqlite(tmp_path: Path, fork_server: ForkServer, row: Row) -> None:
    """A reader of the file sees the outputs of one undisturbed task."""
    killed(tmp_path, fork_server, 5, row)


def test_kills_over_sqlite_while_observations_wait(tmp_path: Path, fork_server: ForkServer, row: Row) -> None:
    """The same with a grace and windows, and with time zones that the records name."""
    killed(tmp_path, fork_server, 4, row, *WAITING, NAMED)


@pytest.mark.parametrize("feature", FEATURES)
def test_kills_over_sqlite_with(tmp_path: Path, fork_server: ForkServer, row: Row, feature: str) -> None:
    """The same with planned values, with outputs on request, and with series that come and go."""
    overrides, streamed = FEATURES[feature]
    killed(tmp_path, fork_server, 3, row, *overrides, **streamed)


@pytest.mark.faults
def test_many_kills_over_sqlite(tmp_path: Path, fork_server: ForkServer, row: Row) -> None:
    """The same, more often."""
    killed(tmp_path, fork_server, 50, row)


def full_for_a_while(one: Embedded, fill: Callable[[Daemon], None], empty: Callable[[Daemon], None], row: Row) -> None:
    """Let the daemon meet a full disk, say so, and go on when there is space again."""
    with one.life() as daemon:
        one.progress(daemon)
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
