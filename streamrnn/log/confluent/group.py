"""The partitions assigned by the group and their positions, under both group protocols."""

import struct
from collections.abc import Sequence
from itertools import accumulate, compress, islice
from operator import lt

from confluent_kafka import Consumer, Message
from confluent_kafka import TopicPartition as KafkaPartition

from streamrnn.log.confluent.client import Options
from streamrnn.log.kafka_common import Connection
from streamrnn.log.kafka_common.log import RebalanceQueue
from streamrnn.records import TopicPartition

EPOCH_AT = len(b"CGMDv2:")
"""Index of the member's epoch, a 32-bit number, in the library's serialized memberships."""


class ConsumerGroup(RebalanceQueue):
    """The membership of this process: its partitions and their positions.

    A partition is assigned to the library only once its position is known. Assigning it at once and seeking later loses
    records: the library looks up a first position, and if that answer arrives after the seek, it overrides the seek.
    """

    def __init__(self, consumer: Consumer) -> None:
        super().__init__()
        self._consumer = consumer
        self.membership: bytes = consumer.consumer_group_metadata()
        """Group, generation and member at the latest assignment, serialized."""
        self._no_membership = self.membership
        self._positions: dict[TopicPartition, int] = {}
        """Offset of the next record of each partition that is being read."""
        self._ends: dict[TopicPartition, int] = {}
        """End of each partition that the library has reached since the latest `seek`; not used to select records."""

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
        self._ends.pop(partition, None)
        self._positions[partition] = offset
        self._assign()

    def advance(self, partition: TopicPartition, messages: Sequence[Message]) -> list[Message]:
        """Return the new messages if the partition is being read, and advance its position beyond them."""
        position = self._positions.get(partition)
        if position is None:
            return []
        offsets = list(map(Message.offset, messages))
        if position <= offsets[0] and all(
            map(lt, offsets, islice(offsets, 1, None))
        ):  # always true except after a seek
            self._positions[partition] = offsets[-1] + 1
            return list(messages)
        latest = list(accumulate(offsets, max, initial=position - 1))  # before each message, and after the last
        self._positions[partition] = latest[-1] + 1
        return list(compress(messages, map(lt, latest, offsets)))

    def reach_end(self, partition: TopicPartition, offset: int) -> None:
        """Store the end up to which a partition has been read."""
        self._ends[partition] = offset

    def read_up_to(self, partition: TopicPartition) -> int:
        """Return the offset up to which a partition has been read, including offsets without a record."""
        return max(self._positions.get(partition, -1), self._ends.get(partition, -1))

    def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next record of a partition; -1 if it is not being read."""
        return self._positions.get(partition, -1)

    def in_force(self, membership: bytes) -> bool:
        """Return whether a membership is the current one; a membership without a generation never is."""
        return bool(membership != self._no_membership and membership == self._consumer.consumer_group_metadata())

    def renewed(self, membership: bytes) -> bytes:
        """Return a current membership as the brokers know it now."""
        return membership

    def _assign(self) -> None:
        self._consumer.assign([KafkaPartition(*partition, at) for partition, at in self._positions.items()])


class IncrementalGroup(ConsumerGroup):
    """The membership under the protocol `consumer` (KIP-848), in which a rebalance does not affect retained partitions.

    The epoch of the member grows with each rebalance, so a partition belongs to it from its assignment until its
    revocation or loss, whatever the epoch. Brokers check the current epoch, and give a partition to another member only
    after this one has acknowledged its revocation, or was expelled, which ends its epoch.
    """

    def on_assign(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        """See `ConsumerGroup.on_assign`. Acknowledges the partitions without reading them yet."""
        self.membership = consumer.consumer_group_metadata()
        self.gain((each.topic, each.partition) for each in partitions)
        consumer.incremental_assign([])

    def on_revoke(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        """See `ConsumerGroup.on_revoke`."""
        names = [TopicPartition(each.topic, each.partition) for each in partitions]
        self.lose(names)
        consumer.incremental_unassign([KafkaPartition(*each) for each in names if each in self._positions])
        for each in names:
            self._positions.pop(each, None)

    def reassign(self, partition: TopicPartition) -> None:
        """See `ConsumerGroup.reassign`."""
        RebalanceQueue.reassign(self, partition)
        self._stop(partition)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read a partition from an offset on; the others are not affected."""
        self._stop(partition)
        self._ends.pop(partition, None)
        self._positions[partition] = offset
        self._consumer.incremental_assign([KafkaPartition(*partition, offset)])

    def in_force(self, membership: bytes) -> bool:
        """Return whether the member still belongs to the group; if not, its partitions are revoked."""
        return membership != self._no_membership and self._epoch() > 0

    def renewed(self, membership: bytes) -> bytes:
        """Return the membership with its current epoch."""
        del membership
        return bytes(self._consumer.consumer_group_metadata())

    def _stop(self, partition: TopicPartition) -> None:
        if self._positions.pop(partition, None) is not None:
            self._consumer.incremental_unassign([KafkaPartition(*partition)])

    def _epoch(self) -> int:
        """Return the current epoch; at most 0 for a member that has left or was expelled."""
        return int(struct.unpack_from("=i", self._consumer.consumer_group_metadata(), EPOCH_AT)[0])


def group_options(connection: Connection) -> Options:
    """Return the library's options of a member of the group."""
    options = {
        "group.id": connection.app,
        "group.instance.id": connection.instance,
        "group.protocol": connection.group_protocol,
        "enable.partition.eof": True,  # reports the position after transaction markers
        "max.poll.interval.ms": connection.max_poll_interval_ms,
    }
    if connection.group_protocol == "consumer":  # times are the brokers'
        return options | {"group.remote.assignor": "range"}
    return options | {
        "partition.assignment.strategy": "range",
        "session.timeout.ms": round(connection.session_timeout * 1000),
        "heartbeat.interval.ms": 500,
    }


def make_group(connection: Connection, consumer: Consumer) -> ConsumerGroup:
    """Return the membership of a consumer."""
    return (IncrementalGroup if connection.group_protocol == "consumer" else ConsumerGroup)(consumer)
