"""A change of the configuration is a part of the log: crashes and restarts change no published byte."""

import gc
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from support.applications import SMALL, Application
from support.changes import change, switches_of, undisturbed_with_changes
from support.inputs import mixed
from support.log_backends import MemoryWorld
from support.oracle import Found, judge, sorted_out, topics
from support.seeds import seeds

from streamrnn import app
from streamrnn.commands.replay.audit import audit
from streamrnn.commands.replay.position import Position
from streamrnn.commands.run.reload import check_tasks
from streamrnn.commands.state.show import verify_state
from streamrnn.errors import StateError
from streamrnn.records import Observer, Record, TopicPartition
from streamrnn.runtime.options import Hooks, Limits
from streamrnn.runtime.task import Task
from streamrnn.runtime.worker import Worker
from streamrnn.settings import Settings, load

pytestmark = pytest.mark.usefixtures("bare_environment", "frozen")


@pytest.fixture
def frozen() -> Iterator[None]:
    """Keep what there is from the collections after each reload, as a daemon does: they would take most of the time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


PARTITIONS = 2
BASE = ["app=one", *SMALL]
CHANGED = {
    "alerts": ['forecast.thresholds=[{"field":"*","above":3}]', "anomaly.direction=up", "anomaly.joint=true",
        "output.every=3"],
    "shape": ["forecast.quantiles=0.1,0.5,0.9", "forecast.direction=true", 'forecast.bounds={"min": -60}'],
    "input": ["input.fields=a", "input.window=3s", "input.max_ahead=1d", "series.ttl=1h"],
    "learning": ["learning.head_rate=0.02", "learning.every=20", "learning.most=50", "learning.window=6"],
    "topics": ["output.events={topic}.events", "output.forecasts={topic}.other"],
}  # fmt: skip


def settings(kind: str) -> Settings:
    """Return the settings before the change, or those of CHANGED."""
    return load(None, [*BASE, *CHANGED.get(kind, [])])


class Runs:
    """Workers, one after the other, over one log that is fed meanwhile."""

    def __init__(self, chance: random.Random) -> None:
        self.world = MemoryWorld()
        self.application = Application(self.world, PARTITIONS)
        self._chance = chance
        self._inputs = [self._input(number) for number in range(PARTITIONS)]

    def _input(self, number: int) -> Iterator[Record]:
        yield from mixed(4000, seed=number, partition=number)

    def start(self, present: Settings) -> Worker:
        """Return a worker; the last snapshot of its partitions is old when it is killed."""
        first = change(present)
        return Worker(
            connect=lambda: self.application.open(present),
            make_task=first.source,
            outputs=first.outputs,
            start=first.start,
            commits=first.commits,
            hooks=Hooks(observer=Observer()),
            limits=Limits(poll_records=20),
        )

    def iterate(self, worker: Worker, count: int) -> None:
        """Run a worker while records arrive."""
        for _ in range(count):
            for records in self._inputs:
                self.application.produce([next(records) for _ in range(self._chance.randrange(9))])
            worker.run_once()

    def finish(self, worker: Worker) -> None:
        """Run a worker until all is committed."""
        for _ in range(500):
            worker.run_once()
            committed = self.world.store.committed
            ends = [each.following for each in self.world.store.topic("sensors")]
            found = [committed.get(("one", TopicPartition("sensors", n))) for n in range(PARTITIONS)]
            if not worker.not_ready_reason and [each and each.offset for each in found] == ends:
                return
        raise AssertionError(worker.not_ready_reason)


def judge_runs(runs: Runs, present: Settings, others: Sequence[Settings], events: Sequence[logging.LogRecord]) -> int:
    """Require the outputs of an undisturbed run; return the number of changes that took effect."""
    changed = [vars(event) for event in events if event.msg == "settings_changed"]
    switches = switches_of(changed, present, others)
    records = runs.world.read("sensors")
    expected = undisturbed_with_changes(switches, present, records, PARTITIONS)
    names = dict.fromkeys(name for each in (present, *others) for name in topics(each))
    outputs = sorted_out(record for name in names for record in runs.world.read(name))
    judge(expected, Found(outputs, expected.committed, {})).require()
    assert sum(map(len, outputs.values())) > 100
    return sum(len(chain) - 1 for chain in switches.values())


@pytest.mark.parametrize("kind", CHANGED)
def test_a_reload_changes_the_outputs_from_a_commit_on(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Before it the outputs are those of the old settings, behind it those of the new ones, and a kill changes none."""
    caplog.set_level(logging.INFO, "streamrnn")
    chance = random.Random(kind)
    before, after = settings(""), settings(kind)
    check_tasks(before, after)
    runs = Runs(chance)
    with closing(runs.start(before)) as worker:
        runs.iterate(worker, 20)
        worker.reload(change(after))
        runs.iterate(worker, 20)
    with closing(runs.start(after)) as worker:  # killed: the one before has committed no more
        runs.iterate(worker, 6)
        worker.reload(change(before))
        runs.iterate(worker, 12)
        runs.finish(worker)
    assert judge_runs(runs, before, [after], caplog.records) == 2 * PARTITIONS


