"""The order in which partitions are fed, the times of their commits, and reports of their lag."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from streamrnn.errors import LogError
from streamrnn.records import Record, TopicPartition
from streamrnn.runtime.options import CommitPolicy, Hooks
from streamrnn.runtime.snapshot.policy import PART_SECONDS, part_bytes, snapshot_due

if TYPE_CHECKING:
    from streamrnn.log import Log
    from streamrnn.runtime.partition import OwnedPartition

logger = logging.getLogger(__name__)

LAG_SECONDS = 5.0
"""Seconds between two lag checks of a partition."""
BLOCKED_SECONDS = 60.0
"""Seconds between two checks how far readers of committed records can read a partition's topics."""
HANGING_SECONDS = 900.0
"""Longest transaction that brokers allow by default (`transaction.max.timeout.ms`)."""
LAST_COMMITS_SECONDS = 8.0
"""Seconds after a stop in which commits are still started."""

FIRST_RECORDS = 16
"""Number of records that a restored or new partition commits first, as readers are waiting."""

Turns = list[tuple[TopicPartition, Sequence[Record]]]


def feeding_turns(
    owned: "Mapping[TopicPartition, OwnedPartition]", polled: Mapping[TopicPartition, Sequence[Record]]
) -> tuple[Turns, Turns]:
    """Return the first few new records of the partitions whose readers are waiting, and all others.

    The former begin with the records to replay. The partition with the fewest of them comes first: it is also the least
    likely to reach a learning step of a whole network, for which torch must be loaded. After a failure, the
    former are all records of the partition, in parts that double in size: one commit of them all may be too much for a
    slow network.
    """
    first: list[tuple[int, TopicPartition, Sequence[Record]]] = []
    others: Turns = []
    for partition, records in polled.items():
        each = owned.get(partition)
        if each is None or not each.is_open:
            continue  # they are read again from the restored position
        few = 0
        if each.awaited or each.backoff is not None:
            replayed = each.count_replayed(records)
            few = replayed + FIRST_RECORDS
            first.append((replayed, partition, records[:few]))
            while each.backoff is not None and few < len(records):
                before, few = few, 2 * few - replayed
                first.append((replayed, partition, records[before:few]))
        if few < len(records):
            others.append((partition, records[few:]))
    first.sort(key=lambda turn: turn[0])
    return [turn[1:] for turn in first], others


def why_unready(
    owned: "Collection[OwnedPartition]", fenced: Collection[TopicPartition], unanswered: str
) -> tuple[str, int]:
    """Return why records are not being processed, empty if they are, and the number of closed or replaying partitions.

    `fenced` are partitions that another process writes to, `unanswered` is why the log does not answer.
    """
    restoring = [str(each.partition) for each in owned if not each.is_open or each.replaying]
    lag_error = next((each.lag_error for each in owned if each.lag_error), "")
    taken = f"another process writes to {', '.join(map(str, sorted(fenced)))}" if fenced else ""
    reason = (f"not restored yet: {', '.join(restoring)}" if restoring else "") or taken or lag_error
    return (reason if owned or taken else unanswered or "no partition is assigned"), len(restoring)


