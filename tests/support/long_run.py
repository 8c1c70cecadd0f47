"""A daemon at a share of its capacity for minutes or hours, with all that uses it meanwhile, and what is measured."""

import math
import os
import signal
import statistics
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import count, islice
from pathlib import Path
from typing import IO, NamedTuple

import yaml
from support.kafka_probe import memory
from support.process import Daemon, until

from streamrnn.commands.capacity.workload import observations
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record, TopicPartition

SERIES = 100
HERE = TopicPartition("sensors", 0)
LOOK, SAMPLE, SCRAPE, RELOAD = 0.05, 2.0, 5.0, 10.0
"""Seconds between two looks at the committed offset, samples of the processes, scrapes, and reloads."""
AHEAD = 4_000
"""Records of backlog while the capacity is measured."""
MEASURE, PACED = 6.0, 30.0
"""Seconds with a backlog, and then at a share of the capacity that was measured in them."""
OVERHEAD = 4.7
"""Yardsticks of processor time in a second for page, scrapes and reloads, without any record."""


class Sample(NamedTuple):
    """The process at a time."""

    when: float
    resident: int
    """Bytes of the daemon."""
    page: int
    """Bytes of the page's process."""
    used: float
    """Seconds of processor time of the daemon."""
    committed: int
    """Records."""
    yardstick: float
    """Seconds of processor time that the same loop took just then: how slow the machine is."""


class Steadiness(NamedTuple):
    """A figure early and late in a run."""

    early: float
    late: float

    @property
    def growth(self) -> float:
        """The late figure in units of the early one."""
        return self.late / self.early


