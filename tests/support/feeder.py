"""A producer that feeds a topic while daemons process it, and watches their committed offsets.

It tolerates unavailable and slow brokers: every call has a time limit, and after an error it continues with new
clients. The number of records comes from the brokers, since a record without acknowledgement may have been written.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar

import orjson
from kafka import KafkaAdminClient, KafkaProducer, OffsetSpec
from kafka import TopicPartition as KafkaPartition
from support.kafka_probe import short_timeouts

from streamrnn.log.kafka.client import open_kafka_python
from streamrnn.log.kafka.writer import close_producer
from streamrnn.log.kafka_common import END_OF_METADATA
from streamrnn.records import Record

PAUSE = 0.02  # seconds between two iterations: the oracle has to process all records again
LONGEST = 15.0  # time limit of a call in seconds, after which its clients are abandoned
RETRY = 0.2  # seconds between an error and the next try

Result = TypeVar("Result")


class Progress(NamedTuple):
    """The committed offsets of the group at a time."""

    when: float
    offsets: dict[int, int]
    """By partition."""
    snapshots: dict[int, int]
    """Offset of the snapshot, by partition."""


class Feeder:
    """Keeps the lag of `group` in a topic at about `most_lag` records; sends `batch` records at a time."""

    def __init__(
        self, bootstrap: str, topic: str, group: str, records: Iterator[Record], *, most_lag: int, batch: int
    ) -> None:
        self.history: list[Progress] = []
        """The history of the group's committed offsets."""
        self.error: BaseException | None = None
        """The last error."""
        self._bootstrap, self._topic, self._group, self._records = bootstrap, topic, group, records
        self._most_lag, self._batch = most_lag, batch
        self._closing, self._sending = threading.Event(), threading.Lock()
        self._paused = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start feeding."""
        self._thread.start()

    def pause(self) -> None:
        """Stop sending, but continue to watch. Records being sent have arrived when this returns."""
        with self._sending:
            self._paused = True

    def resume(self) -> None:
        """Send again."""
        self._paused = False

    def close(self) -> None:
        """Stop the feeder."""
        self._closing.set()
        self._thread.join(2 * LONGEST)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._serve()
            except Exception as error:  # some tests stop the broker
                self.error = error
                self._closing.wait(RETRY)

    def _serve(self) -> None:
        # clients that connect too late are closed: their sockets would be left to the garbage collector
        clients = within(LONGEST, partial(_Clients, self._bootstrap), lambda late: late.close())
        try:
            while not self._closing.is_set():
                progress, there = within(LONGEST, partial(clients.look, self._topic, self._group))
                if not self.history or progress[1:] != self.history[-1][1:]:
                    self.history.append(progress)
                with self._sending:
                    if not self._paused and there - sum(progress.offsets.values()) < self._most_lag:
                        batch = list(islice(self._records, self._batch))
                        within(LONGEST, partial(clients.send, self._topic, batch))
                self._closing.wait(PAUSE)
        finally:
            with suppress(Exception):
                within(LONGEST, clients.close)


class _Clients:
    """Clients that are used until the first error."""

    def __init__(self, bootstrap: str) -> None:
        common = short_timeouts(bootstrap)
        limits = {"max_block_ms": 3000, "delivery_timeout_ms": 6000}
        self._admin: KafkaAdminClient = open_kafka_python(KafkaAdminClient, common)
        try:
            self._producer: KafkaProducer = open_kafka_python(KafkaProducer, common, metrics_enabled=False, **limits)
        except BaseException:
            self._admin.close()
            raise

    def look(self, topic: str, group: str) -> tuple[Progress, int]:
        """Return the group's progress, and the number of records in the topic."""
        found = self._admin.list_group_offsets(group).get(group, {})
        there = {place.partition: each for place, each in found.items() if place.topic == topic}
        offsets = {number: each.offset for number, each in there.items()}
        saved = {
            number: int(orjson.loads(each.metadata.partition(END_OF_METADATA)[0])["snapshot"])
            for number, each in there.items()
        }
        places = [KafkaPartition(topic, number) for number in self._producer.partitions_for(topic)]
        ends = self._admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
        return Progress(time.monotonic(), offsets, saved), sum(each.offset for each in ends.values())

    def send(self, topic: str, batch: list[Record]) -> None:
        """Send records; raise if one is not acknowledged."""
        futures = [
            self._producer.send(topic, partition=r.partition, key=r.key, value=r.value, timestamp_ms=r.timestamp)
            for r in batch
        ]
        self._producer.flush(timeout=10)
        for future in futures:
            future.get(0)

    def close(self) -> None:
        """Close the clients, also if the brokers are unavailable."""
        close_producer(self._producer)
        self._admin.close()


def within(seconds: float, call: Callable[[], Result], discard: Callable[[Result], None] = lambda _: None) -> Result:
    """Call a function in its own thread, which is abandoned after the time limit; `discard` gets a late result.

    Raises:
        TimeoutError: The time limit has passed.
    """
    done: Future[Result] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return done.result(seconds)
    except TimeoutError:
        done.add_done_callback(lambda late: late.exception() or discard(late.result()))
        raise
