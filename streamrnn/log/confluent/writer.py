"""The writer of one input partition: Kafka transactions through librdkafka.

What the library promises is checked here all the same: every record is acknowledged before the commit, every wait has
an end, the place in the group is the one in which the writer was opened, and no producer is used after any exception.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from streamrnn.errors import Fenced, LogError
from streamrnn.log.checks import check_headers, check_metadata
from streamrnn.log.confluent.client import Options, bounded, explained, opened, served
from streamrnn.log.kafka_common import CLOSING, no_target, transactional_id
from streamrnn.records import Output, TopicPartition

ADDING = 5.0  # seconds in which an offset is added to a transaction: later it never is, as was seen
EPOCH_START = 1  # milliseconds: the library takes a timestamp of 0 for none, and would write the time of day


class ConfluentTransaction:
    """The writer of one input partition; the promises are those of `Transaction`.

    `joined` is the place in the group under which the input partition belongs to this process, and `membership` returns
    it as it is now; None: it does not. `partitions` returns the number of partitions of a topic. `fenced` is called
    before Fenced is raised.
    """

    def __init__(
        self,
        common: Options,
        *,
        app: str,
        partition: TopicPartition,
        transaction_timeout: float,
        joined: bytes | None,
        membership: Callable[[], bytes | None],
        partitions: Callable[[str], int],
        fenced: Callable[[], None],
    ) -> None:
        self._partition = partition
        self._where = f"{partition.topic}/{partition.partition} of {app}"
        self._timeout = transaction_timeout
        self._membership = membership
        self._partitions = partitions
        self._fenced = fenced
        self._joined = joined
        self._usable = True
        self._open = False
        self._sent = self._acknowledged = 0
        self._failure: KafkaError | None = None
        self._targets: set[tuple[str, int]] = set()
        self._producer = opened(Producer, {**common, **self._writing(app, common["socket.timeout.ms"])})
        try:
            with self._guarded(f"cannot open the writer of {self._where}"):
                bounded(self._producer.init_transactions, limit=transaction_timeout)
        except BaseException:
            self.close()
            raise

    def _writing(self, app: str, request_timeout: int) -> Options:
        """The producer's own options; times in milliseconds."""
        limit = round(self._timeout * 1000)
        return {
            "transactional.id": transactional_id(app, self._partition),
            "transaction.timeout.ms": limit,
            "socket.timeout.ms": min(request_timeout, limit),
            "delivery.timeout.ms": min(2 * request_timeout, limit),
            "message.max.bytes": 1_000_000_000,  # the topic's own limit counts, and the broker names it
            "queue.buffering.max.messages": 0,  # the limit in bytes is enough
            "batch.size": 256 * 1024,
            "compression.type": "lz4",
            "linger.ms": 20,
            "retry.backoff.ms": 5,
            "on_delivery": self._delivered,
        }

    def send(self, outputs: Sequence[Output]) -> None:
        """See `Transaction.send`."""
        with self._guarded(f"cannot write the outputs of {self._where}"):
            check_headers(outputs)
            self._begin()
            for output in outputs:
                self._append(output)
            served(self._producer.poll, 0)

    def commit(self, offset: int, metadata: str) -> None:
        """See `Transaction.commit`."""
        deadline = time.monotonic() + self._timeout
        with self._guarded(f"cannot commit {self._where} at offset {offset}"):
            check_metadata(self._partition, metadata)
            group = self._group()
            self._begin()
            served(self._producer.flush, _left(deadline))
            self._require_delivered()
            following = KafkaPartition(*self._partition, offset, metadata)
            bounded(self._producer.send_offsets_to_transaction, [following], group, limit=min(_left(deadline), ADDING))
            self._end(deadline)
            self._sent = self._acknowledged = 0
            self._targets.clear()
            self._open = False

    def close(self) -> None:
        """See `Transaction.close`."""
        self._usable = False
        with suppress(Exception):
            if self._open:
                # for the readers' sake: what is left open holds back all that comes after it until it times out
                bounded(self._producer.abort_transaction, limit=CLOSING)
        self._open = False
        with suppress(Exception):
            self._producer.purge()
        with suppress(AttributeError):
            del self._producer  # which ends its threads

    def _begin(self) -> None:
        if not self._open:
            self._producer.begin_transaction()
            self._open = True

    def _append(self, output: Output) -> None:
        target = (output.topic, output.partition)
        if target not in self._targets:
            if not 0 <= output.partition < self._partitions(output.topic):
                raise no_target(*target)
            self._targets.add(target)
        self._producer.produce(
            output.topic,
            output.value,
            output.key,
            output.partition,
            timestamp=output.timestamp or EPOCH_START,
            headers=list(output.headers),
        )
        self._sent += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        """Take in the fate of one record; the library calls this within `poll` and `flush`."""
        del message
        if error is None:
            self._acknowledged += 1
        elif self._failure is None:
            self._failure = error

    def _group(self) -> bytes:
        """The place in the group under which the offset is committed."""
        joined = self._joined
        if joined is None or joined != self._membership():
            raise Fenced(f"{self._where} does not belong to this process (any more)")
        return joined

    def _require_delivered(self) -> None:
        if self._failure is not None:
            raise KafkaException(self._failure)
        if self._acknowledged < self._sent:
            raise LogError(
                f"{self._sent - self._acknowledged} of {self._sent} records were not acknowledged within "
                f"{self._timeout:g} s"
            )

    def _end(self, deadline: float) -> None:
        bounded(self._producer.commit_transaction, limit=_left(deadline))
        self._require_delivered()

    @contextmanager
    def _guarded(self, failure: str) -> Iterator[None]:
        """One operation: its errors explained, and nothing more with this producer after any of them."""
        if not self._usable:
            raise LogError(f"the writer of {self._where} has failed or was closed: open a new one")
        self._usable = False
        try:
            with explained(failure):
                yield
        except Fenced:
            self._fenced()
            raise
        self._usable = True


def _left(deadline: float) -> float:
    """Seconds until a deadline; a little, once it is past: less than nothing would mean for ever to the library."""
    return max(0.001, deadline - time.monotonic())
