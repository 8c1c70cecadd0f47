"""Reading the records of a batch; it replaces kafka-python's own function, which fails for some valid records.

Version 3.0.12 raises for a header whose name is not UTF-8, and reads the attributes of a record, a byte, as a number of
variable length: with its highest bit set, the offset and the time of the record are wrong. Times that are too
far apart get more than 64 bits. A message of Kafka 0.9, which brokers still serve, has the time None.
"""

from typing import Any

from kafka.record import legacy_records
from kafka.record.default_records import ControlRecord, DefaultRecord, DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.record.util import decode_varint

from streamrnn.log.kafka.decompression import (
    MAX_STORED_BYTES,
    DecompressedStream,
    decompress_batch,
    decompress_old_lz4,
)

MAX_HEADERS = 100_000
"""Most headers of a record, which take two bytes each and compress to nothing; one with more is read without headers,
as librdkafka does."""


def read_record(batch: Any) -> Any:
    r"""Return the next record of a batch. Raises IndexError or ValueError for a damaged one.

    The format is that of KIP-98. Header names that are not UTF-8 are decoded with escapes (`\xff`).
    """
    buffer = batch._buffer  # noqa: SLF001  # it replaces a method of the library
    if type(buffer) is DecompressedStream:
        return _read_from_stream(batch, buffer)
    length, start = decode_varint(buffer, batch._pos)  # noqa: SLF001
    delta, position = decode_varint(buffer, start + 1)  # after the attributes
    number, position = decode_varint(buffer, position)
    key, position = _sized(buffer, position)
    value, position = _sized(buffer, position)
    count, position = decode_varint(buffer, position)
    headers = []
    if count > MAX_HEADERS:
        count, position = 0, start + length
    for _ in range(count):
        name, position = _sized(buffer, position)
        content, position = _sized(buffer, position)
        headers.append(((name or b"").decode(errors="backslashreplace"), content))
    if position != start + length:
        raise ValueError(f"a record of {length} bytes has contents of {position - start}")
    batch._pos = position  # noqa: SLF001
    return _make_record(batch, length, number, delta, (key, value, headers))


def _read_from_stream(batch: Any, stream: DecompressedStream) -> Any:
    """Return the next record of a very large batch; parts longer than `MAX_STORED_BYTES` are cut."""
    length = stream.read_varint()
    start = stream.position
    stream.read(1)  # the attributes
    delta, number = stream.read_varint(), stream.read_varint()
    key, value = stream.read_sized(), stream.read_sized()
    count, left = stream.read_varint(), MAX_STORED_BYTES
    if count > MAX_HEADERS:
        count = 0
        stream.read(start + length - stream.position, most=0)
    headers = []
    for _ in range(count):
        name = stream.read_sized(left) or b""
        left -= len(name)
        content = stream.read_sized(left)
        left -= len(content or b"")
        if left:
            headers.append((name.decode(errors="backslashreplace"), content))
    if stream.position != start + length:
        raise ValueError(f"a record of {length} bytes has contents of {stream.position - start}")
    return _make_record(batch, length, number, delta, (key, value, headers))


def _make_record(batch: Any, length: int, number: int, delta: int, parts: tuple[Any, ...]) -> Any:
    """Return the record with an offset and a time relative to those of its batch; the time has 64 bits."""
    appended = batch.timestamp_type == DefaultRecordBatch.LOG_APPEND_TIME
    time = batch.max_timestamp if appended else (batch.first_timestamp + delta + 2**63) % 2**64 - 2**63  # as Java adds
    kind = ControlRecord if batch.is_control_batch else DefaultRecord
    return kind(length, batch.base_offset + number, time, batch.timestamp_type, *parts)


def _sized(buffer: bytearray, position: int) -> tuple[bytes | None, int]:
    """Return the bytes that follow their length, None for a negative length, and the position after them."""
    size, position = decode_varint(buffer, position)
    return (None, position) if size < 0 else (bytes(buffer[position : position + size]), position + size)


def _read_old_header(batch: Any, position: int) -> tuple[Any, ...]:
    """Return offset, length, checksum, format, attributes and time of a message before Kafka 0.11; -1 for no time."""
    *others, time = _read_library_header(batch, position)
    return (*others, -1 if time is None else time)


_read_library_header = LegacyRecordBatch._read_header  # noqa: SLF001


def replace_reader() -> None:
    """Make the library read records by `read_record`, of batches decompressed by `decompress_batch`."""
    LegacyRecordBatch._read_header = _read_old_header  # noqa: SLF001
    DefaultRecordBatch._read_msg = read_record  # noqa: SLF001
    DefaultRecordBatch._maybe_uncompress = decompress_batch  # noqa: SLF001
    legacy_records.lz4_decode_old_kafka = decompress_old_lz4
