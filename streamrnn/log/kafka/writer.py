"""The writer of one input partition: Kafka transactions through kafka-python, and guards against its defects.

Each guard is named where it stands; all were seen to be needed with version 3.0.12:

- a record may expire inside a transaction whose commit then succeeds without it: every future is kept and checked;
- an error of sequence numbers makes the client take a new epoch and report a commit that was never sent: the
  producer's id and epoch must be the same before and after;
- what an aborted transaction held may go out with the next one: no producer is used again after any exception;
- a commit may wait for ever if a broker dies at the wrong moment: `harden`, and a deadline on every wait;
- the broker accepts offsets without a generation, and of partitions that the member does not own: both are checked
  here, against the membership in which the writer was opened.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from kafka import ConsumerGroupMetadata, KafkaProducer, OffsetAndMetadata, errors
from kafka import TopicPartition as KafkaPartition

from streamrnn.errors import Fenced, LogError
from streamrnn.log.checks import check_headers, check_metadata
from streamrnn.log.kafka.client import Options, explained, opened
from streamrnn.log.kafka_common import CLOSING, END_OF_METADATA, no_target, transactional_id
from streamrnn.records import Output, TopicPartition


class Membership(NamedTuple):
    """One process's place in the group, as it was when partitions were given to it."""

    generation: int
    member: str
    instance: str | None = None


