"""Writers being opened: those of all assigned partitions are opened concurrently."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from functools import partial

from streamrnn.log.confluent.client import run_in_thread
from streamrnn.log.confluent.writer import ConfluentTransaction
from streamrnn.records import TopicPartition

Opener = Callable[[], ConfluentTransaction]


class PendingWriters:
    """Writers that are being opened and have not been requested yet.

    If the previous owner died within a transaction, the broker asks a new writer to retry, which the library does half
    a second later: opening the writers of many partitions one after the other would take long. `opener` returns a
    function that opens the writer of a partition in another thread.
    """

    def __init__(self, opener: Callable[[TopicPartition], Opener]) -> None:
        self._opener = opener
        self._pending: dict[TopicPartition, Future[ConfluentTransaction]] = {}
        self._discarded: dict[TopicPartition, Future[ConfluentTransaction]] = {}

    def begin(self, partitions: Iterable[TopicPartition]) -> None:
        """Start to open writers, each after a discarded one of its partition, which would otherwise fence it."""
        for partition in partitions:
            earlier, opener = self._discarded.pop(partition, None), self._opener(partition)
            self._pending[partition] = run_in_thread(_open_after, earlier, opener)

    def pop(self, partition: TopicPartition) -> ConfluentTransaction:
        """Return the writer of a partition, opening it now if that has not begun; raises what opening raises."""
        pending = self._pending.pop(partition, None)
        return self._opener(partition)() if pending is None else pending.result()

    def discard(self, partitions: Iterable[TopicPartition]) -> None:
        """Close the pending writers of partitions as soon as they are open."""
        for partition in set(partitions) & self._pending.keys():
            self._discarded[partition] = self._pending.pop(partition)
            self._discarded[partition].add_done_callback(partial(run_in_thread, _close))

    def close(self) -> None:
        """Discard all pending writers."""
        self.discard(self._pending.copy())


def _open_after(earlier: Future[ConfluentTransaction] | None, opener: Opener) -> ConfluentTransaction:
    if earlier is not None:
        wait([earlier])
    return opener()


def _close(pending: Future[ConfluentTransaction]) -> None:
    if pending.exception() is None:
        pending.result().close()
