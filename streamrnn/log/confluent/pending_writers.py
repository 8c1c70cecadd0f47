"""Writers on their way: those of all partitions that were given to this process are opened at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from functools import partial

from streamrnn.log.confluent.client import started
from streamrnn.log.confluent.writer import ConfluentTransaction
from streamrnn.records import TopicPartition

Opener = Callable[[], ConfluentTransaction]


class Openings:
    """What has been begun and not taken yet.

    Where its owner has died in a transaction, a writer is told to come again, and the library does so half a second
    later: one after another, many partitions would wait for long. `opener` returns what opens the writer of a
    partition, in a thread of its own.
    """

    def __init__(self, opener: Callable[[TopicPartition], Opener]) -> None:
        self._opener = opener
        self._begun: dict[TopicPartition, Future[ConfluentTransaction]] = {}
        self._dropped: dict[TopicPartition, Future[ConfluentTransaction]] = {}

    def begin(self, partitions: Iterable[TopicPartition]) -> None:
        """Open their writers; after one that was dropped, which would else fence the new one."""
        for partition in partitions:
            self._begun[partition] = started(_open_after, self._dropped.pop(partition, None), self._opener(partition))

    def take(self, partition: TopicPartition) -> ConfluentTransaction:
        """The writer of a partition, opened now if that was not begun; raises what opening raises."""
        begun = self._begun.pop(partition, None)
        return self._opener(partition)() if begun is None else begun.result()

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Close those that nobody will take, as soon as they are open."""
        for partition in set(partitions) & self._begun.keys():
            self._dropped[partition] = self._begun.pop(partition)
            self._dropped[partition].add_done_callback(partial(started, _close))

    def close(self) -> None:
        """Drop all."""
        self.drop(self._begun.copy())


def _open_after(dropped: Future[ConfluentTransaction] | None, opener: Opener) -> ConfluentTransaction:
    if dropped is not None:
        wait([dropped])
    return opener()


def _close(begun: Future[ConfluentTransaction]) -> None:
    if begun.exception() is None:
        begun.result().close()
