"""Workers over a log in memory, with a clock that tests control and failures that they inject."""
# ruff: noqa: D102 -- the methods are those of the protocols

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from support.fakes import INPUT, TOPICS, FakeForecaster, make_task
from support.inputs import mixed

from streamrnn.errors import LogError
from streamrnn.log import Committed, Poll, Topic, Transaction
from streamrnn.log.limits import TopicLimits
from streamrnn.log.memory import MemoryLog, MemoryStore
from streamrnn.records import Observer, Output, OutputTopics, Record, StepReport, TopicPartition
from streamrnn.runtime.options import CommitPolicy, Hooks, Limits, StartPolicy
from streamrnn.runtime.task import Task
from streamrnn.runtime.worker import Worker

APP = "app"
OUTPUTS = {"sensors": TOPICS}


class Clock:
    """A clock that advances only when something sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class RecordingObserver(Observer):
    """An observer that records every event."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []
        self.commits: Counter[TopicPartition] = Counter()
        self.commit_seconds: list[float] = []
        self.lags: dict[TopicPartition, int] = {}
        self.waits: dict[TopicPartition, float] = {}
        self.restarts: Counter[TopicPartition] = Counter()
        self.releases: Counter[TopicPartition] = Counter()
        self.assignments: Counter[TopicPartition] = Counter()
        self.restores: Counter[TopicPartition] = Counter()
        self.saved: Counter[TopicPartition] = Counter()
        self.aborts: Counter[TopicPartition] = Counter()
        self.busy = 0.0
        self.restoring = 0

    def stepped(self, report: StepReport) -> None:
        self.reports.append(report)

    def assigned(self, partition: TopicPartition) -> None:
        self.assignments[partition] += 1

    def restored(self, partition: TopicPartition, seconds: float) -> None:
        self.restores[partition] += 1

    def committed(self, partition: TopicPartition, seconds: float, saved: int) -> None:
        self.commits[partition] += 1
        self.commit_seconds.append(seconds)
        self.saved[partition] += saved

    def aborted(self, partition: TopicPartition) -> None:
        self.aborts[partition] += 1

    def lag(self, partition: TopicPartition, records: int) -> None:
        self.lags[partition] = records

    def blocked(self, partition: TopicPartition, topic: str, seconds: float) -> None:
        self.waits[TopicPartition(topic, partition.partition)] = seconds

    def restarted(self, partition: TopicPartition) -> None:
        self.restarts[partition] += 1

    def released(self, partition: TopicPartition) -> None:
        self.releases[partition] += 1

    def iterated(self, seconds: float, restoring: int) -> None:
        self.busy += seconds
        self.restoring = restoring


