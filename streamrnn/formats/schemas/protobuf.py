"""Protobuf: with a schema registry's frame, or bare with one configured message."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from streamrnn.errors import ConfigError, RecordError, missing_extra
from streamrnn.formats import Format, Layout
from streamrnn.formats.schemas import MAX_VALUES, SchemaId, SchemaSource, remember
from streamrnn.formats.schemas.folder import read_schema
from streamrnn.formats.schemas.framing import frame_hint, split_frame
from streamrnn.formats.schemas.proto_files import DESCRIPTOR_SETS, ProtoFile, compile_schema, read_descriptors
from streamrnn.formats.schemas.wire_check import ABSENT_FIELDS, WireCheck, read_varint
from streamrnn.records import Record

MAX_INDEXES = 32
MAX_DECIMAL_BYTES = 64
"""Largest size of a decimal in bytes."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Convert = Callable[[Any], object]


class Protobuf(Format):
    """Documents are the messages, with the fields' names as in the `.proto` file.

    Fields without presence are always included, others only if they are set. Enums become their names, timestamps
    `datetime`, durations seconds, and wrapped values, `Struct` and maps their JSON equivalents.

    Args:
        schemas: Source of the schemas that framed values name.
        schema: `.proto` file or descriptor set for values without a frame.
        message: Full name of their message; None if the file has only one.
        layout: Paths of key, time and fields in the documents.

    Raises:
        ConfigError: both or neither of schemas and schema are given, or the schema cannot be used.
    """

    def __init__(
        self, *, schemas: SchemaSource | None = None, schema: Path | None = None, message: str | None = None,
        layout: Layout = Layout(),  # noqa: B008 -- immutable
    ) -> None:  # fmt: skip
        try:
            import google.protobuf  # noqa: F401, PLC0415 -- optional
        except ModuleNotFoundError:
            raise missing_extra("input.format = protobuf", "protobuf", "protobuf") from None
        if find_spec("grpc_tools") is None and (schema is None or schema.suffix not in DESCRIPTOR_SETS):
            raise missing_extra("input.format = protobuf, with a .proto file", "grpcio-tools", "protobuf")
        if (schemas is None) == (schema is None):
            raise ConfigError("input.format = protobuf needs either input.schema or schema_registry")
        self.reads_raw = schema is not None
        self.layout = layout
        self._schemas = schemas
        self._files: dict[SchemaId, ProtoFile] = {}
        self._readers: dict[tuple[SchemaId, tuple[int, ...]], _MessageReader] = {}
        self._bare: _MessageReader | None = None
        if schema is not None:
            try:
                file = (
                    read_descriptors(schema)
                    if schema.suffix in DESCRIPTOR_SETS
                    else compile_schema(read_schema(schema))
                )
            except RecordError as error:
                raise ConfigError(f"input.schema: {error}") from None
            self._bare = _MessageReader(file.named(message))

    def read(self, record: Record) -> Sequence[object]:
        """See Format."""
        value = record.value or b""
        if self._bare is not None:
            try:
                return [self._bare.read(value)]
            except RecordError as error:
                raise RecordError(error.reason, f"{error}{frame_hint(value)}") from None
        found = split_frame(record)
        if found is None:
            raise RecordError(
                "invalid_protobuf",
                "the value does not begin with a schema registry's frame (0 and a number of 4 bytes); for bare values, "
                "configure input.schema and input.message instead of schema_registry",
            )
        schema_id, rest = found
        indexes, payload = _split_indexes(rest)
        reader = self._readers.get((schema_id, indexes))
        if reader is None:
            file = self._files.get(schema_id)
            if file is None and self._schemas is not None:
                file = remember(self._files, schema_id, compile_schema(self._schemas.find(schema_id)))
            reader = remember(self._readers, (schema_id, indexes), _MessageReader(file.at(indexes)))  # type: ignore[union-attr]  # as found
        return [reader.read(payload)]


