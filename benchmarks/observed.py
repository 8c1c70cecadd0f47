"""What being watched costs: a daemon with everything on beside one with everything off, by turns in one run.

PYTHONPATH=tests python -m benchmarks.observed

On: metrics, scraped every 5 s; the log at its usual level; the live page, and a viewer who looks at it. Off: none of
it. Each has a SQLite log of its own that holds its input already; while one works, the other is stopped.
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
import warnings
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 under Python 3.11
    from benchmarks.over_kafka import observations
    from benchmarks.page import Viewers
from support.kafka_probe import cpu_seconds
from support.process import Daemon, until

from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import TopicPartition

SCRAPE = 5.0
"""Seconds between two scrapes."""
VARIANTS: dict[str, list[str]] = {"full": [], "lean": ["model.variant=lean", "model.hidden_size=24"]}
RATES = {("full", 1): 2_500, ("full", 1000): 25_000, ("lean", 1): 8_000, ("lean", 1000): 60_000}
"""Records per second that no daemon reaches: what its log has to hold."""
ON = ["page.enabled=true", "page.port=0"]
OFF = ["metrics.enabled=false", "logging.level=error"]
STEADY = ["commit.snapshot_interval=1h"]
"""A snapshot falls into one turn and not into the next."""
APPENDED = 20_000
WARM = 10.0
"""Seconds of work before anything is measured: functions are compiled, networks have begun to learn."""


class Seen(NamedTuple):
    """A commit that was seen."""

    offset: int
    time: float
    cpu: float


class Side:
    """One of the two daemons."""

    def __init__(self, folder: Path, filled: Path, overrides: Sequence[str]) -> None:
        self.path = folder / "log.db"
        folder.mkdir()
        shutil.copy(filled, self.path)
        self.log = SqliteLog(path=self.path, app="bench")
        common = ["log=sqlite", f"sqlite.path={self.path}", "input.topics=bench", "app=bench"]
        self.daemon = Daemon(folder, [*common, *overrides])

    def work(self, seconds: float) -> tuple[float, float]:
        """Let it go on for so long, from commit to commit: records per second, and per second of its processor time."""
        self.daemon.process.send_signal(signal.SIGCONT)
        self._next()  # it may have been under way when the daemon was stopped
        first = self._next()
        time.sleep(seconds)
        last = self._next()
        self.daemon.process.send_signal(signal.SIGSTOP)
        count = last.offset - first.offset
        return count / (last.time - first.time), count / (last.cpu - first.cpu)

    def _next(self) -> Seen:
        """Wait for the next commit."""
        before = self._offset()
        until(lambda: self.daemon.alive() and self._offset() > before, "a commit")
        return Seen(self._offset(), time.monotonic(), cpu_seconds(self.daemon.process))

    def _offset(self) -> int:
        committed = self.log.committed(TopicPartition("bench", 0))
        return 0 if committed is None else committed.offset

    def close(self) -> None:
        """End it."""
        self.daemon.process.send_signal(signal.SIGCONT)
        self.daemon.kill()
        self.log.close()


class Scrapes:
    """Asks a daemon for its metrics again and again; while it is stopped, the answer takes as long."""

    def __init__(self, daemon: Daemon) -> None:
        self.ended = threading.Event()
        self.daemon = daemon
        self.count = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with suppress(ConnectionError):  # the daemon was killed
            while not self.ended.wait(SCRAPE):
                assert self.daemon.get("/metrics")[0] == 200
                self.count += 1


def fill(folder: Path, variant: str, series: int, seconds: float) -> Path:
    """A SQLite log with as much input as a daemon needs for so long."""
    filled = folder / "filled.db"
    with closing(SqliteLog(path=filled, app="producer")) as log:
        log.create([Topic("bench", 1)])
        count = int(RATES[variant, series] * seconds)
        held: list[Any] = []
        for record in observations(series, range(count // series), 1_700_000_000_000):
            held.append(record._replace(topic="bench", partition=0))
            if len(held) == APPENDED:
                log.append("bench", held)
                held = []
        log.append("bench", held)
    return filled


def ratios(folder: Path, variant: str, series: int, turns: int, seconds: float) -> list[tuple[float, float]]:
    """Rate of the watched daemon over that of the other, in wall time and in processor time, by turns."""
    filled = fill(folder, variant, series, WARM + turns * (seconds + 1.5))
    found = []
    with (
        closing(Side(folder / "on", filled, [*VARIANTS[variant], *STEADY, *ON])) as on,
        closing(Side(folder / "off", filled, [*VARIANTS[variant], *STEADY, *OFF])) as off,
    ):
        off.work(WARM)
        until(lambda: bool(on.daemon.events("serving_page")), "the page")
        url = f"http://127.0.0.1:{on.daemon.events('serving_page')[0]['port']}/"
        with closing(Viewers(url, 1)) as viewers:
            viewers.looking.set()
            scrapes = Scrapes(on.daemon)
            on.work(WARM)
            before = viewers.count.value
            for number in range(turns):
                both = [side.work(seconds) for side in ((on, off) if number % 2 else (off, on))]
                watched, other = both if number % 2 else both[::-1]
                found.append((watched[0] / other[0], watched[1] / other[1]))
            assert viewers.count.value > before, "the viewer saw nothing"
            assert scrapes.count, "it was not scraped"
            scrapes.ended.set()
            viewers.looking.clear()
    return found


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="observed", allow_abbrev=False)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--series", type=int, nargs="+", default=[1, 1000])
    arguments = parser.parse_args(argv)
    sys.stdout.write(f"load average {os.getloadavg()[0]:.1f}\n")
    for variant in arguments.variants:
        for series in arguments.series:
            with tempfile.TemporaryDirectory() as folder:
                found = ratios(Path(folder), variant, series, arguments.turns, arguments.seconds)
            for name, those in zip(("wall time", "processor time"), zip(*found, strict=True), strict=True):
                logs = [math.log(each) for each in those]
                mean, error = math.exp(statistics.mean(logs)), statistics.stdev(logs) / math.sqrt(len(logs))
                sys.stdout.write(
                    f"{variant}, {series:,} series, {name}: {mean:.3f} +- {error:.3f} ({len(logs)} turns)\n"
                )
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
