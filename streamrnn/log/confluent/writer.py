"""The writer of one input partition, by librdkafka's transactions."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from operator import itemgetter

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as KafkaPartition

from streamrnn.errors import LogError, OutputRefused
from streamrnn.log.confluent.client import Options, call_bounded, call_serving, open_confluent, run_in_thread
from streamrnn.log.kafka_common import CLOSE_TIMEOUT, transactional_id
from streamrnn.log.kafka_common.errors import REFUSED, missing_partition
from streamrnn.log.kafka_common.log import BaseKafkaLog, BaseKafkaTransaction
from streamrnn.records import Output, TopicPartition

OFFSET_SHARE = 1 / 3  # of the time limit, for adding an offset: only where brokers throttle, it succeeds that late
CHECK_INTERVAL = 10.0  # seconds between checks of a partition: each blocks the loop for up to 20 ms
ERROR_TIMEOUT = 1.0  # seconds to wait for the error of a record: later ones were never observed
EPOCH_START = 1  # milliseconds: the library treats a timestamp of 0 as absent, and would write the current time


class ConfluentTransaction(BaseKafkaTransaction[bytes]):
    """The writer of one input partition."""

    def __init__(self, log: BaseKafkaLog[bytes], partition: TopicPartition, joined: bytes | None) -> None:
        super().__init__(log, partition, joined)
        self._failure: KafkaError | None = None
        self._refused: OutputRefused | None = None
        self._checks: dict[tuple[str, int], float] = {}
        """Time of the next check that a partition exists, on the monotonic clock."""
        self._under_way: Future[float] | None = None
        self._open_producer()

    def begin_commit(self, offset: int, metadata: str) -> Future[float]:
        """See `Transaction.begin_commit`: in a thread, as the library waits without the interpreter's lock."""
        self._renew_if_late()  # not in the thread: a producer opened after `close` would fence the next writer's
        self._under_way = run_in_thread(self._timed_commit, offset, metadata)
        return self._under_way

    def _timed_commit(self, offset: int, metadata: str) -> float:
        begun = time.monotonic()
        self.commit(offset, metadata)
        return time.monotonic() - begun

    def close(self) -> None:
        """See `Transaction.close`."""
        if self._under_way is not None:
            wait([self._under_way], CLOSE_TIMEOUT)
        super().close()

    def _open_producer(self) -> None:
        self._producer = open_confluent(Producer, {**self._log.options, **self._options()})
        self._initialize(lambda: call_bounded(self._producer.init_transactions, limit=self._timeout))

    def _options(self) -> Options:
        log = self._log
        limit, request_timeout = round(self._timeout * 1000), log.options["socket.timeout.ms"]
        return {
            "transactional.id": transactional_id(log.app, self._partition),
            "transaction.timeout.ms": limit,
            "socket.timeout.ms": min(request_timeout, limit),
            "delivery.timeout.ms": min(2 * request_timeout, limit),
            "message.max.bytes": 1_000_000_000,  # the topic's limit applies, which the broker names
            "queue.buffering.max.messages": 0,  # the limit in bytes is enough
            "batch.size": log.batch_bytes,
            "compression.type": "lz4",
            "linger.ms": 20,
            "retry.backoff.ms": 5,
            "on_delivery": self._failed,
            "delivery.report.only.error": True,  # a call for each record would cost as much as writing it
        }

    def _produce(self, outputs: Sequence[Output]) -> None:
        try:
            self._append(outputs)
        except KafkaException as error:
            if error.args[0].code() == KafkaError._STATE:  # noqa: SLF001 -- records before these have failed
                self._serve_errors()
                self._require_accepted()
            raise

    def _append(self, outputs: Sequence[Output]) -> None:
        for target in set(map(itemgetter(0, 1), outputs)):
            self._require_partition(*target)
        # positional arguments take a third of the time; two parameters for the callback precede the timestamp
        produce = self._producer.produce
        for topic, partition, key, value, timestamp, headers in outputs:
            if headers:
                produce(topic, value, key, partition, None, None, timestamp or EPOCH_START, list(headers))
            else:
                produce(topic, value, key, partition, None, None, timestamp or EPOCH_START)
        call_serving(self._producer.poll, 0)

    def _serve_errors(self) -> None:
        """Wait shortly for a topic's refusal: the library reports the failed transaction before the refused records."""
        until = time.monotonic() + ERROR_TIMEOUT
        while self._refused is None and time.monotonic() < until:
            call_serving(self._producer.poll, ERROR_TIMEOUT / 10)

    def _require_partition(self, topic: str, partition: int) -> None:
        """Raise LogError if a partition does not exist: the library would queue its records until they time out."""
        if time.monotonic() >= self._checks.get((topic, partition), 0.0):
            if not 0 <= partition < self._log.partitions(topic):
                raise missing_partition(topic, partition)
            self._checks[topic, partition] = time.monotonic() + CHECK_INTERVAL

    def _failed(self, error: KafkaError, message: Message) -> None:
        """Store the error of a record that was not written; called by the library within `poll` and `flush`."""
        code, topic = error.code(), message.topic()
        if code in REFUSED and topic is not None:
            self._refused = self._log.refused(f"cannot write the outputs of {self._name}", topic, code)
        self._failure = self._failure or error

    def _prepare(self, offset: int, metadata: str, group: bytes, deadline: float) -> None:
        waiting = call_serving(self._producer.flush, _seconds_until(deadline))
        self._require_accepted()
        if self._failure is None or self._failure.code() != KafkaError._PURGE_QUEUE:  # noqa: SLF001
            self._require_delivered()  # else a fatal error discarded the records, and the next call raises it
        if waiting:
            raise LogError(f"{waiting} records were not acknowledged within {self._timeout:g} s")
        if self._closed:  # by the main thread, with the consumer, which must not be used
            raise LogError(f"the writer of {self._name} was closed during a commit")
        group = self._log.renewed(group)
        following = [KafkaPartition(*self._partition, offset, metadata)]
        limit = min(_seconds_until(deadline), OFFSET_SHARE * self._timeout)
        call_bounded(self._producer.send_offsets_to_transaction, following, group, limit=limit)
        self._require_delivered()

    def _end(self, deadline: float) -> None:
        call_bounded(self._producer.commit_transaction, limit=_seconds_until(deadline))
        self._require_delivered()

    def _abort(self) -> None:
        call_bounded(self._producer.abort_transaction, limit=CLOSE_TIMEOUT)

    def _release(self) -> None:
        with suppress(Exception):
            self._producer.purge()
        with suppress(AttributeError):
            del self._producer  # ends its threads

    def _require_accepted(self) -> None:
        if self._refused is not None:
            raise self._refused

    def _require_delivered(self) -> None:
        self._require_accepted()
        if self._failure is not None:
            raise KafkaException(self._failure)


def _seconds_until(deadline: float) -> float:
    """Return the seconds until a deadline, at least 1 ms: the library treats negative values as unlimited."""
    return max(0.001, deadline - time.monotonic())
