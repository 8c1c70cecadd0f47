"""The log of one process on Kafka through confluent-kafka."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import compress
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
)
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec

from streamrnn.log import MAX_OTHERS, Committed, Topic
from streamrnn.log.checks import out_of_range
from streamrnn.log.confluent.client import ConnectionErrors, confluent_error, confluent_options, open_confluent
from streamrnn.log.confluent.group import ConsumerGroup, group_options, make_group
from streamrnn.log.confluent.pending_writers import PendingWriters
from streamrnn.log.confluent.reader import confluent_reader_options, consume_range, records_of
from streamrnn.log.confluent.writer import ConfluentTransaction
from streamrnn.log.kafka_common import Connection
from streamrnn.log.kafka_common.errors import FENCED_INSTANCE_ID, GROUP_REFUSALS, group_refused, missing_topic
from streamrnn.log.kafka_common.log import BaseKafkaLog, Batches
from streamrnn.records import TopicPartition

STALE_LEADER = {
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._NOENT,  # noqa: SLF001  # the library cached that there was no leader, during an election
}
"""Errors after which the leader of a partition must be looked up again."""
UNREADABLE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED}
"""Errors after which a topic is treated as one with the brokers' default configuration."""
TRANSIENT = {
    KafkaError._TRANSPORT,  # noqa: SLF001  # the library's names of its own errors
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001  # a rebalance reports the lost partitions
}
"""Errors reported among the records from which the library recovers by itself."""


