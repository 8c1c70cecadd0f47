"""One input partition as long as this process holds it: its task, its transaction, and where they stand.

Every commit writes, in one transaction, the outputs, the offset of the next record and a manifest; from time to time
also the changed pieces of the state. Whoever holds the partition next loads the pieces, feeds the task once more with
the records up to the committed offset, throws away what it says, and compares the running hash over it with the
manifest's: from there on it is as if nothing had happened.
"""

import logging
import time
from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import Literal, NamedTuple

import orjson

from streamrnn.errors import StateError
from streamrnn.log import Committed, Log, Transaction
from streamrnn.records import Output, Record, StepReport, TopicPartition
from streamrnn.snapshot import SCHEMA, layout_hash
from streamrnn.task import Task

logger = logging.getLogger(__name__)

ANEW = "start anew under another name (app)"

_offset = attrgetter("offset")


class _Manifest(NamedTuple):
    """What is committed beside an offset, as JSON."""

    schema: int
    layout: str
    snapshot: int
    """Offset at which the state was saved."""
    commit: int
    """Number of this commit in the life of the task."""
    chain: str
    """The running hash over all outputs up to the committed offset."""

    def text(self) -> str:
        return orjson.dumps(self._asdict()).decode()


class Lease:
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
        self.snapshot = -1
        """Offset at which the state was saved last; -1: never."""
        self._log = log
        self._task = task
        self._state = state
        self._commits = 0
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
        return f"{self.partition.topic}/{self.partition.partition}"

    @property
    def replaying(self) -> bool:
        """Whether the task is still on its way back to the committed offset."""
        return self._replay is not None

    @property
    def pending(self) -> bool:
        """Whether anything waits to be committed."""
        return self.position != self._committed and not self.replaying

    def _restore(self, start: str) -> None:
        committed = self._log.committed(self.partition)
        first, following = self._log.bounds(self.partition)
        state = self._log.read_state(self._state)
        if committed is None:
            if state:
                raise StateError(
                    f"{self.where} has saved state in {self._state.topic}, but no committed offset (Kafka forgets "
                    f"the offsets of a group that was away for offsets.retention.minutes): {ANEW}"
                )
            self.position = first if start == "earliest" else following
            return
        manifest = self._manifest(committed)
        try:
            self.position = self.snapshot = self._task.load(state)
        except StateError as error:
            raise StateError(
                f"{self.where}, committed at offset {committed.offset}, state in {self._state.topic}: {error}"
            ) from error
        self._check(committed, manifest, first, following)
        if self._task.changed:
            logger.warning("numerics_changed", extra={"partition": self.where, "changed": self._task.changed})
        self._commits, self._committed = manifest.commit, committed.offset
        self._replay = (committed.offset, manifest.chain)
        self._end_replay()

    def _manifest(self, committed: Committed) -> _Manifest:
        try:
            manifest = _Manifest(**orjson.loads(committed.metadata))
        except (orjson.JSONDecodeError, TypeError):
            raise StateError(
                f"the offset {committed.offset} of {self.where} was not committed by this program: its metadata is "
                f"{committed.metadata[:60]!r}; do not move the group's offsets by hand, {ANEW}"
            ) from None
        if manifest.schema != SCHEMA:
            raise StateError(
                f"{self.where} was committed under schema {manifest.schema}, and this program reads {SCHEMA}: use the "
                f"version that wrote it, or {ANEW}"
            )
        return manifest

    def _check(self, committed: Committed, manifest: _Manifest, first: int, following: int) -> None:
        layout = layout_hash(self._task.layout)
        if (manifest.snapshot, manifest.layout) != (self.position, layout):
            raise StateError(
                f"{self.where}: the state in {self._state.topic} is of offset {self.position} and layout {layout}, and "
                f"the commit at offset {committed.offset} belongs to offset {manifest.snapshot} and layout "
                f"{manifest.layout}: something else has written to one of them; {ANEW}"
            )
        if first > self.position:
            raise StateError(
                f"{self.where} begins at offset {first} now, and offset {self.position} is needed to go on from (saved "
                f"there, committed at {committed.offset}): retention has deleted records too early; {ANEW}"
            )
        if following < committed.offset:
            raise StateError(
                f"{self.where} ends at offset {following}, and {committed.offset} was committed: the topic was created "
                f"anew; {ANEW}"
            )

    def feed(self, records: Sequence[Record]) -> StepReport | None:
        """Feed the task and write what it says; None where all of it had been written before.

        Raises:
            StateError: a replay did not say what was said before.
            LogError: the outputs cannot be written.
        """
        if self._replay is not None:
            had = bisect_left(records, self._replay[0], key=_offset)
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
        if records:
            self.position = records[-1].offset + 1
        return said

    def _end_replay(self) -> None:
        if self._replay is None or self.position < self._replay[0]:
            return
        offset, chain = self._replay
        if self._task.chain.hex() != chain and self._task.changed:
            details = {"partition": self.where, "from": self.snapshot, "to": offset, "changed": self._task.changed}
            logger.warning("replay_differs", extra=details)  # what was published stays; from here on it is the new bits
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
            self.snapshot = self.position
        manifest = _Manifest(
            SCHEMA,
            layout_hash(self._task.layout),
            self.snapshot,
            self._commits + 1,
            self._task.chain.hex(),
        )
        self._transaction.commit(self.position, manifest.text())
        self._committed = self.position
        self._commits += 1
        return True

    def close(self) -> None:
        """Roll back what is not committed, and let go. Never raises."""
        self._transaction.close()