class LongRun:
    """A daemon over SQLite with metrics of series, page and a file that is reloaded; fed until `close`.

    Args:
        folder: Of the log and the file.
        more: More sections of the configuration.
    """

    def __init__(self, folder: Path, **more: object) -> None:
        self.latencies: list[tuple[float, float]] = []
        """Time of sending, and seconds until the commit, of every batch that was sent while there was no backlog."""
        self.capacities: list[tuple[float, float]] = []
        """When a backlog was measured, and the records per second."""
        self.shares: list[tuple[float, float]] = []
        """The same with the seconds of processor time per second that the daemon had: few if other programs run."""
        self.samples: list[Sample] = []
        self.requests = {"scrapes": 0, "answers": 0, "refused": 0, "live": 0}
        self.errors: list[BaseException] = []
        self.reloads = 0
        self.rate = 0.0
        """Records per second to send; 0: keep a backlog."""
        self._file = folder / "own.yaml"
        self._base = {
            "log": "sqlite", "sqlite": {"path": str(folder / "log.db")}, "device": "cpu",
            "input": {"topics": ["sensors"]}, "page": {"enabled": True, "port": 0, "history": 100},
            "metrics": {"series": ["s1*"]}, "commit": {"interval": "200ms"}, **more,
        }  # fmt: skip
        self._write(1)
        with closing(SqliteLog(path=folder / "log.db", app="creator")) as log:
            log.create([Topic("sensors", 1)])
        self.committed = 0
        self._path, self._sent, self._ending = folder / "log.db", 0, threading.Event()
        self._pausing = threading.Event()
        self.daemon = Daemon(folder, [], config=self._file)
        self._threads: list[threading.Thread] = []

    def close(self) -> None:
        """End the daemon and all that uses it."""
        self._pausing.set()
        self._ending.set()
        self.daemon.kill()
        for thread in self._threads:
            thread.join(30)

    def start(self) -> None:
        """Feed the daemon, and use it, from now on."""
        until(lambda: self.daemon.alive() and bool(self.daemon.events("serving_page")), "the page")
        self._page = f"http://127.0.0.1:{self.daemon.events('serving_page')[0]['port']}"
        for work in (self._feed, self._sample, self._scrape, self._read_api, self._view, self._reload):
            thread = threading.Thread(target=self._guarded, args=(work,), name=work.__name__, daemon=True)
            self._threads.append(thread)
            thread.start()

    def run(self, seconds: float, share: float) -> float:
        """Measure the capacity, and load the daemon with a share of it, by turns: a machine is not always as fast.

        Returns when that began. Raises the first error of what uses the daemon.
        """
        until(lambda: self.daemon.alive() and self.committed > AHEAD, "the first records", 300)
        start = time.monotonic()
        while time.monotonic() < start + seconds:
            self.rate = 0.0
            first, used, begun = self.committed, _processor_time(self.daemon.process.pid), time.monotonic()
            self._wait(MEASURE)
            used, passed = _processor_time(self.daemon.process.pid) - used, time.monotonic() - begun
            self.capacities.append((begun, (self.committed - first) / passed))
            self.shares.append((begun, used / passed))
            self.rate = share * self.capacities[-1][1]
            self._wait(PACED)
        return start

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.daemon.alive()
            if self.errors:
                raise self.errors[0]
            time.sleep(0.2)

    def finish(self) -> int:
        """Feed no longer; return the exit code once everything is committed."""
        self._pausing.set()
        until(lambda: self.daemon.alive() and self.committed == self._sent, "no lag", 60)
        return self.daemon.stop()[0]

    # what is read off it

    def memory(self, since: float) -> Steadiness:
        """Return the daemon's MiB."""
        return _steadiness([(each.when, each.resident / 2**20) for each in self.samples], since)

    def page(self, since: float) -> Steadiness:
        """Return the MiB of the page's process."""
        return _steadiness([(each.when, each.page / 2**20) for each in self.samples], since)

    def latency(self, since: float) -> Steadiness:
        """Return the seconds from a record to its commit."""
        return _steadiness(self.latencies, since)

    def capacity(self, since: float) -> Steadiness:
        """Return the records per second with a backlog."""
        return _steadiness(self.capacities, since)

    def work(self, since: float) -> Steadiness:
        """Return the processor time of a record, in units of 1/1000 of the yardstick."""
        found = [each for each in self.samples if each.when >= since]
        third = len(found) // 3
        return Steadiness(_work(found[:third]), _work(found[-third:]))

    # what uses it

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # raised by `run`
            if not self._ending.is_set():
                self.errors.append(error)

    def _write(self, number: int) -> None:
        """Put a whole file in the place of the old one."""
        new = self._file.with_suffix(".new")
        new.write_text(yaml.safe_dump({**self._base, "anomaly": {"min_deviation": number}}))
        new.rename(self._file)

    def _feed(self) -> None:
        records = _endless()
        waiting: list[tuple[int, float | None]] = []
        backlog = 0
        due = time.monotonic()
        with closing(SqliteLog(path=self._path, app="streamrnn")) as log:
            while not self._ending.wait(LOOK):
                found, now = log.committed(HERE), time.monotonic()
                self.committed = 0 if found is None else found.offset
                while waiting and waiting[0][0] <= self.committed:
                    sent = waiting.pop(0)[1]
                    if sent is not None:
                        self.latencies.append((sent, now - sent))
                if self._pausing.is_set():
                    continue
                many = AHEAD - (self._sent - self.committed) if not self.rate else int((now - due) * self.rate)
                due = now if not self.rate else due + many / self.rate
                if many > 0:
                    log.append("sensors", islice(records, many))
                    self._sent += many
                    waiting.append((self._sent, now if self.rate and self.committed >= backlog else None))
                    backlog = backlog if self.rate else self._sent

    def _sample(self) -> None:
        children = Path(f"/proc/{self.daemon.process.pid}/task/{self.daemon.process.pid}/children")
        while not self._pausing.wait(SAMPLE):
            page = sum(_resident(int(pid)) for pid in children.read_text().split())
            resident, used = memory(self.daemon.process), _processor_time(self.daemon.process.pid)
            self.samples.append(Sample(time.monotonic(), resident, page, used, self.committed, _yardstick()))

    def _scrape(self) -> None:
        while not self._pausing.wait(SCRAPE):
            code, text = self.daemon.get("/metrics")
            assert code == 200
            assert "streamrnn_forecast_median" in text or self.committed == 0
            self.requests["scrapes"] += 1

    def _read_api(self) -> None:
        """Use all that the page answers, as a person and a dashboard do."""
        paths = ["/", "/status", "/series?sort=anomaly", "/events"]
        paths += [f"/series/s1/value/{name}" for name in ("forecast", "history", "explain", "rows", "session")]
        for number in count():
            if self._pausing.wait(0.5):
                return
            self.requests["answers"] += len(self._open(paths[number % len(paths)]).read()) > 0

    def _view(self) -> None:
        """Follow a series for a few seconds, leave, and come again."""
        while not self._pausing.wait(0.5):
            with self._open("/series/s1/value/live") as stream:
                end = time.monotonic() + 8
                while time.monotonic() < end and not self._pausing.is_set() and stream.readline():
                    self.requests["live"] += 1

    def _open(self, path: str) -> IO[bytes]:
        """Request a path of the page; a series may be unknown in the beginning."""
        try:
            answer: IO[bytes] = urllib.request.urlopen(self._page + path, timeout=30)
        except urllib.error.HTTPError as error:
            self.requests["refused"] += 1
            return error
        return answer

    def _reload(self) -> None:
        for number in count(2):
            if self._pausing.wait(RELOAD):
                return
            self._write(1 + number % 5)
            self.daemon.process.send_signal(signal.SIGHUP)
            self.reloads += 1


def _endless() -> Iterator[Record]:
    for number in count():
        yield from (each._replace(topic="sensors") for each in observations(SERIES, range(number, number + 1)))


def _resident(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _yardstick() -> float:
    begun = time.thread_time()
    sum(number * number for number in range(100_000))
    return time.thread_time() - begun


def _work(samples: Sequence[Sample]) -> float:
    first, last = samples[0], samples[-1]
    yardstick = statistics.median(each.yardstick for each in samples)
    used = (last.used - first.used) / yardstick - OVERHEAD * (last.when - first.when)
    return 1000 * used / (last.committed - first.committed)


def _steadiness(values: Sequence[tuple[float, float]], since: float) -> Steadiness:
    """Return the medians of values with their times, in the first and the last third of those since a time.

    NaN where there are none, as of latencies where a backlog never ends.
    """
    found = [(when, value) for when, value in values if when >= since]
    third = (found[-1][0] - since) / 3 if found else 0.0
    early = [value for when, value in found if when <= since + third] or [math.nan]
    late = [value for when, value in found if when >= since + 2 * third] or [math.nan]
    return Steadiness(statistics.median(early), statistics.median(late))
