"""Checks and helpers shared by all logs."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from streamrnn.errors import LogError, RecordsDeleted
from streamrnn.records import Output, Record, TopicPartition

MAX_METADATA_BYTES = 4000  # brokers accept 4,096 by default, and more is a fatal error for a producer


class FailClosedWriter(ABC):
    """Refuses every call after an exception, so that no record of a failed transaction is committed later."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._usable = True

    @contextmanager
    def _fail_closed(self) -> Iterator[None]:
        if not self._usable:
            raise LogError(f"the writer of {self._name} has failed or is closed: open a new one")
        self._usable = False
        yield
        self._usable = True

    @abstractmethod
    def commit(self, offset: int, metadata: str) -> None:
        """See `Transaction.commit`."""

    def begin_commit(self, offset: int, metadata: str) -> Future[float]:
        """See `Transaction.begin_commit`; this one has ended when it returns."""
        self.commit(offset, metadata)
        done: Future[float] = Future()
        done.set_result(0.0)
        return done


def check_metadata(partition: TopicPartition, metadata: str) -> None:
    """Raise LogError if offset metadata is longer than 4,000 bytes of UTF-8."""
    size = len(metadata.encode())
    if size > MAX_METADATA_BYTES:
        raise LogError(
            f"the metadata committed with an offset of {partition} has {size:,} bytes; at most {MAX_METADATA_BYTES:,} "
            "are allowed: shorten it"
        )


def check_headers(outputs: Sequence[Output]) -> None:
    """Raise LogError if a header has no value: kafka-python reads such headers but cannot write them."""
    for output in outputs:
        for name, value in output.headers:
            if value is None:
                raise LogError(
                    f"a record for {output.topic}/{output.partition} has a header {name!r} without a value: omit the "
                    "header or give it an empty value"
                )


def check_key(output: Record | Output) -> None:
    """Raise LogError if a record for a compacted topic has no key."""
    if output.key is None:
        raise LogError(f"a record for {output.topic}/{output.partition} has no key, which a compacted topic requires")


def check_range(partition: TopicPartition, start: int, end: int, bounds: tuple[int, int]) -> None:
    """Raise LogError if a range of offsets is not within the partition's bounds."""
    for offset in (start, max(start, end)):
        check_position(partition, offset, bounds)


def check_position(partition: TopicPartition, offset: int, bounds: tuple[int, int]) -> None:
    """Raise LogError if a read position is not within the partition's bounds."""
    if not bounds[0] <= offset <= bounds[1]:
        raise out_of_range(partition, offset, bounds)


def out_of_range(partition: TopicPartition, offset: int, bounds: tuple[int, int]) -> LogError:
    """Return the error for a read position outside the partition's bounds."""
    kind = RecordsDeleted if offset < bounds[0] else LogError
    return kind(
        f"{partition} cannot be read from offset {offset}: it holds {bounds[0]} to {bounds[1]} (the next to be "
        "written); retention has deleted records before they were read, or the topic was recreated"
    )


def latest_values(records: Iterable[Record]) -> dict[bytes, bytes]:
    """Return the latest value of each key, without deleted keys."""
    values: dict[bytes, bytes] = {}
    for record in records:
        if record.value is None:
            values.pop(record.key or b"", None)
        else:
            values[record.key or b""] = record.value
    return values
