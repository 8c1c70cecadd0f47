"""Deliver, crash, rebalance, restore and snapshot in any order, over the log in memory, and judge at any time."""

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from support.fakes import FakeForecaster, make_task
from support.inputs import mixed
from support.oracle import Found, Verdict, in_one_go, judge, judge_part, sorted_out
from support.table import Row
from support.worker_harness import APP, OUTPUTS, Clock, FaultyLog, finish, make_store, make_worker

from streamrnn.log.memory import MemoryStore
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamrnn.runtime.worker import Worker

PARTITIONS = 3
LONGEST = 120  # records of a partition


class Killed(BaseException):
    """The end of a process in the middle of whatever it does."""


def task(partition: TopicPartition) -> Task:
    """A task with the fake forecaster, which learns often."""
    return make_task(FakeForecaster(most=10), partition=partition)


def expected(records: list[Record]) -> Found:
    """Return what an undisturbed run writes for these records."""
    names = OUTPUTS["sensors"]
    return in_one_go(
        task, topic="sensors", outputs=names[:2], state=names.state, records=records, partitions=PARTITIONS
    )


def there(store: MemoryStore, *, state: bool) -> Found:
    """What a reader sees in a store."""
    names = OUTPUTS["sensors"]
    outputs = sorted_out(record for topic in names[:2] for record in store.read(topic))
    committed = {partition: held.offset for (_, partition), held in store.committed.items()}
    pieces: dict[TopicPartition, dict[bytes, bytes]] = {}
    for record in store.read(names.state) if state else ():
        if record.key is not None and record.value is not None:
            pieces.setdefault(TopicPartition(names.state, record.partition), {})[record.key] = record.value
    return Found(outputs, committed, pieces)


def ended(store: MemoryStore, clock: Clock, records: list[Record]) -> Verdict:
    """Let a worker finish what the others have left, end it cleanly, and judge."""
    last = make_worker(lambda: FaultyLog(store, clock), clock, task=task)
    finish(last, store)
    while last.not_ready_reason:
        last.run_once()
    last.stop()
    last.run()
    return judge(expected(records), there(store, state=True))


