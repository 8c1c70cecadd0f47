"""An input partition that this process owns: its task, its transaction and its progress.

Each commit writes, in one transaction, the outputs, the offset of the next record and a manifest; some commits also
write pieces of the state. A large state is written in parts, over several commits; the manifest names the offset of the
last snapshot that is complete. The next owner loads its pieces, replays the records up to the committed offset without
publishing their outputs, and compares the output hash with the manifest's. From there on it continues as if nothing had
happened.
"""

import gc
import logging
import time
from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from streamrnn.columns.output_hash import extend_hash
from streamrnn.dead_letters import first_values
from streamrnn.log import Log, Transaction
from streamrnn.log.outbox import Outbox
from streamrnn.records import MAX_EVENTS, WHOLE, Heartbeat, Output, OutputTopics, Record, StepReport, TopicPartition
from streamrnn.runtime.manifest import DECODING, NOTHING, SCHEMA, Manifest, Resume, read_manifest
from streamrnn.runtime.options import StartPolicy
from streamrnn.runtime.restoring import Replay, restore_partition
from streamrnn.runtime.silence.heartbeats import OwnedHeartbeats
from streamrnn.runtime.snapshot import layout_hash
from streamrnn.runtime.snapshot.policy import Unsaved
from streamrnn.runtime.snapshot.task_source import RecordedSettings, TaskSource

if TYPE_CHECKING:
    from streamrnn.log.limits import TopicLimits
    from streamrnn.runtime.task import Task
    from streamrnn.runtime.time_limits import Backoff

logger = logging.getLogger(__name__)

_offset = attrgetter("offset")


