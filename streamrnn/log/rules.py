"""What every log checks alike."""

from streamrnn.errors import LogError
from streamrnn.records import TopicPartition

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


def out_of_range(partition: TopicPartition, offset: int, first: int, following: int) -> LogError:
    """The error for a position at which nothing can be read."""
    return LogError(
        f"{partition.topic}/{partition.partition} cannot be read from offset {offset}: it holds {first} to {following} "
        "(the next to be written); either retention has deleted records that were not read yet, or the topic was "
        "created anew"
    )
