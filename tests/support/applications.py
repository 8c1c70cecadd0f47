"""Applications with a small real forecaster over one log, run in this process for a while."""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.log_backends import MemoryWorld, SqliteWorld
from support.worker_harness import Watcher

from streamrnn import app
from streamrnn.log import Log, Topic
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings, load

SMALL = [
    "input.topics=sensors", "input.key=series", "input.time=time", "model.hidden_size=4", "learning.window=4",
    "learning.batch=4", "learning.replay=4", "learning.most=200", "forecast.horizons=1,3",
]  # fmt: skip


HALFWAY = 8
"""Turns of a worker."""


class Keep:
    """One log with the input topic `sensors`."""

    def __init__(self, world: MemoryWorld | SqliteWorld, partitions: int = 1) -> None:
        self.world = world
        with closing(world.open("creator")) as log:
            log.create([Topic("sensors", partitions)])

    def produce(self, records: Sequence[Record]) -> None:
        """Write input."""
        self.world.produce("sensors", records)

    def open(self, settings: Settings) -> Log:
        """What `app.open_log` does."""
        return self.world.open(settings.app)

    @contextmanager
    def running(self, settings: Settings) -> Iterator[Worker]:
        """A worker that has committed all input; its state is saved halfway, unless it is stopped."""
        worker = Worker(
            connect=lambda: self.open(settings),
            task=lambda partition: app.task(settings, partition),
            outputs={topic: app.output_topics(settings, topic) for topic in settings.input.topics},
            start=settings.input.start,
            interval=0.0,
            snapshot_interval=1e9,
            observer=Watcher(),
            poll_records=20,
        )
        with closing(worker):
            for turn in range(10_000):
                worker.turn()
                if turn == HALFWAY:
                    for held in worker._held.values():
                        held.saved = -math.inf
                if self._done(settings) and not worker.unready:
                    break
            else:
                raise AssertionError(worker.unready)
            yield worker

    def _done(self, settings: Settings) -> bool:
        with closing(self.open(settings)) as log:
            for number in range(log.partitions("sensors")):
                partition = TopicPartition("sensors", number)
                committed = log.committed(partition)
                if committed is None or committed.offset < log.bounds(partition)[1]:
                    return False
        return True

    def run(self, settings: Settings, *, clean: bool = True) -> None:
        """Let a daemon commit all input, and end it as SIGTERM does, or else as SIGKILL."""
        with self.running(settings) as worker:
            if clean:
                worker.stop()
                worker.run()


def configured(*overrides: str, name: str = "one") -> Settings:
    """Settings of a small application."""
    return load(None, [f"app={name}", *SMALL, *overrides])


def yes() -> bool:
    """Confirm."""
    return True


def keep_of(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, partitions: int = 1) -> Keep:
    """A keep over a log of this kind, which the commands find, too."""
    keep = Keep(MemoryWorld() if kind == "memory" else SqliteWorld(folder / "log.db"), partitions)
    monkeypatch.setattr(app, "open_log", keep.open)
    return keep
