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

from streamrnn.errors import InputError, StateError
from streamrnn.files import written_atomically
from streamrnn.log import Committed
from streamrnn.records import TopicPartition
from streamrnn.runtime.snapshot.checks import is_count

MAGIC = b"streamrnn state 1\n"
DIGEST_BYTES = 32
BLOCK_BYTES = 1 << 20
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
        foreign = next((key for key in pieces if not _is_text(key)), None)
        if foreign is not None:
            raise StateError(
                f"the state topic has a record of {partition} with the key {foreign!r}, which streamrnn has not "
                "written: delete that record, by one with this key and without a value"
            )
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
            end = file.seek(0, os.SEEK_END) - DIGEST_BYTES - _LENGTH.size
            file.seek(len(MAGIC))
            while length := _LENGTH.unpack(_read(path, file, _LENGTH.size, end + _LENGTH.size))[0]:
                yield _read_partition(path, file, _read(path, file, length, end), end)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _read(path: Path, file: BinaryIO, length: int, end: int) -> bytes:
    """Read from the file, but not beyond `end`; the length is checked before memory is allocated for it."""
    if not 0 <= length <= end - file.tell():
        raise _unusable(path, f"a part at byte {file.tell():,} has a length of {length:,} bytes")
    return file.read(length)


def _read_partition(path: Path, file: BinaryIO, text: bytes, end: int) -> StoredPartition:
    """Return the partition that the document `text` describes; the file is at its pieces."""
    try:
        head = orjson.loads(text)
        topic, partition, committed, sizes = (head[key] for key in ("topic", "partition", "committed", "pieces"))
        fits = isinstance(topic, str) and is_count(partition) and isinstance(sizes, list)
        fits = fits and all(isinstance(key, str) and is_count(size) for key, size in sizes)
        if committed is not None:
            offset, metadata = committed
            fits = fits and is_count(offset) and isinstance(metadata, str)
    except (LookupError, TypeError, ValueError) as error:
        raise _unusable(path, f"the description of a partition before byte {file.tell():,}: {error}") from error
    if not fits:
        raise _unusable(path, f"the description of a partition before byte {file.tell():,} has values of other types")
    pieces = {key.encode(): _read(path, file, size, end) for key, size in sizes}
    return StoredPartition(
        TopicPartition(topic, partition), None if committed is None else Committed(*committed), pieces
    )


def _unusable(path: Path, problem: str) -> InputError:
    return InputError(
        f"{path} was not written by `streamrnn state export`, although its checksum matches: {problem}; export the "
        "state again"
    )


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_digest(path: Path, file: BinaryIO) -> None:
    if file.read(len(MAGIC)) != MAGIC:
        raise InputError(f"{path} is not a file of `streamrnn state export`, or one of another version")
    remaining = os.fstat(file.fileno()).st_size - len(MAGIC) - _LENGTH.size - DIGEST_BYTES
    digest = blake2b(MAGIC, digest_size=DIGEST_BYTES)
    while remaining > 0 and (block := file.read(min(BLOCK_BYTES, remaining))):
        digest.update(block)
        remaining -= len(block)
    if remaining != 0 or file.read() != _LENGTH.pack(0) + digest.digest():
        raise InputError(f"{path} is damaged or incomplete (its checksum does not match); export the state again")