class CommitSchedule:
    """Commits partitions when they are due, with their state when a snapshot is due; `now` returns the time."""

    def __init__(self, policy: CommitPolicy, hooks: Hooks, now: Callable[[], float]) -> None:
        self.policy = policy
        self._hooks = hooks
        self._now = now
        self._readable: dict[TopicPartition, tuple[int, float, float]] = {}
        """Offset up to which readers of committed records can read, time since when, and seconds they have waited."""

    def commit_if_due(self, owned: "OwnedPartition", tasks: int) -> None:
        """Commit a partition if it is due; `tasks` is the number of partitions of the process."""
        now = self._now()
        if now < owned.next_commit or owned.replaying:
            return
        interval, elapsed = self.policy.snapshot_interval, now - owned.last_snapshot
        hurried = owned.awaited and owned.pending
        due = owned.only_in_memory or snapshot_due(interval, owned.unsaved, elapsed=elapsed, tasks=tasks)
        snapshot = due and not hurried and not owned.saving
        if snapshot or owned.pending or owned.saving:
            part = part_bytes(now - owned.last_commit, owned.state_bytes)
            wait = owned.awaited or owned.only_in_memory or owned.backoff is not None or owned.snapshot < 0
            self.commit(owned, snapshot=snapshot, part=part, wait=wait)
        if owned.backoff and owned.position >= owned.backoff.offset:
            owned.backoff = None

    def commit(self, owned: "OwnedPartition", *, snapshot: bool, part: int | None = None, wait: bool = True) -> None:
        """Commit a partition, report it, and schedule the next commit; `snapshot` and `part` as its `begin_commit`.

        Without `wait`, this may return while the commit is under way. Then `end_commit` reports it, or the next
        `commit`, which waits for it.
        """
        limit_commit, operation = self._hooks.limit_commit, f"commit of {owned.partition}"
        with limit_commit(operation):  # each has the time limit of one
            self.end_commit(owned, wait=True)
        with limit_commit(operation), self._hooks.span("commit", owned.partition):
            before, awaited, begun = owned.begun, owned.awaited, self._now()
            owned.begin_commit(snapshot=snapshot, part=part)
            self._schedule_next(owned)
            owned.begin_seconds = owned.last_commit - begun
            self.end_commit(owned, wait=wait)
        if owned.begun != before:
            owned.last_snapshot = owned.last_commit
        if awaited:
            owned.next_commit = owned.last_commit

    def end_commit(self, owned: "OwnedPartition", *, wait: bool) -> None:
        """Report a commit that has begun, once it has ended, and schedule the next one."""
        if (background := owned.end_commit(wait=wait)) is None:
            return
        seconds = owned.begin_seconds + background
        self._schedule_next(owned)
        written, owned.reported_bytes = owned.saved_bytes - owned.reported_bytes, owned.saved_bytes
        self._hooks.observer.committed(owned.partition, seconds, written)
        details = {"offset": owned.committed, "seconds": round(seconds, 3), "state_bytes": written}
        logger.debug("committed", extra={**owned.partition._asdict(), **details})

    def _schedule_next(self, owned: "OwnedPartition") -> None:
        owned.last_commit = self._now()
        interval = min(self.policy.interval, PART_SECONDS) if owned.saving else self.policy.interval
        owned.next_commit = owned.last_commit + interval

    def commit_all(self, partitions: "Iterable[OwnedPartition]") -> None:
        """Commit every partition with its state, within the time limit; the next start replays the rest."""
        deadline = self._now() + LAST_COMMITS_SECONDS
        for owned in partitions:
            replayed = 0 <= owned.snapshot < owned.position and not owned.replaying  # perhaps without new records
            if not (owned.is_open or owned.only_in_memory or replayed) or self._now() >= deadline:
                continue
            try:
                if not owned.is_open:
                    owned.open()
                self.commit(owned, snapshot=True)
            except LogError as error:
                logger.warning("last_commit_failed", extra={**owned.partition._asdict(), "error": str(error)})

    def report_lag_if_due(self, log: "Log", owned: "OwnedPartition") -> None:
        """Report the number of input records that a partition has not processed yet, or why it is unknown."""
        if self._now() < owned.next_lag_check:
            return
        owned.lag_error = ""
        try:
            records = owned.lag()
        except LogError as error:  # the task can continue
            owned.lag_error = str(error)
            logger.warning("lag_unknown", extra={**owned.partition._asdict(), "error": str(error)})
        else:
            self._hooks.observer.lag(owned.partition, records)
        owned.next_lag_check = self._now() + LAG_SECONDS
        if not owned.lag_error and self._now() >= owned.next_blocked_check:
            self._report_blocked(log, owned)
            owned.next_blocked_check = self._now() + BLOCKED_SECONDS

    def _report_blocked(self, log: "Log", owned: "OwnedPartition") -> None:
        """Report how long readers of the partition's topics have waited for an open transaction of any producer."""
        partition, topics = owned.partition, {owned.partition.topic, *owned.topics.names}
        try:
            found = log.readable([TopicPartition(topic, partition.partition) for topic in sorted(topics)])
        except LogError as error:  # nothing depends on it
            logger.warning("lag_unknown", extra={**partition._asdict(), "error": str(error)})
            return
        now = self._now()
        for each, (readable, end) in found.items():
            before, since, waited_before = self._readable.get(each, (-1, now, 0.0))
            waited = now - since if before == readable < end else 0.0
            self._readable[each] = (readable, now - waited, waited)
            self._hooks.observer.blocked(partition, each.topic, waited)
            if waited_before < HANGING_SECONDS <= waited:
                details = {"blocked": each.topic, "offset": readable, "seconds": round(waited)}
                logger.warning("transaction_hanging", extra={**partition._asdict(), **details})
