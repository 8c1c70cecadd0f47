"""One process's connection to Kafka: the group, the records read, offsets, topics and state."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from threading import Lock

from kafka import (
    ConsumerRebalanceListener,
    IsolationLevel,
    KafkaAdminClient,
    KafkaConsumer,
    OffsetSpec,
    errors,
)
from kafka import TopicPartition as KafkaPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.coordinator.assignors.range import RangePartitionAssignor

from streamrnn.errors import Fenced, LogError
from streamrnn.log import Committed, Poll, Topic
from streamrnn.log.checks import check_range, latest
from streamrnn.log.kafka.client import explained, opened, options
from streamrnn.log.kafka.reader import READING, read
from streamrnn.log.kafka.writer import KafkaTransaction, Membership
from streamrnn.log.kafka_common import (
    CLOSING,
    END_OF_METADATA,
    EVENT_TIMES,
    HAND_OUT_AGAIN,
    Connection,
    between_polls,
    no_topic,
    not_allowed,
    require_compacted,
    require_partitions,
    topic_settings,
)
from streamrnn.records import Record, TopicPartition


class _Events(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """What the group has given and taken, until the next poll takes it in.

    The library calls this from its own thread, in which nothing may wait for a broker. What is given is paused, and has
    a position at once, so that the library looks for none: that would wait for the open transaction of a dead owner.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self._lock = Lock()
        self._lost: set[TopicPartition] = set()
        self._gained: set[TopicPartition] = set()

    def on_partitions_assigned(self, assigned: Iterable[KafkaPartition]) -> None:
        for partition in assigned:
            self._hold(partition)
        with self._lock:
            self._gained |= {TopicPartition(*partition) for partition in assigned}

    def on_partitions_revoked(self, revoked: Iterable[KafkaPartition]) -> None:
        with self._lock:
            self._lost |= {TopicPartition(*partition) for partition in revoked}
            self._gained -= self._lost

    def hand_out_again(self, partition: TopicPartition) -> None:
        self._hold(KafkaPartition(*partition))
        with self._lock:
            self._lost.add(partition)
            self._gained.add(partition)

    def _hold(self, partition: KafkaPartition) -> None:
        self._consumer.pause(partition)
        self._consumer.seek(partition, 0)

    def has_lost(self, partition: TopicPartition) -> bool:
        with self._lock:
            return partition in self._lost

    def take(self) -> tuple[set[TopicPartition], set[TopicPartition]]:
        with self._lock:
            lost, gained = self._lost, self._gained
            self._lost, self._gained = set(), set()
            return lost, gained