class FaultyLog:
    """A log in memory whose operations take time and can fail.

    `fault` is called before and after each operation, with "commit" and "commit done" for example, and may raise.
    `delay` is called for each commit and returns the seconds until it happens, unless the worker waits for it.
    """

    def __init__(
        self, store: MemoryStore, clock: Clock, fault: Callable[[str], None] = lambda _: None,
        delay: Callable[[], float] = lambda: 0.0,
    ) -> None:  # fmt: skip
        self.delay = delay
        self.memory = MemoryLog(store=store, app=APP)
        self.sent: list[Output] = []
        self.clock = clock
        self.fault = fault

    def _do(self, name: str, *arguments: Any) -> Any:
        self.fault(name)
        result = getattr(self.memory, name)(*arguments)
        self.fault(f"{name} done")
        return result

    def partitions(self, topic: str) -> int:
        count: int = self._do("partitions", topic)
        return count

    def limits(self, topic: str) -> TopicLimits:
        return self.memory.limits(topic)

    def limit_warning(self, topic: str) -> str:
        return self.memory.limit_warning(topic)

    def readable(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        return self.memory.readable(partitions)

    def other_commits(self, partition: TopicPartition) -> dict[str, Committed]:
        return self.memory.other_commits(partition)

    def topic_id(self, topic: str) -> str:
        return self.memory.topic_id(topic)

    def create(self, topics: Sequence[Topic]) -> None:
        self._do("create", topics)

    def subscribe(self, topics: Sequence[str]) -> None:
        self._do("subscribe", topics)

    def poll(self, timeout: float, limit: int) -> Poll:
        poll: Poll = self._do("poll", timeout, limit)
        self.clock.sleep(0.01 if poll.records else max(timeout, 0.001))
        return poll

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._do("seek", partition, offset)

    def committed(self, partition: TopicPartition) -> Committed | None:
        committed: Committed | None = self._do("committed", partition)
        return committed

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        bounds: tuple[int, int] = self._do("bounds", partition)
        return bounds

    def position(self, partition: TopicPartition) -> int:
        position: int = self._do("position", partition)
        return position

    def transaction(self, partition: TopicPartition) -> Transaction:
        return FaultyTransaction(self._do("transaction", partition), self)

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[Record]:
        records: Iterator[Record] = self._do("read", partition, start, end)
        return records

    def read_state(self, partition: TopicPartition) -> dict[bytes, bytes]:
        state: dict[bytes, bytes] = self._do("read_state", partition)
        return state

    def close(self) -> None:
        self.memory.close()


class DelayedCommit(Future[float]):
    """A commit in the background: it happens at a later time, or once its result is needed."""

    def __init__(self, commit: Callable[[], None], at: float, clock: Clock) -> None:
        super().__init__()
        self._commit, self._at, self._clock = commit, at, clock

    def done(self) -> bool:
        if self._clock.monotonic() >= self._at:
            self.happen()
        return super().done()

    def result(self, timeout: float | None = None) -> float:
        self.happen()
        return super().result(timeout)

    def happen(self) -> None:
        if super().done():
            return
        try:
            self._commit()
        except BaseException as error:
            self.set_exception(error)
            if not isinstance(error, Exception):  # the process is killed
                raise
        else:
            self.set_result(0.0)


class FaultyTransaction:
    """The transaction of a faulty log."""

    def __init__(self, inner: Transaction, log: FaultyLog) -> None:
        self._inner = inner
        self._log = log
        self._under_way: DelayedCommit | None = None

    def send(self, outputs: Sequence[Output]) -> None:
        self._require_idle()
        self._log.fault("send")
        self._inner.send(outputs)
        self._log.sent.extend(outputs)
        self._log.fault("send done")

    def commit(self, offset: int, metadata: str) -> None:
        self._log.fault("commit")
        self._inner.commit(offset, metadata)
        self._log.fault("commit done")

    def begin_commit(self, offset: int, metadata: str) -> Future[float]:
        self._require_idle()
        at = self._log.clock.monotonic() + self._log.delay()
        self._under_way = DelayedCommit(lambda: self.commit(offset, metadata), at, self._log.clock)
        return self._under_way

    def close(self) -> None:
        if self._under_way is not None:
            self._under_way.done()  # one that is due soon succeeds, others are rolled back
        self._inner.close()

    def _require_idle(self) -> None:
        assert self._under_way is None or self._under_way.done(), "a commit is under way"


def make_store(records: Sequence[Record], partitions: int = 1) -> MemoryStore:
    """Return a store with these records in the input topic."""
    store = MemoryStore()
    store.create(Topic("sensors", partitions))
    store.append("sensors", records)
    return store


def make_worker(
    connect: Callable[[], Any],
    clock: Clock,
    *,
    task: Callable[[TopicPartition], Task] | None = None,
    observer: Observer | None = None,
    outputs: Mapping[str, OutputTopics] = OUTPUTS,
    start: StartPolicy = StartPolicy(),  # noqa: B008 -- frozen
    **options: Any,
) -> Worker:
    """Return a worker, by default with small fake tasks; `options` are fields of its groups of options."""

    def group(kind: Any, **defaults: Any) -> Any:
        names = {field.name for field in dataclasses.fields(kind)} & options.keys()
        return kind(**defaults | {name: options.pop(name) for name in names})

    worker = Worker(
        connect=connect,
        make_task=task or (lambda partition: make_task(FakeForecaster(most=40), partition=partition)),
        outputs=outputs,
        start=start,
        commits=group(CommitPolicy, interval=0.5, snapshot_interval=30.0),
        hooks=group(Hooks, observer=observer or Observer()),
        limits=group(Limits),
        clock=clock,
    )
    assert not options, f"unknown options: {options}"
    return worker


def all_committed(store: MemoryStore) -> bool:
    """Return whether all input is committed."""
    ends = {TopicPartition("sensors", number): one.following for number, one in enumerate(store.topic("sensors"))}
    committed = {partition: store.committed.get((APP, partition)) for partition in ends}
    return all(found is not None and found.offset == ends[partition] for partition, found in committed.items())


def finish(worker: Worker, store: MemoryStore, iterations: int = 5000) -> None:
    """Run a worker until all input is committed."""
    for _ in range(iterations):
        if all_committed(store):
            return
        worker.run_once()
    raise AssertionError(f"not finished after {iterations} iterations: {worker.not_ready_reason}")


def published(store: MemoryStore) -> tuple[list[Record], list[Record]]:
    """Return all committed forecasts and dead letters."""
    return store.read("sensors.forecasts"), store.read("sensors.dead-letters")


def log_error(words: str = "broken") -> LogError:
    """Return an error as a log raises it."""
    return LogError(words)


class Bench:
    """A store with one worker."""

    def __init__(self, records: list[Record], *, partitions: int = 1, **changes: Any) -> None:
        self.store = make_store(records, partitions)
        self.clock = Clock()
        self.observer = RecordingObserver()
        self.fault: Callable[[str], None] = lambda _: None
        self.delay = 0.0
        """Seconds until a commit happens, unless the worker waits for it."""
        self.logs: list[FaultyLog] = []
        self.worker = self.another(observer=self.observer, **changes)

    def another(self, **changes: Any) -> Worker:
        """Return another worker over the same store."""

        def connect() -> FaultyLog:
            self.fault("connect")
            fault = lambda name: self.fault(name)  # noqa: E731, PLW0108 -- it changes
            self.logs.append(FaultyLog(self.store, self.clock, fault, lambda: self.delay))
            return self.logs[-1]

        return make_worker(connect, self.clock, **changes)

    def iterate(self, count: int) -> None:
        """Run iterations of the worker's loop."""
        for _ in range(count):
            self.worker.run_once()

    def manifest(self, partition: TopicPartition = INPUT) -> dict[str, Any]:
        """Return the committed manifest."""
        manifest: dict[str, Any] = json.loads(self.store.committed[APP, partition].metadata)
        return manifest

    def fail(self, name: str, error: BaseException | None = None, times: int = 1) -> None:
        """Make the operation of this name fail this number of times."""
        left = [times]

        def fault(operation: str) -> None:
            if operation == name and left[0]:
                left[0] -= 1
                raise error or log_error(f"no {name}")

        self.fault = fault

    def commit_and_feed(self) -> None:
        """Commit all input; then feed more records, which wait for the next commit."""
        self.iterate(3)
        for number in range(len(self.store.topic("sensors"))):
            self.store.append("sensors", mixed(30, seed=10 + number, partition=number))
        self.iterate(1)

    def stop(self) -> None:
        """Stop the worker as a signal does."""
        self.worker.stop()
        self.worker.run()
