"""The frames of a schema registry's serializers: the number of a schema before the value, or in a header."""

from uuid import UUID

from streamrnn.errors import RecordError
from streamrnn.formats.schemas import SchemaId
from streamrnn.records import Record

VALUE_HEADER, KEY_HEADER = "__value_schema_id", "__key_schema_id"
NUMBER_FRAME, LONG_FRAME, GUID_FRAME = 5, 9, 17
"""Sizes of frames in bytes: 0 and a number of 4 bytes, 0 and a number of 8 (Apicurio), or 1 and a GUID of 16."""


def split_frame(record: Record) -> tuple[SchemaId, bytes] | None:
    """Return the schema that a record names and its value without the frame; None if it names none.

    Bytes after the number or GUID in a header, such as the indexes of a Protobuf message, are put before the value.

    Raises:
        RecordError: unknown_schema, for a header without number or GUID.
    """
    value = record.value or b""
    for name, content in reversed(record.headers):
        if name == VALUE_HEADER and content:
            found = _frame(content)
            if found is None:
                raise RecordError("unknown_schema", f"the header {VALUE_HEADER} holds neither a number nor a GUID")
            return found[0], found[1] + value
    return _frame(value)


def frame_hint(value: bytes) -> str:
    """Return a hint about the frame that a value seems to begin with; empty if it begins with none."""
    if len(value) > NUMBER_FRAME and value[0] == 0:
        number = int.from_bytes(value[1:NUMBER_FRAME])
        return f"; it seems to begin with a schema registry's frame, number {number} (schema_registry)"
    return ""


def _frame(content: bytes) -> tuple[SchemaId, bytes] | None:
    end = frame_end(content)
    if end == 0 or len(content) < end:
        return None
    named = content[1:end]
    return str(UUID(bytes=named)) if end == GUID_FRAME else int.from_bytes(named), content[end:]


def frame_end(value: bytes) -> int:
    """Return the size in bytes of the frame at the beginning of a value; 0 if there is none."""
    if value.startswith(b"\0"):
        return NUMBER_FRAME if any(value[1:NUMBER_FRAME]) else LONG_FRAME  # no registry has a schema 0
    return GUID_FRAME if value.startswith(b"\x01") else 0
