"""Protobuf messages that are defined in Python: small parts of published schemas, without generated code."""

from collections.abc import Mapping
from typing import Any

from streamrnn.errors import missing_extra

Definition = Mapping[str, tuple[int, str]]
"""Number and type of each field by name: a scalar type of protobuf or a message, with `*` appended if repeated."""


def message_classes(subject: str, definitions: Mapping[str, Definition]) -> tuple[dict[str, Any], type[Exception]]:
    """Return the classes of messages by name, and the exception that they raise for invalid bytes.

    Fields that are not defined are skipped when a message is read. `subject` names the format in messages.

    Raises:
        ConfigError: the library is not installed.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory  # noqa: PLC0415
    except ImportError:
        raise missing_extra(subject, "protobuf", "protobuf") from None
    types = descriptor_pb2.FieldDescriptorProto
    package = f"streamrnn.{subject.rpartition(' ')[2]}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for name, fields in definitions.items():
        defined = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            base = kind.removesuffix("*")
            label = types.LABEL_REPEATED if kind.endswith("*") else types.LABEL_OPTIONAL
            added = defined.field.add(name=field, number=number, label=label)
            if base in definitions:
                added.type, added.type_name = types.TYPE_MESSAGE, f".{package}.{base}"
            else:
                added.type = types.Type.Value(f"TYPE_{base.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    classes = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in definitions
    }
    return classes, message.DecodeError


def sized_parts(value: bytes) -> list[bytes]:
    """Return the parts of a value in which each is preceded by its size, as in metric streams of AWS.

    Return no parts if the value does not have this form.
    """
    parts, at = list[bytes](), 0
    while at < len(value) and len(parts) <= _MAX_PARTS:
        size = shift = 0
        while at < len(value) and shift <= _MAX_SHIFT:
            byte = value[at]
            size, shift, at = size | (byte & 0x7F) << shift, shift + 7, at + 1
            if byte < 0x80:  # the last byte of the size
                break
        if not 0 < size <= len(value) - at:
            return []
        parts.append(value[at : at + size])
        at += size
    return parts


_MAX_SHIFT = 28
"""Bits below the last byte of a size of 32 bits."""
_MAX_PARTS = 10_000
