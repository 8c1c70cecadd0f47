"""Processor time and state of one task in this process, without a log."""

import statistics
import time
from itertools import count
from typing import NamedTuple

import orjson

from streamrnn import app
from streamrnn.commands.capacity.workload import observations
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.options import POLL_RECORDS
from streamrnn.runtime.task import Task
from streamrnn.settings import Settings
from streamrnn.settings.sections import InputSettings

WARM = 120
"""Rounds of all series before the measurement: by then the networks learn, and pending forecasts mature."""
RUNS, REFERENCE_SECONDS = 15, 0.0039
"""Number of calibration runs, and their median processor time on the machine of benchmarks/RESULTS.md."""


class Measured(NamedTuple):
    """Measurements of a task."""

    series: int
    microseconds: float
    """Processor time per record."""
    state_bytes: float
    """Bytes of state in memory per series."""
    saved_bytes: float
    """Bytes of a whole snapshot per series."""
    warm: bool
    """Whether the measurement began after the first WARM rounds."""

    @property
    def records_per_second(self) -> float:
        """Records per second of one core."""
        return 1e6 / self.microseconds


def new_task(settings: Settings) -> Task:
    """Return a task for the records of `workload`; the section `input` is replaced by one that reads them."""
    plain = settings.model_copy(update={"input": InputSettings(topics=("bench",))})
    return app.task(app.with_json_forecasts(plain), TopicPartition("bench", 0))


def measure_rounds(task: Task, series: int, warm: int, measured: int) -> Measured:
    """Feed `warm` rounds of all series, then measure another `measured` rounds."""
    _feed(task, series, range(warm), 0)
    spent = _feed(task, series, range(warm, warm + measured), warm * series)
    return _result(task, series, spent / (measured * series), (warm + measured) * series, warm=True)


def measure_seconds(task: Task, series: int, seconds: float) -> Measured:
    """Feed rounds of all series for a number of seconds, and measure those after the first WARM rounds.

    If the time is too short, the later half of the rounds is measured.
    """
    times: list[float] = []
    begun = time.monotonic()
    for number in count():
        times.append(_feed(task, series, range(number, number + 1), number * series))
        if number and time.monotonic() - begun >= seconds:
            break
    warm = len(times) >= WARM * 5 // 4
    later = times[WARM if warm else len(times) // 2 :]
    return _result(task, series, sum(later) / (len(later) * series), len(times) * series, warm=warm)


def slowness() -> float:
    """Return the processor time of a fixed piece of Python, relative to the machine of benchmarks/RESULTS.md.

    The processor time of a log's client, which cannot be measured without a log, is scaled by this.
    """
    times = []
    for _ in range(RUNS):
        begun = time.process_time()
        for record in observations(200, range(10)):
            orjson.dumps({**orjson.loads(record.value or b"{}"), "offset": record.offset, "key": str(record.key)})
        times.append(time.process_time() - begun)
    return statistics.median(times) / REFERENCE_SECONDS


def _feed(task: Task, series: int, rounds: range, offset: int) -> float:
    """Feed rounds in batches of at most the daemon's size; return the processor time in seconds."""
    records: list[Record] = [
        record._replace(offset=offset + number) for number, record in enumerate(observations(series, rounds))
    ]
    size = POLL_RECORDS if series > 1 else 1
    begun = time.process_time()
    for start in range(0, len(records), size):
        task.feed(records[start : start + size])
    return time.process_time() - begun


def _result(task: Task, series: int, seconds: float, offset: int, *, warm: bool) -> Measured:
    saved = sum(len(value or b"") for _, value in task.save(offset))
    return Measured(series, 1e6 * seconds, task.state_bytes / series, saved / series, warm)
