"""Envelopes: Debezium's change events, Kafka Connect's schema and payload, and CloudEvents."""

import binascii
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from streamrnn.errors import RecordError
from streamrnn.formats import FieldRule, Format, Layout
from streamrnn.formats.connect_json import describe, is_envelope, unwrap, with_decimals
from streamrnn.formats.json import documents_of
from streamrnn.formats.keys import key_text, read_key
from streamrnn.formats.schemas.json_schema import JsonSchema
from streamrnn.records import Record

DEBEZIUM_LAYOUT = Layout(
    key=("key",), time=("ts_ms", "source.ts_ms", "record:timestamp"), fields=FieldRule(under="after")
)
CLOUDEVENTS_LAYOUT = Layout(key=("key",), time=("time", "record:timestamp"), fields=FieldRule(under="data"))

_WRITES, _OTHERS = ("c", "u", "r"), ("d", "t", "m")
_TRANSACTION = {"status", "id", "ts_ms", "event_count", "data_collections"}
_SCHEMA_CHANGE = ("ddl", "tableChanges")
_HEADERS = ("ce_", "ce-")
MAX_DEPTH = 32
"""Levels of MongoDB's extended JSON to read at most."""


class _Envelope(Format):
    """Base of the envelopes: another format reads their content.

    Args:
        inner: The format of the content; None: JSON.
        layout: Paths of key, time and fields in the documents.
    """

    reads_null = True

    def __init__(self, inner: Format | None, layout: Layout) -> None:
        self.layout = layout
        self._inner: Format = JsonSchema() if inner is None else inner
        self._keys = inner
        """Format of keys with a schema registry's frame, which the same converter writes."""

    @property
    def state(self) -> Mapping[str, object]:
        """See Format; the state is that of the inner format."""
        return self._inner.state

    def restore(self, state: Mapping[str, object]) -> None:
        """See Format."""
        self._inner.restore(state)


class Connect(_Envelope):
    """Kafka Connect's JSON with schemas: documents are the payloads, with decimals and times decoded.

    A string payload that contains JSON, as file source connectors write it, is read as JSON.

    Args:
        layout: Paths of key, time and fields in the documents.
    """

    def __init__(self, *, layout: Layout = Layout()) -> None:  # noqa: B008 -- immutable
        super().__init__(None, layout)

    def read(self, record: Record) -> Sequence[object]:
        """See Format."""
        if record.value is None:
            return ()
        found: list[object] = []
        for document in self._inner.read(record):
            if not is_envelope(document):
                raise RecordError(
                    "invalid_connect", f"the value must have schema and payload, not be {describe(document)}"
                )
            payload = unwrap(document)
            if type(payload) is str and payload.lstrip()[:1] in ("{", "["):  # of a source that reads lines of JSON
                payload = _documents_in(payload)
            found += payload if type(payload) is list else [] if payload is None else [payload]
        return found


def _documents_in(text: str) -> list[object]:
    """Return the documents in a payload; an error in place of one that is not JSON, so that others are used."""
    try:
        return list(documents_of(text.encode(errors="surrogatepass")))
    except RecordError as error:
        return [error]


class Debezium(_Envelope):
    """Debezium's change events, plain, with Connect's schema, or flattened by ExtractNewRecordState.

    A document has the row after the change under `after`, and `key`, `op`, `ts_ms` and `source` if they are known.
    Columns of the record's key are not fields: they are not in the row, but can be named, as in `after.id`. Deletions,
    truncations, heartbeats, and events about transactions and schemas yield no documents.

    Args:
        inner: Format of the values; None: JSON.
        layout: Paths of key, time and fields in the documents.
    """

    def __init__(self, *, inner: Format | None = None, layout: Layout = DEBEZIUM_LAYOUT) -> None:
        super().__init__(inner, layout)

    def read(self, record: Record) -> Sequence[object]:
        """See Format; a record without a value follows a deletion, and has no document."""
        if record.value is None:
            return ()
        found: list[object] = []
        for document in self._inner.read(record):
            event = _change(unwrap(document))
            if event is not None:
                with suppress(RecordError):  # such as a key of another converter: another path may name the key
                    _set_key(event, read_key(record, self._keys))
                found.append(event)
        return found


def _change(value: Any) -> dict[str, Any] | None:
    """Return the event of a written row; None for any other event."""
    if value is None:
        return None
    if type(value) is not dict:
        raise RecordError("invalid_debezium", f"a change event must be an object, not {describe(value)}")
    if "op" not in value or not ("after" in value or "before" in value):
        return _flattened(value)
    op, row = value["op"], value.get("after")
    if op in _OTHERS or (op in _WRITES and row is None):
        return None
    if op not in _WRITES:
        raise RecordError(
            "invalid_debezium", f"the operation op must be one of {', '.join(_WRITES + _OTHERS)}, not {describe(op)}"
        )
    if type(row) is str:  # of MongoDB
        row = _plain(_parsed(row), 0)
    if type(row) is not dict:
        raise RecordError("invalid_debezium", f"after must be an object, not {describe(row)}")
    return value | {"after": with_decimals(row)}


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RecordError("invalid_debezium", f"after is text that is not JSON: {error}") from None


