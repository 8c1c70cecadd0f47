"""Workers over a log in memory, under a clock of the test's own, with failures wherever a test wants them."""
# ruff: noqa: D102 -- the methods are those of the protocols

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from support.fakes import FakeForecaster, make_task

from streamrnn.errors import LogError
from streamrnn.log import Committed, Poll, Topic, Transaction
from streamrnn.log.memory import MemoryLog, MemoryStore
from streamrnn.records import Output, Record, StepReport, TopicPartition
from streamrnn.runtime.task import Task
from streamrnn.runtime.worker import OutputTopics, Worker

APP = "app"
OUTPUTS = {"sensors": OutputTopics("sensors.forecasts", "sensors.dead-letters", "app.state")}


class Clock:
    """Seconds that pass only when something waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Watcher:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []
        self.commits: Counter[TopicPartition] = Counter()
        self.lags: dict[TopicPartition, int] = {}
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
        self.saved[partition] += saved

    def aborted(self, partition: TopicPartition) -> None:
        self.aborts[partition] += 1

    def lag(self, partition: TopicPartition, records: int) -> None:
        self.lags[partition] = records

    def restarted(self, partition: TopicPartition) -> None:
        self.restarts[partition] += 1

    def released(self, partition: TopicPartition) -> None:
        self.releases[partition] += 1

    def turned(self, seconds: float, restoring: int) -> None:
        self.busy += seconds
        self.restoring = restoring


class FaultyLog:
    """A log in memory whose operations pass time and may fail.

    `fault` is called before and after each operation with its name, as in "commit" and "commit done"; what it raises is
    raised.
    """

    def __init__(self, store: MemoryStore, clock: Clock, fault: Callable[[str], None] = lambda _: None) -> None:
        self.memory = MemoryLog(store=store, app=APP)
        self.sent: list[Output] = []
        self._clock = clock
        self._fault = fault

    def _do(self, name: str, *arguments: Any) -> Any:
        self._fault(name)
        result = getattr(self.memory, name)(*arguments)
        self._fault(f"{name} done")
        return result

    def partitions(self, topic: str) -> int:
        count: int = self._do("partitions", topic)
        return count

    def create(self, topics: Sequence[Topic]) -> None:
        self._do("create", topics)

    def subscribe(self, topics: Sequence[str]) -> None:
        self._do("subscribe", topics)

    def poll(self, timeout: float, limit: int) -> Poll:
        poll: Poll = self._do("poll", timeout, limit)
        self._clock.sleep(0.01 if poll.records else max(timeout, 0.001))
        return poll

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._do("seek", partition, offset)

    def committed(self, partition: TopicPartition) -> Committed | None:
        committed: Committed | None = self._do("committed", partition)
        return committed

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        bounds: tuple[int, int] = self._do("bounds", partition)
        return bounds

    def transaction(self, partition: TopicPartition) -> Transaction:
        return FaultyTransaction(self._do("transaction", partition), self.sent, self._fault)

    def read_state(self, partition: TopicPartition) -> dict[bytes, bytes]:
        state: dict[bytes, bytes] = self._do("read_state", partition)
        return state

    def close(self) -> None:
        self.memory.close()


class FaultyTransaction:
    """The writer that belongs to it."""

    def __init__(self, inner: Transaction, sent: list[Output], fault: Callable[[str], None]) -> None:
        self._inner = inner
        self._sent = sent
        self._fault = fault

    def send(self, outputs: Sequence[Output]) -> None:
        self._fault("send")
        self._inner.send(outputs)
        self._sent.extend(outputs)
        self._fault("send done")

    def commit(self, offset: int, metadata: str) -> None:
        self._fault("commit")
        self._inner.commit(offset, metadata)
        self._fault("commit done")

    def close(self) -> None:
        self._inner.close()


def stock(records: Sequence[Record], partitions: int = 1) -> MemoryStore:
    """A store with the input topic and these records in it."""
    store = MemoryStore()
    store.create(Topic("sensors", partitions))
    store.append("sensors", records)
    return store


def hire(
    connect: Callable[[], Any],
    clock: Clock,
    *,
    task: Callable[[TopicPartition], Task] | None = None,
    watcher: Watcher | None = None,
    outputs: Mapping[str, OutputTopics] = OUTPUTS,
    **changes: Any,
) -> Worker:
    """A worker with small fake tasks."""
    return Worker(
        **{
            "connect": connect,
            "task": task or (lambda partition: make_task(FakeForecaster(most=40), partition=partition)),
            "outputs": outputs,
            "start": "earliest",
            "interval": 0.5,
            "snapshot_interval": 30.0,
            "observer": watcher or Watcher(),
            "clock": clock,
            "sleep": clock.sleep,
            **changes,
        }
    )


def done(store: MemoryStore) -> bool:
    """Whether everything in the input topic is committed."""
    ends = {TopicPartition("sensors", number): held.following for number, held in enumerate(store.topic("sensors"))}
    committed = {partition: store.committed.get((APP, partition)) for partition in ends}
    return all(found is not None and found.offset == ends[partition] for partition, found in committed.items())


def finish(worker: Worker, store: MemoryStore, turns: int = 5000) -> None:
    """Let a worker work until everything is committed."""
    for _ in range(turns):
        if done(store):
            return
        worker.turn()
    raise AssertionError(f"not done after {turns} turns: {worker.unready}")


def published(store: MemoryStore) -> tuple[list[Record], list[Record]]:
    """All forecasts and dead letters that a reader sees."""
    return store.read("sensors.forecasts"), store.read("sensors.dead-letters")


def broken(words: str = "broken") -> LogError:
    """An error as a log raises it."""
    return LogError(words)
