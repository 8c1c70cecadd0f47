"""The only loop: poll, feed the tasks, commit; take over and release partitions; shut down."""

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from streamrnn.errors import Fenced, InstanceInUse, LogError, OutputRefused, RecordsDeleted
from streamrnn.log import Log, Poll
from streamrnn.records import OutputTopics, Record, TopicPartition
from streamrnn.runtime.options import Clock, CommitPolicy, Hooks, Limits, StartPolicy, WorkerChange
from streamrnn.runtime.partition import OwnedPartition
from streamrnn.runtime.schedule import CommitSchedule, feeding_turns, why_unready
from streamrnn.runtime.silence.watch import SilenceWatch
from streamrnn.runtime.snapshot.task_source import TaskSource
from streamrnn.runtime.task import Task
from streamrnn.runtime.time_limits import LAST_RETRY, Backoff, continued
from streamrnn.runtime.topics import TopicWatch
from streamrnn.runtime.warm_up import BackgroundCall

logger = logging.getLogger(__name__)

OPENING_SECONDS = 0.25  # time to open partitions successively before records are processed again
POLL_SECONDS = 0.2  # longest wait of a poll, so that a stop is noticed soon
MISSING_TOPIC_SECONDS = 1.0  # between two checks for a missing input topic


class Worker:
    """Runs the tasks of the partitions that the log assigns to this process.

    Args:
        connect: Opens the log.
        make_task: Returns a new task for a partition; or a source of tasks under several settings.
        outputs: Output topics by input topic.
        start: Position from which partitions are read first.
        commits: Intervals of commits and snapshots.
        hooks: The observer, and functions called around the loop's work.
        limits: Time limits, and the size of a poll.
        clock: Source of time.
    """

    def __init__(
        self, *, connect: Callable[[], Log], make_task: Callable[[TopicPartition], Task] | TaskSource,
        outputs: Mapping[str, OutputTopics], start: StartPolicy, commits: CommitPolicy, hooks: Hooks,
        limits: Limits = Limits(), clock: Clock = time,  # noqa: B008 -- frozen
    ) -> None:  # fmt: skip
        self.not_ready_reason = "the log is not connected yet"
        """Why records are not being processed; empty if they are."""
        self.heartbeat = clock.monotonic()
        """Time of the latest progress of the loop."""
        self.joined = False
        """Whether this process may be a member of the log's group, and then must leave it."""
        self.warming_up = False
        """Whether the loop waits for the kernels."""
        self.loading = BackgroundCall(hooks.warm_up)
        """Loads the kernels, in a thread that may outlive `run`."""
        self._connect = connect
        self._source = make_task if isinstance(make_task, TaskSource) else TaskSource(make_task)
        self._outputs = outputs
        self._topics = TopicWatch(outputs, limits.unavailable_after, accept_new_topic=start.accept_new_topic)
        self._start = start
        self._schedule = CommitSchedule(commits, hooks, clock.monotonic)
        self._silence = SilenceWatch(after=limits.heartbeat_after, now=clock.monotonic)
        self._hooks = hooks
        self._observer = hooks.observer
        self._limits = limits
        self._now, self._sleep = clock.monotonic, clock.sleep
        self._stopping = False
        self._change: WorkerChange | None = None  # to be applied
        self._log: Log | None = None
        self._opened = self.heartbeat
        self._owned: dict[TopicPartition, OwnedPartition] = {}
        self._fenced: set[TopicPartition] = set()
        """Partitions that the log has assigned to this process, but another process writes to."""
        self._backoff: Backoff | None = Backoff(self.heartbeat, limits.reachable_after)
        """Retries of the log as a whole; None while it works."""

    def stop(self) -> None:
        """Make `run` return after the current feed and a last commit. Safe in signal handlers and other threads."""
        self._stopping = True

    def reload(self, change: WorkerChange) -> None:
        """Apply a change of the configuration soon: each partition continues with it after its next commit.

        Safe in other threads. The latest of several changes counts.
        """
        self._change = change

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
            self._schedule.commit_all(self._owned.values())
        finally:
            self.close()

    def close(self) -> None:
        """Roll back uncommitted work, and leave the log. Never raises."""
        for partition in list(self._owned):
            self._release(partition)
        self._fenced.clear()
        if self._log is not None:
            self._log.close()
            self._log = None
        self.joined = False

    def run_once(self) -> None:
        """Run one iteration of the loop. Raises as `run` does."""
        self.heartbeat = self._now()
        if (change := self._change) is not None:
            self._change = None
            self._apply(change)
        try:
            log = self._log or self._open()
            if self._interrupted:
                return
            with self._hooks.span("poll"):
                polled = log.poll(self._poll_timeout(), self._limits.poll_records)
        except LogError as error:
            if isinstance(error, RecordsDeleted):  # a replay could not read those records either
                self._schedule.commit_all(self._owned.values())
            self._disconnect(error)
        else:
            self._process(log, polled)

    def _open(self) -> Log:
        """Connect, wait for the input topics, create the others and join the group."""
        log = self._log = self._connect()
        self._opened = self._now()
        while missing := self._topics.missing(log):
            self.not_ready_reason = f"input topics that do not exist: {', '.join(missing)}"
            logger.warning("input_topic_missing", extra={"topics": missing})
            self._backoff = None
            self._wait(MISSING_TOPIC_SECONDS)
            if self._interrupted:
                return log
        self._topics.create(log, self._now())
        self.loading.start()  # the brokers take a while to assign partitions
        self.joined = True
        log.subscribe(list(self._outputs))
        self.not_ready_reason = "no partition is assigned"
        logger.info("subscribed", extra={"partitions": self._topics.counts})
        return log

    @property
    def _interrupted(self) -> bool:
        """Whether a stop or a change of the configuration ends the loop's wait."""
        return self._stopping or self._change is not None

    def _apply(self, change: WorkerChange) -> None:
        """Apply a change of the configuration; the tasks are replaced one by one, see `_open_due`."""
        self._start, self._schedule.policy = change.start, change.commits
        if change.source.values != self._source.values:
            self._source = change.source
        for owned in self._owned.values():
            owned.source = self._source
        if change.outputs != self._outputs or not self.joined:
            self._schedule.commit_all(self._owned.values())
            self.close()
            self._outputs = change.outputs
            accepted = change.start.accept_new_topic
            self._topics = TopicWatch(change.outputs, self._limits.unavailable_after, accept_new_topic=accepted)

    def _renew(self, owned: OwnedPartition) -> None:
        """Replace a task whose settings have changed, after a commit with its state: nothing is processed twice."""
        self._schedule.commit(owned, snapshot=True)
        owned.renew()
        owned.next_commit = self._now()  # which saves the settings with the state

    def _poll_timeout(self) -> float:
        """Return the seconds until the next commit or the next try to open a partition, at most POLL_SECONDS."""
        now = self._now()
        due = [owned.next_commit for owned in self._owned.values() if owned.pending or owned.saving or owned.outdated]
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
            self._fenced.discard(partition)
        self._assign(log, polled.assigned)
        if self.warming_up:  # a stop has come first
            return
        self._forget_saved(self._topics.check(log, begun, idle=not self._owned))
        first, others = feeding_turns(self._owned, polled.records)
        for partition, records in first:
            self._try(log, partition, partial(self._feed_first, records))
        for partition, records in others:
            self._try(log, partition, partial(self._feed, records))
        for partition in list(self._owned):
            self._try(log, partition, partial(self._commit_and_check_lag, log))
        self._open_due(log)
        self.not_ready_reason, restoring = why_unready(self._owned.values(), self._fenced, self._topics.unanswered)
        self._observer.iterated(self._now() - begun, restoring)

    def _assign(self, log: Log, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._release(partition)
            self._fenced.discard(partition)
            self._owned[partition] = self._closed_partition(log, partition)
            self._observer.assigned(partition)
        if partitions:
            self.warming_up = True
            self.warming_up = not self.loading.finish(self._report_progress)

    def _report_progress(self) -> bool:
        """Report that the loop is alive; return False if it is to stop."""
        self.heartbeat = self._now()
        return not self._stopping

    def _closed_partition(self, log: Log, partition: TopicPartition) -> OwnedPartition:
        topics = self._outputs[partition.topic]
        return OwnedPartition(log=log, partition=partition, source=self._source, topics=topics, start=self._start)

    def _forget_saved(self, topics: Collection[str]) -> None:
        """Make the next saves of these input topics' partitions complete, as their saved state was lost."""
        for owned in self._owned.values():
            if owned.partition.topic in topics and owned.is_open:
                owned.forget_saved()

    def _try(self, log: Log, partition: TopicPartition, work: Callable[[OwnedPartition], None]) -> None:
        """Call `work` with an owned partition; if the log fails, close the partition, to be opened again later."""
        if (owned := self._owned.get(partition)) is None:
            return
        self.heartbeat = self._now()
        try:
            work(owned)
        except LogError as error:
            self.not_ready_reason = str(error)  # immediately, as the other partitions may take long to fail in turn
            self._fail(log, owned, error)

    def _fail(self, log: Log, owned: OwnedPartition, error: LogError) -> None:
        """Close a partition after an error, to be opened again later. Raises the error if it is given up."""
        partition, refused = owned.partition, isinstance(error, OutputRefused)
        if not isinstance(error, Fenced) and self._topics.restore(log, partition.topic, self._now(), changed=refused):
            self._forget_saved({partition.topic})
        kept = owned.only_in_memory and not isinstance(error, Fenced)
        self._close_partition(owned)
        self._observer.restarted(partition)
        details = {**partition._asdict(), "error": str(error)}
        if kept:
            logger.warning("task_kept", extra=details)
        else:
            logger.warning("task_failed", extra=details)
        if isinstance(error, Fenced):  # the partition may be assigned again
            del self._owned[partition]
            self._fenced.add(partition)
            self._observer.released(partition)
            return
        now, limits = self._now(), self._limits
        limit = limits.refused_after if refused else limits.unavailable_after
        done = -1 if owned.committed is None else owned.committed
        backoff = continued(owned.backoff, now, limit, owned.position, done)
        backoff.failed(error, now, may_give_up=refused or not any(each.is_open for each in self._owned.values()))
        if kept:
            owned.suspend()
        else:
            self._owned[partition] = owned = self._closed_partition(log, partition)
        owned.backoff = backoff

    def _feed_first(self, records: Sequence[Record], owned: OwnedPartition) -> None:
        """Feed the first records after a restore, or some after a failure, and commit them at once."""
        self._feed(records, owned)
        if owned.pending:
            if owned.backoff is not None:
                owned.next_commit = self._now()
            self._schedule.commit_if_due(owned, len(self._owned))

    def _feed(self, records: Sequence[Record], owned: OwnedPartition) -> None:
        if not owned.is_open:
            return  # they are read again from the restored position
        with self._hooks.span("feed", owned.partition):
            if (report := owned.feed(records)) is not None:
                self._observer.stepped(report)

    def _commit_and_check_lag(self, log: Log, owned: OwnedPartition) -> None:
        if not owned.is_open:
            return
        self._schedule.end_commit(owned, wait=False)
        if (report := self._silence.beat_if_due(owned)) is not None:
            self._observer.stepped(report)
        self._schedule.commit_if_due(owned, len(self._owned))
        self._schedule.report_lag_if_due(log, owned)

    def _open_due(self, log: Log) -> None:
        """Open the partitions that are due, or else renew one outdated task; others process records between calls."""
        begun, opened = self._now(), False
        for owned in [each for each in self._owned.values() if not each.is_open and each.next_try <= begun]:
            self._try(log, owned.partition, partial(self._open_partition, log))
            opened = True
            if self._interrupted or self._now() - begun > OPENING_SECONDS:
                return
        outdated = (owned.partition for owned in self._owned.values() if owned.outdated)
        if not opened and (first := next(outdated, None)):
            self._try(log, first, self._renew)

    def _open_partition(self, log: Log, owned: OwnedPartition) -> None:
        begun, partition = self._now(), owned.partition
        self._topics.prepare(log, partition)
        owned.open()
        self.heartbeat = now = self._now()
        # at once, since readers have been waiting, but after a failure as usual
        owned.next_commit = now if owned.backoff is None else now + self._schedule.policy.interval
        # soon after a replay, so that a process that crashes repeatedly makes progress
        owned.last_snapshot = -math.inf if owned.replaying else now
        self._observer.restored(partition, now - begun)
        state = {"offset": owned.position, "series": owned.series, "replaying": owned.replaying}
        logger.info("task_restored", extra={**partition._asdict(), **state, "seconds": round(now - begun, 3)})

    def _disconnect(self, error: LogError) -> None:
        """Close a log that has failed, and wait before the next try. Raises the error after the time limit."""
        self.close()
        now = self._now()
        limit = self._limits.unavailable_after
        if self._backoff is None or (isinstance(error, InstanceInUse) and self._backoff.limit != limit):
            self._backoff = Backoff(now, limit)  # also at the start: the brokers were reached
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
        if (owned := self._owned.pop(partition, None)) is not None:
            self._close_partition(owned)
            self._observer.released(partition)

    def _close_partition(self, owned: OwnedPartition) -> None:
        if owned.close():
            self._observer.aborted(owned.partition)
            self.heartbeat = self._now()  # closing takes a while if a broker does not answer