class KafkaLog:
    """One member of the group named by the application; the promises are those of `Log`. To be used by one thread.

    All times are in seconds. A commit that takes longer than `transaction_timeout`, and a transaction that stays open
    for longer, fail. Where a commit was refused as Fenced and the group still gives the partition to this process, a
    poll about two seconds later reports it as revoked and assigned.
    """

    def __init__(self, connection: Connection) -> None:
        self._app, self._servers = connection.app, connection.bootstrap_servers
        self._request_timeout = connection.request_timeout
        self._transaction_timeout = connection.transaction_timeout
        self._common = options(connection)
        self._broken: LogError | None = None
        self._owned: dict[TopicPartition, Membership] = {}
        self._sought: set[TopicPartition] = set()
        self._refused: dict[TopicPartition, float] = {}
        """Partitions whose writer was fenced though they were still ours: when to hand them out again."""
        self._admin = opened(KafkaAdminClient, self._common)
        try:
            self._consumer = self._member(connection)
        except BaseException:
            self._admin.close()
            raise
        self._events = _Events(self._consumer)

    def _member(self, connection: Connection) -> KafkaConsumer:
        group = {
            "group_id": self._app,
            "group_instance_id": connection.instance,
            "partition_assignment_strategy": [RangePartitionAssignor],
        }
        beats = {
            "session_timeout_ms": round(connection.session_timeout * 1000),
            "heartbeat_interval_ms": 500,
            "max_poll_interval_ms": between_polls(connection.session_timeout),
        }
        return opened(KafkaConsumer, self._common, **READING, **group, **beats)

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

    def create(self, topics: Sequence[Topic]) -> None:
        """See `Log.create`. Also raises LogError where a topic for state exists that is not compacted."""
        for topic in topics:
            if self.partitions(topic.name) == 0:
                self._create(topic)
            with self._explained(f"topic {topic.name} was created and cannot be used yet"):
                self._admin.wait_for_topics([topic.name], timeout_ms=self._request_timeout * 1000)
            require_partitions(topic, self.partitions(topic.name), self._servers)
            if topic.compacted:
                require_compacted(topic, self._cleanup_policy(topic.name), self._servers)

    def _create(self, topic: Topic) -> None:
        configs = topic_settings(topic)
        # TopicAlreadyExistsError: by another process, just now
        with self._explained(f"cannot create topic {topic.name}"), suppress(errors.TopicAlreadyExistsError):
            try:
                self._create_with(topic, configs)
            except errors.InvalidConfigurationError:  # a broker before 3.6, which knows no such limit
                self._create_with(topic, {key: configs[key] for key in configs.keys() - EVENT_TIMES.keys()})
            except (errors.TopicAuthorizationFailedError, errors.ClusterAuthorizationFailedError):
                raise not_allowed(topic, self._servers) from None

    def _create_with(self, topic: Topic, configs: Mapping[str, str]) -> None:
        self._admin.create_topics({topic.name: {"num_partitions": topic.partitions, "configs": configs}})

    def _cleanup_policy(self, topic: str) -> str:
        with self._explained(f"cannot read the configuration of topic {topic}"):
            resource = ConfigResource(ConfigResourceType.TOPIC, topic)
            found = self._admin.describe_configs([resource], config_filter="all")
            return str(found["topic"][topic]["cleanup.policy"]["value"])

    def subscribe(self, topics: Sequence[str]) -> None:
        """See `Log.subscribe`. Raises LogError where a topic does not exist.

        The topics must be known to the client before it joins: a leader who learns of them while it joins gives out
        nothing, and may not look again for long.
        """
        with self._explained(f"cannot subscribe to {', '.join(topics)}"):
            self._consumer.subscribe(list(topics), listener=self._events)
            deadline = time.monotonic() + self._request_timeout
            cluster = self._consumer._cluster  # noqa: SLF001  # the public way asks for all topics, without a time limit
            while missing := [topic for topic in topics if not cluster.partitions_for_topic(topic)]:
                if time.monotonic() > deadline:
                    raise no_topic(missing[0], self._servers)
                cluster.request_update()  # again: one that was under way answers for the topics of the time before
                time.sleep(0.05)

    def poll(self, timeout: float, limit: int) -> Poll:
        """See `Log.poll`. After it has raised, the log is to be closed: every later poll raises the same error."""
        if self._broken is not None:
            raise self._broken
        try:
            with self._explained("cannot read"):
                found = self._consumer.poll(timeout_ms=round(timeout * 1000), max_records=limit)
                now = self._membership()
        except LogError as error:
            self._broken = error  # an undecodable batch would be tried again for ever
            raise
        assigned, revoked = self._reassign(now)
        records = {}
        for (topic, partition), batch in found.items():
            if TopicPartition(topic, partition) in self._sought:
                records[TopicPartition(topic, partition)] = [
                    Record(topic, partition, each.offset, each.timestamp, each.key, each.value, tuple(each.headers))
                    for each in batch
                ]
        return Poll(records, assigned, revoked)

    def _reassign(self, now: Membership) -> tuple[list[TopicPartition], list[TopicPartition]]:
        """Take in what the listener has queued: partitions gained and lost since the last poll."""
        for partition, when in list(self._refused.items()):
            if time.monotonic() >= when:
                del self._refused[partition]
                if self._owned.get(partition) == now:
                    self._events.hand_out_again(partition)
        lost, gained = self._events.take()
        revoked = sorted(lost & self._owned.keys())
        for partition in revoked:
            del self._owned[partition]
            self._sought.discard(partition)
            self._refused.pop(partition, None)
        assigned = sorted(gained)
        for partition in assigned:
            self._owned[partition] = now
        return assigned, revoked

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Log.seek`."""
        with self._explained(f"cannot read {partition.topic}/{partition.partition} from offset {offset}"):
            self._consumer.seek(KafkaPartition(*partition), offset)
            self._consumer.resume(KafkaPartition(*partition))
        self._sought.add(partition)

    def committed(self, partition: TopicPartition) -> Committed | None:
        """See `Log.committed`."""
        with self._explained(f"cannot read the committed offset of {partition.topic}/{partition.partition}"):
            found = self._consumer.committed(
                KafkaPartition(*partition), metadata=True, timeout_ms=self._request_timeout * 1000
            )
        return None if found is None else Committed(found.offset, found.metadata.partition(END_OF_METADATA)[0])

    def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """See `Log.bounds`."""
        name = KafkaPartition(*partition)
        with self._explained(f"cannot read the bounds of {partition.topic}/{partition.partition}"):
            first = self._admin.list_partition_offsets({name: OffsetSpec.EARLIEST})[name].offset
            # not the last stable offset: what an open transaction has written counts
            following = self._admin.list_partition_offsets(
                {name: OffsetSpec.LATEST}, isolation_level=IsolationLevel.READ_UNCOMMITTED
            )[name].offset
        return first, following

    def transaction(self, partition: TopicPartition) -> KafkaTransaction:
        """See `Log.transaction`."""
        try:
            return KafkaTransaction(
                self._common,
                app=self._app,
                partition=partition,
                transaction_timeout=self._transaction_timeout,
                membership=lambda: self._membership_of(partition),
                fenced=lambda: self._hand_out_later(partition),
            )
        except Fenced:
            self._hand_out_later(partition)
            raise

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
            group = self._admin.describe_groups([self._app])[self._app]
        own = self._membership().member
        return any(member["member_id"] != own for member in group["members"])

    def close(self) -> None:
        """See `Log.close`."""
        with suppress(Exception):
            self._consumer.close(autocommit=False, timeout_ms=CLOSING * 1000)
        with suppress(Exception):
            self._admin.close()

    def _membership(self) -> Membership:
        now = self._consumer.group_metadata()
        return Membership(now.generation_id, now.member_id, now.group_instance_id)

    def _membership_of(self, partition: TopicPartition) -> Membership | None:
        """The place in the group under which a partition was given to this process, if it is still in force."""
        owned = self._owned.get(partition)
        return owned if owned == self._membership() and not self._events.has_lost(partition) else None

    def _explained(self, failure: str) -> AbstractContextManager[None]:
        return explained(f"{failure} at {self._servers}")
