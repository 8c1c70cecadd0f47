"""One process's connection to Kafka: the group, the records read, offsets and topics."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Committed, Poll, Topic
from streamrnn.log.checks import check_range, latest, out_of_range
from streamrnn.log.confluent.client import explained, opened, options, reason
from streamrnn.log.confluent.group import Group
from streamrnn.log.confluent.pending_writers import Opener, Openings
from streamrnn.log.confluent.reader import READING, read
from streamrnn.log.confluent.writer import ConfluentTransaction
from streamrnn.log.kafka_common import (
    EVENT_TIMES,
    HAND_OUT_AGAIN,
    Connection,
    between_polls,
    name_taken,
    no_topic,
    not_allowed,
    require_compacted,
    require_partitions,
    topic_settings,
)
from streamrnn.records import Record, TopicPartition

LOOK_AGAIN = 0.05  # seconds between two looks for a topic that is being created
STALE = {
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._NOENT,  # noqa: SLF001  # it was told that there is none, once, while another was elected
}
"""Errors after which the leader of a partition must be asked for again."""
PASSING = {
    KafkaError._TRANSPORT,  # noqa: SLF001  # so the library names its own errors
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001  # the partitions are lost, and a rebalance says so
}
"""Errors among the records read after which the library goes on by itself."""


class ConfluentLog:
    """One member of the group named by the application; the promises are those of `Log`. To be used by one thread.

    All times are in seconds. A commit that takes longer than `transaction_timeout`, and a transaction that stays open
    for longer, fail. Where a commit was refused as Fenced and the group still gives the partition to this process, a
    poll about two seconds later reports it as revoked and assigned. A record whose time is the very beginning of 1970
    is written one millisecond later.
    """

    def __init__(self, connection: Connection) -> None:
        self._app, self._servers = connection.app, connection.bootstrap_servers
        self._request_timeout = connection.request_timeout
        self._transaction_timeout = connection.transaction_timeout
        self._common = options(connection)
        self._broken: LogError | None = None
        self._owned: dict[TopicPartition, bytes] = {}
        self._refused: dict[TopicPartition, float] = {}
        """Partitions whose writer was fenced though they were still ours: when to hand them out again."""
        self._admin = opened(AdminClient, self._common)
        try:
            self._consumer = self._member(connection)
        except BaseException:
            del self._admin  # which ends its threads; the error would keep it
            raise
        self._group = Group(self._consumer)
        self._openings = Openings(self._opener)

    def _member(self, connection: Connection) -> Consumer:
        group = {
            "group.id": self._app,
            "group.instance.id": connection.instance,
            "partition.assignment.strategy": "range",
            "session.timeout.ms": round(connection.session_timeout * 1000),
            "heartbeat.interval.ms": 500,
            "max.poll.interval.ms": between_polls(connection.session_timeout),
        }
        return opened(Consumer, {**self._common, **READING, **group})

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        with self._explained(f"cannot describe topic {topic}"):
            found = self._consumer.list_topics(topic, self._request_timeout).topics[topic]
            if found.error is None:
                return len(found.partitions)
            if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return 0
            raise KafkaException(found.error)

    def create(self, topics: Sequence[Topic]) -> None:
        """See `Log.create`. Also raises LogError where a topic for state exists that is not compacted."""
        for topic in topics:
            if self.partitions(topic.name) == 0:
                self._create(topic)
            require_partitions(topic, self._wait_for(topic.name), self._servers)
            if topic.compacted:
                require_compacted(topic, self._cleanup_policy(topic.name), self._servers)

    def _create(self, topic: Topic) -> None:
        settings = topic_settings(topic)
        with self._explained(f"cannot create topic {topic.name}"):
            try:
                self._create_with(topic, settings)
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.INVALID_CONFIG:  # a broker before 3.6, which knows no such limit
                    self._create_with(topic, {key: settings[key] for key in settings.keys() - EVENT_TIMES.keys()})
                elif code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
                    raise not_allowed(topic, self._servers) from None
                elif code != KafkaError.TOPIC_ALREADY_EXISTS:  # by another process, just now
                    raise

    def _create_with(self, topic: Topic, settings: dict[str, str]) -> None:
        new = NewTopic(topic.name, num_partitions=topic.partitions, config=settings)
        self._answer(self._admin.create_topics([new], request_timeout=self._request_timeout))

    def _answer(self, asked: dict[Any, Future[Any]]) -> Any:
        """Wait for the answer to the one question asked of the brokers."""
        self._admin.poll(0)  # for what it wants to have logged
        (future,) = asked.values()
        return future.result(2 * self._request_timeout)

    def _cleanup_policy(self, topic: str) -> str:
        with self._explained(f"cannot read the configuration of topic {topic}"):
            resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
            found = self._answer(self._admin.describe_configs([resource], request_timeout=self._request_timeout))
            return str(found["cleanup.policy"].value)

    def _wait_for(self, topic: str) -> int:
        """Number of partitions of a topic, which may take a while to be known; 0: it is not there in time."""
        deadline = time.monotonic() + self._request_timeout
        while not (count := self.partitions(topic)) and time.monotonic() < deadline:
            time.sleep(LOOK_AGAIN)
        return count

    def subscribe(self, topics: Sequence[str]) -> None:
        """See `Log.subscribe`. Raises LogError where a topic does not exist."""
        for topic in topics:
            if not self._wait_for(topic):
                raise no_topic(topic, self._servers)
        with self._explained(f"cannot subscribe to {', '.join(topics)}"):
            self._consumer.subscribe(list(topics), on_assign=self._group.given, on_revoke=self._group.taken)

    def poll(self, timeout: float, limit: int) -> Poll:
        """See `Log.poll`. After it has raised, the log is to be closed: every later poll raises the same error."""
        if self._broken is not None:
            raise self._broken
        try:
            with self._explained("cannot read"):
                # asked for several at once, the library would wait for all of them
                found = self._consumer.consume(1, timeout)
                if found and limit > 1:
                    found += self._consumer.consume(limit - 1, 0)
            assigned, revoked = self._reassign()
            return Poll(self._records(found), assigned, revoked)
        except LogError as error:
            self._broken = error
            raise

    def _records(self, found: Sequence[Message]) -> dict[TopicPartition, list[Record]]:
        records: dict[TopicPartition, list[Record]] = {}
        for each in found:
            partition = TopicPartition(each.topic(), each.partition())
            if each.error() is not None:
                self._failed(each.error(), partition)
            elif self._group.follows(partition, each.offset()):
                headers = tuple(each.headers() or ())
                records.setdefault(partition, []).append(
                    Record(*partition, each.offset(), each.timestamp()[1], each.key(), each.value(), headers)
                )
        return records

    def _failed(self, error: KafkaError, partition: TopicPartition) -> None:
        """Raise what was found in place of a record, if the library does not go on by itself."""
        if error.code() in PASSING:
            return
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            raise out_of_range(partition, self._group.position(partition), *self.bounds(partition))
        failure = f"cannot read at {self._servers}"
        if error.code() == KafkaError._FATAL:  # noqa: SLF001  # to a member of a group only this one is
            raise name_taken(failure)
        raise reason(failure, error)

    def _reassign(self) -> tuple[list[TopicPartition], list[TopicPartition]]:
        """Take in what the group has given and taken since the last poll."""
        for partition, when in list(self._refused.items()):
            if time.monotonic() >= when:
                del self._refused[partition]
                if self._membership_of(partition) is not None:
                    self._group.hand_out_again(partition)
        lost, gained = self._group.changes()
        revoked = sorted(lost & self._owned.keys())
        for partition in revoked:
            del self._owned[partition]
            self._refused.pop(partition, None)
        assigned = sorted(gained)
        for partition in assigned:
            self._owned[partition] = self._group.place
        self._openings.drop(revoked)
        self._openings.begin(assigned)
        return assigned, revoked

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Log.seek`."""
        with self._explained(f"cannot read {partition.topic}/{partition.partition} from offset {offset}"):
            self._group.read(partition, offset)

    def committed(self, partition: TopicPartition) -> Committed | None:
        """See `Log.committed`."""
        with self._explained(f"cannot read the committed offset of {partition.topic}/{partition.partition}"):
            (found,) = self._consumer.committed([KafkaPartition(*partition)], self._request_timeout)
            if found.error is not None:
                raise KafkaException(found.error)
        return None if found.offset < 0 else Committed(found.offset, found.metadata or "")

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """See `Log.bounds`."""
        with self._explained(f"cannot read the bounds of {partition.topic}/{partition.partition}"):
            return self._bound(partition, OffsetSpec.earliest()), self._bound(partition, OffsetSpec.latest())

    def _bound(self, partition: TopicPartition, which: OffsetSpec) -> int:
        try:
            return self._list(partition, which)
        except KafkaException as error:
            if error.args[0].code() not in STALE:
                raise
        # the library goes on with what it knew of the leader until somebody asks
        self._admin.list_topics(partition.topic, self._request_timeout)
        return self._list(partition, which)

    def _list(self, partition: TopicPartition, which: OffsetSpec) -> int:
        asked = self._admin.list_offsets(
            {KafkaPartition(*partition): which},
            isolation_level=IsolationLevel.READ_UNCOMMITTED,  # what an open transaction has written counts
            request_timeout=self._request_timeout,
        )
        offset = int(self._answer(asked).offset)
        if offset < 0:  # an answer without an offset and without an error, as came where a node had just died
            raise KafkaException(KafkaError(KafkaError._NOENT, "no offset in the answer"))  # noqa: SLF001
        return offset

    def transaction(self, partition: TopicPartition) -> ConfluentTransaction:
        """See `Log.transaction`."""
        try:
            return self._openings.take(partition)
        except Fenced:
            self._hand_out_later(partition)
            raise

    def _opener(self, partition: TopicPartition) -> Opener:
        return partial(
            ConfluentTransaction,
            self._common,
            app=self._app,
            partition=partition,
            transaction_timeout=self._transaction_timeout,
            joined=self._membership_of(partition),
            membership=lambda: self._membership_of(partition),
            partitions=self.partitions,
            fenced=lambda: self._hand_out_later(partition),
        )

    def _hand_out_later(self, partition: TopicPartition) -> None:
        if partition in self._owned:
            self._refused[partition] = time.monotonic() + HAND_OUT_AGAIN

    def read_state(self, partition: TopicPartition) -> dict[bytes, bytes]:
        """See `Log.read_state`. To be called after `transaction`: an open transaction is waited for, but not long."""
        return latest(self.read(partition, *self.bounds(partition)))

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[Record]:
        """See `Log.read`. An open transaction is waited for, but no longer than `transaction_timeout`."""
        check_range(partition, start, end, self.bounds(partition))
        return read(self._common, partition, start, end, patience=self._transaction_timeout)

    def others(self) -> bool:
        """See `Log.others`: those that the group's coordinator has not given up yet."""
        with self._explained(f"cannot describe the group {self._app}"):
            asked = self._admin.describe_consumer_groups([self._app], request_timeout=self._request_timeout)
            group = asked[self._app].result(self._request_timeout)
            own = self._consumer.memberid()
            return any(member.member_id != own for member in group.members)

    def close(self) -> None:
        """See `Log.close`."""
        self._openings.close()
        with suppress(Exception):
            self._consumer.close()
        with suppress(AttributeError):
            del self._admin  # which ends its threads

    def _membership_of(self, partition: TopicPartition) -> bytes | None:
        """The place in the group under which a partition was given to this process, if it is still in force."""
        owned = self._owned.get(partition)
        return owned if owned is not None and self._group.in_force(owned) else None

    def _explained(self, failure: str) -> AbstractContextManager[None]:
        return explained(f"{failure} at {self._servers}")
