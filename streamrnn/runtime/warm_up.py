"""Loading of the compiled loops in a thread before the first record, and its announcement for commands."""

import logging
import sys
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TYPE_CHECKING, cast

import numpy as np
import orjson

from streamrnn.records import Record

if TYPE_CHECKING:
    from streamrnn.runtime.task import Task

OBSERVATIONS = 8  # two learning points of the head, by default
LEARNING = {"every": OBSERVATIONS - 1, "most": OBSERVATIONS - 1}
"""Learning that records one row for the whole network, but does not complete a window, for which torch would load."""
INTERVAL = 60_000  # milliseconds
WAIT_SECONDS = 0.2
COMPILER = logging.getLogger("streamrnn.core.jit")
ANNOUNCEMENT = (
    "streamrnn compiles its loops, once on each machine, for a minute or two; later starts load them from {folder}"
)


def load_kernels(task: "Task") -> None:
    """Load all kernels, but not torch, by forecasting a short series with a task to be discarded.

    Its records are flat JSON with their own keys and timestamps.
    """
    half = OBSERVATIONS // 2
    for first in (0, half):  # the series is new in the first feed, and known to the scanner in the second
        task.feed([_record(number) for number in range(first, first + half)])
    rows = np.arange(1)  # for the loops that run between records
    task.forecaster.forecast(rows)
    task.forecaster.bounds(rows)


def load_scanner(task: "Task") -> None:
    """Load the kernel that scans records, and no other."""
    record, admission, mapping = _record(0), task._admission, task._mapping  # noqa: SLF001 -- a part of a feed
    admission.scan([record.key], [record.value], [record.timestamp], mapping)


def _record(number: int) -> Record:
    value = orjson.dumps({"warm-up": float(number)})
    return Record("warm-up", 0, number, INTERVAL * (1 + number), b"warm-up", value)


def announce_compilation() -> None:
    """Announce the first compilation on a machine on standard error, unless the process logs it."""
    if COMPILER.level == logging.NOTSET:
        COMPILER.addFilter(_announce)
        COMPILER.setLevel(logging.INFO)


def _announce(record: logging.LogRecord) -> bool:
    """Return whether a report of the compiler is logged; write the announcement in place of one that is not."""
    logged = record.levelno >= logging.WARNING or cast("logging.Logger", COMPILER.parent).isEnabledFor(record.levelno)
    if not logged and record.msg == "compiling_kernels":
        sys.stderr.write(f"{ANNOUNCEMENT.format(folder=vars(record)['folder'])}\n")
        sys.stderr.flush()
    return logged


class BackgroundCall:
    """A call in another thread."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._done: Future[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the call has begun and not ended."""
        return self._done is not None and not self._done.done()

    def start(self) -> None:
        """Begin the call, unless it has begun before."""
        if self._done is None:
            self._done = Future()
            Thread(target=self._work, args=(self._done,), name="warm-up", daemon=True).start()

    def finish(self, keep_waiting: Callable[[], bool]) -> bool:
        """Wait until the call has ended, and raise its exception if it raised one.

        `keep_waiting` is called several times a second; if it returns False, stop waiting and return False, else True.
        """
        self.start()
        while self._done is not None and not wait([self._done], WAIT_SECONDS).done:
            if not keep_waiting():
                return False
        if self._done is not None:
            self._done.result()
        return True

    def _work(self, done: Future[None]) -> None:
        try:
            self._call()
            done.set_result(None)
        except BaseException as error:  # noqa: BLE001 -- raised by `finish`
            done.set_exception(error)