class Shop(RuleBasedStateMachine):
    """Workers that come and go over one store, into which records are delivered meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.given = [mixed(LONGEST, seed=number, keys=4, partition=number) for number in range(PARTITIONS)]
        self.sent = [0] * PARTITIONS
        self.clock = Clock()
        self.store = make_store([], PARTITIONS)
        self.crew: list[tuple[Worker, list[FaultyLog]]] = []
        self.left = 0
        """Operations until `then`; 0: it is not to be."""
        self.then: Callable[[], None] = self.die

    @property
    def records(self) -> list[Record]:
        """What has been delivered."""
        return [record for given, sent in zip(self.given, self.sent, strict=True) for record in given[:sent]]

    def fault(self, _: str) -> None:
        """Count an operation of a log."""
        self.left -= 1
        if self.left == 0:
            self.then()

    def die(self) -> None:
        """Kill the current worker."""
        raise Killed

    @rule(partition=st.integers(0, PARTITIONS - 1), count=st.integers(1, 40))
    def deliver(self, partition: int, count: int) -> None:
        """Records come into a partition."""
        start = self.sent[partition]
        self.sent[partition] = min(LONGEST, start + count)
        self.store.append("sensors", self.given[partition][start : self.sent[partition]])

    @precondition(lambda self: len(self.crew) < 4)
    @rule(
        poll=st.sampled_from([1, 3, 17, 1000]),
        interval=st.sampled_from([0.001, 0.02, 0.5]),
        often=st.sampled_from([1, 4, 100]),
        delay=st.sampled_from([0.0, 0.005, 0.05, 1.0]),
    )
    def join(self, poll: int, interval: float, often: int, delay: float) -> None:
        """Start another worker, at whose first iteration the partitions are assigned again."""
        logs: list[FaultyLog] = []

        def connect() -> FaultyLog:
            logs.append(FaultyLog(self.store, self.clock, self.fault, lambda: delay))
            return logs[-1]

        intervals = {"interval": interval, "snapshot_interval": interval * often}
        self.crew.append((make_worker(connect, self.clock, task=task, poll_records=poll, **intervals), logs))

    @precondition(lambda self: 0 < len(self.crew) < 4)
    @rule(data=st.data(), after=st.integers(1, 30), turns=st.integers(1, 8))
    def freeze(self, data: Any, after: int, turns: int) -> None:
        """A worker stops in the middle of something; another joins and works meanwhile; then the first goes on."""
        worker, _ = data.draw(st.sampled_from(self.crew))
        self.join(poll=17, interval=0.001, often=4, delay=0.0)
        newcomer, _ = self.crew[-1]

        def meanwhile() -> None:
            for _ in range(turns):
                newcomer.run_once()

        self.left, self.then = after, meanwhile
        while self.left > 0:
            worker.run_once()
        self.then = self.die

    @precondition(lambda self: self.crew)
    @rule(data=st.data(), turns=st.integers(1, 25))
    def work(self, data: Any, turns: int) -> None:
        """A worker does some rounds: it restores, feeds, commits, saves."""
        worker, _ = data.draw(st.sampled_from(self.crew))
        for _ in range(turns):
            worker.run_once()

    @precondition(lambda self: self.crew)
    @rule(data=st.data(), after=st.integers(1, 60))
    def crash(self, data: Any, after: int) -> None:
        """A worker is killed at one of its next operations, and leaves whatever is open."""
        member = data.draw(st.sampled_from(self.crew))
        worker, logs = member
        self.left = after
        try:
            while self.left > 0:
                worker.run_once()
        except Killed:
            pass
        self.left = 0
        self.crew.remove(member)
        for log in logs:
            log.memory.close()

    @precondition(lambda self: self.crew)
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        """A worker ends cleanly: it commits and saves what it has."""
        member = data.draw(st.sampled_from(self.crew))
        self.crew.remove(member)
        member[0].stop()
        member[0].run()

    @invariant()
    def nothing_is_wrong_so_far(self) -> None:
        """What a reader sees is the beginning of what an undisturbed run writes."""
        judge_part(expected(self.records), there(self.store, state=False)).require()

    def teardown(self) -> None:
        """Whatever has happened, it can be finished, and then all is as it should be."""
        self.left = 0
        for worker, logs in self.crew:
            for log in logs:
                log.memory.close()
            del worker
        if all(self.sent):
            ended(self.store, self.clock, self.records).require()


def drive(examples: int, steps: int, row: Row) -> None:
    """Run `examples` scenes of up to `steps` steps each."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Shop,
        settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=slow),
    )
    row.survive(Verdict(), examples)


def test_scenes_of_any_order(row: Row) -> None:
    """Deliver, crash, rebalance, restore and snapshot in any order."""
    drive(4, 25, row)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_many_scenes_of_any_order(row: Row) -> None:
    """The same, more often and longer."""
    drive(100, 40, row)


def varied(seed: int) -> Verdict:
    """Any number of workers with any poll sizes and intervals, by turns."""
    chance = random.Random(seed)
    records = [r for n in range(PARTITIONS) for r in mixed(LONGEST, seed=seed * 10 + n, keys=2 * n + 2, partition=n)]
    store, clock = make_store(records, PARTITIONS), Clock()
    crew = []
    for _ in range(chance.randint(1, 5)):
        interval = chance.choice([0.001, 0.02, 0.5])
        crew.append(
            make_worker(
                lambda: FaultyLog(store, clock),
                clock,
                task=task,
                poll_records=chance.choice([1, 2, 7, 33, 1000]),
                interval=interval,
                snapshot_interval=interval * chance.choice([1, 4, 100]),
            )
        )
    for _ in range(chance.randint(20, 400)):
        chance.choice(crew).run_once()
    for worker in crew:
        worker.stop()
        worker.run()
    return ended(store, clock, records)


@pytest.mark.parametrize(
    "seeds",
    [pytest.param(range(8), id="8 seeds"), pytest.param(range(8, 200), id="192 seeds", marks=pytest.mark.faults)],
)
def test_poll_sizes_commits_and_worker_counts(seeds: range, row: Row) -> None:
    """How the work is cut up and shared out changes no byte."""
    for seed in seeds:
        row.survive(varied(seed))
    assert APP
