"""The file format of `streamrnn state export`: the saved state of several partitions.

    header               the line `streamrnn state 1`
    for each partition   8 bytes (length), JSON: topic, partition, committed offset and its metadata, and the key and
                         the length of each piece; then the pieces
    end                  8 zero bytes, and the BLAKE2b digest of everything before them

Lengths are little-endian. The pieces are the records of the state topic, each with its own checksum.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from streamrnn.errors import InputError
from streamrnn.files import written_atomically
from streamrnn.log import Committed
from streamrnn.records import TopicPartition

MAGIC = b"streamrnn state 1\n"
DIGEST_BYTES = 32
BLOCK = 1 << 20
"""Bytes to read at once."""

_LENGTH = struct.Struct("<Q")


class StoredPartition(NamedTuple):
    """The committed offset and the saved state of one partition."""

    partition: TopicPartition
    committed: Committed | None
    pieces: dict[bytes, bytes]
    """Records of the state topic; empty if there is no state."""

    @property
    def size(self) -> str:
        """The size in words, for messages."""
        return f"{sum(map(len, self.pieces.values())):,} bytes of state in {len(self.pieces):,} pieces"


def write_archive(path: Path, partitions: Iterable[StoredPartition]) -> None:
    """Write a file, which appears under its name when it is complete.

    Raises:
        OutputError: it cannot be written.
    """
    with written_atomically(path) as file:
        digest = blake2b(digest_size=DIGEST_BYTES)
        for chunk in _chunks(partitions):
            digest.update(chunk)
            file.write(chunk)
        file.write(_LENGTH.pack(0) + digest.digest())


def _chunks(partitions: Iterable[StoredPartition]) -> Iterator[bytes]:
    yield MAGIC
    for partition, committed, pieces in partitions:
        head = {
            "topic": partition.topic,
            "partition": partition.partition,
            "committed": committed and list(committed),
            "pieces": [(key.decode(), len(value)) for key, value in pieces.items()],
        }
        text = orjson.dumps(head)
        yield _LENGTH.pack(len(text)) + text
        yield from pieces.values()


def read_archive(path: Path) -> Iterator[StoredPartition]:
    """Yield the partitions of a file after checking the digest of the whole file.

    Raises:
        InputError: it cannot be read, has another format, or is damaged.
    """
    try:
        with path.open("rb") as file:
            _check_digest(path, file)
            file.seek(len(MAGIC))
            while length := _LENGTH.unpack(file.read(_LENGTH.size))[0]:
                head = orjson.loads(file.read(length))
                pieces = {key.encode(): file.read(size) for key, size in head["pieces"]}
                committed = None if head["committed"] is None else Committed(*head["committed"])
                yield StoredPartition(TopicPartition(head["topic"], head["partition"]), committed, pieces)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _check_digest(path: Path, file: BinaryIO) -> None:
    if file.read(len(MAGIC)) != MAGIC:
        raise InputError(f"{path} is not a file of `streamrnn state export`, or one of another version")
    remaining = os.fstat(file.fileno()).st_size - len(MAGIC) - _LENGTH.size - DIGEST_BYTES
    digest = blake2b(MAGIC, digest_size=DIGEST_BYTES)
    while remaining > 0 and (block := file.read(min(BLOCK, remaining))):
        digest.update(block)
        remaining -= len(block)
    if remaining != 0 or file.read() != _LENGTH.pack(0) + digest.digest():
        raise InputError(f"{path} is damaged or incomplete (its checksum does not match); export the state again")