class KafkaTransaction:
    """The writer of one input partition; the promises are those of `Transaction`.

    `membership` returns the place in the group under which the input partition belongs to this process now; None: it
    does not. `fenced` is called before Fenced is raised.
    """

    def __init__(
        self,
        common: Options,
        *,
        app: str,
        partition: TopicPartition,
        transaction_timeout: float,
        membership: Callable[[], Membership | None],
        fenced: Callable[[], None],
    ) -> None:
        self._app = app
        self._partition = partition
        self._where = f"{partition.topic}/{partition.partition} of {app}"
        self._timeout = transaction_timeout
        self._membership = membership
        self._fenced = fenced
        self._joined = membership()
        self._usable = True
        self._open = False
        self._futures: list[Any] = []
        self._targets: set[tuple[str, int]] = set()
        self._producer = opened(
            KafkaProducer,
            common,
            transactional_id=transactional_id(app, partition),
            transaction_timeout_ms=round(transaction_timeout * 1000),
            delivery_timeout_ms=2 * common["request_timeout_ms"],
            max_block_ms=common["request_timeout_ms"],
            compression_type="lz4",
            batch_size=256 * 1024,
            linger_ms=20,
            retry_backoff_ms=5,
            metrics_enabled=False,
        )
        # what the guards need, and the library keeps to itself
        self._manager = self._producer._transaction_manager  # noqa: SLF001
        self._accumulator = self._producer._accumulator  # noqa: SLF001
        self._sender = self._producer._sender  # noqa: SLF001
        harden(self._sender._client)  # noqa: SLF001
        try:
            with self._guarded(f"cannot open the writer of {self._where}"):
                self._producer.init_transactions()
        except BaseException:
            self.close()
            raise
        self._identity = self._epoch()

    def send(self, outputs: Sequence[Output]) -> None:
        """See `Transaction.send`."""
        with self._guarded(f"cannot write the outputs of {self._where}"):
            check_headers(outputs)
            self._begin()
            for output in outputs:
                self._append(output)

    def commit(self, offset: int, metadata: str) -> None:
        """See `Transaction.commit`."""
        deadline = time.monotonic() + self._timeout
        with self._guarded(f"cannot commit {self._where} at offset {offset}"):
            check_metadata(self._partition, metadata)
            group = self._group()
            self._begin()
            self._producer.flush(timeout=self._timeout)
            self._require_delivered()
            self._send_offset(OffsetAndMetadata(offset, metadata + END_OF_METADATA, -1), group, deadline)
            self._require_same_epoch()
            self._end(deadline)
            self._require_same_epoch()
            self._require_delivered()
            self._futures.clear()
            self._targets.clear()
            self._open = False

    def close(self) -> None:
        """See `Transaction.close`."""
        self._usable = False
        if self._open:
            # for the readers' sake: what is left open holds back all that comes after it until it times out
            with suppress(Exception):
                result = self._manager.begin_abort()
                self._sender.wakeup()
                result.wait(timeout_ms=CLOSING * 1000)
        self._open = False
        let_go(self._producer)

    def _begin(self) -> None:
        if not self._open:
            self._producer.begin_transaction()
            self._open = True

    def _append(self, output: Output) -> None:
        """Hand one record to the producer, past its `send`.

        That one refuses a record with neither key nor value, which may come in and must be able to go to the dead
        letters; and it formats its own name for a log line with every record.
        """
        target = KafkaPartition(output.topic, output.partition)
        if target not in self._targets:
            if output.partition not in self._producer.partitions_for(output.topic):
                raise no_target(output.topic, output.partition)
            self._manager.maybe_add_partition_to_transaction(target)
            self._targets.add(target)
        future, full, new, _ = self._accumulator.append(
            target, output.timestamp, output.key, output.value, list(output.headers)
        )
        self._futures.append(future)
        if full or new:
            self._sender.wakeup()

    def _group(self) -> ConsumerGroupMetadata:
        """The place in the group under which the offset is committed."""
        joined, now = self._joined, self._membership()
        if joined is None or joined.generation < 0 or joined != now:
            raise Fenced(f"{self._where} does not belong to this process (any more): {joined} has become {now}")
        return ConsumerGroupMetadata(self._app, joined.generation, joined.member, joined.instance)

    def _require_delivered(self) -> None:
        failed = next((future for future in self._futures if not future.succeeded()), None)
        if failed is not None:
            raise failed.exception or errors.KafkaTimeoutError("a record was not acknowledged")

    def _send_offset(self, offset: OffsetAndMetadata, group: ConsumerGroupMetadata, deadline: float) -> None:
        result = self._manager.send_offsets_to_transaction({KafkaPartition(*self._partition): offset}, group)
        self._wait(result, deadline, "the offset")

    def _end(self, deadline: float) -> None:
        self._wait(self._manager.begin_commit(), deadline, "the end of the transaction")

    def _wait(self, result: Any, deadline: float, what: str) -> None:
        self._sender.wakeup()
        if not result.wait(timeout_ms=max(0.0, deadline - time.monotonic()) * 1000):
            raise errors.KafkaTimeoutError(f"{what} was not acknowledged within {self._timeout:g} s")

    def _epoch(self) -> tuple[int, int]:
        identity = self._manager.producer_id_and_epoch
        return identity.producer_id, identity.epoch

    def _require_same_epoch(self) -> None:
        if self._epoch() != self._identity:
            raise LogError(
                f"the producer's id and epoch have changed from {self._identity} to {self._epoch()} within a "
                "transaction: it is unknown what of it was written"
            )

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


def harden(client: Any) -> None:
    """Keep a producer's thread, whose network client this is, from losing a request when a broker cannot be reached.

    In version 3.0.12 `await_ready` raises after the node was chosen, and the request in hand, the end of a transaction
    perhaps, is neither sent nor put back: whoever waits for it waits for ever. Where it returns False the request is
    put back.
    """
    await_ready = client.await_ready

    def ready(*args: object, **kwargs: object) -> bool:
        try:
            return bool(await_ready(*args, **kwargs))
        except Exception:  # noqa: BLE001  # whatever it is: not ready, try again
            return False

    client.await_ready = ready


def let_go(producer: KafkaProducer) -> None:
    """Close a producer, whatever becomes of what is unsent. Never raises."""
    try:
        producer.close(timeout=CLOSING)
    except Exception:  # noqa: BLE001  # whatever it is, the thread and its sockets must go
        producer._sender.force_close()  # noqa: SLF001
        producer._sender.join(CLOSING)  # noqa: SLF001
        producer._closed = True  # noqa: SLF001  # else its finaliser tries once more
