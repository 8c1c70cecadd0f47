"""The disk under a broker is full for a while."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.broker import Broker
from support.daemons import FleetFactory
from support.kafka_probe import memory
from support.process import until
from support.table import Row

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(600)]

DISK = "64m"
MAX_GROWTH = 64 * 1024 * 1024  # bytes that a daemon may hold more while the broker is away than before


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Yield a small file system of the test's own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(disk)], check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all the space that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def test_the_disk_of_the_broker_is_full(java: None, small: Path, fleet: FleetFactory, row: Row) -> None:
    """The broker ends; the daemons say that they are not ready, and go on when it runs again with space."""
    impatient = ["kafka.request_timeout=3s", "kafka.transaction_timeout=5s"]
    with Broker(data=small / "data") as broker, fleet(broker, overrides=impatient) as one:
        one.start()
        one.start()
        one.progress(50)
        before = [memory(daemon.process) for daemon in one.daemons]
        ballast = fill(small)
        until(lambda: not broker.alive, "the end of the broker")
        for daemon in one.daemons:
            until(lambda daemon=daemon: daemon.get("/readyz")[0] == 503, "not ready", 60.0)  # type: ignore[misc]
            assert daemon.get("/healthz")[0] == 200
        growth = max(memory(d.process) - held for d, held in zip(one.daemons, before, strict=True))
        ballast.unlink()
        broker.start()
        one.progress(20, patience=120.0)
        row.survive(one.finish(120.0))
        assert growth < MAX_GROWTH
        row.remark = f"not ready meanwhile; at most {growth / 2**20:.1f} MiB more memory"
