"""Avro object containers: a header with a schema, and blocks of values, possibly compressed."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from streamrnn.errors import RecordError
from streamrnn.formats.compression import decompress, inflate, unsnap
from streamrnn.formats.schemas.avro_check import read_long

CONTAINER = b"Obj\x01"
SYNC = 16
"""Size in bytes of the sync marker after the header and each block."""
MAX_ENTRIES = 1_000
MAX_BLOCKS = 1_000
CODECS = ("null", "deflate", "snappy", "zstandard")
_CHECKSUM = 4


class Container(NamedTuple):
    """An object container."""

    schema: bytes
    codec: str
    mark: bytes
    data: bytes
    start: int
    """Index of the first block in data."""


def open_container(data: bytes) -> Container:
    """Return an object container, with its header read.

    Raises:
        RecordError: invalid_avro.
    """
    entries: dict[bytes, bytes] = {}
    at = len(CONTAINER)
    while True:
        count, at = read_long(data, at)
        if count == 0:
            break
        if count < 0:
            count = -count
            _, at = read_long(data, at)
        if count > MAX_ENTRIES:
            raise RecordError("invalid_avro", f"the container's header has more than {MAX_ENTRIES:,} entries")
        for _ in range(count):
            name, at = _bytes(data, at)
            entries[name], at = _bytes(data, at)
    codec = entries.get(b"avro.codec", b"null").decode(errors="replace")
    if b"avro.schema" not in entries:
        raise RecordError("invalid_avro", "the container's header has no schema")
    if codec not in CODECS:
        raise RecordError("invalid_avro", f"the container's codec {codec[:40]!r} must be one of {', '.join(CODECS)}")
    return Container(entries[b"avro.schema"], codec, _take(data, at, SYNC), data, at + SYNC)


def blocks(container: Container, largest: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number of values and the content of each block, decompressed; `largest` bytes in all are allowed.

    Raises:
        RecordError: invalid_avro, invalid_compression, too_large.
    """
    data, at = container.data, container.start
    for number in itertools.count():
        if at == len(data):
            return
        if number == MAX_BLOCKS:
            raise RecordError("too_large", f"the container has more than {MAX_BLOCKS:,} blocks")
        count, at = read_long(data, at)
        block, at = _bytes(data, at)
        if _take(data, at, SYNC) != container.mark:
            raise RecordError("invalid_avro", f"the container's block that ends at byte {at:,} is damaged")
        at += SYNC
        if count < 0:
            raise RecordError("invalid_avro", f"a block of the container has {count} values")
        if container.codec == "deflate":
            block = inflate(block, largest)
        elif container.codec == "snappy":
            block = unsnap(block[:-_CHECKSUM], largest)
        elif container.codec == "zstandard":
            block = decompress(block, largest=largest)
        largest -= len(block)
        yield count, block


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = read_long(data, at)
    return _take(data, at, size), at + size


def _take(data: bytes, at: int, size: int) -> bytes:
    taken = data[at : at + size]
    if size < 0 or len(taken) < size:
        raise RecordError("invalid_avro", f"the container ends early, after {len(data):,} bytes")
    return taken