class OwnedPartition:
    """An input partition that the log has assigned to this process, from `open` to `close`.

    After a LogError close it and open a new one; or `suspend` it and open it again, which retains its state in memory.

    Args:
        log: The log.
        partition: The input partition.
        source: Makes its task.
        topics: Topics that its task writes to.
        start: Position from which it is read without a commit.
    """

    def __init__(
        self, *, log: Log, partition: TopicPartition, source: TaskSource, topics: OutputTopics, start: StartPolicy
    ) -> None:
        self.partition = partition
        self.is_open = False
        self.position = 0
        """Offset of the next record to feed."""
        self.snapshot = NOTHING
        """Offset of the last complete snapshot; -1 if there is none."""
        self.begun = NOTHING
        """Offset of the latest snapshot, which may be incomplete."""
        self.saved_bytes = self.reported_bytes = 0
        """Number of bytes of state written so far, and reported so far."""
        self.only_in_memory = False
        """Whether the log has lost the state, so that the one in memory must not be discarded."""
        self.awaited = False
        """Whether no new outputs were committed since the restore, so that readers are waiting for them."""
        # The worker's schedule, in seconds of its clock
        self.next_commit = self.last_commit = self.last_snapshot = 0.0
        self.next_lag_check = self.next_blocked_check = self.begin_seconds = 0.0
        self.backoff: Backoff | None = None
        """The retries since a failure; None after a commit."""
        self.lag_error = ""
        """Why the last lag check failed; empty if it succeeded."""
        self.source = source  # of tasks with the configured settings
        self._log, self.topics = log, topics
        self._state = TopicPartition(topics.state, partition.partition)
        self._start = start
        self._limits: dict[str, TopicLimits] = {}  # what the topics accept
        self._topic_id = ""
        self._task: Task
        self._used: TaskSource | None = None  # the source of its task
        self._record: RecordedSettings | None = None  # the settings that are saved with the state
        self._outbox: Outbox
        self._began, self._commits = NOTHING, 0
        self._learned = False  # whether a whole network has learned since the last snapshot was begun
        self.committed: int | None = None
        """Committed offset of the next record; None if there is none."""
        self._under_way: tuple[int, int] | None = None  # number and offset of a commit that has begun
        self.heartbeats = OwnedHeartbeats(log, partition, topics.heartbeat)
        self._suspended = False
        self._missing = 0  # records that retention had deleted, to report with the next feed
        self._replay: Replay | None = None

    @property
    def next_try(self) -> float:
        """Time from which the partition may be opened."""
        return self.backoff.next_try if self.backoff else 0.0

    @property
    def replaying(self) -> bool:
        """Whether the replay has not reached the committed offset yet."""
        return self._replay is not None

    @property
    def state_bytes(self) -> int:
        """Size of the state of all series."""
        return self._task.state_bytes

    @property
    def series(self) -> int:
        """Number of series."""
        return self._task.series

    @property
    def pending(self) -> bool:
        """Whether there are uncommitted outputs or offsets."""
        return self.is_open and (self.position != self.committed or self.heartbeats.written) and not self.replaying

    @property
    def saving(self) -> bool:
        """Whether a snapshot is being written in parts."""
        return self.is_open and self._task.saving

    @property
    def unsaved(self) -> Unsaved:
        """Changes since the last snapshot was begun."""
        return Unsaved(self.position - max(self.begun, self.snapshot), *self._task.unsaved, self._learned)

    def lag(self) -> int:
        """Return the number of input records that have not been processed yet. Raises LogError."""
        _, following = self._log.bounds(self.partition)
        position = max(self.position, self._log.position(self.partition))  # all that was polled has been fed
        return max(0, following - position)

    def open(self, resume: Resume | None = None) -> None:
        """Fence the partition's previous owner, and restore its state; with `resume` as `resume_task` does.

        Raises:
            StateError: the commit or the saved state cannot be used.
            LogError: the log is unavailable.
        """
        self._limits = {topic: self._log.limits(topic) for topic in self.topics.names}
        before, self._topic_id = self._topic_id, self._log.topic_id(self.partition.topic)
        transaction = self._log.transaction(self.partition)
        try:
            if not (self._suspended and before == self._topic_id and self._rejoin(transaction)):
                self._outbox = Outbox(transaction, self._limits)
                self._restore(resume)
            self._suspended, self._under_way = False, None
            self._start_task()
        except BaseException:
            transaction.close()
            raise
        self.is_open = True

    @property
    def outdated(self) -> bool:
        """Whether the task's settings differ from the configured ones, so that `renew` is due."""
        return self.is_open and self._used is not self.source and not self.replaying

    def renew(self) -> None:
        """Restore the state that a commit has just saved into a task of the current settings. Raises as `open` does."""
        del self._task  # so that two states are never in memory
        gc.collect()  # a task has reference cycles, which the collector would only find after many reloads
        self._restore(None)
        self._start_task()

    def close(self) -> bool:
        """Roll back uncommitted work, and release the transaction; return whether there was any. Never raises."""
        rolled_back = self.pending
        if self.is_open and self._outbox.close() and self._under_way is not None:
            rolled_back &= self._under_way[1] != self.position
        self.is_open = False
        return rolled_back

    def suspend(self) -> None:
        """Close it, but retain its task and uncommitted outputs in memory; `open` writes them and the whole state.

        This is for topics that were deleted while the daemon ran: the state in memory is then the only one.
        """
        self.close()
        self._suspended = True

    def _rejoin(self, transaction: Transaction) -> bool:
        """Continue with the task in memory; return False if another process, or a failed commit, changed the log."""
        committed = self._log.committed(self.partition)
        found: tuple[int, int | None] = (0, None)
        if committed is not None:
            found = (read_manifest(self.partition, committed).commit, committed.offset)
        if found == self._under_way:  # the last commit had succeeded, though it raised
            self._commits, self.committed = found
            self._outbox.drop_committed()
        retained = self._outbox.retained
        if found != (self._commits, self.committed) or retained is None:
            return False
        self._outbox = Outbox(transaction, self._limits, retained)
        self.forget_saved()
        return True

    def forget_saved(self) -> None:
        """Make the next commit save the whole state, since the state topic has lost it."""
        self.snapshot = self.begun = NOTHING
        self.only_in_memory = True
        self._task.forget_saved()

    def _restore(self, resume: Resume | None) -> None:
        found = restore_partition(
            self._log, self.partition, self.source, state=self._state, topic_id=self._topic_id, start=self._start,
            resume=resume,
        )  # fmt: skip
        self._task, self._used, self.position, self.snapshot = found.task, found.source, found.position, found.snapshot
        self._began, self._commits, self.committed = found.began, found.commits, found.committed
        self._replay, self.awaited = found.replay, True
        self._missing += found.missing
        self.heartbeats.read(self._task, self._topic_id)
        if self.heartbeats.pending:
            self._advance(())  # applies the heartbeats before its position, whose outputs are published
        self._end_replay()
        self._record = self._used.record(found.recorded, self.position)
        if self._used.is_new(found.recorded) and not self.replaying:
            self.snapshot = NOTHING  # a replay from the stored state would have its settings: the first commit replaces
            if found.recorded is not None and self._record is not None:
                details = {"offset": self.position, "from": found.recorded.fingerprint, "to": self._record.fingerprint}
                logger.info("settings_changed", extra={**self.partition._asdict(), **details})

    def _start_task(self) -> None:
        """Configure what the task saves, by the topics' limits and its settings, and start reading after its state."""
        largest, settings = self._limits[self._state.topic].largest, self._record and self._record._asdict()
        self._task.configure_saving(piece_bytes=largest, topic_id=self._topic_id, settings=settings)
        self._log.seek(self.partition, self.position)

    def count_replayed(self, records: Sequence[Record]) -> int:
        """Return the number of records, from the first on, that belong to the replay."""
        return 0 if self._replay is None else bisect_left(records, self._replay.end, key=_offset)

    def feed(self, records: Sequence[Record]) -> StepReport | None:
        """Feed the task and write its outputs; return None if all records belong to the replay.

        Raises:
            StateError: the outputs of a replay differ from the committed ones.
            LogError: the outputs cannot be written.
        """
        if self._replay is not None:
            replayed = self.count_replayed(records)
            self._advance(records[:replayed])
            if replayed < len(records):
                self.position = max(self.position, self._replay.end)  # the log may lack the offsets in between
                if self.heartbeats.pending:
                    self._advance(())
            self._end_replay()
            records = records[replayed:]
        if not records:
            return None
        report = self._write(*self._advance(records))
        report.missing_records, self._missing = self._missing, 0
        return report

    def beat(self, time: int) -> StepReport:
        """Advance the stream time to `time`, ms; write the heartbeat and its outputs. Raises as `feed` does."""
        return self._write(*self.heartbeats.beat(Heartbeat(self.position, time)))

    def _write(self, outputs: Sequence[Output], report: StepReport) -> StepReport:
        """Write outputs, and return their report, completed."""
        if outputs:
            report.moved_timestamps, report.cut_dead_letters = self._outbox.write(outputs)
        if report.dead_letters:
            report.rejected = first_values(outputs)
        if report.events:
            events = [each.value or b"" for each in outputs if each.topic == self.topics.events]
            report.written_events = events[-MAX_EVENTS:]
        return report

    def _advance(self, records: Sequence[Record]) -> tuple[list[Output], StepReport]:
        outputs, report = self.heartbeats.feed(records, self.position)
        self._learned |= WHOLE in report.learned
        if records:
            self.position = records[-1].offset + 1
        return outputs, report

    def _end_replay(self) -> None:
        """Compare the output hashes once the replay has reached the committed offset."""
        if self._replay is None or self.position < self._replay.end:
            return
        self._replay.check(self._task)
        self._replay = None
        if self._task.hash_function is not extend_hash:
            self._task.hash_function = extend_hash
            self.snapshot = NOTHING  # a replay from the stored state would need both: the first commit replaces it

    def begin_commit(self, *, snapshot: bool, part: int | None = None) -> None:
        """Begin a commit of the outputs and the position; `end_commit` must follow.

        The very first commit always has the state. Nothing is committed during a replay, or without changes. Records
        may be fed before the commit has ended: their outputs belong to the next one.

        Args:
            snapshot: Whether to save the state.
            part: Bytes of a large state to write now; the next commits write the rest. None: all at once.

        Raises as `end_commit` does.
        """
        first = self.snapshot < 0
        snapshot = (snapshot or first) and (self.snapshot != self.position or self.heartbeats.unsaved)
        if self.replaying or not (snapshot or self.saving or self.pending):
            return
        if snapshot or self.saving:
            self._send_state(None if first else part)
        layout, output_hash = layout_hash(self._task.layout), self._task.output_hash.hex()
        self._under_way = self._commits + 1, self.position
        numbers = self.snapshot, self._commits + 1, output_hash, self._began
        manifest = Manifest(SCHEMA, layout, *numbers, self._topic_id, self.topics.forecasts, DECODING)
        self.heartbeats.written = False
        self._outbox.begin_commit(self.position, manifest.text())

    def end_commit(self, *, wait: bool = True) -> float | None:
        """Return the seconds in the background of the commit that has begun; None if there is none, or not yet.

        Raises:
            LogError: the commit failed, or its outcome is unknown.
            Fenced: another process owns the partition.
        """
        if self._under_way is None or (seconds := self._outbox.end_commit(wait=wait)) is None:
            return None
        (self._commits, position), self._under_way = self._under_way, None
        self.awaited &= position == self.committed  # readers do not wait for a snapshot alone
        self.committed = position
        self.only_in_memory &= self.snapshot < 0
        return seconds

    def _send_state(self, part: int | None) -> None:
        """Send the next part of the state, of a new snapshot if none has begun; `part` as for `begin_commit`."""
        if part is None or not self.saving:
            self.begun, self._learned = self.position, False
            self.heartbeats.set_saved()
        if part is None:
            pieces = self._task.save(self.position)
        else:
            if not self.saving:
                self._task.begin_save(self.position)
            pieces = self._task.next_pieces(part)
        now = time.time_ns() // 1_000_000  # for compaction and retention only
        self._outbox.write_state([Output(*self._state, key, value, now) for key, value in pieces])
        self.saved_bytes += sum(len(key) + len(value or b"") for key, value in pieces)
        if not self.saving:
            self.snapshot = self.begun
