"""Input and output that the benchmarks share."""

import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog
from streamrnn.records import Record

START = 1_700_000_000_000
STEP = 60_000
"""Milliseconds of event time between two observations of a series."""
APPENDED = 20_000
"""Records to write in one transaction."""


def observations(series: int, rounds: range, start: int = START) -> Iterator[Record]:
    """Yield one record per series and round, always the same: a daily season with noise under the keys s0, s1, ..."""
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, series)
    for number in rounds:
        noise = np.random.default_rng([1, number]).normal(size=series)
        values = 50 + 10 * np.sin(2 * np.pi * number / 1440 + phases) + noise
        for key, value in enumerate(values.tolist()):
            yield Record("bench", 0, -1, start + number * STEP, b"s%d" % key, b'{"value":%.3f}' % value)


def fill_sqlite(path: Path, series: int, count: int) -> None:
    """Create a SQLite log with the topic `bench` and about `count` records."""
    with closing(SqliteLog(path=path, app="producer")) as log:
        log.create([Topic("bench", 1)])
        records = observations(series, range(-(-count // series)))
        while batch := list(islice(records, APPENDED)):
            log.append("bench", batch)


@contextmanager
def kafka(bootstrap: str | None) -> Iterator[str]:
    """Yield the address of a broker: `bootstrap`, or one started for the benchmark."""
    if bootstrap is not None:
        yield bootstrap
        return
    from support.broker import Broker

    with Broker() as broker:
        yield broker.bootstrap


def write_line(line: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def spread(values: Sequence[float], form: str = "{:,.0f}") -> str:
    """Return the median and, with several values, the range."""
    text = form.format(statistics.median(values))
    return text if len(values) == 1 else f"{text} ({form.format(min(values))} to {form.format(max(values))})"
