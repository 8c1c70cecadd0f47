"""Decompression of batches in bounded memory; it replaces kafka-python's own, which decompresses a batch as a whole.

A batch of 1 MB can decompress to a gigabyte. Up to WHOLE bytes it is decompressed at once; a larger one is decompressed
while its records are read, and of parts longer than any usable record only the beginning is stored.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from itertools import chain
from typing import Any

import lz4.frame
import zstandard
from kafka.record.default_records import DefaultRecordBatch

WHOLE = 16 * 1024 * 1024
"""Decompressed size in bytes up to which a batch is decompressed at once."""
MAX_STORED_BYTES = 1024 * 1024 + 1
"""Bytes to store at most of a key, of a value, and of all headers of a record in a larger batch: a longer value becomes
a dead letter by `input.max_record`, which is at most 1 MiB, and the dead letter is cut to less."""
STEP = 256 * 1024
"""Bytes to decompress at a time."""


class DecompressedStream:
    """The content of a batch that is decompressed while it is read. Reading beyond its end raises IndexError."""

    def __init__(self, chunks: Iterator[bytes | bytearray]) -> None:
        self.position = 0
        """Number of bytes read so far."""
        self._chunks = chunks
        self._chunk: bytes | bytearray = b""
        self._at = 0

    def __len__(self) -> int:
        """Return the number of unread bytes of the current chunk; 0 at the end, which the library checks."""
        self._fill()
        return len(self._chunk) - self._at

    def read(self, size: int, most: int = MAX_STORED_BYTES) -> bytes:
        """Read this many bytes, and return the first `most` of them."""
        found, left = bytearray(), size
        while left:
            if not self._fill():
                raise IndexError("the batch ends within a record")
            part = self._chunk[self._at : self._at + left]
            found += part[: most - len(found)]
            self._at += len(part)
            left -= len(part)
        self.position += size
        return bytes(found)

    def read_varint(self) -> int:
        """Read a signed number of variable length."""
        number = shift = 0
        while True:
            (byte,) = self.read(1)
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            shift += 7
            if shift > 63:
                raise ValueError("a number has more than ten bytes")

    def read_sized(self, most: int = MAX_STORED_BYTES) -> bytes | None:
        """Read a length and that many bytes, and return the first `most` of them; None for a negative length."""
        size = self.read_varint()
        return None if size < 0 else self.read(size, most)

    def _fill(self) -> bool:
        while self._at >= len(self._chunk):
            following = next(self._chunks, None)
            if following is None:
                return False
            self._chunk, self._at = following, 0
        return True


def decompress_batch(batch: Any) -> None:
    """Replace the content of a batch by its decompressed content, or by a stream of it, once per batch."""
    unpack = _CODECS.get(batch.compression_type)
    if batch._decompressed or unpack is None:  # noqa: SLF001  # it extends a method of the library
        _decompress_whole(batch)
        return
    chunks, head = unpack(bytes(memoryview(batch._buffer)[batch._pos :])), bytearray()  # noqa: SLF001
    for chunk in chunks:
        head += chunk
        if len(head) > WHOLE:
            batch._buffer = DecompressedStream(chain([head], chunks))  # noqa: SLF001
            break
    else:
        batch._buffer = head  # noqa: SLF001
    batch._pos, batch._decompressed = 0, True  # noqa: SLF001


def _gzip(data: bytes) -> Iterator[bytes]:
    while data:
        stream = zlib.decompressobj(zlib.MAX_WBITS + 16)
        while not stream.eof:
            if not (chunk := stream.decompress(data, STEP)) and not stream.eof:
                raise ValueError("the compressed batch ends early")
            data = stream.unconsumed_tail
            yield chunk
        data = stream.unused_data.lstrip(b"\0")


def _lz4(data: bytes) -> Iterator[bytes]:
    while data:
        stream = lz4.frame.LZ4FrameDecompressor()
        while not stream.eof:
            if stream.needs_input and not data:
                raise ValueError("the compressed batch ends early")
            yield stream.decompress(data, max_length=STEP)
            data = b""
        data = stream.unused_data or b""


def _zstd(data: bytes) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(BytesIO(data), read_across_frames=True) as reader:
        while chunk := reader.read(STEP):
            yield chunk


def decompress_old_lz4(data: bytes) -> bytes:
    """Decompress the content of a message of Kafka 0.9, whose frame has a wrong checksum of its header.

    The library calculates the right one with a package of its own; here the one that LZ4 accepts is found.
    """
    position = 14 if data[4] & 8 else 6  # a flag says whether the size of the content precedes the checksum
    for checksum in range(256):
        frame = data[:position] + bytes([checksum]) + data[position + 1 :]
        with suppress(RuntimeError):
            lz4.frame.get_frame_info(frame[: position + 1])
            return bytes(lz4.frame.decompress(frame))
    raise ValueError("the compressed message has no valid LZ4 header")


_decompress_whole = DefaultRecordBatch._maybe_uncompress  # noqa: SLF001
_CODECS: dict[int, Callable[[bytes], Iterator[bytes]]] = {
    DefaultRecordBatch.CODEC_GZIP: _gzip,
    DefaultRecordBatch.CODEC_LZ4: _lz4,
    DefaultRecordBatch.CODEC_ZSTD: _zstd,
}
"""Decompressors by codec; without Snappy, whose format cannot compress to less than a twentieth."""