def _split_indexes(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Return the indexes that identify a message in its file, and the bytes after them.

    The number of indexes precedes them; 0 is short for the first message.
    """
    count, at = read_varint(data, 0, signed=True)
    if count == 0:
        return (0,), data[at:]
    if not 0 < count <= MAX_INDEXES:
        raise RecordError("invalid_protobuf", f"the frame names {count} indexes of a message")
    indexes = []
    for _ in range(count):
        index, at = read_varint(data, at, signed=True)
        if index < 0:
            raise RecordError("invalid_protobuf", f"the frame names the message {index}")
        indexes.append(index)
    return tuple(indexes), data[at:]


class _MessageReader:
    """Decodes messages of one type."""

    def __init__(self, descriptor: Any) -> None:
        from google.protobuf import message, message_factory  # noqa: PLC0415 -- optional

        self._class = message_factory.GetMessageClass(descriptor)
        self._check = WireCheck(descriptor)
        self._error = message.DecodeError
        self._converters: dict[str, Convert] = {}
        self._left = 0
        self._convert = self._message(descriptor)

    def read(self, data: bytes) -> object:
        """Return the document of the message in data."""
        self._check.check(data)
        self._left = MAX_VALUES
        try:
            return self._convert(self._class.FromString(data))
        except self._error:
            name = self._class.DESCRIPTOR.full_name
            raise RecordError("invalid_protobuf", f"the value is no message {name}") from None

    def _count(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise RecordError("too_large", f"the record has more than {MAX_VALUES:,} values")

    def _message(self, descriptor: Any) -> Convert:
        """Return a function that converts messages of a type, which may contain messages of the same type."""
        known = _WELL_KNOWN.get(descriptor.full_name)
        if known is not None:
            return known
        name = descriptor.full_name
        if name in self._converters:
            return partial(self._later, name)
        self._converters[name] = _wrapped  # replaced below; here, so that a type may contain itself
        if name == "google.protobuf.Struct":
            content = self._field(descriptor.fields_by_name["fields"])
            self._converters[name] = lambda message: content(message.fields)
        elif name == "google.protobuf.ListValue":
            content = self._field(descriptor.fields_by_name["values"])
            self._converters[name] = lambda message: content(message.values)
        else:
            fields = [(each.name, each.has_presence, self._field(each)) for each in descriptor.fields]
            convert = self._of_fields(fields)
            if name == "google.protobuf.Value":
                self._converters[name] = lambda message: next(iter(convert(message).values()), None)
            else:
                self._converters[name] = convert
        return self._converters[name]

    def _later(self, name: str, message: Any) -> object:
        return self._converters[name](message)

    def _of_fields(self, fields: list[tuple[str, bool, Convert | None]]) -> Callable[[Any], dict[str, object]]:
        def convert(message: Any) -> dict[str, object]:
            self._count(1 + len(fields) // ABSENT_FIELDS)
            document = {}
            for name, optional, change in fields:
                if optional and not message.HasField(name):
                    continue
                value = getattr(message, name)
                document[name] = value if change is None else change(value)
            self._count(len(document))
            return document

        return convert

    def _field(self, field: Any) -> Any:
        """Return a function that converts the values of a field; None if they need no conversion."""
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(field.message_type.fields_by_name["value"])
        one = self._single(field)
        return self._list(one) if field.is_repeated else one

    def _single(self, field: Any) -> Convert | None:
        if field.message_type is not None:
            return self._message(field.message_type)
        if field.enum_type is not None:
            if field.enum_type.full_name == "google.protobuf.NullValue":
                return lambda _number: None
            names = {number: each.name for number, each in field.enum_type.values_by_number.items()}
            return lambda number: names.get(number, number)
        return None

    def _list(self, one: Convert | None) -> Convert:
        def convert(values: Any) -> list[object]:
            self._count(len(values))
            return list(values) if one is None else [one(each) for each in values]

        return convert

    def _map(self, value: Any) -> Convert:
        one = self._single(value)

        def convert(values: Any) -> dict[str, object]:
            self._count(2 * len(values))
            return {_name(key): each if one is None else one(each) for key, each in values.items()}

        return convert


def _name(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _timestamp(message: Any) -> object:
    try:
        return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
    except OverflowError:
        return {"seconds": message.seconds, "nanos": message.nanos}


def _duration(message: Any) -> object:
    return message.seconds + message.nanos / 1e9


def _decimal(message: Any) -> object:
    if len(message.value) > MAX_DECIMAL_BYTES:
        raise RecordError("invalid_protobuf", f"a decimal has {len(message.value):,} bytes")
    return Decimal(int.from_bytes(message.value, signed=True)).scaleb(-max(min(message.scale, 1000), -1000))


def _wrapped(message: Any) -> object:
    return message.value


_WELL_KNOWN: dict[str, Convert] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "confluent.type.Decimal": _decimal,
} | {
    f"google.protobuf.{kind}Value": _wrapped
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}  # fmt: skip
