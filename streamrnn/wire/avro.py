"""Forecasts in Avro, with the frame of a schema registry: a zero byte, and the schema's number in four bytes."""

import io
import struct
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from streamrnn.errors import missing_extra
from streamrnn.wire.schemas import avro_schema

MAGIC = b"\0"
VARIANTS = (False, False), (True, False), (False, True), (True, True)
"""(thresholds, joint) of each schema: whether it has thresholds, and whether it has joint scores."""
_FRAME = struct.Struct(">cI")


class AvroForecasts:
    """Turns forecasts in JSON into Avro. `schema_id` returns the number of the schema in the registry.

    Raises:
        ConfigError: fastavro is not installed.
    """

    def __init__(self, schema_id: Callable[[], int]) -> None:
        self._library = fastavro_library()
        self._schemas = {
            (thresholds, joint): self._library.parse_schema(avro_schema(thresholds=thresholds, joint=joint))
            for thresholds, joint in VARIANTS
        }
        """Schemas by (thresholds, joint); all forecasts of a task have the same."""
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
        schema = self._schemas["thresholds" in document, "joint_anomaly" in document]
        self._library.schemaless_writer(target, schema, document)
        return target.getvalue()


def decode_forecast(value: bytes) -> dict[str, Any]:
    """Return a forecast in Avro as its JSON document.

    Raises:
        ConfigError: fastavro is not installed.
        ValueError: the value is not a forecast.
    """
    library = fastavro_library()
    for thresholds, joint in VARIANTS:
        document = _read(library, value[_FRAME.size :], avro_schema(thresholds=thresholds, joint=joint))
        if document is not None:
            break
    else:
        raise ValueError("not a forecast")
    if document["direction"] is None:
        del document["direction"]
    return dict(document)


def _read(library: Any, data: bytes, schema: Any) -> dict[str, Any] | None:
    """Return the record of the schema in `data`; None if there is none, or if bytes follow it.

    Times stay numbers: the logical types of the schema, with which they would become datetimes, are removed.
    """
    source = io.BytesIO(data)
    try:
        document: dict[str, Any] = library.schemaless_reader(source, _plain(schema), None)
    except (EOFError, IndexError, OverflowError, UnicodeDecodeError, struct.error):
        return None
    return None if source.read(1) else document


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
