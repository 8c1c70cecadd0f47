"""One member of a consumer group and its writers: topics, ownership, the order of a commit, and guards.

The base classes contain everything that does not depend on the client library.
"""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import Lock
from typing import Any, Generic, TypeVar

from streamrnn.errors import Fenced, LogError, OutputRefused
from streamrnn.log import Log, Poll, checks
from streamrnn.log.kafka_common import Connection, errors
from streamrnn.log.kafka_common.topics import KafkaTopics
from streamrnn.records import Output, Record, TopicPartition

Membership = TypeVar("Membership")
Options = dict[str, Any]
Batches = dict[TopicPartition, list[Record]]
Reader = Callable[..., Iterator[Record]]

SLOW_COMMIT = 5.0  # seconds after which the failure of a commit may be due to a slow line
REASSIGN_DELAY = 2.0  # seconds from fencing to assigning again: several heartbeats, which reveal a lost membership


class RebalanceQueue:
    """Partitions lost and gained since the last poll; safe for clients that report them from their own thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lost: set[TopicPartition] = set()
        self._gained: set[TopicPartition] = set()

    def gain(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Add partitions assigned by the group."""
        with self._lock:
            self._gained |= {TopicPartition(*each) for each in partitions}

    def lose(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Add partitions revoked by the group or lost."""
        with self._lock:
            self._lost |= {TopicPartition(*each) for each in partitions}
            self._gained -= self._lost

    def reassign(self, partition: TopicPartition) -> None:
        """Add a partition as lost and gained again."""
        self.lose([partition])
        self.gain([partition])

    def has_lost(self, partition: TopicPartition) -> bool:
        """Return whether the next poll reports a partition as revoked."""
        with self._lock:
            return partition in self._lost

    def drain(self) -> tuple[set[TopicPartition], set[TopicPartition]]:
        """Return the partitions lost and gained since the last call."""
        with self._lock:
            lost, gained = self._lost, self._gained
            self._lost, self._gained = set(), set()
            return lost, gained


class BaseKafkaLog(KafkaTopics, Log, Generic[Membership]):
    """One member of the group named by the application. Use it from one thread.

    All times are in seconds. A commit that takes longer than `transaction_timeout` fails, as does a transaction that
    stays open for longer. If a commit raised Fenced although the group still assigns the partition to this process, a
    poll about two seconds later reports the partition as revoked and assigned.

    Args:
        connection: Addresses of the brokers, credentials, and the group.
        options: The client library's options that apply to every client.
        translate: Returns the error for an exception of the library.
        reader: Yields the records of a range of a partition.
    """

    _group: RebalanceQueue

    def __init__(self, connection: Connection, options: Options, translate: errors.Translate, reader: Reader) -> None:
        super().__init__(connection.bootstrap_servers, connection.request_timeout)
        self.app = connection.app
        self.options = options
        """The client library's options that apply to every client."""
        self.transaction_timeout = connection.transaction_timeout
        self.translate = translate
        self._read_range = reader
        self._read_error: LogError | None = None
        self._owned: dict[TopicPartition, Membership] = {}
        """The membership under which each partition was assigned."""
        self._reassign_at: dict[TopicPartition, float] = {}
        """Time to report a partition with a fenced writer as assigned again, on the monotonic clock."""

    def poll(self, timeout: float, limit: int) -> Poll:
        """See `Log.poll`. After an exception close the log: every later poll raises the same error."""
        if self._read_error is not None:
            raise self._read_error
        try:
            with self._explained("cannot read"):
                found = self._fetch(timeout, limit)
                assigned, revoked = self._reassign()
        except LogError as error:
            self._read_error = error  # kafka-python would retry a batch that cannot be decoded forever
            raise
        records = {each: batch for each, batch in found.items() if each in self._owned and each not in assigned}
        return Poll(records, assigned, revoked)

    def _reassign(self) -> tuple[list[TopicPartition], list[TopicPartition]]:
        """Apply the changes since the last poll; return the partitions gained and lost."""
        membership = self._membership()
        for partition, when in dict(self._reassign_at).items():  # a writer may add one in its thread
            if time.monotonic() >= when:
                del self._reassign_at[partition]
                if self.membership_of(partition) is not None:
                    self._group.reassign(partition)
        lost, gained = self._group.drain()
        revoked, assigned = sorted(lost & self._owned.keys()), sorted(gained)
        for partition in revoked:
            del self._owned[partition]
            self._reassign_at.pop(partition, None)
        self._owned.update(dict.fromkeys(assigned, membership))
        return assigned, revoked

    def transaction(self, partition: TopicPartition) -> "BaseKafkaTransaction[Membership]":
        """See `Log.transaction`."""
        try:
            return self._writer(partition)
        except Fenced:
            self.reassign_later(partition)
            raise

    def membership_of(self, partition: TopicPartition) -> Membership | None:
        """Return the membership under which a partition was assigned to this process; None if it has ended."""
        owned = self._owned.get(partition)
        return owned if owned is not None and self._in_force(owned, partition) else None

    def renewed(self, membership: Membership) -> Membership:
        """Return a membership as the brokers know it now, for a partition owned since that membership began."""
        return membership

    def reassign_later(self, partition: TopicPartition) -> None:
        """Report a partition with a fenced writer as assigned again, if it is still assigned after REASSIGN_DELAY."""
        if partition in self._owned:
            self._reassign_at[partition] = time.monotonic() + REASSIGN_DELAY

    def read_state(self, partition: TopicPartition) -> dict[bytes, bytes]:
        """See `Log.read_state`. Open the partition's transaction first: reading waits only briefly for an open one."""
        return checks.latest_values(self.read(partition, *self.bounds(partition)))

    def read(self, partition: TopicPartition, start: int, end: int) -> Iterator[Record]:
        """See `Log.read`. Waits for an open transaction, but no longer than `transaction_timeout`."""
        checks.check_range(partition, start, end, self.bounds(partition))
        return self._read_range(self.options, partition, start, end, timeout=self.transaction_timeout)

    def _explained(self, failure: str) -> AbstractContextManager[None]:
        return errors.explained(f"{failure} at {self.servers}", self.translate)

    @abstractmethod
    def _fetch(self, timeout: float, limit: int) -> Batches:
        """Poll the client library."""

    @abstractmethod
    def _membership(self) -> Membership:
        """Return the membership of the latest assignment."""

    @abstractmethod
    def _in_force(self, membership: Membership, partition: TopicPartition) -> bool:
        """Return whether a membership is still this process's, and still includes the partition."""

    @abstractmethod
    def _writer(self, partition: TopicPartition) -> "BaseKafkaTransaction[Membership]":
        """Open the writer of an input partition."""


class BaseKafkaTransaction(checks.FailClosedWriter, Generic[Membership]):
    """The writer of one input partition.

    Every record is acknowledged before the commit, every wait has a time limit, and the offset is committed only under
    the membership in which the partition was assigned, which brokers do not check completely. `joined` is that
    membership; None if the partition is not assigned to this process.
    """

    _producer: Any

    def __init__(self, log: BaseKafkaLog[Membership], partition: TopicPartition, joined: Membership | None) -> None:
        super().__init__(f"{partition} of {log.app}")
        self._log = log
        self._partition = partition
        self._joined = joined
        self._timeout = log.transaction_timeout
        self._open = self._closed = False
        self._late = False
        """Whether a request of the last commit may have timed out, been repeated, and still arrive."""

    def _initialize(self, init_transactions: Callable[[], object]) -> None:
        """Fence the earlier writers of the partition; on an error close the producer."""
        try:
            with self._attempt(f"cannot open the writer of {self._name}"):
                init_transactions()
        except BaseException:
            self.close()
            raise

    def send(self, outputs: Sequence[Output]) -> None:
        """See `Transaction.send`."""
        self._renew_if_late()
        with self._attempt(f"cannot write the outputs of {self._name}"):
            checks.check_headers(outputs)
            self._begin()
            self._produce(outputs)

    def _renew_if_late(self) -> None:
        """Open a new producer if a request of the last commit may still arrive, so that its new epoch fences it.

        A late end of that transaction would end the next one (KIP-890).
        """
        if self._late and self._usable:
            self._membership()
            self._release()
            self._open_producer()
            self._late = False

    def commit(self, offset: int, metadata: str) -> None:
        """See `Transaction.commit`."""
        self._renew_if_late()
        begun = time.monotonic()
        try:
            with self._attempt(f"cannot commit {self._name} at offset {offset}"):
                checks.check_metadata(self._partition, metadata)
                self._commit(offset, metadata, begun + self._timeout)
        except (Fenced, OutputRefused):  # have causes of their own, however long they took
            raise
        except LogError as error:
            if time.monotonic() - begun >= min(SLOW_COMMIT, self._log.request_timeout):
                error.args = (f"{error}; {errors.SLOW}",)
            raise
        self._late = time.monotonic() - begun >= self._log.request_timeout

    def _commit(self, offset: int, metadata: str, deadline: float) -> None:
        group = self._membership()
        self._begin()
        self._prepare(offset, metadata, group, deadline)
        self._end(deadline)
        self._open = False

    def close(self) -> None:
        """See `Transaction.close`."""
        self._usable, self._closed = False, True
        if self._open:
            # an open transaction would block readers of committed records until it times out
            with suppress(Exception):
                self._abort()
        self._open = False
        self._release()

    def _begin(self) -> None:
        if not self._open:
            self._producer.begin_transaction()
            self._open = True

    def _membership(self) -> Membership:
        """Return the membership under which the offset is committed. Raises Fenced if it has ended."""
        joined = self._joined
        if joined is None or joined != self._log.membership_of(self._partition):
            raise Fenced(f"{self._name} does not belong to this process: it was not assigned, or was reassigned since")
        return joined

    @contextmanager
    def _attempt(self, failure: str) -> Iterator[None]:
        """Run one operation, with its errors explained; refuse further ones after an error."""
        try:
            with self._fail_closed(), errors.explained(failure, self._log.translate):
                yield
        except Fenced:
            if not self._closed:  # else the next writer has fenced a commit that outlasted `close`
                self._log.reassign_later(self._partition)
            raise

    @abstractmethod
    def _open_producer(self) -> None:
        """Open a producer, which fences all earlier ones of the partition."""

    @abstractmethod
    def _produce(self, outputs: Sequence[Output]) -> None:
        """Pass records to the producer."""

    @abstractmethod
    def _prepare(self, offset: int, metadata: str, group: Membership, deadline: float) -> None:
        """Wait until every record is acknowledged, then add the input offset to the transaction."""

    @abstractmethod
    def _end(self, deadline: float) -> None:
        """Commit the transaction, and verify that every record is part of it."""

    @abstractmethod
    def _abort(self) -> None:
        """Abort the transaction."""

    @abstractmethod
    def _release(self) -> None:
        """Close the producer. Never raises."""
