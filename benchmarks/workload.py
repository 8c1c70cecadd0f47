"""Input and output that the benchmarks share."""

import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from streamrnn.commands.capacity.workload import START, STEP, observations  # noqa: F401 -- for the others
from streamrnn.log import Topic
from streamrnn.log.sqlite import SqliteLog

APPENDED = 20_000
"""Records to write in one transaction."""


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

    class OptimizedBroker(Broker):
        java_options = ()

    with OptimizedBroker() as broker:
        yield broker.bootstrap


def write_line(line: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def spread(values: Sequence[float], form: str = "{:,.0f}") -> str:
    """Return the median and, with several values, the range."""
    text = form.format(statistics.median(values))
    return text if len(values) == 1 else f"{text} ({form.format(min(values))} to {form.format(max(values))})"
