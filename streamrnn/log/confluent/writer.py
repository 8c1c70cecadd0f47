"""The writer of one input partition through librdkafka's transactions."""

import time
from collections.abc import Sequence
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from streamrnn.errors import LogError
from streamrnn.log.confluent.client import Options, call_bounded, call_serving, open_confluent
from streamrnn.log.kafka_common import CLOSE_TIMEOUT, transactional_id
from streamrnn.log.kafka_common.errors import missing_partition
from streamrnn.log.kafka_common.log import BaseKafkaLog, BaseKafkaTransaction
from streamrnn.records import Output, TopicPartition

OFFSET_TIMEOUT = 5.0  # seconds for adding an offset to a transaction: the library was never seen to succeed later
EPOCH_START = 1  # milliseconds: the library treats a timestamp of 0 as absent, and would write the current time


class ConfluentTransaction(BaseKafkaTransaction[bytes]):
    """The writer of one input partition."""

    def __init__(self, log: BaseKafkaLog[bytes], partition: TopicPartition, joined: bytes | None) -> None:
        super().__init__(log, partition, joined)
        self._sent = self._acknowledged = 0
        self._failure: KafkaError | None = None
        self._producer = open_confluent(Producer, {**log.options, **self._options(log)})
        self._initialize(lambda: call_bounded(self._producer.init_transactions, limit=self._timeout))

    def _options(self, log: BaseKafkaLog[bytes]) -> Options:
        limit, request_timeout = round(self._timeout * 1000), log.options["socket.timeout.ms"]
        return {
            "transactional.id": transactional_id(log.app, self._partition),
            "transaction.timeout.ms": limit,
            "socket.timeout.ms": min(request_timeout, limit),
            "delivery.timeout.ms": min(2 * request_timeout, limit),
            "message.max.bytes": 1_000_000_000,  # the topic's limit applies, which the broker names
            "queue.buffering.max.messages": 0,  # the limit in bytes is enough
            "batch.size": 256 * 1024,
            "compression.type": "lz4",
            "linger.ms": 20,
            "retry.backoff.ms": 5,
            "on_delivery": self._delivered,
        }

    def _produce(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            target = (output.topic, output.partition)
            if target not in self._targets:
                if not 0 <= output.partition < self._log.partitions(output.topic):
                    raise missing_partition(*target)
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
        call_serving(self._producer.poll, 0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        """Count an acknowledged record or store its error; called by the library within `poll` and `flush`."""
        del message
        if error is None:
            self._acknowledged += 1
        elif self._failure is None:
            self._failure = error

    def _prepare(self, offset: int, metadata: str, group: bytes, deadline: float) -> None:
        call_serving(self._producer.flush, _seconds_until(deadline))
        self._require_delivered()
        following = [KafkaPartition(*self._partition, offset, metadata)]
        limit = min(_seconds_until(deadline), OFFSET_TIMEOUT)
        call_bounded(self._producer.send_offsets_to_transaction, following, group, limit=limit)

    def _end(self, deadline: float) -> None:
        call_bounded(self._producer.commit_transaction, limit=_seconds_until(deadline))
        self._require_delivered()
        self._sent = self._acknowledged = 0

    def _abort(self) -> None:
        call_bounded(self._producer.abort_transaction, limit=CLOSE_TIMEOUT)

    def _release(self) -> None:
        with suppress(Exception):
            self._producer.purge()
        with suppress(AttributeError):
            del self._producer  # ends its threads

    def _require_delivered(self) -> None:
        if self._failure is not None:
            raise KafkaException(self._failure)
        if self._acknowledged < self._sent:
            raise LogError(
                f"{self._sent - self._acknowledged} of {self._sent} records were not acknowledged within "
                f"{self._timeout:g} s"
            )


def _seconds_until(deadline: float) -> float:
    """Return the seconds until a deadline, at least 1 ms: the library treats negative values as unlimited."""
    return max(0.001, deadline - time.monotonic())
