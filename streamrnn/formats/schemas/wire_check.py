"""A check of Protobuf's binary encoding before it is decoded: the number of its fields and messages.

The decoder itself limits the nesting, but it allocates every field of a message, even absent ones: a message of two
bytes can take kilobytes of memory.
"""

from typing import Any

from streamrnn.errors import RecordError
from streamrnn.formats.schemas import MAX_VALUES

SMALL = 4 * 1024
"""Size in bytes up to which a message is not checked, as it cannot contain much."""
MAX_DEPTH = 100
"""Largest nesting of messages, as in the decoder."""

ABSENT_FIELDS = 8
"""Number of fields of a message type, present or not, that count as one value of each message."""

VARINT, FIXED_64, BYTES, GROUP, FIXED_32 = 0, 1, 2, 3, 5


class WireCheck:
    """Checks messages of one type."""

    def __init__(self, descriptor: Any) -> None:
        self._types: dict[str, dict[int, str]] = {}
        self._weights: dict[str, int] = {}
        self._name = descriptor.full_name
        pending = [descriptor]
        while pending:
            each = pending.pop()
            if each.full_name not in self._types:
                self._weights[each.full_name] = len(each.fields) // ABSENT_FIELDS
                inner = [field for field in each.fields if field.message_type is not None]
                self._types[each.full_name] = {field.number: field.message_type.full_name for field in inner}
                pending += [field.message_type for field in inner]
        self._left = 0

    def check(self, data: bytes) -> None:
        """Check a message, unless it is small.

        Raises:
            RecordError: too_large, invalid_protobuf.
        """
        if len(data) > SMALL:
            self._left = MAX_VALUES
            self._fields(data, 0, len(data), self._types[self._name], 0)

    def _fields(self, data: bytes, at: int, end: int, types: dict[int, str], depth: int) -> None:
        if depth > MAX_DEPTH:
            raise RecordError("too_large", f"the message is nested more than {MAX_DEPTH} deep")
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise RecordError("too_large", f"the record has more than {MAX_VALUES:,} values")
            tag, at = data[at], at + 1
            if tag >= 0x80:  # two bytes are read here, as a call would take several times as long
                tag, at = (
                    read_varint(data, at - 1) if at == end or data[at] >= 0x80 else (tag & 0x7F | data[at] << 7, at + 1)
                )
            wire = tag & 7
            if wire == BYTES:
                size, at = read_varint(data, at)
                if (inner := types.get(tag >> 3)) is not None:
                    self._message(data, at, min(at + size, end), inner, depth)
                at += size
            elif wire == VARINT:
                at = read_varint(data, at)[1] if at == end or data[at] >= 0x80 else at + 1
            else:
                at += {FIXED_64: 8, FIXED_32: 4}.get(wire, 0)  # the fields of a group follow one by one

    def _message(self, data: bytes, at: int, end: int, name: str, depth: int) -> None:
        self._left -= self._weights[name]
        if at < end:
            self._fields(data, at, end, self._types[name], depth + 1)


def read_varint(data: bytes, at: int, *, signed: bool = False) -> tuple[int, int]:
    """Return a number of variable length, zigzag-encoded where it is signed, and the index of its end.

    Raises:
        RecordError: invalid_protobuf.
    """
    if at < len(data) and (byte := data[at]) < 0x80:  # the common case
        return (byte >> 1 ^ -(byte & 1) if signed else byte), at + 1
    value = 0
    for index, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return (value >> 1 ^ -(value & 1) if signed else value), at + index + 1
    raise RecordError("invalid_protobuf", f"the value ends early, or has no number at byte {at:,}")
