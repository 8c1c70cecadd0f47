"""One input partition as long as this process holds it: its task, its transaction, and where they stand.

Every commit writes, in one transaction, the outputs, the offset of the next record and a manifest; from time to time
also the changed pieces of the state. Whoever holds the partition next loads the pieces, feeds the task once more with
the records up to the committed offset, throws away what it says, and compares the running hash over it with the
manifest's: from there on it is as if nothing had happened.
"""

import logging
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Literal

from streamrnn.errors import ANEW, Fenced, StateError
from streamrnn.log import Committed, Log, Transaction
from streamrnn.records import WHOLE, Output, Record, StepReport, TopicPartition
from streamrnn.runtime.manifest import (
    NOTHING,
    Manifest,
    read_manifest,
    require_ended,
    require_fit,
    require_offset,
    where,
)
from streamrnn.runtime.snapshot import SCHEMA, layout_hash
from streamrnn.runtime.snapshot_policy import Unsaved
from streamrnn.runtime.task import Task

logger = logging.getLogger(__name__)

_offset = attrgetter("offset")


class OwnedPartition:
    """One held partition. Opening it takes it over from whoever held it before.

    `state` is the partition of the state topic that belongs to it; `start` says where reading begins as long as nothing
    was committed. Any LogError ends the lease: close it and open another.

    Raises:
        StateError: what was committed cannot be gone on with.
        LogError: the log cannot be reached.
    """

    def __init__(
        self,
        *,
        log: Log,
        partition: TopicPartition,
        task: Task,
        state: TopicPartition,
        start: Literal["earliest", "latest"],
    ) -> None:
        self.partition = partition
        self.position = 0
        """Offset of the next record to be fed."""
        self.snapshot = NOTHING
        """Offset at which the state was saved last; -1: never."""
        self.saved_bytes = 0
        """Of state that was written so far."""
        self.awaited = False
        """Whether it goes on where another ended, and has committed nothing new yet: readers are waiting for it."""
        self._log = log
        self._task = task
        self._state = state
        self._began = NOTHING
        self._commits = 0
        self._learned = False
        self._committed: int | None = None
        self._replay: tuple[int, str] | None = None
        """The committed offset that is to be reached, and the running hash that is to be found there."""
        self._transaction: Transaction = log.transaction(partition)
        try:
            self._restore(start)
            log.seek(partition, self.position)
        except BaseException:
            self.close()
            raise

    @property
    def where(self) -> str:
        """The partition in words."""
        return where(self.partition)

    @property
    def replaying(self) -> bool:
        """Whether the task is still on its way back to the committed offset."""
        return self._replay is not None

    @property
    def pending(self) -> bool:
        """Whether anything waits to be committed."""
        return self.position != self._committed and not self.replaying

    @property
    def unsaved(self) -> Unsaved:
        """What was done since the state was last saved."""
        return Unsaved(self.position - self.snapshot, *self._task.unsaved, self._learned)

    def _restore(self, start: str) -> None:
        committed = self._log.committed(self.partition)
        first, following = self._log.bounds(self.partition)
        state = self._log.read_state(self._state)
        if self._log.committed(self.partition) != committed:
            raise Fenced(f"{self.where} was committed by another process while its state was read: it has taken over")
        require_offset(self.partition, committed, saved=bool(state), topic=self._state.topic)
        if committed is None:
            self.position = self._began = first if start == "earliest" else following
            return
        manifest = read_manifest(self.partition, committed)
        if manifest.snapshot == NOTHING:
            self.position = committed.offset
        else:
            self.position = self.snapshot = self._load(committed, state)
        require_fit(
            self.partition,
            committed,
            saved=self.position,
            layout=self._task.saved_layout,
            bounds=(first, following),
            topic=self._state.topic,
        )
        if self._task.carried:
            require_ended(self.partition, committed, saved=self.position, carried=self._task.carried)
            logger.warning("state_carried_over", extra={**self.partition._asdict(), "what": self._task.carried})
            self.snapshot = NOTHING  # what is there is of the old layout: the first commit replaces it
        self._began, self._commits, self._committed = manifest.began, manifest.commit, committed.offset
        self._replay = (committed.offset, manifest.chain)
        self.awaited = True
        self._end_replay()

    def _load(self, committed: Committed, state: Mapping[bytes, bytes]) -> int:
        try:
            position = self._task.load(state)
        except StateError as error:
            raise StateError(
                f"{self.where}, committed at offset {committed.offset}, state in {self._state.topic}: {error}"
            ) from error
        if self._task.changed:
            logger.warning("numerics_changed", extra={**self.partition._asdict(), "changed": self._task.changed})
        return position

    def repeated(self, records: Sequence[Record]) -> int:
        """How many of these, the first ones, are fed once more: what they lead to was written before."""
        return 0 if self._replay is None else bisect_left(records, self._replay[0], key=_offset)

    def feed(self, records: Sequence[Record]) -> StepReport | None:
        """Feed the task and write what it says; None where all of it had been written before.

        Raises:
            StateError: a replay did not say what was said before.
            LogError: the outputs cannot be written.
        """
        if self._replay is not None:
            had = self.repeated(records)
            self._advance(records[:had])
            if had < len(records):
                self.position = max(self.position, self._replay[0])  # what lay between is not in the log any more
            self._end_replay()
            records = records[had:]
        if not records:
            return None
        outputs, report = self._advance(records)
        if outputs:
            self._transaction.send(outputs)
        return report

    def _advance(self, records: Sequence[Record]) -> tuple[list[Output], StepReport]:
        said = self._task.feed(records)
        self._learned |= WHOLE in said[1].learned
        if records:
            self.position = records[-1].offset + 1
        return said

    def _end_replay(self) -> None:
        if self._replay is None or self.position < self._replay[0]:
            return
        offset, chain = self._replay
        if self._task.chain.hex() != chain and self._task.changed:
            details = {"from": self.snapshot, "to": offset, "changed": self._task.changed}
            logger.warning(
                "replay_differs", extra={**self.partition._asdict(), **details}
            )  # what was published stays; from here on it is the new bits
        elif self._task.chain.hex() != chain:
            raise StateError(
                f"{self.where}: fed once more from offset {self.snapshot} to {offset}, the task did not say the same "
                f"(running hash {self._task.chain.hex()}, committed {chain}). The configuration, the "
                "program, the machine's arithmetic or the records have changed since a run that did not end cleanly: "
                f"restore them, run once and end it by SIGTERM before changing them; or {ANEW}"
            )
        self._replay = None

    def commit(self, *, snapshot: bool) -> bool:
        """Make visible what was written, together with the offset reached, and with `snapshot` the state as well.

        The first commit of all carries the state in any case. Nothing is written, and the answer is False, where there
        is nothing new, or the replay has not ended.

        Raises:
            LogError: it failed, or it is unknown whether it took place; Fenced: another process holds the partition.
        """
        snapshot = (snapshot or self.snapshot < 0) and self.snapshot != self.position
        if self.replaying or (self.position == self._committed and not snapshot):
            return False
        if snapshot:
            pieces = self._task.save(self.position)
            now = time.time_ns() // 1_000_000  # for compaction and retention; nothing reads it back
            self._transaction.send([Output(*self._state, key, value, now) for key, value in pieces])
            self.saved_bytes += sum(len(key) + len(value or b"") for key, value in pieces)
            self.snapshot, self._learned = self.position, False
        manifest = Manifest(
            SCHEMA,
            layout_hash(self._task.layout),
            self.snapshot,
            self._commits + 1,
            self._task.chain.hex(),
            self._began,
        )
        self._transaction.commit(self.position, manifest.text())
        self.awaited &= self.position == self._committed  # the state alone is not what is waited for
        self._committed = self.position
        self._commits += 1
        return True

    def close(self) -> None:
        """Roll back what is not committed, and let go. Never raises."""
        self._transaction.close()
