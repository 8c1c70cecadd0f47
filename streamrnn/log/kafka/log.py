"""The log of one process on Kafka through kafka-python."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from uuid import UUID

from kafka import ConsumerRebalanceListener, IsolationLevel, KafkaAdminClient, KafkaConsumer, OffsetSpec, errors
from kafka import TopicPartition as KafkaPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.coordinator.assignors.range import RangePartitionAssignor

from streamrnn.log import MAX_OTHERS, Committed, Topic
from streamrnn.log.checks import out_of_range
from streamrnn.log.kafka.client import (
    finish_joins,
    kafka_python_error,
    kafka_python_options,
    name_refused_certificates,
    open_kafka_python,
    wait_for_quotas,
)
from streamrnn.log.kafka.reader import kafka_python_reader_options, poll_range
from streamrnn.log.kafka.writer import KafkaTransaction, Membership
from streamrnn.log.kafka_common import CLOSE_TIMEOUT, END_OF_METADATA, Connection
from streamrnn.log.kafka_common.errors import missing_topic
from streamrnn.log.kafka_common.log import BaseKafkaLog, Batches, RebalanceQueue
from streamrnn.records import Record, TopicPartition


class _Group(RebalanceQueue, ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """The partitions assigned by the group.

    The library calls this from its own thread, which must not wait for a broker. Assigned partitions are paused and
    given a position at once, because looking one up would wait for the open transaction of a dead owner.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        super().__init__()
        self._consumer = consumer

    def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        for partition in assigned:
            self._pause(partition)
        self.gain(assigned)

    def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        self.lose(revoked)

    def reassign(self, partition: TopicPartition) -> None:
        self._pause(KafkaPartition(*partition))
        super().reassign(partition)

    def _pause(self, partition: KafkaPartition) -> None:
        self._consumer.pause(partition)
        self._consumer.seek(partition, 0)


