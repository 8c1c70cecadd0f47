"""Reading the records of a batch in place of kafka-python's own function, which some valid records make fail.

Version 3.0.12 raises for a header whose name is not UTF-8, and reads the attributes of a record, a byte, as a number of
variable length: with its highest bit set, the offset and the time of the record are wrong.
"""

from typing import Any

from kafka.record.default_records import ControlRecord, DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint


def read_record(batch: Any) -> Any:
    r"""Return the next record of a batch. Raises IndexError or ValueError for one that is damaged.

    The format is that of KIP-98. Names of headers that are not UTF-8 are given with escapes (`\xff`).
    """
    buffer = batch._buffer  # noqa: SLF001  # it replaces a method of the library
    length, start = decode_varint(buffer, batch._pos)  # noqa: SLF001
    delta, position = decode_varint(buffer, start + 1)  # behind the attributes
    number, position = decode_varint(buffer, position)
    key, position = _sized(buffer, position)
    value, position = _sized(buffer, position)
    count, position = decode_varint(buffer, position)
    headers = []
    for _ in range(count):
        name, position = _sized(buffer, position)
        content, position = _sized(buffer, position)
        headers.append(((name or b"").decode(errors="backslashreplace"), content))
    if position != start + length:
        raise ValueError(f"a record of {length} bytes has contents of {position - start}")
    batch._pos = position  # noqa: SLF001
    appended = batch.timestamp_type == DefaultRecordBatch.LOG_APPEND_TIME
    time = batch.max_timestamp if appended else batch.first_timestamp + delta
    kind = ControlRecord if batch.is_control_batch else DefaultRecord
    return kind(length, batch.base_offset + number, time, batch.timestamp_type, key, value, headers)


def _sized(buffer: bytearray, position: int) -> tuple[bytes | None, int]:
    """Return the bytes that follow their length, and the position behind them; None for a negative length."""
    size, position = decode_varint(buffer, position)
    return (None, position) if size < 0 else (bytes(buffer[position : position + size]), position + size)


def replace_reader() -> None:
    """Make the library read records by `read_record`."""
    DefaultRecordBatch._read_msg = read_record  # noqa: SLF001
