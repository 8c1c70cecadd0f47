"""An input partition that this process owns: its task, its transaction and its progress.

Each commit writes, in one transaction, the outputs, the offset of the next record and a manifest; some commits also
write the changed pieces of the state. The next owner loads the pieces, replays the records up to the committed offset
without publishing their outputs, and compares the output hash with the manifest's. From there on it continues as if
nothing had happened.
"""

import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from streamrnn.errors import START_OVER, Fenced, StateError
from streamrnn.log import Log, Transaction
from streamrnn.records import WHOLE, Output, Record, StepReport, TopicPartition
from streamrnn.runtime.manifest import NOTHING, Manifest, restore_task
from streamrnn.runtime.snapshot import SCHEMA, layout_hash
from streamrnn.runtime.snapshot_policy import Unsaved
from streamrnn.runtime.task import Task

if TYPE_CHECKING:
    from streamrnn.runtime.retry import Backoff

logger = logging.getLogger(__name__)

_offset = attrgetter("offset")


class OwnedPartition:
    """An input partition that the log has assigned to this process, from `open` to `close`.

    `state` is its partition of the state topic; `start` applies if nothing was committed yet. After a LogError it must
    be closed, and a new one opened.
    """

    def __init__(
        self,
        *,
        log: Log,
        partition: TopicPartition,
        make_task: Callable[[TopicPartition], Task],
        state: TopicPartition,
        start: Literal["earliest", "latest"],
    ) -> None:
        self.partition = partition
        self.is_open = False
        self.position = 0
        """Offset of the next record to feed."""
        self.snapshot = NOTHING
        """Offset of the last snapshot; -1 if there is none."""
        self.saved_bytes = 0
        """Bytes of state written so far."""
        self.resuming = False
        """Whether it resumes from a commit and has not committed new outputs yet: readers are waiting for them."""
        # The worker's schedule, in seconds of its clock
        self.next_commit = 0.0
        self.next_lag_check = 0.0
        self.last_snapshot = 0.0
        self.backoff: Backoff | None = None
        """The retries, if it failed and has not committed since."""
        self.lag_error = ""
        """Why the last lag check failed; empty if it succeeded."""
        self._log = log
        self._make_task = make_task
        self._state = state
        self._start = start
        self._task: Task
        self._transaction: Transaction
        self._began = NOTHING
        self._commits = 0
        self._learned = False
        self._committed: int | None = None
        self._replay: tuple[int, str] | None = None
        """Committed offset and output hash to reach by the replay."""

    @property
    def next_try(self) -> float:
        """Time at which it may be opened."""
        return self.backoff.next_try if self.backoff else 0.0

    @property
    def replaying(self) -> bool:
        """Whether the replay has not reached the committed offset yet."""
        return self._replay is not None

    @property
    def pending(self) -> bool:
        """Whether there are uncommitted outputs or offsets."""
        return self.is_open and self.position != self._committed and not self.replaying

    @property
    def unsaved(self) -> Unsaved:
        """Changes since the last snapshot."""
        return Unsaved(self.position - self.snapshot, *self._task.unsaved, self._learned)

    def open(self) -> None:
        """Take the partition over from its previous owner, and restore its state.

        Raises:
            StateError: the commit or the saved state cannot be used.
            LogError: the log is unavailable.
        """
        self._task = self._make_task(self.partition)
        self._transaction = self._log.transaction(self.partition)
        try:
            self._restore()
            self._log.seek(self.partition, self.position)
        except BaseException:
            self._transaction.close()
            raise
        self.is_open = True

    def close(self) -> None:
        """Roll back uncommitted work, and release the transaction. Never raises."""
        if self.is_open:
            self._transaction.close()
        self.is_open = False

    def _restore(self) -> None:
        committed = self._log.committed(self.partition)
        bounds = self._log.bounds(self.partition)
        state = self._log.read_state(self._state)
        if self._log.committed(self.partition) != committed:
            raise Fenced(f"{self.partition} was committed by another process during the restore: it has taken over")
        restored = restore_task(self._task, committed, state, bounds=bounds, topic=self._state.topic)
        if committed is None or restored is None:
            self.position = self._began = bounds[self._start == "latest"]
            return
        manifest, self.position = restored
        self.snapshot = manifest.snapshot
        if difference := self._task.numerics_difference:
            logger.warning("numerics_changed", extra={**self.partition._asdict(), "changed": difference})
        if self._task.migration:
            logger.warning("state_carried_over", extra={**self.partition._asdict(), "what": self._task.migration})
            self.snapshot = NOTHING  # the stored state has the old layout: the first commit replaces it
        self._began, self._commits, self._committed = manifest.began, manifest.commit, committed.offset
        self._replay = (committed.offset, manifest.chain)
        self.resuming = True
        self._end_replay()

    def count_replayed(self, records: Sequence[Record]) -> int:
        """Return how many of these records, the first ones, belong to the replay."""
        return 0 if self._replay is None else bisect_left(records, self._replay[0], key=_offset)

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
                self.position = max(self.position, self._replay[0])  # the log may lack the offsets in between
            self._end_replay()
            records = records[replayed:]
        if not records:
            return None
        outputs, report = self._advance(records)
        if outputs:
            self._transaction.send(outputs)
        return report

    def _advance(self, records: Sequence[Record]) -> tuple[list[Output], StepReport]:
        outputs, report = self._task.feed(records)
        self._learned |= WHOLE in report.learned
        if records:
            self.position = records[-1].offset + 1
        return outputs, report

    def _end_replay(self) -> None:
        """Compare the output hashes once the replay has reached the committed offset."""
        if self._replay is None or self.position < self._replay[0]:
            return
        offset, expected = self._replay
        output_hash, difference = self._task.output_hash.hex(), self._task.numerics_difference
        if output_hash != expected and difference:  # published outputs stay; later ones have the new arithmetic
            details = {"from": self.snapshot, "to": offset, "changed": difference}
            logger.warning("replay_differs", extra={**self.partition._asdict(), **details})
        elif output_hash != expected:
            raise StateError(
                f"{self.partition}: replaying offsets {self.snapshot} to {offset} produced different outputs (output "
                f"hash {output_hash}, committed {expected}). The configuration, the program, the machine's arithmetic "
                "or the records have changed since a run that did not end cleanly: restore them, run once and end it "
                f"with SIGTERM before changing them; or {START_OVER}"
            )
        self._replay = None

    def commit(self, *, snapshot: bool) -> bool:
        """Commit the outputs and the position, and with `snapshot` the state; return whether anything was committed.

        The first commit of all always has the state. Nothing is committed during a replay, or without changes.

        Raises:
            LogError: the commit failed, or its outcome is unknown.
            Fenced: another process owns the partition.
        """
        snapshot = (snapshot or self.snapshot < 0) and self.snapshot != self.position
        if self.replaying or (self.position == self._committed and not snapshot):
            return False
        if snapshot:
            self._send_snapshot()
        layout, output_hash = layout_hash(self._task.layout), self._task.output_hash.hex()
        manifest = Manifest(SCHEMA, layout, self.snapshot, self._commits + 1, output_hash, self._began)
        self._transaction.commit(self.position, manifest.text())
        self.resuming &= self.position == self._committed  # readers do not wait for a snapshot alone
        self._committed = self.position
        self._commits += 1
        return True

    def _send_snapshot(self) -> None:
        pieces = self._task.save(self.position)
        now = time.time_ns() // 1_000_000  # for compaction and retention only
        self._transaction.send([Output(*self._state, key, value, now) for key, value in pieces])
        self.saved_bytes += sum(len(key) + len(value or b"") for key, value in pieces)
        self.snapshot, self._learned = self.position, False