class KafkaLog(BaseKafkaLog[Membership]):
    """One member of the group named by the application; see `BaseKafkaLog`."""

    _group: _Group

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, kafka_python_options(connection), kafka_python_error, poll_range)
        self._admin = open_kafka_python(KafkaAdminClient, self.options)
        wait_for_quotas(self._admin, self.request_timeout)
        name_refused_certificates(self._admin)
        group = {
            "group_id": self.app,
            "group_instance_id": connection.instance,
            "partition_assignment_strategy": [RangePartitionAssignor],
            "session_timeout_ms": round(connection.session_timeout * 1000),
            "heartbeat_interval_ms": 500,
            "max_poll_interval_ms": connection.max_poll_interval_ms,
        }
        try:
            self._consumer = open_kafka_python(KafkaConsumer, kafka_python_reader_options(self.options), **group)
        except BaseException:
            self._admin.close()
            raise
        finish_joins(self._consumer)
        self._group = _Group(self._consumer)

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        with self._explained(f"cannot describe topic {topic}"):
            (found,) = self._admin.describe_topics([topic])
            kind = errors.for_code(found["error_code"])
            if kind is errors.UnknownTopicOrPartitionError:
                return 0
            if kind is not errors.NoError:
                raise kind
            return len(found["partitions"])

    def _request_topic(self, topic: Topic, settings: Mapping[str, str]) -> None:
        self._admin.create_topics({topic.name: {"num_partitions": topic.partitions, "configs": settings}})

    def _request_partitions(self, topic: Topic) -> None:
        self._admin.create_partitions({topic.name: topic.partitions})

    def _await_topic(self, topic: str, partitions: int) -> int:
        """See `KafkaTopics`; also waits until every partition has a leader."""
        with self._explained(f"topic {topic} is not available yet"):
            self._admin.wait_for_topics([topic], timeout_ms=self.request_timeout * 1000)
        return super()._await_topic(topic, partitions)

    def _configurations(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        with self._explained(f"cannot read the configuration of {', '.join(topics)}"):
            resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
            found = self._admin.describe_configs(resources, config_filter="all").get("topic", {})
            # without its permission, or without the topic, the library returns no entries
            return {
                topic: {name: str(entry["value"]) for name, entry in entries.items()}
                for topic, entries in found.items()
                if entries
            }

    def topic_id(self, topic: str) -> str:
        """See `Log.topic_id`."""
        with self._explained(f"cannot describe topic {topic}"):
            (found,) = self._admin.describe_topics([topic])
            identity = found.get("topic_id")
        return "" if not identity else urlsafe_b64encode(UUID(str(identity)).bytes).decode().rstrip("=")

    def subscribe(self, topics: Sequence[str]) -> None:
        """See `Log.subscribe`. Raises LogError if a topic does not exist.

        The client must know the topics before it joins: a group leader that learns of them while joining assigns no
        partitions, and may not check again for a long time.
        """
        with self._explained(f"cannot subscribe to {', '.join(topics)}"):
            self._consumer.subscribe(list(topics), listener=self._group)
            deadline = time.monotonic() + self.request_timeout
            cluster = self._consumer._cluster  # noqa: SLF001  # the public call requests all topics, without a limit
            while missing := [topic for topic in topics if not cluster.partitions_for_topic(topic)]:
                if time.monotonic() > deadline:
                    raise missing_topic(missing[0], self.servers)
                cluster.request_update()  # repeatedly: an update under way answers for the previous topics
                time.sleep(0.05)

    def _fetch(self, timeout: float, limit: int) -> Batches:
        try:
            found = self._consumer.poll(timeout_ms=round(timeout * 1000), max_records=limit)
        except errors.OffsetOutOfRangeError as error:
            partition, offset = next(iter(error.args[0].items()))
            name = TopicPartition(partition.topic, partition.partition)
            raise out_of_range(name, offset, self.bounds(name)) from error
        return {
            TopicPartition(topic, partition): [
                tuple.__new__(
                    Record, (topic, partition, each.offset, each.timestamp, each.key, each.value, tuple(each.headers))
                )
                for each in batch
            ]
            for (topic, partition), batch in found.items()
        }

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Log.seek`."""
        with self._explained(f"cannot read {partition} from offset {offset}"):
            self._consumer.seek(KafkaPartition(*partition), offset)
            self._consumer.resume(KafkaPartition(*partition))

    def committed(self, partition: TopicPartition) -> Committed | None:
        """See `Log.committed`."""
        with self._explained(f"cannot read the committed offset of {partition}"):
            limit = self.request_timeout * 1000
            found = self._consumer.committed(KafkaPartition(*partition), metadata=True, timeout_ms=limit)
        return None if found is None else Committed(found.offset, found.metadata.partition(END_OF_METADATA)[0])

    def other_commits(self, partition: TopicPartition) -> dict[str, Committed]:
        """See `Log.other_commits`."""
        name = KafkaPartition(*partition)
        with self._explained(f"cannot list the groups that read {partition}"):
            groups = [each["group_id"] for each in self._admin.list_groups()]
            wanted = {group: [name] for group in groups if group != self.app}
            wanted = dict(list(wanted.items())[:MAX_OTHERS])
            found = self._admin.list_group_offsets(wanted) if wanted else {}
            return {
                group: Committed(each[name].offset, each[name].metadata.partition(END_OF_METADATA)[0])
                for group, each in found.items()
                if name in each and each[name].offset >= 0
            }

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """See `Log.bounds`."""
        name = KafkaPartition(*partition)
        with self._explained(f"cannot read the bounds of {partition}"):
            first = self._admin.list_partition_offsets({name: OffsetSpec.EARLIEST})[name].offset
            # not the last stable offset: records of an open transaction count
            following = self._ends([name], IsolationLevel.READ_UNCOMMITTED)[name]
        return first, following

    def readable(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """See `Log.readable`."""
        with self._explained(f"cannot read the ends of {', '.join(map(str, partitions))}"):
            names = [KafkaPartition(*each) for each in partitions]
            committed, ends = (
                self._ends(names, level) for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
            )
            return {each: (committed[each], ends[each]) for each in partitions}

    def _ends(self, names: Sequence[KafkaPartition], level: IsolationLevel) -> dict[KafkaPartition, int]:
        found = self._admin.list_partition_offsets(dict.fromkeys(names, OffsetSpec.LATEST), isolation_level=level)
        return {name: each.offset for name, each in found.items()}

    def position(self, partition: TopicPartition) -> int:
        """See `Log.position`."""
        with self._explained(f"cannot read the position in {partition}"):
            return int(self._consumer.position(KafkaPartition(*partition), self.request_timeout * 1000) or 0)

    def _writer(self, partition: TopicPartition) -> KafkaTransaction:
        return KafkaTransaction(self, partition, self.membership_of(partition))

    def others(self) -> bool:
        """See `Log.others`: members whose session has not expired."""
        with self._explained(f"cannot describe the group {self.app}"):
            group = self._admin.describe_groups([self.app])[self.app]
        own = self._membership().member
        return any(member["member_id"] != own for member in group["members"])

    def close(self) -> None:
        """See `Log.close`."""
        with suppress(Exception):
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT * 1000)
        with suppress(Exception):
            self._admin.close()

    def _membership(self) -> Membership:
        now = self._consumer.group_metadata()
        return Membership(now.generation_id, now.member_id, now.group_instance_id)

    def _in_force(self, membership: Membership, partition: TopicPartition) -> bool:
        # without a generation, brokers accept an offset unchecked
        valid = membership.generation >= 0 and not self._group.has_lost(partition)
        return valid and membership == self._membership()
