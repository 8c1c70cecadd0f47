"""What every log checks and does alike."""

from collections.abc import Iterable, Sequence

from streamrnn.errors import LogError
from streamrnn.records import Output, Record, TopicPartition

METADATA_BYTES = 4000
"""Most that can be committed with an offset; Kafka brokers take 4,096 by default, and the client ends on more."""


def check_metadata(partition: TopicPartition, metadata: str) -> None:
    """Refuse offset metadata that some log could not hold.

    Raises:
        LogError: longer than 4,000 bytes of UTF-8.
    """
    size = len(metadata.encode())
    if size > METADATA_BYTES:
        raise LogError(
            f"the metadata committed with an offset of {partition.topic}/{partition.partition} has {size:,} bytes; "
            f"at most {METADATA_BYTES:,} are allowed: put less into it"
        )


def check_headers(outputs: Sequence[Output]) -> None:
    """Refuse headers without a value: they can be read, but kafka-python cannot write them.

    Raises:
        LogError: one has no value.
    """
    for output in outputs:
        for name, value in output.headers:
            if value is None:
                raise LogError(
                    f"a record for {output.topic}/{output.partition} has a header {name!r} without a value: leave it "
                    "out, or give it an empty one"
                )


def check_range(partition: TopicPartition, start: int, end: int, bounds: tuple[int, int]) -> None:
    """Refuse offsets that a partition, which has these bounds, does not hold.

    Raises:
        LogError: some of them lie outside.
    """
    first, following = bounds
    for offset in (start, max(start, end)):
        if not first <= offset <= following:
            raise out_of_range(partition, offset, first, following)


def out_of_range(partition: TopicPartition, offset: int, first: int, following: int) -> LogError:
    """The error for a position at which nothing can be read."""
    return LogError(
        f"{partition.topic}/{partition.partition} cannot be read from offset {offset}: it holds {first} to {following} "
        "(the next to be written); either retention has deleted records that were not read yet, or the topic was "
        "created anew"
    )


def latest(records: Iterable[Record]) -> dict[bytes, bytes]:
    """The latest value by key, without the deleted ones."""
    values: dict[bytes, bytes] = {}
    for record in records:
        if record.value is None:
            values.pop(record.key or b"", None)
        else:
            values[record.key or b""] = record.value
    return values
