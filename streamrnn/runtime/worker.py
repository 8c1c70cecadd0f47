"""The only loop: poll, feed the tasks, commit; take partitions up and let them go; shut down."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Literal, NamedTuple

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Log, Poll, Topic
from streamrnn.records import Observer, Record, TopicPartition
from streamrnn.runtime.held import Held
from streamrnn.runtime.notice import notice
from streamrnn.runtime.partition import OwnedPartition
from streamrnn.runtime.retry import LAST_RETRY, Backoff
from streamrnn.runtime.snapshot_policy import due
from streamrnn.runtime.task import Task

logger = logging.getLogger(__name__)

POLL_RECORDS = 500
FIRST_RECORDS = 16  # of a partition that are committed by themselves after a restart: they have waited long enough
POLL_SECONDS = 0.2  # at most, so that a signal is soon seen
LAG_SECONDS = 5.0  # between two looks at how far behind a partition is
LOOK_AGAIN = 1.0  # seconds between two looks for an input topic that does not exist
STOPPING = 8.0  # seconds after a stop in which commits are still begun


Traced = Callable[..., AbstractContextManager[object]]
"""Called with the name of a piece of work, and the partition that it is for; what it returns is entered meanwhile."""


def untraced(_work: str, _partition: TopicPartition | None = None) -> AbstractContextManager[object]:
    """Trace nothing."""
    return nullcontext()


class OutputTopics(NamedTuple):
    """The topics that belong to one input topic."""

    forecasts: str
    dead_letters: str
    state: str


class Worker:
    """Runs the tasks of the partitions that the log gives to this process.

    `connect` opens the log, `task` makes a new task for a partition, `outputs` names the topics that belong to each
    input topic. `interval` are the seconds between commits, `snapshot_interval` those between saved states (see pace),
    `reachable_after` and `unavailable_after` those that the log may fail at the start and later on before the worker
    gives up. `ready` is called once, when the first partitions are given to it: what takes long to load is to be loaded
    then, while their writers are opened. `watched` is entered for each commit, with its name; `traced` for each poll,
    feed and commit. `clock` counts seconds; it decides when something is done, never what.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], Log],
        task: Callable[[TopicPartition], Task],
        outputs: Mapping[str, OutputTopics],
        start: Literal["earliest", "latest"],
        interval: float,
        snapshot_interval: float | None,
        observer: Observer,
        ready: Callable[[], None] | None = None,
        watched: Callable[[str], AbstractContextManager[object]] = nullcontext,
        traced: Traced = untraced,
        reachable_after: float = 30.0,
        unavailable_after: float = 300.0,
        poll_records: int = POLL_RECORDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.unready = "the log is not connected yet"
        """Why records are not being worked on; empty where they are."""
        self.heartbeat = clock()
        """When the loop last came round."""
        self._connect = connect
        self._task = task
        self._outputs = outputs
        self._start = start
        self._interval = interval
        self._snapshot_interval = snapshot_interval
        self._observer = observer
        self._ready = ready
        self._watched = watched
        self._traced = traced
        self._unavailable_after = unavailable_after
        self._poll_records = poll_records
        self._clock = clock
        self._sleep = sleep
        self._stopping = False
        self._log: Log | None = None
        self._opened = clock()
        self._held: dict[TopicPartition, Held] = {}
        self._patience: Backoff | None = Backoff(clock(), reachable_after)
        """With the log as a whole; None while it works."""

    def stop(self) -> None:
        """End `run` after the feed at hand and a last commit. May be called from a signal handler or another thread."""
        self._stopping = True

    def run(self) -> None:
        """Work until stopped.

        Raises:
            LogError: the log has failed for longer than it may.
            StateError: saved state that cannot be gone on with.
        """
        try:
            while not self._stopping:
                self.turn()
            logger.info("stopping")
            self._commit_all()
        finally:
            self.close()

    def close(self) -> None:
        """Roll back what is not committed, and leave the log. Never raises."""
        for partition in list(self._held):
            self._release(partition)
        if self._log is not None:
            self._log.close()
            self._log = None

    def _open(self) -> Log:
        """Connect, wait for the input topics, create the others and join the group."""
        log = self._log = self._connect()
        self._opened = self._clock()
        counts = {topic: log.partitions(topic) for topic in self._outputs}
        while missing := [topic for topic, count in counts.items() if count == 0]:
            self.unready = f"input topics that do not exist: {', '.join(missing)}"
            logger.warning("input_topic_missing", extra={"topics": missing})
            self._patience = None
            self._wait(LOOK_AGAIN)
            if self._stopping:
                return log
            counts = {topic: log.partitions(topic) for topic in self._outputs}
        for topic, count in counts.items():
            names = self._outputs[topic]
            log.create(
                [Topic(names.forecasts, count), Topic(names.dead_letters, count), Topic(names.state, count, True)]  # noqa: FBT003 -- a record's field
            )
        log.subscribe(list(self._outputs))
        self.unready = "no partition is assigned"
        logger.info("subscribed", extra={"partitions": counts})
        return log

    def turn(self) -> None:
        """One round of the loop. Raises as `run` does."""
        self.heartbeat = self._clock()
        try:
            log = self._log or self._open()
            if self._stopping:
                return
            with self._traced("poll"):
                polled = log.poll(self._patient(), self._poll_records)
        except LogError as error:
            self._lost(error)
        else:
            self._work(log, polled)

    def _work(self, log: Log, polled: Poll) -> None:
        """Do what a poll has brought. The failures of single tasks are dealt with; that of one too often is raised."""
        begun = self._clock()
        if self.heartbeat - self._opened > LAST_RETRY:  # a log that works only at first is to be given up, too
            self._patience = None
        for partition in polled.revoked:
            logger.info("partition_revoked", extra=partition._asdict())
            self._release(partition)
        for partition in polled.assigned:
            self._release(partition)
            self._held[partition] = Held(partition)
            self._observer.assigned(partition)
        if polled.assigned and self._ready is not None:
            self._ready()
            self._ready = None
        for partition, records in polled.records.items():
            self._guarded(partition, partial(self._take, records))
        for partition in list(self._held):
            self._guarded(partition, partial(self._attend, log))
        now = self._clock()
        unrestored = (each.partition for each in self._held.values() if each.lease is None and each.next_try <= now)
        if first := next(unrestored, None):  # one at a time: what is there works meanwhile
            self._guarded(first, partial(self._restore, log))
        waiting = [f"{p.topic}/{p.partition}" for p, held in self._held.items() if held.lease is None]
        replaying = [held.lease.where for held in self._held.values() if held.lease and held.lease.replaying]
        why = f"not restored yet: {', '.join(waiting + replaying)}" if waiting or replaying else ""
        silent = next((held.silent for held in self._held.values() if held.silent), "")
        self.unready = why or silent if self._held else "no partition is assigned"
        self._observer.turned(self._clock() - begun, len(waiting) + len(replaying))

    def _patient(self) -> float:
        """Seconds that a poll may wait: until the next commit of something, or the next try to restore."""
        now = self._clock()
        due = [held.next_commit for held in self._held.values() if held.lease and held.lease.pending]
        due += [held.next_try for held in self._held.values() if not held.lease]
        return min([POLL_SECONDS, *(max(0.0, each - now) for each in due)])

    def _guarded(self, partition: TopicPartition, work: Callable[[Held], None]) -> None:
        """Do something for a partition; where the log fails in it, throw the task away, to be restored later."""
        held = self._held.get(partition)
        if held is None:
            return
        self.heartbeat = self._clock()
        try:
            work(held)
        except LogError as error:
            self.unready = str(error)  # at once: the others may take long to fail, one after another
            self._discard(held)
            self._observer.restarted(partition)
            logger.warning("task_failed", extra={**partition._asdict(), "error": str(error)})
            if isinstance(error, Fenced):
                del self._held[partition]  # it comes back with an assignment, if it comes back
                self._observer.released(partition)
                return
            now = self._clock()
            held.patience = held.patience or Backoff(now, self._unavailable_after)
            held.patience.failed(error, now)

    def _take(self, records: Sequence[Record], held: Held) -> None:
        """Feed what was polled; where a task goes on, the first few become visible before the others are fed."""
        lease = held.lease
        if lease is None:
            return  # they will be read again from where the lease is restored
        few = lease.repeated(records) + FIRST_RECORDS if lease.awaited else len(records)
        self._feed(lease, records[:few])
        if few < len(records):
            self._commit_if_due(held, lease)
            self._feed(lease, records[few:])

    def _feed(self, lease: OwnedPartition, records: Sequence[Record]) -> None:
        with self._traced("feed", lease.partition):
            report = lease.feed(records)
        if report is not None:
            self._observer.stepped(report)
            notice(report)

    def _attend(self, log: Log, held: Held) -> None:
        """Commit what is due, and look how far behind it is."""
        if held.lease is None:
            return
        self._commit_if_due(held, held.lease)
        if self._clock() >= held.next_lag:
            self._look_at_lag(log, held, held.lease)
            held.next_lag = self._clock() + LAG_SECONDS

    def _commit_if_due(self, held: Held, lease: OwnedPartition) -> None:
        now = self._clock()
        if now < held.next_commit or lease.replaying:
            return
        elapsed, tasks = now - held.saved, len(self._held)
        saving = not (lease.awaited and lease.pending)
        snapshot = saving and due(self._snapshot_interval, lease.unsaved, elapsed=elapsed, tasks=tasks)
        if snapshot or lease.pending:
            self._commit(held, lease, snapshot=snapshot)
        held.patience = None

    def _look_at_lag(self, log: Log, held: Held, lease: OwnedPartition) -> None:
        held.silent = ""
        try:
            _, following = log.bounds(lease.partition)
        except LogError as error:  # no reason to throw the task away
            held.silent = str(error)
            logger.warning("lag_unknown", extra={**lease.partition._asdict(), "error": str(error)})
        else:
            self._observer.lag(lease.partition, max(0, following - lease.position))

    def _restore(self, log: Log, held: Held) -> None:
        begun, partition = self._clock(), held.partition
        held.lease = OwnedPartition(
            log=log,
            partition=partition,
            task=self._task(partition),
            state=TopicPartition(self._outputs[partition.topic].state, partition.partition),
            start=self._start,
        )
        self.heartbeat = now = self._clock()
        # at once, what was under way has waited long enough; after a failure as if nothing had been
        held.next_commit = now if held.patience is None else now + self._interval
        # after a replay with the second commit, so that a process that dies again and again has ever less to do
        held.saved = -math.inf if held.lease.replaying else now
        self._observer.restored(partition, now - begun)
        details = {"offset": held.lease.position, "replaying": held.lease.replaying, "seconds": round(now - begun, 3)}
        logger.info("task_restored", extra={**partition._asdict(), **details})

    def _commit(self, held: Held, lease: OwnedPartition, *, snapshot: bool) -> None:
        begun = self._clock()
        before, saved, awaited = lease.snapshot, lease.saved_bytes, lease.awaited
        with self._watched(f"commit of {lease.where}"), self._traced("commit", lease.partition):
            committed = lease.commit(snapshot=snapshot)
        now = self._clock()
        held.next_commit = now if awaited else now + self._interval
        if committed:
            seconds, written = now - begun, lease.saved_bytes - saved
            self._observer.committed(lease.partition, seconds, written)
            details = {"offset": lease.position, "seconds": round(seconds, 3), "state_bytes": written}
            logger.debug("committed", extra={**lease.partition._asdict(), **details})
        if lease.snapshot != before:
            held.saved = now

    def _commit_all(self) -> None:
        """Commit every task with its state, as far as time allows; what is left out is replayed at the next start."""
        deadline = self._clock() + STOPPING
        for held in self._held.values():
            if held.lease is None or self._clock() >= deadline:
                continue
            try:
                self._commit(held, held.lease, snapshot=True)
            except LogError as error:
                logger.warning("last_commit_failed", extra={**held.lease.partition._asdict(), "error": str(error)})

    def _lost(self, error: LogError) -> None:
        """Let go of a log that has failed; wait before it is opened again. Raises the error after too long."""
        self.close()
        now = self._clock()
        self._patience = self._patience or Backoff(now, self._unavailable_after)
        self._patience.failed(error, now)
        self.unready = str(error)
        logger.warning("log_unavailable", extra={"error": str(error)})
        self._wait(self._patience.next_try - now)

    def _wait(self, seconds: float) -> None:
        """Sleep, unless stopped."""
        until = self._clock() + seconds
        while not self._stopping and (left := until - self._clock()) > 0:
            self.heartbeat = self._clock()
            self._sleep(min(left, POLL_SECONDS))

    def _release(self, partition: TopicPartition) -> None:
        held = self._held.pop(partition, None)
        if held is not None:
            self._discard(held)
            self._observer.released(partition)

    def _discard(self, held: Held) -> None:
        if held.lease is not None:
            if held.lease.pending:
                self._observer.aborted(held.partition)
            held.lease.close()
            held.lease = None
            self.heartbeat = self._clock()  # closing takes its time where a broker does not answer
