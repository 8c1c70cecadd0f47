"""Applications with a small real forecaster over one log, run in this process."""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.log_backends import MemoryWorld, SqliteWorld
from support.worker_harness import RecordingObserver

from streamrnn import app
from streamrnn.log import Log, Topic
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.options import CommitPolicy, Hooks, Limits, StartPolicy
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings, load

SMALL = [
    "input.topics=sensors", "input.key=series", "input.time=time", "model.hidden_size=4", "learning.window=4",
    "learning.batch=4", "learning.replay=4", "learning.most=200", "forecast.horizons=1,3",
]  # fmt: skip


HALFWAY = 8
"""Iterations of a worker before a snapshot."""


class Application:
    """A log with the input topic `sensors`, and daemons over it."""

    def __init__(self, world: MemoryWorld | SqliteWorld, partitions: int = 1) -> None:
        self.world = world
        with closing(world.open("creator")) as log:
            log.create([Topic("sensors", partitions)])

    def produce(self, records: Sequence[Record]) -> None:
        """Write input."""
        self.world.produce("sensors", records)

    def open(self, settings: Settings) -> Log:
        """Replace `app.open_log`."""
        return self.world.open(settings.app)

    @contextmanager
    def running(self, settings: Settings) -> Iterator[Worker]:
        """Yield a worker that has committed all input; its last snapshot is older, unless it is stopped."""
        worker = Worker(
            connect=lambda: self.open(settings),
            make_task=lambda partition: app.task(settings, partition),
            outputs={topic: app.output_topics(settings, topic) for topic in settings.input.topics},
            start=StartPolicy(settings.input.start),
            commits=CommitPolicy(interval=0.0, snapshot_interval=1e9),
            hooks=Hooks(observer=RecordingObserver()),
            limits=Limits(poll_records=20),
        )
        with closing(worker):
            for iteration in range(10_000):
                worker.run_once()
                if iteration == HALFWAY:
                    for owned in worker._owned.values():
                        owned.last_snapshot = -math.inf
                if self._all_committed(settings) and not worker.not_ready_reason:
                    break
            else:
                raise AssertionError(worker.not_ready_reason)
            yield worker

    def _all_committed(self, settings: Settings) -> bool:
        with closing(self.open(settings)) as log:
            for number in range(log.partitions("sensors")):
                partition = TopicPartition("sensors", number)
                committed = log.committed(partition)
                if committed is None or committed.offset < log.bounds(partition)[1]:
                    return False
        return True

    def run(self, settings: Settings, *, clean: bool = True) -> None:
        """Run a daemon until all input is committed; end it as SIGTERM does, or as SIGKILL."""
        with self.running(settings) as worker:
            if clean:
                worker.stop()
                worker.run()


def configured(*overrides: str, name: str = "one") -> Settings:
    """Return the settings of a small application."""
    return load(None, [f"app={name}", *SMALL, *overrides])


def yes() -> bool:
    """Confirm."""
    return True


def make_application(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, partitions: int = 1) -> Application:
    """Return an application over a log of this kind, which `app.open_log` opens."""
    made = Application(MemoryWorld() if kind == "memory" else SqliteWorld(folder / "log.db"), partitions)
    monkeypatch.setattr(app, "open_log", made.open)
    return made
