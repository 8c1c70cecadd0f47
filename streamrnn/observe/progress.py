"""Progress of a daemon in its log: a line every few seconds until the first commit, then one line a minute."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from streamrnn.records import QUALITY, Observer, StepReport, TopicPartition

START_SECONDS = 2.5
"""Seconds between two lines until the first forecasts are committed."""
PATIENCE_SECONDS = 30.0
"""Seconds of waiting for records or missing topics after which there is only one line a minute."""
STATUS_SECONDS = 60.0

logger = logging.getLogger(__name__)


@dataclass
class _Counts:
    """Counts since the last line."""

    records: int = 0
    dead_letters: int = 0
    error: float = 0.0
    persistence_error: float = 0.0


class ProgressLogger(Observer):
    """Logs from its own thread, from construction to `close`, as the loop may be busy or a library loading.

    `compiling` returns the number of loops compiled so far, and about how many there are; None if none is compiling.
    """

    def __init__(
        self, compiling: Callable[[], tuple[int, int] | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.reason: Callable[[], str] = lambda: "the libraries to load"
        """Returns why records are not being processed; empty if they are."""
        self._compiling, self._clock = compiling, clock
        self._lock = threading.Lock()
        self._counts = _Counts()
        self._series: dict[TopicPartition, int] = {}
        self._lags: dict[TopicPartition, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        """Forecasts since the last commit, until the first ones are committed."""
        self._fed = False
        """Whether any record was processed, usable or not."""
        self._begun = self._last_status = clock()
        self._waiting: tuple[str, float] = ("", self._begun)
        """The reason of the current wait, and the time since when, seconds of the clock."""
        self._first = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._closed.set()
        self._thread.join()

    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        with self._lock:
            counts = self._counts
            counts.records += report.records
            counts.dead_letters += report.dead_letters.total()
            self._series[report.partition] = report.series
            if report.scores is not None:
                sums = report.scores.sum(1)
                counts.error += float(sums[QUALITY.index("error")])
                counts.persistence_error += float(sums[QUALITY.index("persistence_error")])
            self._fed |= report.records > 0
            if not self._first.is_set():
                self._uncommitted[report.partition] = self._uncommitted.get(report.partition, 0) + report.forecasts

    def committed(self, partition: TopicPartition, seconds: float, saved: int) -> None:
        """See `Observer.committed`."""
        del seconds, saved
        if self._first.is_set():
            return
        if forecasts := self._uncommitted.pop(partition, 0):
            self._first.set()
            details = {"forecasts": forecasts, "seconds": round(self._clock() - self._begun, 1)}
            logger.info("first_forecasts", extra={**partition._asdict(), **details})

    def lag(self, partition: TopicPartition, records: int) -> None:
        """See `Observer.lag`."""
        with self._lock:
            self._lags[partition] = records

    def released(self, partition: TopicPartition) -> None:
        """See `Observer.released`."""
        with self._lock:
            self._series.pop(partition, None)
            self._lags.pop(partition, None)
        self._uncommitted.pop(partition, None)

    def log(self) -> float:
        """Log a line if one is due; return the seconds to the next one."""
        now = self._clock()
        work = None if self._first.is_set() else self._compiling()
        if work is not None:
            done, about = work
            details = {"loops": done, "of": max(done, about), "seconds": round(now - self._begun, 1)}
            logger.info("compiling", extra=details)
            return START_SECONDS
        if not self._first.is_set() and self._log_waiting(now):
            return START_SECONDS
        if now - self._last_status >= STATUS_SECONDS:
            self._log_status(now)
        return min(START_SECONDS, STATUS_SECONDS - (now - self._last_status))

    def _log_waiting(self, now: float) -> bool:
        """Log what the first forecasts wait for; return whether to repeat that every few seconds."""
        ready = any(self._uncommitted.values())
        records = "usable records" if self._fed else "the first records"
        reason = "the first commit" if ready else self.reason() or records
        if reason != self._waiting[0]:
            self._waiting = (reason, now)
        if not (ready or "restored" in reason) and now - self._waiting[1] > PATIENCE_SECONDS:
            return False  # somebody else must act
        logger.info("not_forecasting", extra={"reason": reason, "seconds": round(now - self._begun, 1)})
        return True

    def _log_status(self, now: float) -> None:
        with self._lock:
            counts, self._counts = self._counts, _Counts()
            series, lag = sum(self._series.values()), sum(self._lags.values())
        skill = None
        if counts.persistence_error:
            skill = round(1 - counts.error / counts.persistence_error, 3)
        rate = round(counts.records / (now - self._last_status), 1)
        self._last_status = now
        details = {
            "records": counts.records, "records_per_second": rate, "lag": lag, "series": series, "skill": skill,
            "dead_letters": counts.dead_letters, "not_ready": self.reason(),
        }  # fmt: skip
        logger.info("status", extra=details)

    def _run(self) -> None:
        seconds = START_SECONDS
        while not self._closed.wait(seconds):
            with suppress(Exception):  # such as a list changed during iteration: a missing line does no harm
                seconds = self.log()
