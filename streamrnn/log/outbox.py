"""The outputs of an input partition, from their computation to their commit."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from streamrnn.log import Transaction
from streamrnn.log.limits import TopicLimits, fit
from streamrnn.records import Output

if TYPE_CHECKING:
    from concurrent.futures import Future

MAX_RETAINED = 200_000
"""Largest number of outputs of a transaction to store, about 200 MB; two may be under way."""


class Outbox:
    """Writes the outputs of an input partition, and retains them until they are committed.

    A commit over a network takes about a tenth of a second. Outputs computed meanwhile are buffered, and belong to
    the next transaction: what a commit contains was decided when it began.

    Args:
        transaction: The writer of the partition.
        limits: What each topic accepts.
        retained: Outputs of an earlier outbox that were not committed, in order; they are written again.
    """

    def __init__(
        self, transaction: Transaction, limits: Mapping[str, TopicLimits], retained: Sequence[Output] = ()
    ) -> None:
        self._transaction, self._limits = transaction, limits
        self._commit: Future[float] | None = None  # under way
        self._committing: list[Output] | None = []  # what it contains; None if that is too much to store
        self._uncommitted: list[Output] | None = list(retained)
        self._buffered: list[Output] = []  # fitted, to be written after the commit under way
        self._send(retained)

    @property
    def retained(self) -> list[Output] | None:
        """The outputs that are not committed as far as is known; None if there are too many to store."""
        if self._committing is None or self._uncommitted is None:
            return None
        return self._committing + self._uncommitted

    def write(self, outputs: Sequence[Output]) -> tuple[int, int]:
        """Write outputs; return the numbers of moved timestamps and of cut dead letters, to fit the topics' limits."""
        if self._uncommitted is not None:
            self._uncommitted += outputs
            if len(self._uncommitted) > MAX_RETAINED:
                self._uncommitted = None
        return self._send(outputs)

    def _send(self, outputs: Sequence[Output]) -> tuple[int, int]:
        now = time.time_ns() // 1_000_000  # for the topics' limits only, never in an output's value
        fitted, moved, cut = fit(outputs, self._limits, now)
        if self._commit is not None:
            self._buffered += fitted
        elif fitted:
            self._transaction.send(fitted)
        return moved, cut

    def write_state(self, pieces: Sequence[Output]) -> None:
        """Write pieces of the state, which fit and are not retained; not during a commit."""
        self._transaction.send(pieces)

    def begin_commit(self, offset: int, metadata: str) -> None:
        """Begin a commit of all that is written, as `Transaction.begin_commit` does; `end_commit` must follow."""
        self._committing, self._uncommitted = self._uncommitted, []
        self._commit = self._transaction.begin_commit(offset, metadata)

    def end_commit(self, *, wait: bool) -> float | None:
        """Write the outputs that were buffered during a commit, once it has ended.

        Return the seconds for which it went on in the background.
        Return None if there is no commit, or if it has not ended and `wait` is false. Raises as
        `Transaction.commit` does.
        """
        if self._commit is None or not (wait or self._commit.done()):
            return None
        seconds = self._commit.result()
        self._commit, self._committing = None, []
        buffered, self._buffered = self._buffered, []
        if buffered:
            self._transaction.send(buffered)
        return seconds

    def drop_committed(self) -> None:
        """Do not retain the outputs of the commit under way: it had succeeded, though it failed here."""
        self._committing = []

    def close(self) -> bool:
        """Roll back uncommitted outputs; return whether a commit that was under way has succeeded. Never raises."""
        self._transaction.close()
        return self._commit is not None and self._commit.done() and self._commit.exception() is None
