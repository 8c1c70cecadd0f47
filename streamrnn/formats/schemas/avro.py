"""Avro: with a schema registry's frame, as single objects, in object containers, or bare with one configured schema."""

import io
from collections.abc import Sequence
from decimal import DecimalException
from pathlib import Path
from typing import Any

import orjson

from streamrnn.errors import ConfigError, RecordError, missing_extra
from streamrnn.formats import Format, Layout
from streamrnn.formats.compression import MAX_BYTES
from streamrnn.formats.schemas import Schema, SchemaId, SchemaSource, remember
from streamrnn.formats.schemas.avro_check import AvroCheck
from streamrnn.formats.schemas.avro_container import CONTAINER, blocks, open_container
from streamrnn.formats.schemas.folder import read_schema
from streamrnn.formats.schemas.framing import frame_hint, split_frame
from streamrnn.records import Record

SINGLE_OBJECT = b"\xc3\x01"
FINGERPRINT_END = 10
MAX_EMBEDDED_SCHEMA_BYTES = 64 * 1024
"""Largest size in bytes of a container's schema, which, unlike the others, comes with the record."""
MAX_EMBEDDED_SCHEMAS = 50
_VALUE = "value"


class Avro(Format):
    """Documents are the values; those of an object container are all of its values.

    Records and maps are objects, unions are plain values, decimals are `Decimal`, timestamps `datetime`, UUIDs text.

    Args:
        schemas: Source of the schemas that framed values and single objects name.
        schema: File with the schema of values that name none; containers have their own.
        layout: Paths of key, time and fields in the documents.

    Raises:
        ConfigError: schemas and schema are both given, or the schema cannot be used.
    """

    def __init__(
        self, *, schemas: SchemaSource | None = None, schema: Path | None = None, layout: Layout = Layout(),  # noqa: B008
    ) -> None:  # fmt: skip
        _require_library()
        if schemas is not None and schema is not None:
            raise ConfigError("input.schema and schema_registry exclude each other: a value names its schema")
        self.layout = layout
        self._schemas = schemas
        self._readers: dict[SchemaId, _Reader] = {}
        self._embedded: dict[bytes, _Reader] = {}
        self._fingerprints: dict[bytes, Schema] = {}
        self.reads_raw = schema is not None
        self._bare: _Reader | None = None
        if schema is not None:
            bare = read_schema(schema)
            try:
                self._bare = _Reader(bare)
            except RecordError as error:
                raise ConfigError(f"input.schema: {error}") from None
            self._fingerprints[_fingerprint(bare)] = bare

    def read(self, record: Record) -> Sequence[object]:
        """See Format."""
        value = record.value or b""
        if value.startswith(CONTAINER):
            return self._contained(value)
        if value.startswith(SINGLE_OBJECT) and (reader := self._reader_of(value[2:FINGERPRINT_END])) is not None:
            return [reader.read(value[FINGERPRINT_END:])]
        if self._schemas is not None:
            return [self._framed(record)]
        if self._bare is None:
            raise RecordError("unknown_schema", f"the value names no schema, and none is configured{frame_hint(value)}")
        try:
            return [self._bare.read(value)]
        except RecordError as error:
            raise RecordError(error.reason, f"{error}{frame_hint(value)}") from None

    def _framed(self, record: Record) -> object:
        found = split_frame(record)
        if found is None or self._schemas is None:
            raise RecordError(
                "invalid_avro",
                "the value begins neither with a schema registry's frame (0 and a number of 4 bytes), nor as a single "
                "object or a container; for bare values, configure input.schema instead of schema_registry",
            )
        schema_id, payload = found
        reader = self._readers.get(schema_id)
        if reader is None:
            reader = remember(self._readers, schema_id, _Reader(self._schemas.find(schema_id)))
        return reader.read(payload)

    def _reader_of(self, fingerprint: bytes) -> "_Reader | None":
        """Return the reader of a single object; None if the value is probably not one."""
        key = fingerprint.hex()
        reader = self._readers.get(key)
        if reader is not None:
            return reader
        if fingerprint not in self._fingerprints and self._schemas is not None:
            listed = [each for each in self._schemas.listed() if each.kind == "AVRO"]
            self._fingerprints = {_fingerprint(each): each for each in listed}
        schema = self._fingerprints.get(fingerprint)
        if schema is None and self._bare is None:
            raise RecordError(
                "unknown_schema",
                f"the single object has the schema with the fingerprint {key}, which is not among those configured "
                "(input.schema, or schema_registry.folder)",
            )
        return None if schema is None else remember(self._readers, key, _Reader(schema))

    def _contained(self, value: bytes) -> Sequence[object]:
        container = open_container(value)
        reader = self._embedded.get(container.schema)
        if reader is None:
            if len(container.schema) > MAX_EMBEDDED_SCHEMA_BYTES:
                raise RecordError(
                    "too_large", f"a schema inside of a container may have {MAX_EMBEDDED_SCHEMA_BYTES:,} bytes"
                )
            schema = Schema("the container's schema", "AVRO", container.schema.decode(errors="replace"))
            reader = remember(self._embedded, container.schema, _Reader(schema), MAX_EMBEDDED_SCHEMAS)
        documents: list[object] = []
        for count, block in blocks(container, MAX_BYTES):
            documents += reader.read_block(block, count, before=len(documents))
        return documents