class ConfluentLog(BaseKafkaLog[bytes]):
    """One member of the group named by the application; see `BaseKafkaLog`.

    A record whose timestamp is 0, the beginning of 1970, is written one millisecond later.
    """

    _group: ConsumerGroup

    def __init__(self, connection: Connection) -> None:
        reported = ConnectionErrors()  # to all clients of the log
        options = {**confluent_options(connection), "error_cb": reported}
        super().__init__(connection, options, partial(confluent_error, reported=reported), consume_range)
        self._admin = open_confluent(AdminClient, self.options)
        try:
            self._consumer = open_confluent(
                Consumer, {**confluent_reader_options(self.options), **group_options(connection)}
            )
        except BaseException:
            del self._admin  # ends its threads; the error would keep it alive
            raise
        self._group = make_group(connection, self._consumer)
        self._pending = PendingWriters(
            lambda partition: partial(ConfluentTransaction, self, partition, self.membership_of(partition))
        )

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        with self._explained(f"cannot describe topic {topic}"):
            # not over a connection of the consumer, on which brokers answer late where they limit its rate
            found = self._admin.list_topics(topic, self.request_timeout).topics[topic]
            if found.error is None:
                return len(found.partitions)
            if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return 0
            raise KafkaException(found.error)

    def _request_topic(self, topic: Topic, settings: Mapping[str, str]) -> None:
        new = NewTopic(topic.name, num_partitions=topic.partitions, config=dict(settings))
        self._answer(self._admin.create_topics([new], request_timeout=self.request_timeout))

    def _answer(self, requested: dict[Any, Future[Any]]) -> Any:
        """Return the brokers' answer to a single request."""
        self._admin.poll(0)  # forwards the library's messages to the logger
        (future,) = requested.values()
        return future.result(2 * self.request_timeout)

    def _request_partitions(self, topic: Topic) -> None:
        more = NewPartitions(topic.name, topic.partitions)
        self._answer(self._admin.create_partitions([more], request_timeout=self.request_timeout))

    def _configurations(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        with self._explained(f"cannot read the configuration of {', '.join(topics)}"):
            resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
            requested = self._admin.describe_configs(resources, request_timeout=self.request_timeout)
            found: dict[str, dict[str, str]] = {}
            for resource, future in requested.items():
                try:
                    entries = future.result(2 * self.request_timeout)
                except KafkaException as error:
                    if error.args[0].code() not in UNREADABLE:
                        raise
                else:
                    found[resource.name] = {name: entry.value for name, entry in entries.items()}
            return found

    def topic_id(self, topic: str) -> str:
        """See `Log.topic_id`."""
        with self._explained(f"cannot describe topic {topic}"):
            names = TopicCollection([topic])
            described = self._admin.describe_topics(names, request_timeout=self.request_timeout)[topic]
            try:
                return str(described.result(2 * self.request_timeout).topic_id)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return ""
                raise

    def subscribe(self, topics: Sequence[str]) -> None:
        """See `Log.subscribe`. Raises LogError if a topic does not exist."""
        for topic in topics:
            if not self._await_topic(topic, 1):
                raise missing_topic(topic, self.servers)
        with self._explained(f"cannot subscribe to {', '.join(topics)}"):
            for topic in topics:  # else the consumer may report a new topic as unknown
                self._consumer.list_topics(topic, self.request_timeout)
            self._consumer.subscribe(list(topics), on_assign=self._group.on_assign, on_revoke=self._group.on_revoke)

    def _fetch(self, timeout: float, limit: int) -> Batches:
        # a request for several records would wait for all of them
        found = self._consumer.consume(1, timeout)
        if found and limit > 1:
            found += self._consumer.consume(limit - 1, 0)
        if any(map(Message.error, found)):
            errors = list(map(Message.error, found))
            for each, error in zip(found, errors, strict=True):
                if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    self._group.reach_end(TopicPartition(each.topic(), each.partition()), each.offset())
                elif error is not None:
                    self._handle(error, TopicPartition(each.topic(), each.partition()))
            found = [each for each, error in zip(found, errors, strict=True) if error is None]
        names = list(zip(map(Message.topic, found), map(Message.partition, found), strict=True))
        records: Batches = {}
        for name in (different := dict.fromkeys(names)):
            partition = TopicPartition(*name)
            messages = found if len(different) == 1 else list(compress(found, map(name.__eq__, names)))
            if usable := self._group.advance(partition, messages):
                records[partition] = records_of(partition, usable)
        return records

    def _handle(self, error: KafkaError, partition: TopicPartition) -> None:
        """Raise an error reported in place of a record, unless the library recovers by itself."""
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            raise out_of_range(partition, self._group.position(partition), self.bounds(partition))
        if error.code() == KafkaError._FATAL:  # noqa: SLF001
            # only its text names the cause
            code = next((each for each in GROUP_REFUSALS if KafkaError(each).str() in error.str()), FENCED_INSTANCE_ID)
            raise group_refused(f"cannot read at {self.servers}", code, error.str())
        if error.code() not in TRANSIENT:
            raise KafkaException(error)

    def _reassign(self) -> tuple[list[TopicPartition], list[TopicPartition]]:
        assigned, revoked = super()._reassign()
        self._pending.discard(revoked)
        self._pending.begin(assigned)
        return assigned, revoked

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Log.seek`."""
        with self._explained(f"cannot read {partition} from offset {offset}"):
            self._group.seek(partition, offset)

    def committed(self, partition: TopicPartition) -> Committed | None:
        """See `Log.committed`."""
        with self._explained(f"cannot read the committed offset of {partition}"):
            (found,) = self._consumer.committed([KafkaPartition(*partition)], self.request_timeout)
            if found.error is not None:
                raise KafkaException(found.error)
        return None if found.offset < 0 else Committed(found.offset, found.metadata or "")

    def other_commits(self, partition: TopicPartition) -> dict[str, Committed]:
        """See `Log.other_commits`."""
        with self._explained(f"cannot list the groups that read {partition}"):
            listed = self._admin.list_consumer_groups(request_timeout=self.request_timeout)
            groups = [each.group_id for each in listed.result(2 * self.request_timeout).valid]
            others = [each for each in groups if each != self.app][:MAX_OTHERS]
            requested = [  # concurrently, as the library accepts only one group per request
                self._admin.list_consumer_group_offsets(
                    [ConsumerGroupTopicPartitions(group, [KafkaPartition(*partition)])]
                )
                for group in others
            ]
            found: dict[str, Committed] = {}
            for group, futures in zip(others, requested, strict=True):
                (position,) = self._answer(futures).topic_partitions
                if position.offset >= 0:
                    found[group] = Committed(position.offset, position.metadata or "")
            return found

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """See `Log.bounds`."""
        with self._explained(f"cannot read the bounds of {partition}"):
            return self._bound(partition, OffsetSpec.earliest()), self._bound(partition, OffsetSpec.latest())

    def readable(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """See `Log.readable`."""
        with self._explained(f"cannot read the ends of {', '.join(map(str, partitions))}"):
            wanted = {KafkaPartition(*each): OffsetSpec.latest() for each in partitions}
            committed, ends = (
                self._admin.list_offsets(wanted, isolation_level=level, request_timeout=self.request_timeout)
                for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
            )
            limit = 2 * self.request_timeout
            return {
                each: (int(committed[name].result(limit).offset), int(ends[name].result(limit).offset))
                for each, name in zip(partitions, wanted, strict=True)
            }

    def position(self, partition: TopicPartition) -> int:
        """See `Log.position`."""
        return self._group.read_up_to(partition)

    def _bound(self, partition: TopicPartition, which: OffsetSpec) -> int:
        try:
            return self._list_offset(partition, which)
        except KafkaException as error:
            if error.args[0].code() not in STALE_LEADER:
                raise
        # the library uses the leader it has cached until its metadata is requested
        self._admin.list_topics(partition.topic, self.request_timeout)
        return self._list_offset(partition, which)

    def _list_offset(self, partition: TopicPartition, which: OffsetSpec) -> int:
        requested = self._admin.list_offsets(
            {KafkaPartition(*partition): which},
            isolation_level=IsolationLevel.READ_UNCOMMITTED,  # records of an open transaction count
            request_timeout=self.request_timeout,
        )
        offset = int(self._answer(requested).offset)
        if offset < 0:  # observed just after a broker's crash: an answer with neither an offset nor an error
            raise KafkaException(KafkaError(KafkaError._NOENT, "no offset in the answer"))  # noqa: SLF001
        return offset

    def _writer(self, partition: TopicPartition) -> ConfluentTransaction:
        return self._pending.pop(partition)

    def others(self) -> bool:
        """See `Log.others`: members whose session has not expired."""
        with self._explained(f"cannot describe the group {self.app}"):
            requested = self._admin.describe_consumer_groups([self.app], request_timeout=self.request_timeout)
            group = requested[self.app].result(self.request_timeout)
            own = self._consumer.memberid()
            return any(member.member_id != own for member in group.members)

    def close(self) -> None:
        """See `Log.close`."""
        self._pending.close()
        with suppress(Exception):
            self._consumer.close()
        with suppress(AttributeError):
            del self._admin  # ends its threads

    def _membership(self) -> bytes:
        return self._group.membership

    def _in_force(self, membership: bytes, partition: TopicPartition) -> bool:
        del partition  # revocations arrive within a poll, which applies them at once
        return self._group.in_force(membership)

    def renewed(self, membership: bytes) -> bytes:
        """See `BaseKafkaLog.renewed`."""
        return self._group.renewed(membership)
