"""What being watched costs: a worker with metrics, scrapes and log beside one without any, turn by turn in one process.

PYTHONPATH=tests python -m benchmarks.observed
"""

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0.12 under Python 3.11
    from benchmarks.over_kafka import observations

from streamrnn import app, daemon
from streamrnn.core.quality import MEASURES
from streamrnn.log import Topic
from streamrnn.log.memory import MemoryLog, MemoryStore
from streamrnn.observe import logs
from streamrnn.settings import load
from streamrnn.worker import Worker

SCRAPE = 5.0
"""Seconds between two scrapes."""
LEAN = ["model.variant=lean", "model.hidden_size=24"]


class Silent:
    """An observer that is told everything and does nothing."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


class Side:
    """One of the two workers, over a log in memory of its own, and the processor seconds of each of its turns."""

    def __init__(self, overrides: Sequence[str], *, watched: bool) -> None:
        settings = load(None, ["input.topics=bench", *overrides])
        self.store, self.watched = MemoryStore(), watched
        self.turns: list[float] = []
        self.store.create(Topic("bench", 1))
        self.metrics = daemon.metrics_of(settings)
        timed = {"timed": self.metrics.timed} if watched else {}
        self.worker = Worker(
            connect=lambda: MemoryLog(store=self.store, app="bench"),
            task=lambda partition: self._task(app.task(settings, partition, **timed)),  # type: ignore[arg-type]
            outputs={"bench": app.output_topics(settings, "bench")},
            start="earliest",
            interval=settings.commit.interval,
            snapshot_interval=None,
            observer=self.metrics if watched else Silent(),  # type: ignore[arg-type]
        )

    def _task(self, task: Any) -> Any:
        if not self.watched:
            bank = task._forecaster._bank
            nothing = np.zeros((MEASURES, len(bank.plan.horizons)))
            bank.assess = lambda *_: nothing
        return task

    def turn(self) -> None:
        """Come round once."""
        begun = time.thread_time()
        self.worker.turn()
        self.turns.append(time.thread_time() - begun)

    def scrape(self) -> float:
        """Processor seconds of a scrape."""
        begun = time.thread_time()
        self.metrics.exposition("")
        return time.thread_time() - begun


def ratio(overrides: Sequence[str], series: int, warm: int, rounds: int) -> float:
    """Throughput of the watched side over that of the other: the median over turns that did the same, and a scrape."""
    sides = [Side(overrides, watched=watched) for watched in (True, False)]
    records = list(observations(series, range(warm + rounds), 1_700_000_000_000))
    first = series * warm
    for side in sides:
        side.store.append("bench", records[:first])
    _work(sides, first)
    for side in sides:
        side.store.append("bench", records[first:])
        side.turns.clear()
    _work(sides, len(records))
    watched, other = (np.array(side.turns) for side in sides)
    busy = watched > np.median(watched) / 4  # turns that found records
    scraped = min(sides[0].scrape() for _ in range(5)) / SCRAPE
    return float(np.median(other[busy] / watched[busy])) * (1 - scraped)


def _work(sides: Sequence[Side], count: int) -> None:
    """Take turns, either side first, until all has been forecast and committed."""
    number = 0
    while any(_committed(side) < count for side in sides):
        for side in sides if number % 2 else sides[::-1]:
            side.turn()
        number += 1


def _committed(side: Side) -> int:
    return max((each.offset for each in side.store.committed.values()), default=0)


def main(argv: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="observed", allow_abbrev=False)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--series", type=int, nargs="+", default=[1, 1000])
    parser.add_argument("--records", type=int, default=20_000)
    arguments = parser.parse_args(argv)
    logs.configure(level="warning")
    for name, overrides in (("full", []), ("lean", LEAN)):
        for series in arguments.series:
            rounds = max(arguments.records // series, 12)
            found = [ratio(overrides, series, max(rounds // 4, 30), rounds) for _ in range(arguments.repeat)]
            sys.stdout.write(f"{name}, {series:,} series: {', '.join(f'{each:.3f}' for each in found)}\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
