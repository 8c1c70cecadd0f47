"""Compression inside of a value: gzip, zlib, zstd, LZ4 and Snappy, recognised by their first bytes and bounded.

Snappy is recognised in its two framed forms, that of snappy-java and the official one; without a frame it has no mark.
"""

import zlib
from collections.abc import Callable, Iterator

import lz4.frame
import snappy
import zstandard

from streamrnn.errors import RecordError

MAX_BYTES = 8 * 1024 * 1024
"""Default of the largest size of a decompressed value, in bytes."""
WINDOW = 8 * 1024 * 1024
"""Largest window of zstd in bytes, which its decoder allocates at once; every decoder must support this size."""

GZIP, ZSTD, LZ4 = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
SNAPPY_JAVA, SNAPPY = b"\x82SNAPPY\x00", b"\xff\x06\x00\x00sNaPpY"
_SNAPPY_JAVA_HEADER = 16
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_CHECKSUM = 4
_STEP = 256
_MAX_CHUNKS = 10_000
MAX_PARTS = 100
"""Largest number of successive streams or frames in one value."""


class _TooLarge(Exception):  # noqa: N818 -- never leaves this module
    """The value is larger than allowed."""


def decompress(value: bytes, *, largest: int = MAX_BYTES) -> bytes:
    """Return a value decompressed, or unchanged if it is not compressed.

    The first bytes of a zlib stream are ambiguous: a value is one only if its checksum is right.

    Args:
        value: The value of a record.
        largest: Largest allowed size of the result in bytes.

    Raises:
        RecordError: too_large, invalid_compression.
    """
    for mark, name, function in _FORMATS:
        if value.startswith(mark):
            return _bounded(function, name, value, largest)
    if value.startswith(_ZLIB):
        try:
            return _inflated(value, largest, zlib.MAX_WBITS)
        except _TooLarge:
            raise _too_large("zlib", largest) from None
        except (zlib.error, EOFError, ValueError):
            return value
    return value


def inflate(data: bytes, largest: int) -> bytes:
    """Return a raw deflate stream decompressed; errors are those of `decompress`."""
    return _bounded(lambda value, most: _inflated(value, most, -zlib.MAX_WBITS), "deflate", data, largest)


def unsnap(data: bytes, largest: int) -> bytes:
    """Return a raw Snappy block decompressed; errors are those of `decompress`."""
    return _bounded(_snappy_block, "Snappy", data, largest)


def _bounded(function: Callable[[bytes, int], bytes], name: str, value: bytes, largest: int) -> bytes:
    try:
        return function(value, largest)
    except _TooLarge:
        raise _too_large(name, largest) from None
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError, ValueError, snappy.UncompressError) as error:
        raise RecordError("invalid_compression", f"the value looks like {name} and is none: {error}") from None


def _too_large(name: str, largest: int) -> RecordError:
    return RecordError("too_large", f"the value has more than {largest:,} bytes once {name} is decompressed")


def _inflated(value: bytes, largest: int, window: int) -> bytes:
    """Decompress one stream of zlib, gzip or raw deflate, or several of gzip."""
    found, rest = bytearray(), value
    for _ in range(MAX_PARTS):
        stream = zlib.decompressobj(window)
        found += stream.decompress(rest, largest + 1 - len(found))
        if len(found) > largest:
            raise _TooLarge
        if not stream.eof:
            raise EOFError("it ends early")
        rest = stream.unused_data.lstrip(b"\0")
        if not rest or (window < 0 and len(rest) <= _CHECKSUM):  # Avro writers append a checksum to raw deflate
            return bytes(found)
        if window <= zlib.MAX_WBITS:
            raise ValueError(f"{len(rest):,} bytes follow its end")
    raise _TooLarge


def _gzip(value: bytes, largest: int) -> bytes:
    return _inflated(value, largest, zlib.MAX_WBITS + 16)


def _zstd(value: bytes, largest: int) -> bytes:
    """Decompress frames, a few bytes at a time: one call returns all their content, up to 128 KiB for four bytes."""
    decoder = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    found, stream, frames = bytearray(), None, 0
    for at in range(0, len(value), _STEP):
        rest = value[at : at + _STEP]
        while rest:
            if stream is None:
                frames += 1
                if frames > MAX_PARTS:
                    raise _TooLarge
                stream = decoder.decompressobj()
            found += stream.decompress(rest)
            if len(found) > largest:
                raise _TooLarge
            rest = stream.unused_data if stream.eof else b""
            stream = None if stream.eof else stream
    if stream is not None:
        raise EOFError("it ends early")
    return bytes(found)


def _lz4(value: bytes, largest: int) -> bytes:
    found, rest = bytearray(), value
    for _ in range(MAX_PARTS):
        stream = lz4.frame.LZ4FrameDecompressor()
        found += stream.decompress(rest, max_length=largest + 1 - len(found))
        if len(found) > largest:
            raise _TooLarge
        if not stream.eof:
            raise EOFError("it ends early")
        rest = stream.unused_data or b""
        if not rest:
            return bytes(found)
    raise _TooLarge


def _snappy_block(data: bytes, largest: int) -> bytes:
    """Decompress one block, which begins with its decompressed size."""
    size = 0
    for index in range(min(5, len(data))):
        size |= (data[index] & 0x7F) << (7 * index)
        if data[index] < 0x80:
            break
    if size > largest:
        raise _TooLarge
    return bytes(snappy.uncompress(data))


def _snappy_java(value: bytes, largest: int) -> bytes:
    return _joined(_java_blocks(value), largest)


def _java_blocks(value: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the blocks of a value, each with True as all are compressed; the size precedes each block."""
    at = _SNAPPY_JAVA_HEADER
    while at < len(value):
        size = int.from_bytes(value[at : at + 4])
        block = value[at + 4 : at + 4 + size]
        if len(block) < size:
            raise EOFError("it ends early")
        yield block, True
        at += 4 + size


def _snappy(value: bytes, largest: int) -> bytes:
    return _joined(_chunks(value), largest)


def _chunks(value: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the chunks of the official frame format, and whether each is compressed."""
    at = 0
    while at < len(value):
        kind, size = value[at], int.from_bytes(value[at + 1 : at + 4], "little")
        chunk = value[at + 4 : at + 4 + size]
        if len(chunk) < size or at + 4 > len(value):
            raise EOFError("it ends early")
        if kind in (0, 1):
            yield chunk[4:], kind == 0  # after a checksum of the decompressed data
        elif kind < 0x80:
            raise ValueError(f"it has a chunk of the unknown kind {kind}")
        at += 4 + size


def _joined(blocks: Iterator[tuple[bytes, bool]], largest: int) -> bytes:
    found = bytearray()
    for number, (block, compressed) in enumerate(blocks):
        if number >= _MAX_CHUNKS:
            raise _TooLarge
        found += _snappy_block(block, largest - len(found)) if compressed else block
        if len(found) > largest:
            raise _TooLarge
    return bytes(found)


_FORMATS: tuple[tuple[bytes, str, Callable[[bytes, int], bytes]], ...] = (
    (GZIP, "gzip", _gzip),
    (ZSTD, "zstd", _zstd),
    (LZ4, "LZ4", _lz4),
    (SNAPPY_JAVA, "Snappy", _snappy_java),
    (SNAPPY, "Snappy", _snappy),
)
