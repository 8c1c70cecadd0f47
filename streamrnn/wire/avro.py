"""Forecasts in Avro, with the frame of a schema registry: a zero byte, and the schema's number in four bytes."""

import io
import struct
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from streamrnn.errors import missing_extra
from streamrnn.wire.schemas import avro_schema

MAGIC = b"\0"
_FRAME = struct.Struct(">cI")


class AvroForecasts:
    """Turns forecasts in JSON into Avro. `schema_id` returns the number of the schema in the registry.

    Raises:
        ConfigError: fastavro is not installed.
    """

    def __init__(self, schema_id: Callable[[], int]) -> None:
        self._library = fastavro_library()
        plain, full = (self._library.parse_schema(avro_schema(thresholds=each)) for each in (False, True))
        self._schemas = {False: plain, True: full}
        """By whether a forecast has thresholds, as all of a task have, or none."""
        self._schema_id = schema_id
        self._frame = b""

    def encode(self, documents: Sequence[bytes]) -> list[bytes]:
        """Return forecasts in Avro.

        Raises:
            LogError: the registry is unavailable.
        """
        self._frame = self._frame or _FRAME.pack(MAGIC, self._schema_id())
        return [self._encode(orjson.loads(document)) for document in documents]

    def _encode(self, document: dict[str, Any]) -> bytes:
        target = io.BytesIO()
        target.write(self._frame)
        self._library.schemaless_writer(target, self._schemas["thresholds" in document], document)
        return target.getvalue()


def decode_forecast(value: bytes) -> dict[str, Any]:
    """Return a forecast in Avro as its JSON document.

    Raises:
        ConfigError: fastavro is not installed.
        ValueError: the value is not a forecast.
    """
    library = fastavro_library()
    try:
        # without logical types, which would make datetimes of numbers
        source = io.BytesIO(value[_FRAME.size :])
        document = library.schemaless_reader(source, _plain(avro_schema()), None)
        if source.read(1):  # more than a forecast without thresholds
            source.seek(0)
            document = library.schemaless_reader(source, _plain(avro_schema(thresholds=True)), None)
    except (EOFError, IndexError, OverflowError, struct.error) as error:
        raise ValueError(f"not a forecast: {error}") from error
    if document["direction"] is None:
        del document["direction"]
    return dict(document)


def fastavro_library() -> Any:
    """Return the module fastavro, which takes long to load. Raises ConfigError if it is not installed."""
    try:
        import fastavro  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError:
        raise missing_extra("output.format = avro", "fastavro", "avro") from None
    return fastavro


def _plain(schema: Any) -> Any:
    """Return a schema without logical types."""
    if isinstance(schema, dict):
        return {key: _plain(each) for key, each in schema.items() if key != "logicalType"}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema
