"""Laws of the daemon: poll sizes, commits, crashes, failures and rebalances change no committed byte."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import FakeForecaster, make_task
from support.inputs import mixed
from support.seeds import seeds
from support.streams import learning_often
from support.worker_harness import (
    APP,
    Clock,
    FaultyLog,
    all_committed,
    finish,
    log_error,
    make_store,
    make_worker,
    published,
)

from streamrnn.log.memory import MemoryStore
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.task import Task
from streamrnn.timing.order import EventOrder
from streamrnn.timing.rules import TimingRule, WindowRule

if TYPE_CHECKING:
    from streamrnn.runtime.worker import Worker

PARTITIONS = 2


class Killed(BaseException):
    """End of a process at an arbitrary operation."""


def records(seed: int, count: int = 150) -> list[Record]:
    """Return mixed records for all partitions."""
    return [
        record for p in range(PARTITIONS) for record in mixed(count, seed=10 * seed + p, keys=5 * p + 3, partition=p)
    ]


def real(partition: TopicPartition) -> Task:
    """Return a task with small networks that learn."""
    return make_task(learning_often(networks=3), partition=partition)


def fake(partition: TopicPartition) -> Task:
    """Return a task with the fake forecaster."""
    return make_task(FakeForecaster(most=40), partition=partition)


def waiting(partition: TopicPartition) -> Task:
    """Return a task with the fake forecaster, in which events wait for their window."""
    rule = TimingRule(grace=3000, window=WindowRule(every=1000, how=(("a", "rate"), ("*", "count")), empty="zero"))
    return make_task(FakeForecaster(most=40), partition=partition, event_order=EventOrder(rule))


def uninterrupted(given: list[Record], task: Any) -> tuple[list[Record], list[Record]]:
    """Return what one worker publishes without faults and with large polls."""
    store, clock = make_store(given, PARTITIONS), Clock()
    finish(make_worker(lambda: FaultyLog(store, clock), clock, task=task), store)
    forecasts, letters = published(store)
    assert len(forecasts) > 100
    assert len(letters) > 10
    return forecasts, letters


def delays(chance: random.Random) -> Callable[[], float]:
    """Return a function that returns random durations of commits."""
    return lambda: chance.choice([0.0, 0.005, 0.05, 1.0])


def varied(chance: random.Random) -> dict[str, Any]:
    """Return random poll sizes and intervals."""
    interval = chance.choice([0.001, 0.02, 0.5])
    return {
        "poll_records": chance.choice([1, 3, 17, 1000]),
        "interval": interval,
        "snapshot_interval": interval * chance.choice([1, 4, 100]),
    }


class Crashing:
    """Consecutive workers on one store, each killed at a random operation of the log."""

    def __init__(self, store: MemoryStore, chance: random.Random, task: Any) -> None:
        self.deaths: list[str] = []
        self._store, self._chance, self._task = store, chance, task
        self._clock = Clock()
        self._left = 0

    def _fault(self, name: str) -> None:
        self._left -= 1
        if self._left == 0:
            self.deaths.append(name)
            raise Killed

    def live(self) -> None:
        """Run one worker until it is killed, leaving an absent group member and an open transaction."""
        # long enough now and then for a commit to be reached, which is progress
        self._left = self._chance.randint(1, self._chance.choice([30, 60, 300]) if self.deaths else 30)
        logs: list[FaultyLog] = []

        def connect() -> FaultyLog:
            logs.append(FaultyLog(self._store, self._clock, self._fault, delays(self._chance)))
            return logs[-1]

        worker = make_worker(
            connect,
            self._clock,
            task=self._task,
            **(varied(self._chance) | {"poll_records": self._chance.choice([1, 3, 17])}),
        )
        try:
            while not all_committed(self._store):
                worker.run_once()
        except Killed:
            pass
        for log in logs:
            log.memory.close()


@pytest.mark.parametrize("seed", seeds(8, 60))
def test_kills_at_any_operation(seed: int) -> None:
    """Wherever the process is killed, readers see what one uninterrupted process publishes."""
    given, chance = records(seed), random.Random(seed)
    expected = uninterrupted(given, fake)
    store = make_store(given, PARTITIONS)
    crashing = Crashing(store, chance, fake)
    for _ in range(2000):
        if all_committed(store):
            break
        crashing.live()
    assert all_committed(store)
    assert published(store) == expected
    assert crashing.deaths


def survive(given: list[Record], chance: random.Random, make: Callable[[TopicPartition], Task]) -> None:
    """Kill workers until all is committed: the outputs are those of an undisturbed run."""
    store = make_store(given, PARTITIONS)
    crashing = Crashing(store, chance, make)
    for _ in range(2000):
        if all_committed(store):
            break
        crashing.live()
    assert all_committed(store)
    assert published(store) == uninterrupted(given, make)


@pytest.mark.parametrize("seed", seeds(3, 20))
def test_kills_while_observations_wait(seed: int) -> None:
    """What waits for earlier observations is part of the state: kills lose none of it and repeat none."""
    given, chance = records(200 + seed), random.Random(seed)
    survive(given, chance, waiting)


@pytest.mark.parametrize("seed", seeds(1, 6))
def test_kills_with_the_real_forecaster(seed: int) -> None:
    """Kills with networks that learn."""
    given, chance = records(100 + seed), random.Random(seed)
    survive(given, chance, real)


@pytest.mark.parametrize("seed", seeds(4, 40))
def test_failures_of_the_log(seed: int) -> None:
    """With random failures of the log, one process publishes what it would have published without them."""
    given, chance = records(seed), random.Random(seed)
    store, clock = make_store(given, PARTITIONS), Clock()
    share = chance.choice([0.03, 0.06, 0.15])
    faults = []

    def fault(name: str) -> None:
        if chance.random() < share:
            faults.append(name)
            raise log_error(name)

    patient = {"reachable_after": 10**6, "unavailable_after": 10**6}
    options = patient | varied(chance) | {"poll_records": 9}
    worker = make_worker(lambda: FaultyLog(store, clock, fault, delays(chance)), clock, **options)
    finish(worker, store, iterations=20_000)
    assert published(store) == uninterrupted(given, fake)
    assert faults


@pytest.mark.parametrize("seed", seeds(4, 40))
def test_rebalances(seed: int) -> None:
    """With workers that join, leave and die at random, readers see what one process publishes."""
    given, chance = records(seed), random.Random(seed)
    store, clock = make_store(given, PARTITIONS), Clock()
    crew: dict[Worker, list[FaultyLog]] = {}

    def join() -> None:
        logs: list[FaultyLog] = []

        def connect() -> FaultyLog:
            logs.append(FaultyLog(store, clock, delay=delays(chance)))
            return logs[-1]

        crew[make_worker(connect, clock, **varied(chance))] = logs

    turns = 0
    while not all_committed(store):
        turns += 1
        assert turns < 20_000
        move = chance.random()
        if not crew or move < 0.02:
            join()
        worker = chance.choice(list(crew))
        if move > 0.995:
            worker.stop()
            worker.run()
            del crew[worker]
        elif move > 0.99:
            for log in crew.pop(worker):
                log.memory.close()
        else:
            worker.run_once()
    assert published(store) == uninterrupted(given, fake)


def test_one_process_or_many() -> None:
    """The outputs of a partition do not depend on the other partitions of the process."""
    given = records(7)
    forecasts, letters = uninterrupted(given, fake)
    for number in range(PARTITIONS):
        partition = TopicPartition("sensors", number)
        outputs, _ = fake(partition).feed([r for r in given if r.partition == number])
        direct = [(o.key, o.value, o.timestamp, o.headers) for o in outputs if o.topic == "sensors.forecasts"]
        seen = [(r.key, r.value, r.timestamp, r.headers) for r in forecasts if r.partition == number]
        assert seen == direct
        assert len(letters) + len(forecasts) > len(direct)


@pytest.mark.parametrize("task", [fake, waiting])
def test_kills_leave_the_same_state(task: Any) -> None:
    """A run with many kills ends in the same state as one without."""
    given = records(3)
    states = []
    for crash in (False, True):
        store = make_store(given, PARTITIONS)
        if crash:
            crashing = Crashing(store, random.Random(1), task)
            for _ in range(30):
                crashing.live()
        clock = Clock()
        worker = make_worker(lambda store=store, clock=clock: FaultyLog(store, clock), clock, task=task)  # type: ignore[misc]
        finish(worker, store)
        while worker.not_ready_reason:
            worker.run_once()
        worker.stop()
        worker.run()
        states.append({(r.partition, r.key): r.value for r in store.read("app.state")})
        assert {offset for offset, _ in store.committed.values()} == {150}
    assert states[0] == states[1]
    assert (APP, TopicPartition("sensors", 0)) in store.committed
