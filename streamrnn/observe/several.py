"""Several observers of one worker."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamrnn.records import StepReport, TopicPartition
    from streamrnn.worker import Observer


class Several:
    """An observer that tells others, in their order."""

    def __init__(self, observers: "Sequence[Observer]") -> None:
        self._observers = observers

    def stepped(self, report: "StepReport") -> None:
        """See `Observer.stepped`."""
        for observer in self._observers:
            observer.stepped(report)

    def committed(self, partition: "TopicPartition", seconds: float) -> None:
        """See `Observer.committed`."""
        for observer in self._observers:
            observer.committed(partition, seconds)

    def lag(self, partition: "TopicPartition", records: int) -> None:
        """See `Observer.lag`."""
        for observer in self._observers:
            observer.lag(partition, records)

    def restarted(self, partition: "TopicPartition") -> None:
        """See `Observer.restarted`."""
        for observer in self._observers:
            observer.restarted(partition)

    def released(self, partition: "TopicPartition") -> None:
        """See `Observer.released`."""
        for observer in self._observers:
            observer.released(partition)
