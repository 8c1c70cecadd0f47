"""Laws of the daemon: poll sizes, commits, crashes, failures and rebalances change no byte of what a reader sees."""

import random
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import HORIZONS, QUANTILES, FakeForecaster, make_task
from support.inputs import mixed
from support.streams import small
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

if TYPE_CHECKING:
    from streamrnn.runtime.worker import Worker

PARTITIONS = 2


class Killed(BaseException):
    """The end of a process in the middle of whatever it does."""


def records(seed: int, count: int = 150) -> list[Record]:
    """Mixed records for all partitions."""
    return [
        record for p in range(PARTITIONS) for record in mixed(count, seed=10 * seed + p, keys=5 * p + 3, partition=p)
    ]


def real(partition: TopicPartition) -> Task:
    """A task with small networks that learn."""
    forecaster = small(
        networks=3, horizons=HORIZONS, quantiles=QUANTILES, hidden_size=4, window=4, every=2, most=40, head_every=1,
        head_most=30, batch=4, replay=4,
    )  # fmt: skip
    return make_task(forecaster, partition=partition)


def fake(partition: TopicPartition) -> Task:
    """A task with the fake forecaster."""
    return make_task(FakeForecaster(most=40), partition=partition)


def uninterrupted(given: list[Record], task: Any) -> tuple[list[Record], list[Record]]:
    """What one worker publishes that is never disturbed and polls much at a time."""
    store, clock = make_store(given, PARTITIONS), Clock()
    finish(make_worker(lambda: FaultyLog(store, clock), clock, task=task), store)
    forecasts, letters = published(store)
    assert len(forecasts) > 100
    assert len(letters) > 10
    return forecasts, letters


def varied(chance: random.Random) -> dict[str, Any]:
    """Poll sizes and intervals of any size."""
    interval = chance.choice([0.001, 0.02, 0.5])
    return {
        "poll_records": chance.choice([1, 3, 17, 1000]),
        "interval": interval,
        "snapshot_interval": interval * chance.choice([1, 4, 100]),
    }


class Crashing:
    """Workers one after another on one store, each killed at an operation of the log chosen by chance."""

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
        """One life; what is left of it is a member that has gone and a transaction that nobody ends."""
        # long enough now and then for a commit to be reached, which is progress
        self._left = self._chance.randint(1, self._chance.choice([30, 60, 300]) if self.deaths else 30)
        logs: list[FaultyLog] = []

        def connect() -> FaultyLog:
            logs.append(FaultyLog(self._store, self._clock, self._fault))
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


@pytest.mark.parametrize("seed", range(30))
def test_kills_at_any_operation(seed: int) -> None:
    """However often and wherever the process is killed, a reader sees what one uninterrupted process publishes."""
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


@pytest.mark.parametrize("seed", range(3))
def test_kills_with_the_real_forecaster(seed: int) -> None:
    """The same with networks that learn."""
    given, chance = records(100 + seed), random.Random(seed)
    expected = uninterrupted(given, real)
    store = make_store(given, PARTITIONS)
    crashing = Crashing(store, chance, real)
    for _ in range(2000):
        if all_committed(store):
            break
        crashing.live()
    assert all_committed(store)
    assert published(store) == expected


@pytest.mark.parametrize("seed", range(20))
def test_failures_of_the_log(seed: int) -> None:
    """However often the log fails, one process goes on and publishes what it would have published."""
    given, chance = records(seed), random.Random(seed)
    store, clock = make_store(given, PARTITIONS), Clock()
    share = chance.choice([0.03, 0.06, 0.15])
    faults = []

    def fault(name: str) -> None:
        if chance.random() < share:
            faults.append(name)
            raise log_error(name)

    patient = {"reachable_after": 10**6, "unavailable_after": 10**6}
    worker = make_worker(
        lambda: FaultyLog(store, clock, fault), clock, **(patient | varied(chance) | {"poll_records": 9})
    )
    finish(worker, store, iterations=20_000)
    assert published(store) == uninterrupted(given, fake)
    assert faults


@pytest.mark.parametrize("seed", range(20))
def test_rebalances(seed: int) -> None:
    """Whoever joins, leaves or dies, and whoever works first, a reader sees what one process publishes."""
    given, chance = records(seed), random.Random(seed)
    store, clock = make_store(given, PARTITIONS), Clock()
    crew: dict[Worker, list[FaultyLog]] = {}

    def join() -> None:
        logs: list[FaultyLog] = []

        def connect() -> FaultyLog:
            logs.append(FaultyLog(store, clock))
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
    """The number of partitions that a process works on changes nothing of what it says for each."""
    given = records(7)
    forecasts, letters = uninterrupted(given, fake)
    for number in range(PARTITIONS):
        partition = TopicPartition("sensors", number)
        outputs, _ = fake(partition).feed([r for r in given if r.partition == number])
        said = [(o.key, o.value, o.timestamp, o.headers) for o in outputs if o.topic == "sensors.forecasts"]
        seen = [(r.key, r.value, r.timestamp, r.headers) for r in forecasts if r.partition == number]
        assert seen == said
        assert len(letters) + len(forecasts) > len(said)


def test_state_is_all_there_is() -> None:
    """The end of a run with many kills leaves the same state as one without."""
    given = records(3)
    states = []
    for crash in (False, True):
        store = make_store(given, PARTITIONS)
        if crash:
            crashing = Crashing(store, random.Random(1), fake)
            for _ in range(30):
                crashing.live()
        clock = Clock()
        worker = make_worker(lambda store=store, clock=clock: FaultyLog(store, clock), clock)  # type: ignore[misc]
        finish(worker, store)
        while worker.not_ready_reason:
            worker.run_once()
        worker.stop()
        worker.run()
        states.append({(r.partition, r.key): r.value for r in store.read("app.state")})
        assert {offset for offset, _ in store.committed.values()} == {150}
    assert states[0] == states[1]
    assert (APP, TopicPartition("sensors", 0)) in store.committed
