"""JSON: an object, a list of objects, several of them in lines, a text that contains one of these, or a number."""

import json
import re
from collections.abc import Sequence

import orjson

from streamrnn.errors import RecordError
from streamrnn.formats import Format, Layout
from streamrnn.records import Record

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOT_FINITE = re.compile(rb"\b(?:NaN|Infinity)\b")
_INFLUX = re.compile(r"[^\s{\[\"<,=]+(?:,[^\s=]+=[^\s,]+)* [^\s=]+=[^\s,]+")
_FRAME_BYTES = 5
_NUMBER = re.compile(r"\s*[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)
MAX_LINES = 10_000
"""Largest number of lines of one value."""


class Json(Format):
    """Each object is a document, and so is each element of a list of objects or lists. NaN, which is not JSON, is null.

    A list of different things, such as `[2, "id", "MeterValues", {...}]`, is one document. A bare number, even in a
    text, is the document {"value": number}.
    """

    flat = True

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout()

    def read(self, record: Record) -> Sequence[object]:
        """See Format."""
        documents = documents_of(record.value or b"")
        if len(documents) == 1 and _is_number(documents[0]):
            return [{"value": documents[0]}]
        return documents


def _is_number(document: object) -> bool:
    return type(document) in (int, float) or (type(document) is str and _NUMBER.fullmatch(document) is not None)


def documents_of(value: bytes) -> Sequence[object]:
    """Return the documents in a value; of several lines, one that is not JSON becomes a RecordError.

    Raises:
        RecordError: invalid_json, invalid_utf8.
    """
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return _unusual(value, error)
    if type(document) is str and document.lstrip()[:1] in ("{", "["):
        document = parse_json(document.encode())
    return _each(document)


def _each(document: object) -> Sequence[object]:
    """Return the elements of a list; a mixed list, which begins with text or a number, and any other value as one."""
    if type(document) is not list or not document:
        return [document]
    different = type(document[0]) in (str, int, float) and any(type(each) in (dict, list) for each in document)
    return [document] if different else document


def parse_json(value: bytes) -> object:
    """Return the content of one JSON value; NaN becomes null.

    Raises:
        RecordError: invalid_json, invalid_utf8.
    """
    try:
        return orjson.loads(value.removeprefix(BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        if _NOT_FINITE.search(value):
            return _parse_not_finite(value, error)
        raise _not_json(value, error) from None


def _unusual(value: bytes, error: orjson.JSONDecodeError) -> Sequence[object]:
    """Return the documents in a value that is not plain JSON: with a byte-order mark, NaN or several lines."""
    value = value.removeprefix(BYTE_ORDER_MARK)
    if value.count(b"\n") > MAX_LINES:
        raise RecordError("too_large", f"the value has more than {MAX_LINES:,} lines")
    lines = [line for line in value.split(b"\n") if line and not line.isspace()]
    if len(lines) <= 1:
        document = parse_json(value) if lines else None
        if not lines:
            raise _not_json(value, error)
        return _each(document)
    documents: list[object] = []
    errors = 0
    for line in lines:
        try:
            found = parse_json(line)
        except RecordError as wrong:
            documents.append(wrong)
            errors += 1
            continue
        documents.extend(_each(found))
    if errors == len(lines):
        raise _not_json(value, error)
    return documents


def _parse_not_finite(value: bytes, error: orjson.JSONDecodeError) -> object:
    """Parse JSON with the NaN and Infinity of Python's json module: null, and a number out of range."""
    constants = {"NaN": None, "Infinity": float("inf"), "-Infinity": float("-inf")}
    try:
        return json.loads(value, parse_constant=constants.get)
    except (ValueError, RecursionError):
        raise _not_json(value, error) from None


def _not_json(value: bytes, error: orjson.JSONDecodeError) -> RecordError:
    """Return the error for a value that is not JSON, with the format that it seems to have."""
    if value[:1] == b"\x00" and len(value) > _FRAME_BYTES:
        schema = int.from_bytes(value[1:_FRAME_BYTES], "big")
        name = "json_schema" if value[_FRAME_BYTES : _FRAME_BYTES + 1] in (b"{", b"[") else "avro (or protobuf)"
        return RecordError(
            "invalid_json",
            f"the value begins with a schema-registry frame, id {schema}: set input.format: {name}",
        )
    if value[:4] == b"Obj\x01":
        return RecordError("invalid_json", "the value is an Avro object container: set input.format: avro")
    try:
        text = value.decode()
    except UnicodeDecodeError as damage:
        return RecordError("invalid_utf8", f"the value is not UTF-8: {damage.reason} at byte {damage.start}")
    if _INFLUX.match(text[:400]):
        return RecordError("invalid_json", "the value looks like InfluxDB's line protocol: set input.format: influx")
    return RecordError("invalid_json", f"the value is not JSON: {error}")
