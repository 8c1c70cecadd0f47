"""The partitions assigned by the group, and the position of each."""

from collections.abc import Sequence
from itertools import accumulate, compress
from operator import lt

from confluent_kafka import Consumer, Message
from confluent_kafka import TopicPartition as KafkaPartition

from streamrnn.log.kafka_common.log import RebalanceQueue
from streamrnn.records import TopicPartition


class ConsumerGroup(RebalanceQueue):
    """The membership of this process: its partitions and their positions.

    A partition is assigned to the library only once its position is known. Assigning it at once and seeking later loses
    records: the library looks up a first position, and if that answer arrives after the seek, it overrides the seek.
    """

    def __init__(self, consumer: Consumer) -> None:
        super().__init__()
        self._consumer = consumer
        self.membership: bytes = consumer.consumer_group_metadata()
        """Group, generation and member, serialized, at the time of the latest assignment."""
        self._no_membership = self.membership
        self._positions: dict[TopicPartition, int] = {}
        """Offset of the next record of each partition that is being read."""
        self._ends: dict[TopicPartition, int] = {}
        """End of each partition at which the library has arrived since the latest `seek`; decides about no record."""

    def on_assign(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        """Handle an assignment; called by the library within a poll."""
        self.membership = consumer.consumer_group_metadata()
        self.gain((each.topic, each.partition) for each in partitions)
        self._assign()

    def on_revoke(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        """Handle a revocation or loss; called by the library within a poll."""
        del consumer
        self.lose((each.topic, each.partition) for each in partitions)
        for each in partitions:
            self._positions.pop(TopicPartition(each.topic, each.partition), None)

    def reassign(self, partition: TopicPartition) -> None:
        """Report a partition as lost and gained again, and stop reading it."""
        super().reassign(partition)
        if self._positions.pop(partition, None) is not None:
            self._assign()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read a partition from an offset on; the prefetched records of the others are fetched again."""
        self._positions[partition] = offset
        self._ends.pop(partition, None)
        self._assign()

    def advance(self, partition: TopicPartition, messages: Sequence[Message]) -> list[Message]:
        """Return the messages that are new, if the partition is being read, and move its position behind them."""
        position = self._positions.get(partition)
        if position is None:
            return []
        offsets = list(map(Message.offset, messages))
        latest = list(accumulate(offsets, max, initial=position - 1))  # before each message, and after the last
        self._positions[partition] = latest[-1] + 1
        return list(compress(messages, map(lt, latest, offsets)))

    def reach_end(self, partition: TopicPartition, offset: int) -> None:
        """Store the end up to which a partition has been read."""
        self._ends[partition] = offset

    def read_up_to(self, partition: TopicPartition) -> int:
        """Return the offset up to which a partition has been read, beyond what has no record for this reader."""
        return max(self._positions.get(partition, -1), self._ends.get(partition, -1))

    def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next record of a partition; -1 if it is not being read."""
        return self._positions.get(partition, -1)

    def in_force(self, membership: bytes) -> bool:
        """Return whether a membership is the current one; one without a generation never is."""
        return bool(membership != self._no_membership and membership == self._consumer.consumer_group_metadata())

    def _assign(self) -> None:
        self._consumer.assign([KafkaPartition(*partition, at) for partition, at in self._positions.items()])
