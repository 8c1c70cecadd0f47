"""JSON of Kafka Connect's converter: a schema and a payload; types that JSON lacks are decoded."""

import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from streamrnn.errors import RecordError
from streamrnn.formats import shorten
from streamrnn.formats.schemas import MAX_VALUES

MAX_DEPTH = 64
MAX_DECIMAL_LENGTH = 88
"""Characters of a decimal's digits in base64: 64 bytes."""
MAX_DECIMAL_SCALE = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Convert = Callable[[Any], object]


def is_envelope(document: object) -> bool:
    """Return whether a document consists of a schema and a payload."""
    return type(document) is dict and document.keys() == {"schema", "payload"}


def describe(value: Any) -> str:
    """Return a short description of a value of any size, for messages."""
    if type(value) is dict:
        names = ", ".join(shorten(name) for name in list(value)[:5])
        return f"an object of {names}{' and more' if len(value) > 5 else ''}" if value else "an empty object"
    return f"a list of {len(value):,} elements" if type(value) is list else shorten(value)


def unwrap(document: Any) -> object:
    """Return the payload of a document, with decimals and times decoded; a document without schema unchanged.

    Raises:
        RecordError: invalid_connect, too_large.
    """
    if not is_envelope(document):
        return document
    payload = document["payload"]
    convert = _Types().converter(document["schema"], 0)
    if convert is None:
        return payload
    try:
        return convert(payload)
    except (ValueError, TypeError, LookupError, AttributeError, InvalidOperation) as error:
        raise RecordError("invalid_connect", f"the payload does not fit its schema: {error}") from None


class _Types:
    """Makes the functions that decode one document's types that JSON lacks, and limits the number of its values."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def converter(self, schema: Any, depth: int) -> Convert | None:
        """Return a function that decodes values of a schema; None if they need no decoding."""
        if type(schema) is not dict:
            return None
        if depth > MAX_DEPTH:
            raise RecordError("too_large", f"the schema is nested more than {MAX_DEPTH} deep")
        name = schema.get("name")
        found: Convert | None = None
        if name == "org.apache.kafka.connect.data.Decimal":
            found = _decimal(schema)
        elif name == "io.debezium.data.VariableScaleDecimal":
            found = _scaled
        elif isinstance(name, str) and name in _UNITS:
            found = _time(*_UNITS[name])
        elif schema.get("type") == "struct":
            found = self._struct(schema.get("fields"), depth)
        elif schema.get("type") == "array" and (item := self.converter(schema.get("items"), depth + 1)) is not None:
            found = self._list(item)
        elif schema.get("type") == "map" and (value := self.converter(schema.get("values"), depth + 1)) is not None:
            found = self._map(value)
        return found

    def _count(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise RecordError("too_large", f"the payload has more than {MAX_VALUES:,} values")

    def _struct(self, fields: Any, depth: int) -> Convert | None:
        if type(fields) is not list:
            return None
        self._count(len(fields))
        found = {
            each["field"]: convert
            for each in fields
            if type(each) is dict
            and isinstance(each.get("field"), str)
            and (convert := self.converter(each, depth + 1)) is not None
        }

        def change(value: Any) -> object:
            if type(value) is not dict:
                return value
            self._count(len(value))
            return {
                name: found[name](each) if each is not None and name in found else each for name, each in value.items()
            }

        return change if found else None

    def _list(self, item: Convert) -> Convert:
        def change(value: Any) -> object:
            if type(value) is not list:
                return value
            self._count(len(value))
            return [each if each is None else item(each) for each in value]

        return change

    def _map(self, item: Convert) -> Convert:
        def change(value: Any) -> object:
            if type(value) is not dict:
                return value
            self._count(len(value))
            return {name: each if each is None else item(each) for name, each in value.items()}

        return change


def _decimal(schema: dict[str, Any]) -> Convert:
    scale = int((schema.get("parameters") or {}).get("scale", 0)) if _has_scale(schema) else 0
    return lambda value: _unscaled(value, scale) if isinstance(value, str) else value


def _has_scale(schema: dict[str, Any]) -> bool:
    parameters = schema.get("parameters")
    scale = parameters.get("scale", "0") if type(parameters) is dict else "0"
    if not str(scale).removeprefix("-").isdecimal() or len(str(scale)) > 4:
        raise RecordError("invalid_connect", f"the scale of a decimal is {describe(scale)}")
    return type(parameters) is dict


def _scaled(value: Any) -> object:
    """Decode a decimal whose scale is part of the value."""
    scale = value["scale"]
    if type(scale) is not int:
        raise TypeError(f"the scale of a decimal is {describe(scale)}")
    return _unscaled(value["value"], scale)


def with_decimals(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its decimals of variable scale decoded; Debezium writes these even without a schema."""
    if not any(type(value) is dict for value in row.values()):
        return row
    return {name: _decoded(value) if type(value) is dict else value for name, value in row.items()}


def _decoded(value: dict[str, Any]) -> object:
    if value.keys() != {"scale", "value"} or type(value["value"]) is not str:
        return value
    try:
        return _scaled(value)
    except (TypeError, ValueError):
        return value


def _unscaled(text: str, scale: int) -> Decimal:
    if len(text) > MAX_DECIMAL_LENGTH or abs(scale) > MAX_DECIMAL_SCALE:
        raise ValueError(f"the decimal {shorten(text)} is too long")
    try:
        return Decimal(int.from_bytes(binascii.a2b_base64(text, strict_mode=True), signed=True)).scaleb(-scale)
    except binascii.Error:
        raise ValueError(f"the decimal {shorten(text)} is not base64") from None


def _time(unit: timedelta, divisor: int) -> Convert:
    """Return a function that decodes a number which, divided by `divisor`, counts `unit` since the epoch."""

    def change(value: Any) -> object:
        if type(value) is not int:
            return value
        try:
            return _EPOCH + unit * (value // divisor)
        except OverflowError:  # such as a database's infinity
            return value

    return change


_UNITS: dict[str, tuple[timedelta, int]] = {
    "org.apache.kafka.connect.data.Timestamp": (timedelta(milliseconds=1), 1),
    "org.apache.kafka.connect.data.Date": (timedelta(days=1), 1),
    "io.debezium.time.Timestamp": (timedelta(milliseconds=1), 1),
    "io.debezium.time.MicroTimestamp": (timedelta(microseconds=1), 1),
    "io.debezium.time.NanoTimestamp": (timedelta(microseconds=1), 1_000),
    "io.debezium.time.Date": (timedelta(days=1), 1),
}
