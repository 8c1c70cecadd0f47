"""The only loop: poll, feed the tasks, commit; take over and release partitions; shut down."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Log, Poll, Topic
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.options import Clock, CommitPolicy, Hooks, Limits
from streamrnn.runtime.partition import OwnedPartition
from streamrnn.runtime.retry import LAST_RETRY, Backoff
from streamrnn.runtime.snapshot_policy import snapshot_due
from streamrnn.runtime.task import Task
from streamrnn.wire import OutputTopics

logger = logging.getLogger(__name__)

FIRST_RECORDS = 16  # that a resuming partition commits first: readers have been waiting for them
POLL_SECONDS = 0.2  # longest wait of a poll, so that a stop is noticed soon
LAG_SECONDS = 5.0  # between two lag checks of a partition
MISSING_TOPIC_SECONDS = 1.0  # between two checks for a missing input topic
LAST_COMMITS_SECONDS = 8.0  # after a stop, in which commits are still started


class Worker:
    """Runs the tasks of the partitions that the log assigns to this process.

    `connect` opens the log, `make_task` returns a new task for a partition, `outputs` maps input topics to output
    topics, and `start` applies to partitions without a commit.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], Log],
        make_task: Callable[[TopicPartition], Task],
        outputs: Mapping[str, OutputTopics],
        start: Literal["earliest", "latest"],
        commits: CommitPolicy,
        hooks: Hooks,
        limits: Limits = Limits(),  # noqa: B008 -- frozen
        clock: Clock = time,
    ) -> None:
        self.not_ready_reason = "the log is not connected yet"
        """Why records are not being processed; empty if they are."""
        self.heartbeat = clock.monotonic()
        """Time of the latest progress of the loop."""
        self._connect = connect
        self._make_task = make_task
        self._outputs = outputs
        self._start = start
        self._commits = commits
        self._hooks = hooks
        self._observer = hooks.observer
        self._limits = limits
        self._now = clock.monotonic
        self._sleep = clock.sleep
        self._stopping = False
        self._warm = False
        self._log: Log | None = None
        self._opened = self.heartbeat
        self._owned: dict[TopicPartition, OwnedPartition] = {}
        self._backoff: Backoff | None = Backoff(self.heartbeat, limits.reachable_after)
        """Retries of the log as a whole; None while it works."""

    def stop(self) -> None:
        """Make `run` return after the current feed and a last commit. Safe in signal handlers and other threads."""
        self._stopping = True

    def run(self) -> None:
        """Process records until stopped.

        Raises:
            LogError: the log has failed for longer than allowed.
            StateError: saved state cannot be used.
        """
        try:
            while not self._stopping:
                self.run_once()
            logger.info("stopping")
            self._commit_all()
        finally:
            self.close()

    def close(self) -> None:
        """Roll back uncommitted work, and leave the log. Never raises."""
        for partition in list(self._owned):
            self._release(partition)
        if self._log is not None:
            self._log.close()
            self._log = None

    def run_once(self) -> None:
        """Run one iteration of the loop. Raises as `run` does."""
        self.heartbeat = self._now()
        try:
            log = self._log or self._open()
            if self._stopping:
                return
            with self._hooks.span("poll"):
                polled = log.poll(self._poll_timeout(), self._limits.poll_records)
        except LogError as error:
            self._disconnect(error)
        else:
            self._process(log, polled)

    def _open(self) -> Log:
        """Connect, wait for the input topics, create the others and join the group."""
        log = self._log = self._connect()
        self._opened = self._now()
        counts = {topic: log.partitions(topic) for topic in self._outputs}
        while missing := [topic for topic, count in counts.items() if count == 0]:
            self.not_ready_reason = f"input topics that do not exist: {', '.join(missing)}"
            logger.warning("input_topic_missing", extra={"topics": missing})
            self._backoff = None
            self._wait(MISSING_TOPIC_SECONDS)
            if self._stopping:
                return log
            counts = {topic: log.partitions(topic) for topic in self._outputs}
        for topic, count in counts.items():
            names = self._outputs[topic]
            state = Topic(names.state, count, compacted=True)
            log.create([Topic(names.forecasts, count), Topic(names.dead_letters, count), state])
        log.subscribe(list(self._outputs))
        self.not_ready_reason = "no partition is assigned"
        logger.info("subscribed", extra={"partitions": counts})
        return log

    def _poll_timeout(self) -> float:
        """Return the seconds until the next commit or the next try to open a partition, at most POLL_SECONDS."""
        now = self._now()
        due = [owned.next_commit for owned in self._owned.values() if owned.pending]
        due += [owned.next_try for owned in self._owned.values() if not owned.is_open]
        return min([POLL_SECONDS, *(max(0.0, each - now) for each in due)])

    def _process(self, log: Log, polled: Poll) -> None:
        """Process the result of a poll. Failures of single partitions are retried, up to the limit."""
        begun = self._now()
        if self.heartbeat - self._opened > LAST_RETRY:  # only then: a log that always fails soon is given up, too
            self._backoff = None
        for partition in polled.revoked:
            logger.info("partition_revoked", extra=partition._asdict())
            self._release(partition)
        self._assign(log, polled.assigned)
        for partition, records in polled.records.items():
            self._try(log, partition, partial(self._feed_first, records))
        for partition in list(self._owned):
            self._try(log, partition, partial(self._commit_and_check_lag, log))
        self._open_next(log)
        restoring = self._update_readiness()
        self._observer.iterated(self._now() - begun, restoring)

    def _assign(self, log: Log, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._release(partition)
            self._owned[partition] = self._closed_partition(log, partition)
            self._observer.assigned(partition)
        if partitions and not self._warm:
            self._hooks.warm_up()
            self._warm = True

    def _closed_partition(self, log: Log, partition: TopicPartition) -> OwnedPartition:
        state = TopicPartition(self._outputs[partition.topic].state, partition.partition)
        return OwnedPartition(log=log, partition=partition, make_task=self._make_task, state=state, start=self._start)

    def _try(self, log: Log, partition: TopicPartition, work: Callable[[OwnedPartition], None]) -> None:
        """Call `work` with an owned partition; if the log fails, close the partition, to be opened again later."""
        owned = self._owned.get(partition)
        if owned is None:
            return
        self.heartbeat = self._now()
        try:
            work(owned)
        except LogError as error:
            self.not_ready_reason = str(error)  # at once: the other partitions may take long to fail in turn
            self._close_partition(owned)
            self._observer.restarted(partition)
            logger.warning("task_failed", extra={**partition._asdict(), "error": str(error)})
            if isinstance(error, Fenced):  # the partition may be assigned again
                del self._owned[partition]
                self._observer.released(partition)
                return
            now = self._now()
            backoff = owned.backoff or Backoff(now, self._limits.unavailable_after)
            backoff.failed(error, now)
            self._owned[partition] = self._closed_partition(log, partition)
            self._owned[partition].backoff = backoff

    def _feed_first(self, records: Sequence[Record], owned: OwnedPartition) -> None:
        """Feed the polled records; a resuming partition commits the first few before it feeds the others."""
        if not owned.is_open:
            return  # they are read again from the restored position
        few = owned.count_replayed(records) + FIRST_RECORDS if owned.resuming else len(records)
        self._feed(owned, records[:few])
        if few < len(records):
            self._commit_if_due(owned)
            self._feed(owned, records[few:])

    def _feed(self, owned: OwnedPartition, records: Sequence[Record]) -> None:
        with self._hooks.span("feed", owned.partition):
            report = owned.feed(records)
        if report is not None:
            self._observer.stepped(report)

    def _commit_and_check_lag(self, log: Log, owned: OwnedPartition) -> None:
        if not owned.is_open:
            return
        self._commit_if_due(owned)
        if self._now() >= owned.next_lag_check:
            self._check_lag(log, owned)
            owned.next_lag_check = self._now() + LAG_SECONDS

    def _commit_if_due(self, owned: OwnedPartition) -> None:
        now = self._now()
        if now < owned.next_commit or owned.replaying:
            return
        interval, elapsed, tasks = self._commits.snapshot_interval, now - owned.last_snapshot, len(self._owned)
        hurried = owned.resuming and owned.pending
        snapshot = not hurried and snapshot_due(interval, owned.unsaved, elapsed=elapsed, tasks=tasks)
        if snapshot or owned.pending:
            self._commit(owned, snapshot=snapshot)
        owned.backoff = None

    def _check_lag(self, log: Log, owned: OwnedPartition) -> None:
        owned.lag_error = ""
        try:
            _, following = log.bounds(owned.partition)
        except LogError as error:  # the task can continue
            owned.lag_error = str(error)
            logger.warning("lag_unknown", extra={**owned.partition._asdict(), "error": str(error)})
        else:
            self._observer.lag(owned.partition, max(0, following - owned.position))

    def _open_next(self, log: Log) -> None:
        """Open one partition that is due: the open ones process records between two of these."""
        now = self._now()
        due = (owned.partition for owned in self._owned.values() if not owned.is_open and owned.next_try <= now)
        if first := next(due, None):
            self._try(log, first, self._open_partition)

    def _open_partition(self, owned: OwnedPartition) -> None:
        begun, partition = self._now(), owned.partition
        owned.open()
        self.heartbeat = now = self._now()
        # at once, since readers have been waiting, but after a failure as usual
        owned.next_commit = now if owned.backoff is None else now + self._commits.interval
        # soon after a replay, so that a process that crashes repeatedly makes progress
        owned.last_snapshot = -math.inf if owned.replaying else now
        self._observer.restored(partition, now - begun)
        details = {"offset": owned.position, "replaying": owned.replaying, "seconds": round(now - begun, 3)}
        logger.info("task_restored", extra={**partition._asdict(), **details})

    def _update_readiness(self) -> int:
        """Set `not_ready_reason`; return the number of partitions that are closed or replaying."""
        closed = [str(owned.partition) for owned in self._owned.values() if not owned.is_open]
        replaying = [str(owned.partition) for owned in self._owned.values() if owned.is_open and owned.replaying]
        restoring = f"not restored yet: {', '.join(closed + replaying)}" if closed or replaying else ""
        lag_error = next((owned.lag_error for owned in self._owned.values() if owned.lag_error), "")
        self.not_ready_reason = restoring or lag_error if self._owned else "no partition is assigned"
        return len(closed) + len(replaying)

    def _commit(self, owned: OwnedPartition, *, snapshot: bool) -> None:
        begun = self._now()
        before, saved, resuming = owned.snapshot, owned.saved_bytes, owned.resuming
        with self._hooks.limit_commit(f"commit of {owned.partition}"), self._hooks.span("commit", owned.partition):
            committed = owned.commit(snapshot=snapshot)
        now = self._now()
        owned.next_commit = now if resuming else now + self._commits.interval
        if committed:
            seconds, written = now - begun, owned.saved_bytes - saved
            self._observer.committed(owned.partition, seconds, written)
            details = {"offset": owned.position, "seconds": round(seconds, 3), "state_bytes": written}
            logger.debug("committed", extra={**owned.partition._asdict(), **details})
        if owned.snapshot != before:
            owned.last_snapshot = now

    def _commit_all(self) -> None:
        """Commit every partition with its state, within the time limit; the next start replays the rest."""
        deadline = self._now() + LAST_COMMITS_SECONDS
        for owned in self._owned.values():
            if not owned.is_open or self._now() >= deadline:
                continue
            try:
                self._commit(owned, snapshot=True)
            except LogError as error:
                logger.warning("last_commit_failed", extra={**owned.partition._asdict(), "error": str(error)})

    def _disconnect(self, error: LogError) -> None:
        """Close a log that has failed, and wait before the next try. Raises the error after the time limit."""
        self.close()
        now = self._now()
        self._backoff = self._backoff or Backoff(now, self._limits.unavailable_after)
        self._backoff.failed(error, now)
        self.not_ready_reason = str(error)
        logger.warning("log_unavailable", extra={"error": str(error)})
        self._wait(self._backoff.next_try - now)

    def _wait(self, seconds: float) -> None:
        """Sleep, unless stopped."""
        until = self._now() + seconds
        while not self._stopping and (left := until - self._now()) > 0:
            self.heartbeat = self._now()
            self._sleep(min(left, POLL_SECONDS))

    def _release(self, partition: TopicPartition) -> None:
        owned = self._owned.pop(partition, None)
        if owned is not None:
            self._close_partition(owned)
            self._observer.released(partition)

    def _close_partition(self, owned: OwnedPartition) -> None:
        if owned.is_open:
            if owned.pending:
                self._observer.aborted(owned.partition)
            owned.close()
            self.heartbeat = self._now()  # closing takes a while if a broker does not answer
