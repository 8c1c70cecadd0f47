"""The state of some partitions as one file.

    a line               streamrnn state 1
    for each partition   8 bytes (length), JSON: topic, partition, committed offset and its metadata, and each piece's
                         key and length; then the pieces
    the end              8 bytes of zeros, and BLAKE2b over all before them

All lengths are little-endian. The pieces are those of the log, each with a checksum of its own.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import orjson

from streamrnn.commands.state.stored import Kept
from streamrnn.errors import ConfigError
from streamrnn.log import Committed
from streamrnn.records import TopicPartition

MAGIC = b"streamrnn state 1\n"
DIGEST_BYTES = 32
BLOCK = 1 << 20
"""Bytes read at once."""

_LENGTH = struct.Struct("<Q")


def write(path: Path, kept: Iterable[Kept]) -> None:
    """Write a file; it appears under its name when it is complete.

    Raises:
        ConfigError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            digest = blake2b(digest_size=DIGEST_BYTES)
            for chunk in _chunks(kept):
                digest.update(chunk)
                file.write(chunk)
            file.write(_LENGTH.pack(0) + digest.digest())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _chunks(kept: Iterable[Kept]) -> Iterator[bytes]:
    yield MAGIC
    for partition, committed, pieces in kept:
        head = {
            "topic": partition.topic,
            "partition": partition.partition,
            "committed": committed and list(committed),
            "pieces": [(key.decode(), len(value)) for key, value in pieces.items()],
        }
        text = orjson.dumps(head)
        yield _LENGTH.pack(len(text)) + text
        yield from pieces.values()


def read(path: Path) -> Iterator[Kept]:
    """The partitions in a file, after the whole of it was found undamaged.

    Raises:
        ConfigError: it cannot be read, is no such file, or is damaged.
    """
    try:
        with path.open("rb") as file:
            _require_undamaged(path, file)
            file.seek(len(MAGIC))
            while length := _LENGTH.unpack(file.read(_LENGTH.size))[0]:
                head = orjson.loads(file.read(length))
                pieces = {key.encode(): file.read(size) for key, size in head["pieces"]}
                committed = None if head["committed"] is None else Committed(*head["committed"])
                yield Kept(TopicPartition(head["topic"], head["partition"]), committed, pieces)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def _require_undamaged(path: Path, file: BinaryIO) -> None:
    if file.read(len(MAGIC)) != MAGIC:
        raise ConfigError(f"{path} was not written by this version's streamrnn state export: it does not begin so")
    left = os.fstat(file.fileno()).st_size - len(MAGIC) - _LENGTH.size - DIGEST_BYTES
    digest = blake2b(MAGIC, digest_size=DIGEST_BYTES)
    while left > 0 and (block := file.read(min(BLOCK, left))):
        digest.update(block)
        left -= len(block)
    if left != 0 or file.read() != _LENGTH.pack(0) + digest.digest():
        raise ConfigError(f"{path} is damaged or incomplete: its checksum is not that of its content; export it anew")
