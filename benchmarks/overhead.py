"""Measure the cost of being observed, or of snapshots: two daemons in alternating turns of one run.

    PYTHONPATH=tests:. python -m benchmarks.overhead [observation | snapshots]

observation: metrics scraped every 5 s, the log at its default level and the live page with a viewer, against none of
these. snapshots: the default interval of snapshots, against no snapshot. Each daemon has a SQLite log that already has
its input; while one runs, the other is stopped.
"""

import argparse
import math
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from support.kafka_probe import cpu_seconds
from support.process import Daemon, until

from benchmarks.page import Viewers, page_url
from benchmarks.workload import fill_sqlite, write_line
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import TopicPartition

SCRAPE = 5.0
"""Seconds between two scrapes."""
VARIANTS: dict[str, list[str]] = {"full": [], "lean": ["model.variant=lean", "model.hidden_size=24"]}
RATES = {("full", 1): 2_500, ("full", 1000): 25_000, ("lean", 1): 8_000, ("lean", 1000): 60_000}
"""Records per second that no daemon reaches, to size the input."""
NO_SNAPSHOTS = ["commit.snapshot_interval=1h"]
COMPARED = {
    "observation": (
        [*NO_SNAPSHOTS, "page.enabled=true", "page.port=0"],
        [*NO_SNAPSHOTS, "metrics.enabled=false", "logging.level=error"],
    ),
    "snapshots": ([], NO_SNAPSHOTS),
}
"""Configuration of the two daemons; a snapshot would fall into some turns of an observation only."""


class Commit(NamedTuple):
    """A commit of a daemon, with its time and the daemon's processor seconds."""

    offset: int
    time: float
    cpu: float


class Side:
    """One of the two daemons."""

    def __init__(self, folder: Path, filled: Path, overrides: Sequence[str]) -> None:
        path = folder / "log.db"
        folder.mkdir()
        shutil.copy(filled, path)
        self.log = SqliteLog(path=path, app="bench")
        self.daemon = Daemon(
            folder, ["log=sqlite", f"sqlite.path={path}", "input.topics=bench", "app=bench", *overrides]
        )

    def work(self, seconds: float) -> tuple[float, float]:
        """Run for some seconds from commit to commit; return records per second, and per processor second."""
        self.daemon.process.send_signal(signal.SIGCONT)
        self._next()  # the daemon may have been stopped within a commit
        first = self._next()
        time.sleep(seconds)
        last = self._next()
        self.daemon.process.send_signal(signal.SIGSTOP)
        count = last.offset - first.offset
        return count / (last.time - first.time), count / (last.cpu - first.cpu)

    def _next(self) -> Commit:
        """Wait for the next commit."""
        before = self._offset()
        until(lambda: self.daemon.alive() and self._offset() > before, "a commit")
        return Commit(self._offset(), time.monotonic(), cpu_seconds(self.daemon.process))

    def _offset(self) -> int:
        committed = self.log.committed(TopicPartition("bench", 0))
        return 0 if committed is None else committed.offset

    def close(self) -> None:
        """Kill the daemon."""
        self.daemon.process.send_signal(signal.SIGCONT)
        self.daemon.kill()
        self.log.close()


@contextmanager
def observers(daemon: Daemon) -> Iterator[None]:
    """Scrape a daemon and view its page; a stopped daemon answers when it continues."""
    ended = threading.Event()

    def scrape() -> None:
        with suppress(ConnectionError):  # the daemon was killed
            while not ended.wait(SCRAPE):
                assert daemon.get("/metrics")[0] == 200

    thread = threading.Thread(target=scrape, daemon=True)
    with closing(Viewers(page_url(daemon), 1)) as viewers:
        viewers.looking.set()
        thread.start()
        yield
        assert viewers.count.value, "the viewer received nothing"
        ended.set()
        viewers.looking.clear()


def ratios(folder: Path, given: argparse.Namespace, variant: str, series: int) -> list[tuple[float, float]]:
    """Return, for each turn, the rate with over the rate without: by wall time and by processor time."""
    filled = folder / "filled.db"
    fill_sqlite(filled, series, int(RATES[variant, series] * (given.warm + given.turns * (given.seconds + 1.5))))
    found = []
    with ExitStack() as stack:
        with_, without = (
            stack.enter_context(
                closing(Side(folder / name, filled, [*VARIANTS[variant], *overrides, *given.overrides]))
            )
            for name, overrides in zip(("with", "without"), COMPARED[given.what], strict=True)
        )
        without.work(given.warm)
        if given.what == "observation":
            stack.enter_context(observers(with_.daemon))
        with_.work(given.warm)
        for number in range(given.turns):
            sides = (with_, without) if number % 2 else (without, with_)
            rates = {side: side.work(given.seconds) for side in sides}
            found.append((rates[with_][0] / rates[without][0], rates[with_][1] / rates[without][1]))
    return found


def main(argv: Sequence[str]) -> int:
    """Print the measurements."""
    parser = argparse.ArgumentParser(prog="overhead", allow_abbrev=False)
    parser.add_argument("what", nargs="?", choices=COMPARED, default="observation")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn; 20 for snapshots")
    parser.add_argument("--warm", type=float, default=10.0, help="seconds of work before the first turn")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--series", type=int, nargs="+", choices=(1, 1000), default=[1, 1000])
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="of both daemons"
    )
    given = parser.parse_args(argv)
    write_line(f"load average {os.getloadavg()[0]:.1f}")
    for variant in given.variants:
        for series in given.series:
            with tempfile.TemporaryDirectory() as folder:
                found = ratios(Path(folder), given, variant, series)
            for name, column in zip(("wall time", "processor time"), zip(*found, strict=True), strict=True):
                logs = [math.log(each) for each in column]
                mean, error = math.exp(statistics.mean(logs)), statistics.stdev(logs) / math.sqrt(len(logs))
                write_line(f"{variant}, {series:,} series, {name}: {mean:.3f} +- {error:.3f} ({len(logs)} turns)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
