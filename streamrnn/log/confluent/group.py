"""What the group has given to this process, and from where it is read."""

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaPartition

from streamrnn.records import TopicPartition


class Group:
    """The membership of this process: partitions given and taken, until the next poll takes that in, and positions.

    A partition is assigned to the library only once it is known from where to read it. To assign at once
    what the group gives, and seek afterwards, loses records: the library asks for a first position, and where
    the answer comes after the seek, it asks again, and goes to where that points.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.place = consumer.consumer_group_metadata()
        """Group, generation and member, as bytes; those of the time when partitions were given last."""
        self._nowhere = self.place
        self._lost: set[TopicPartition] = set()
        self._gained: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}
        """Offset of the next record of each partition that is read."""

    def given(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        """Take in what was assigned; called by the library within a poll."""
        self.place = consumer.consumer_group_metadata()
        self._gained |= {TopicPartition(each.topic, each.partition) for each in partitions}
        self._assign()

    def taken(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        """Take in what was revoked or lost; called by the library within a poll."""
        del consumer
        self._lost |= {TopicPartition(each.topic, each.partition) for each in partitions}
        self._gained -= self._lost
        for partition in self._lost:
            self._positions.pop(partition, None)

    def hand_out_again(self, partition: TopicPartition) -> None:
        """As if it had been taken and given anew."""
        self._lost.add(partition)
        self._gained.add(partition)
        if self._positions.pop(partition, None) is not None:
            self._assign()

    def read(self, partition: TopicPartition, offset: int) -> None:
        """Read a partition from an offset on. What others have read ahead is read again."""
        self._positions[partition] = offset
        self._assign()

    def follows(self, partition: TopicPartition, offset: int) -> bool:
        """Whether a record is to be handed out: it is of a partition that is read, and was not handed out before."""
        if offset < self._positions.get(partition, offset + 1):
            return False
        self._positions[partition] = offset + 1
        return True

    def position(self, partition: TopicPartition) -> int:
        """Offset of the next record of a partition; -1: it is not read."""
        return self._positions.get(partition, -1)

    def in_force(self, place: bytes) -> bool:
        """Whether a place in the group is the one that this process has now; one without a generation never is."""
        return bool(place != self._nowhere and place == self._consumer.consumer_group_metadata())

    def changes(self) -> tuple[set[TopicPartition], set[TopicPartition]]:
        """Hand over what was lost and gained since the last call."""
        lost, gained = self._lost, self._gained
        self._lost, self._gained = set(), set()
        return lost, gained

    def _assign(self) -> None:
        self._consumer.assign([KafkaPartition(*partition, at) for partition, at in self._positions.items()])
