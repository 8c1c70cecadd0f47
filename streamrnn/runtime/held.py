"""A partition that the log has given to this process, as the loop sees it."""

from typing import TYPE_CHECKING

from streamrnn.records import TopicPartition

if TYPE_CHECKING:
    from streamrnn.runtime.partition import OwnedPartition
    from streamrnn.runtime.retry import Backoff


class Held:
    """One such partition, with or without a working lease. All times are those of the loop's clock, in seconds."""

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.lease: OwnedPartition | None = None
        self.patience: Backoff | None = None
        """With failures of its lease; None: there were none since something was last committed."""
        self.next_commit = 0.0
        self.next_lag = 0.0
        """When to look again how far behind it is."""
        self.saved = 0.0
        """When the state was saved last, or read."""
        self.silent = ""
        """Why the log did not answer when it was last asked how far behind it is."""

    @property
    def next_try(self) -> float:
        """When a lease may be opened."""
        return self.patience.next_try if self.patience else 0.0
