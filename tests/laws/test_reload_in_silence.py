"""A change of the configuration between heartbeats: what time causes is computed under the settings of its moment."""

import json
import logging
from collections import deque
from contextlib import closing

import pytest
from support.applications import SMALL, Application
from support.changes import change
from support.log_backends import MemoryWorld
from support.worker_harness import Clock

from streamrnn import app
from streamrnn.records import Heartbeat, Observer, Output, Record, TopicPartition
from streamrnn.runtime.options import Hooks, Limits
from streamrnn.runtime.silence.heartbeats import decode_heartbeat, feed_between
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings, load

pytestmark = pytest.mark.usefixtures("bare_environment")
HERE = TopicPartition("sensors", 0)
BEFORE = [
    "app=one", *SMALL, "input.heartbeat=2s", "input.grace=2s", "input.window=10s", "input.window.empty=zero",
    "input.window.how=sum",
]  # fmt: skip
AFTER = [*BEFORE, 'forecast.thresholds=[{"field":"*","above":3}]']
START = 1_700_000_000_000
BURST = 30


class Silence:
    """One partition in memory, its clock, and a worker that can be killed."""

    def __init__(self) -> None:
        self.world, self.clock = MemoryWorld(), Clock()
        self._application, self._count = Application(self.world), 0

    def worker(self, settings: Settings) -> Worker:
        """Return a new worker, whose snapshots are old unless the settings change."""
        first = change(settings)
        return Worker(
            connect=lambda: self._application.open(settings),
            make_task=first.source,
            outputs=first.outputs,
            start=first.start,
            commits=first.commits,
            hooks=Hooks(observer=Observer()),
            limits=Limits(heartbeat_after=settings.input.heartbeat),
            clock=self.clock,
        )

    def produce(self) -> None:
        """Write records of one series, a second apart, a minute after those before."""
        made = []
        for _ in range(BURST):
            time = START + 1000 * (self._count + 60 * (self._count // BURST))
            value = json.dumps({"series": "pump", "time": time, "a": self._count % 7}).encode()
            made.append(Record(*HERE, self._count, time, None, value))
            self._count += 1
        self._application.produce(made)

    def run(self, worker: Worker, iterations: int) -> None:
        """Let time pass."""
        for _ in range(iterations):
            worker.run_once()
            self.clock.sleep(0.5)

    def heartbeats(self) -> list[Heartbeat]:
        """Return those in the log."""
        records = self.world.read("one.sensors.heartbeat")
        return [each for record in records if (each := decode_heartbeat(record.value, HERE, "")) is not None]


def expected(one: Silence, settings: list[Settings], offset: int, beaten: int) -> list[Output]:
    """Return the outputs of a task that continues with other settings at an offset, after `beaten` heartbeats."""
    records, beats = one.world.read("sensors"), one.heartbeats()
    task = app.task(settings[0], HERE)
    outputs, _ = feed_between(task, deque(beats[:beaten]), records[:offset], 0)
    pieces = {key: value for key, value in task.save(offset) if value is not None}
    task = app.task(settings[1], HERE)
    task.load(pieces)
    return outputs + feed_between(task, deque(beats[beaten:]), records[offset:], offset)[0]


@pytest.mark.parametrize("killed", [False, True])
def test_a_reload_between_heartbeats(caplog: pytest.LogCaptureFixture, *, killed: bool) -> None:
    """Windows that a silence closes behind the change have its thresholds, those before none; a kill changes none."""
    caplog.set_level(logging.INFO, "streamrnn")
    one, settings = Silence(), [load(None, each) for each in (BEFORE, AFTER)]
    with closing(one.worker(settings[0])) as worker:
        one.produce()
        one.run(worker, 12)
        one.produce()
        one.run(worker, 30)
        worker.reload(change(settings[1]))
        beaten = len(one.heartbeats())
        one.run(worker, 1)
        assert [record.msg for record in caplog.records].count("settings_changed") == 1
        assert len(one.heartbeats()) == beaten > 3, "none came between"
        one.run(worker, 30)
        if not killed:
            worker.stop()
            worker.run()
    with closing(one.worker(settings[1])) as worker:
        one.run(worker, 30)
        one.produce()
        one.run(worker, 30)
    made = [each for each in expected(one, settings, 2 * BURST, beaten) if each.topic == "sensors.forecasts"]
    assert len(one.heartbeats()) > beaten + 6
    assert [each.value for each in one.world.read("sensors.forecasts")] == [each.value for each in made]
    with_thresholds = ["thresholds" in json.loads(each.value or b"") for each in made]
    assert with_thresholds == sorted(with_thresholds)
    assert 5 < sum(with_thresholds) < len(made) - 5