def _flattened(value: dict[str, Any]) -> dict[str, Any] | None:
    if any(name in value for name in _SCHEMA_CHANGE) and "source" in value:
        return None
    if value.keys() == {"ts_ms"} or ("status" in value and "id" in value and value.keys() <= _TRANSACTION):
        return None
    if value.get("__deleted") in (True, "true") or value.get("__op") in _OTHERS:
        return None
    row = with_decimals({name: each for name, each in value.items() if not name.startswith("__")})
    times = {"ts_ms": value.get("__ts_ms"), "source": {"ts_ms": value.get("__source_ts_ms")}}
    return {"after": row, "op": value.get("__op"), **times}


def _set_key(event: dict[str, Any], content: Any) -> None:
    """Add the record's key to an event, and move the key's columns out of the row."""
    if type(content) is dict:
        content = {name: _plain(_maybe_json(each), 0) for name, each in content.items()}
        row = event["after"]
        names = [name if name in row or f"_{name}" not in row else f"_{name}" for name in content]  # MongoDB's _id
        for name in names:
            if name in row:
                event[f"after.{name}"] = row[name]
        event["after"] = {name: each for name, each in row.items() if name not in names}
    text = key_text(content)
    if text is not None:
        event["key"] = text


def _maybe_json(value: Any) -> Any:
    """Return the value in a text of MongoDB's extended JSON; any other value unchanged."""
    if type(value) is str and value.startswith('{"$'):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _plain(value: Any, depth: int) -> Any:
    """Return a value with MongoDB's typed numbers and ids replaced by their texts."""
    if depth > MAX_DEPTH:
        return value
    if type(value) is list:
        return [_plain(each, depth + 1) for each in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        name, inner = next(iter(value.items()))
        if name == "$oid" or name.startswith("$number"):
            return inner
    return {name: _plain(each, depth + 1) for name, each in value.items()}


class CloudEvents(_Envelope):
    """CloudEvents: structured, several in a list, or binary, with attributes in the headers `ce_...`.

    A document has the attributes, `data` and `key`: the record's own key, or else the attribute partitionkey, or else
    source and subject. An event without data yields no document.

    Args:
        inner: Format of the data of binary events; None: JSON.
        layout: Paths of key, time and fields in the documents.
    """

    def __init__(self, *, inner: Format | None = None, layout: Layout = CLOUDEVENTS_LAYOUT) -> None:
        super().__init__(inner, layout)

    def read(self, record: Record) -> Sequence[object]:
        """See Format."""
        attributes = _attributes(record)
        if "specversion" in attributes:
            events = [attributes | {"data": _object(each)} for each in self._inner.read(record)] if record.value else []
        else:
            events = [_structured(each) for each in JsonSchema().read(record)] if record.value is not None else []
        events = [event for event in events if event["data"] is not None]
        key = None
        if events:
            with suppress(RecordError):
                key = key_text(read_key(record, self._keys))
        for event in events:
            text = key or key_text(event.get("partitionkey")) or key_text([event.get("source"), event.get("subject")])
            if text is not None:
                event["key"] = text
        return events


def _attributes(record: Record) -> dict[str, Any]:
    return {
        name[3:]: content.decode(errors="replace")
        for name, content in record.headers
        if name.startswith(_HEADERS) and content is not None
    }


def _structured(value: Any) -> dict[str, Any]:
    if type(value) is not dict or "specversion" not in value:
        raise RecordError(
            "invalid_cloudevents",
            "the value is no event: it has no specversion, nor has the record a header ce_specversion; it is "
            f"{describe(value)}",
        )
    data = value.get("data")
    if "data_base64" in value:
        data = _decoded(value["data_base64"])
    elif type(data) is str and data.startswith(("{", "[")):
        data = _json_data(data)
    return value | {"data": _object(data)}


def _object(data: Any) -> Any:
    """Return data; a number as an object with the member `value`."""
    return {"value": data} if type(data) in (int, float) else data


def _decoded(text: Any) -> Any:
    try:
        return _json_data(binascii.a2b_base64(text))
    except (binascii.Error, TypeError, ValueError) as error:
        raise RecordError("invalid_cloudevents", f"data_base64 is not base64: {error}") from None


def _json_data(data: bytes | str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RecordError("invalid_cloudevents", f"the event's data are not JSON: {error}") from None
