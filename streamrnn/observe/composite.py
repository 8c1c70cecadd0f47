"""Several observers of one worker."""

from collections.abc import Sequence

from streamrnn.records import Observer, StepReport, TopicPartition


class CompositeObserver(Observer):
    """An observer that tells others, in their order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def assigned(self, partition: TopicPartition) -> None:
        """See `Observer.assigned`."""
        for observer in self._observers:
            observer.assigned(partition)

    def restored(self, partition: TopicPartition, seconds: float) -> None:
        """See `Observer.restored`."""
        for observer in self._observers:
            observer.restored(partition, seconds)

    def stepped(self, report: StepReport) -> None:
        """See `Observer.stepped`."""
        for observer in self._observers:
            observer.stepped(report)

    def committed(self, partition: TopicPartition, seconds: float, saved: int) -> None:
        """See `Observer.committed`."""
        for observer in self._observers:
            observer.committed(partition, seconds, saved)

    def aborted(self, partition: TopicPartition) -> None:
        """See `Observer.aborted`."""
        for observer in self._observers:
            observer.aborted(partition)

    def lag(self, partition: TopicPartition, records: int) -> None:
        """See `Observer.lag`."""
        for observer in self._observers:
            observer.lag(partition, records)

    def restarted(self, partition: TopicPartition) -> None:
        """See `Observer.restarted`."""
        for observer in self._observers:
            observer.restarted(partition)

    def released(self, partition: TopicPartition) -> None:
        """See `Observer.released`."""
        for observer in self._observers:
            observer.released(partition)

    def turned(self, seconds: float, restoring: int) -> None:
        """See `Observer.turned`."""
        for observer in self._observers:
            observer.turned(seconds, restoring)
