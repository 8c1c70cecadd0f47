"""What feeds a topic while daemons work on it, and looks by turns at what they have committed.

Brokers that are away, slow or silent stop it only for as long as they are: no call is waited for without end, and after
any trouble it goes on with fresh clients. What is there is asked of the brokers, never counted: a record whose
acknowledgement was lost may have been written or not.
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
from support.kafka_probe import impatient

from streamrnn.log.kafka.client import opened
from streamrnn.log.kafka.writer import let_go
from streamrnn.log.kafka_common import END_OF_METADATA
from streamrnn.records import Record

PAUSE = 0.02  # seconds between two turns: the judge has to run all that was sent once more
LONGEST = 15.0  # seconds that a turn may take, before its clients are left behind
AGAIN = 0.2  # seconds between trouble and the next try

Result = TypeVar("Result")


class Stand(NamedTuple):
    """What the group had committed at a moment."""

    when: float
    offsets: dict[int, int]
    """By partition."""
    snapshots: dict[int, int]
    """Offset of the saved state, by partition."""


class Feeder:
    """Keeps the records of a topic that `group` has not committed at about `most_lag`; `batch` are sent at a time."""

    def __init__(
        self, bootstrap: str, topic: str, group: str, records: Iterator[Record], *, most_lag: int, batch: int
    ) -> None:
        self.stands: list[Stand] = []
        """All that was seen of the group's progress."""
        self.trouble: BaseException | None = None
        """The last that there was."""
        self._bootstrap, self._topic, self._group, self._records = bootstrap, topic, group, records
        self._most_lag, self._batch = most_lag, batch
        self._closing, self._sending = threading.Event(), threading.Lock()
        self._paused = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def pause(self) -> None:
        """Send nothing more, and go on looking. What was being sent is there when this returns."""
        with self._sending:
            self._paused = True

    def close(self) -> None:
        """End it."""
        self._closing.set()
        self._thread.join(2 * LONGEST)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._serve()
            except Exception as error:  # a broker that is down, as some tests want it
                self.trouble = error
                self._closing.wait(AGAIN)

    def _serve(self) -> None:
        clients = within(LONGEST, partial(_Clients, self._bootstrap))
        try:
            while not self._closing.is_set():
                stand, there = within(LONGEST, partial(clients.look, self._topic, self._group))
                if not self.stands or stand[1:] != self.stands[-1][1:]:
                    self.stands.append(stand)
                with self._sending:
                    if not self._paused and there - sum(stand.offsets.values()) < self._most_lag:
                        batch = list(islice(self._records, self._batch))
                        within(LONGEST, partial(clients.send, self._topic, batch))
                self._closing.wait(PAUSE)
        finally:
            with suppress(Exception):
                within(LONGEST, clients.close)


class _Clients:
    """Used until the first trouble."""

    def __init__(self, bootstrap: str) -> None:
        common = impatient(bootstrap)
        limits = {"max_block_ms": 3000, "delivery_timeout_ms": 6000}
        self._admin: KafkaAdminClient = opened(KafkaAdminClient, common)
        try:
            self._producer: KafkaProducer = opened(KafkaProducer, common, metrics_enabled=False, **limits)
        except BaseException:
            self._admin.close()
            raise

    def look(self, topic: str, group: str) -> tuple[Stand, int]:
        """Where the group stands, and how many records have been sent."""
        found = self._admin.list_group_offsets(group).get(group, {})
        there = {place.partition: each for place, each in found.items() if place.topic == topic}
        offsets = {number: each.offset for number, each in there.items()}
        saved = {
            number: int(orjson.loads(each.metadata.partition(END_OF_METADATA)[0])["snapshot"])
            for number, each in there.items()
        }
        places = [KafkaPartition(topic, number) for number in self._producer.partitions_for(topic)]
        ends = self._admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
        return Stand(time.monotonic(), offsets, saved), sum(each.offset for each in ends.values())

    def send(self, topic: str, batch: list[Record]) -> None:
        """Send records; raises where one was not acknowledged."""
        futures = [
            self._producer.send(topic, partition=r.partition, key=r.key, value=r.value, timestamp_ms=r.timestamp)
            for r in batch
        ]
        self._producer.flush(timeout=10)
        for future in futures:
            future.get(0)

    def close(self) -> None:
        """Let go of the brokers, reached or not."""
        let_go(self._producer)
        self._admin.close()


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Do something in a thread of its own; where it does not come back in time, it stays behind there.

    Raises:
        TimeoutError: it did not.
    """
    done: Future[Result] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return done.result(seconds)
