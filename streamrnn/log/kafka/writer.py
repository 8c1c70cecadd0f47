"""The writer of one input partition, by kafka-python's transactions, with guards against its defects.

Version 3.0.12 needs each of these guards, in addition to those of `BaseKafkaTransaction`:

- A record may expire inside a transaction whose commit then succeeds without it: every future is checked.
- After a sequence number error the client takes a new epoch and reports a commit that it never sent: the producer's id
  and epoch must be the same before and after.
- Offsets of an aborted transaction may be sent with the next one: no producer is used after an exception.
- A commit may wait forever if a broker dies at the wrong moment: `harden`, and a deadline for every wait.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from kafka import ConsumerGroupMetadata, KafkaProducer, OffsetAndMetadata, errors
from kafka import TopicPartition as KafkaPartition

from streamrnn.errors import LogError
from streamrnn.log.kafka.client import open_kafka_python
from streamrnn.log.kafka_common import CLOSE_TIMEOUT, END_OF_METADATA, transactional_id
from streamrnn.log.kafka_common.errors import REFUSED, missing_partition
from streamrnn.log.kafka_common.log import BaseKafkaLog, BaseKafkaTransaction
from streamrnn.records import Output, TopicPartition


class Membership(NamedTuple):
    """One process's membership of the group, which each rebalance replaces."""

    generation: int
    member: str
    instance: str | None = None


class KafkaTransaction(BaseKafkaTransaction[Membership]):
    """The writer of one input partition."""

    def __init__(self, log: BaseKafkaLog[Membership], partition: TopicPartition, joined: Membership | None) -> None:
        super().__init__(log, partition, joined)
        self._futures: list[Any] = []
        self._targets: set[KafkaPartition] = set()
        """Partitions written to in the open transaction."""
        self._open_producer()

    def _open_producer(self) -> None:
        log = self._log
        self._producer = open_kafka_python(
            KafkaProducer,
            log.options,
            transactional_id=transactional_id(log.app, self._partition),
            transaction_timeout_ms=round(self._timeout * 1000),
            delivery_timeout_ms=2 * log.options["request_timeout_ms"],
            max_block_ms=log.options["request_timeout_ms"],
            compression_type="lz4",
            batch_size=log.batch_bytes,
            linger_ms=20,
            retry_backoff_ms=5,
            metrics_enabled=False,
        )
        # internals that the guards need
        self._manager = self._producer._transaction_manager  # noqa: SLF001
        self._accumulator = self._producer._accumulator  # noqa: SLF001
        self._sender = self._producer._sender  # noqa: SLF001
        harden(self._sender._client)  # noqa: SLF001
        self._initialize(self._producer.init_transactions)
        self._identity = self._epoch()

    def _produce(self, outputs: Sequence[Output]) -> None:
        """Append records to the producer's batches without its `send`.

        `send` rejects records with neither key nor value, which dead letters may be, and formats a log line for each.
        """
        try:
            self._append(outputs)
        except errors.KafkaError:
            self._require_accepted()  # the library raises at the next call, with another error
            raise

    def _append(self, outputs: Sequence[Output]) -> None:
        targets = {name: KafkaPartition(*name) for name in {(output.topic, output.partition) for output in outputs}}
        for target in targets.values():
            if target not in self._targets:
                if target.partition not in self._producer.partitions_for(target.topic):
                    raise missing_partition(target.topic, target.partition)
                self._manager.maybe_add_partition_to_transaction(target)
                self._targets.add(target)
        append, add_future = self._accumulator.append, self._futures.append
        for topic, partition, key, value, timestamp, headers in outputs:
            future, full, new, _ = append(targets[topic, partition], timestamp, key, value, list(headers))
            add_future(future)
            if full or new:
                self._sender.wakeup()

    def _prepare(self, offset: int, metadata: str, group: Membership, deadline: float) -> None:
        self._producer.flush(timeout=self._timeout)
        self._require_delivered()
        position = {KafkaPartition(*self._partition): OffsetAndMetadata(offset, metadata + END_OF_METADATA, -1)}
        result = self._manager.send_offsets_to_transaction(position, ConsumerGroupMetadata(self._log.app, *group))
        self._wait(result, deadline, "the offset")
        self._require_same_epoch()

    def _end(self, deadline: float) -> None:
        self._wait(self._manager.begin_commit(), deadline, "the end of the transaction")
        self._require_same_epoch()
        self._require_delivered()
        self._futures.clear()
        self._targets.clear()

    def _abort(self) -> None:
        result = self._manager.begin_abort()
        self._sender.wakeup()
        result.wait(timeout_ms=CLOSE_TIMEOUT * 1000)

    def _release(self) -> None:
        close_producer(self._producer)

    def _require_delivered(self) -> None:
        failed = next((future for future in self._futures if not future.succeeded()), None)
        if failed is not None:
            self._require_accepted()
            raise failed.exception or errors.KafkaTimeoutError("a record was not acknowledged")

    def _require_accepted(self) -> None:
        """Raise OutputRefused if a topic has refused a record; the records after it fail with other errors."""
        for future in self._futures:
            code = getattr(future.exception, "errno", None)
            if code in REFUSED:
                topic = future._produce_future.topic_partition.topic  # noqa: SLF001
                raise self._log.refused(f"cannot write the outputs of {self._name}", topic, code)

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
                f"the producer's id and epoch changed from {self._identity} to {self._epoch()} within a transaction: "
                "it is unknown which of its records were written"
            )


def harden(client: Any) -> None:
    """Make a producer's network client report an unreachable broker as not ready instead of raising.

    In version 3.0.12 the sender loses its current request, perhaps the end of a transaction, if `await_ready` raises,
    and its caller waits forever. If `await_ready` returns False, the request is queued again.
    """
    await_ready = client.await_ready

    def ready(*args: object, **kwargs: object) -> bool:
        try:
            return bool(await_ready(*args, **kwargs))
        except Exception:  # noqa: BLE001  # any error means not ready
            return False

    client.await_ready = ready


def close_producer(producer: KafkaProducer) -> None:
    """Close a producer, discarding unsent records. Never raises."""
    try:
        producer.close(timeout=CLOSE_TIMEOUT)
    except Exception:  # noqa: BLE001  # whatever the error, end the thread and its sockets
        producer._sender.force_close()  # noqa: SLF001
        producer._sender.join(CLOSE_TIMEOUT)  # noqa: SLF001
        producer._closed = True  # noqa: SLF001  # else its finalizer closes it once more
