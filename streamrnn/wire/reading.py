"""Reading of forecasts in each of the formats in which they are written."""

from typing import Any

import orjson

from streamrnn.wire.avro import MAGIC, decode_forecast


def read_forecast(value: bytes) -> dict[str, Any]:
    """Return a forecast as its JSON document.

    Raises:
        ConfigError: it is in Avro, and fastavro is not installed.
        ValueError: the value is not JSON, or not an object, or not a forecast in Avro.
    """
    if value[:1] == MAGIC:
        return decode_forecast(value)
    document = orjson.loads(value)
    if isinstance(document, dict) and isinstance(document.get("payload"), dict):
        document = document["payload"]  # in Connect's envelope
    if not isinstance(document, dict):
        raise ValueError("a forecast is an object")  # noqa: TRY004 -- as for other values that are none
    return document