class _Reader:
    """Decodes values of one schema."""

    def __init__(self, schema: Schema) -> None:
        import fastavro  # noqa: PLC0415 -- optional

        self._decode: Any = fastavro.schemaless_reader
        named: dict[str, Any] = {}
        try:
            for reference in _references(schema):
                fastavro.parse_schema(_content(reference), named_schemas=named)
            # a record is encoded as its fields in succession: this one turns any type into a named type
            whole = {
                "type": "record",
                "name": "streamrnn.Whole",
                "fields": [{"name": _VALUE, "type": _content(schema)}],
            }
            parsed: Any = fastavro.parse_schema(whole, named_schemas=named)
            self._check = AvroCheck(parsed["fields"][0]["type"], named)
        except (*_SCHEMA_ERRORS, fastavro.schema.SchemaParseException) as error:
            raise RecordError("unknown_schema", f"{schema.name} is no usable Avro schema: {error}") from None
        self._schema = parsed

    def read(self, data: bytes) -> object:
        """Return the one value in data."""
        self._check.start()
        end = self._check.end(data)
        if end != len(data):
            raise RecordError(
                "invalid_avro", f"{len(data) - end:,} bytes follow the value, which does not fit its schema"
            )
        return self._value(io.BytesIO(data))

    def read_block(self, data: bytes, count: int, *, before: int) -> Sequence[object]:
        """Return the values of a block; `before` is the number of values in earlier blocks of the record."""
        self._check.start(before + count)
        end = 0
        for _ in range(count):
            end = self._check.end(data, end)
        if end != len(data):
            raise RecordError("invalid_avro", f"{len(data) - end:,} bytes follow the {count:,} values of a block")
        stream = io.BytesIO(data)
        return [self._value(stream) for _ in range(count)]

    def _value(self, stream: io.BytesIO) -> object:
        try:
            return self._decode(stream, self._schema, None)[_VALUE]
        except _VALUE_ERRORS as error:
            text = str(error) or type(error).__name__
            raise RecordError("invalid_avro", f"the value does not fit its schema: {text[:200]}") from None


_SCHEMA_ERRORS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
_VALUE_ERRORS = (
    ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError, DecimalException, EOFError,
)  # fmt: skip


def _require_library() -> None:
    try:
        import fastavro  # noqa: F401, PLC0415 -- optional
    except ModuleNotFoundError:
        raise missing_extra("input.format = avro", "fastavro", "avro") from None


def _content(schema: Schema) -> Any:
    if schema.kind != "AVRO":
        form = {"PROTOBUF": "protobuf", "JSON": "json_schema"}[schema.kind]
        raise ValueError(f"it is one of {schema.kind.title()}; set input.format: {form}")
    return _without_uuids(orjson.loads(schema.text))


def _without_uuids(schema: Any) -> Any:
    """Return a schema in which UUIDs are plain text, as in JSON."""
    if isinstance(schema, list):
        return [_without_uuids(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    uuid = schema.get("logicalType") == "uuid"
    return {name: _without_uuids(each) for name, each in schema.items() if not (uuid and name == "logicalType")}


def _references(schema: Schema) -> list[Schema]:
    """Return the schemas that a schema uses, each after those that it uses itself."""
    found: list[Schema] = []
    for _, reference in schema.references:
        found += [each for each in (*_references(reference), reference) if each not in found]
    return found


def _fingerprint(schema: Schema) -> bytes:
    """Return the fingerprint by which single objects name a schema; empty for one that cannot be used."""
    import fastavro  # noqa: PLC0415 -- optional

    try:
        canonical = fastavro.schema.to_parsing_canonical_form(orjson.loads(schema.text))
        return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
    except (*_SCHEMA_ERRORS, fastavro.schema.SchemaParseException):
        return b""