def test_a_replaced_task_does_not_stay_in_memory() -> None:
    """Its parts refer to each other, and the collector's own turn may come after ten more reloads."""
    runs = Runs(random.Random(0))
    with closing(runs.start(settings(""))) as worker:
        runs.iterate(worker, 10)
        gc.collect()
        before = count_tasks()
        gc.disable()
        try:
            for kind in ("alerts", "", "alerts"):
                worker.reload(change(settings(kind)))
                runs.iterate(worker, 6)
            assert count_tasks() == before
        finally:
            gc.enable()


def count_tasks() -> int:
    """Return the number of tasks in memory, garbage included."""
    return sum(type(each) is Task for each in gc.get_objects())


@pytest.mark.parametrize("seed", seeds(2, 8))
def test_reloads_and_kills_at_any_moment(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that is killed restarts with the present file, whether or not it had reloaded it."""
    caplog.set_level(logging.INFO, "streamrnn")
    chance = random.Random(seed)
    every = [settings(kind) for kind in ("", "alerts", "shape", "learning", "input")]
    runs, present = Runs(chance), every[0]
    for run in range(8):
        with closing(runs.start(present)) as worker:
            for _ in range(chance.randrange(4)):
                runs.iterate(worker, chance.randrange(1, 8))
                present = chance.choice(every)
                if chance.random() < 0.7:  # or the file has changed, and nobody reloads it
                    worker.reload(change(present))
            runs.iterate(worker, chance.randrange(1, 4))
            if run == 7:
                runs.finish(worker)
    assert judge_runs(runs, every[0], every[1:], caplog.records) > PARTITIONS


def test_an_audit_knows_of_the_change(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs behind it are computed under the recorded settings, whatever the file; those before it with its file."""
    caplog.set_level(logging.INFO, "streamrnn")
    before, after = settings(""), settings("alerts")
    runs = Runs(random.Random(1))
    monkeypatch.setattr(app, "open_log", runs.application.open)
    with closing(runs.start(before)) as worker:
        runs.iterate(worker, 20)
        worker.reload(change(after))
        runs.iterate(worker, 20)
        runs.finish(worker)
    at = next(vars(r)["offset"] for r in caplog.records if r.msg == "settings_changed" and vars(r)["partition"] == 0)
    zero = ["sensors/0"]
    with pytest.raises(StateError, match=rf"changed at offset {at}; .* -c OLD.yaml --to {at}.* --from (\d+)") as caught:
        audit(before, zero, None, None)
    snapshot = int(str(caught.value).rsplit(" ", 1)[1])
    assert snapshot >= at
    for present in (before, after):
        assert audit(present, zero, Position(snapshot), None) == 0
        assert verify_state(present, zero, replay=True) == 0
    assert audit(before, zero, None, Position(at)) == 0
    for replay in (False, True):
        with pytest.raises(StateError, match="hidden_size was 4 when the state was saved and is 5 now"):
            verify_state(load(None, [*BASE, "model.hidden_size=5"]), zero, replay=replay)
    with pytest.raises(StateError, match="differs"):
        audit(after, zero, None, Position(at))
