"""Keys of records: text, JSON, the integers of Kafka's own serializers, and those of formats with schemas."""

from typing import Any

import orjson

from streamrnn.errors import RecordError
from streamrnn.formats import Format, parse_key
from streamrnn.formats.connect_json import unwrap
from streamrnn.formats.schemas.framing import KEY_HEADER, NUMBER_FRAME, VALUE_HEADER
from streamrnn.records import Record

INTEGER_SIZES = (4, 8)
_WINDOW_BYTES = 8
"""Size of the time that Kafka Streams and ksqlDB append to the keys of windows, in milliseconds."""
_WINDOWS = (978_307_200_000, 4_102_444_800_000)
"""Range of window times, ms since the epoch: 2001 to 2099."""
CONNECT = b'{"schema":'
"""Start of a key that Kafka Connect has written with its schema."""


def without_window(key: bytes) -> bytes:
    """Return a key without the start of its window and the end of its session, which Kafka Streams appends."""
    first, end = _WINDOWS
    while len(key) > _WINDOW_BYTES and first <= int.from_bytes(key[-_WINDOW_BYTES:]) < end:
        key = key[:-_WINDOW_BYTES]
    return key


def decode_key(key: bytes) -> object:
    """Return the content of a record's key, without the times of a window.

    | key | content |
    |---|---|
    | text that begins with `{`, `[` or `"` and is JSON | what it means, without the schema of Kafka Connect |
    | 4 or 8 bytes that are no printable text | a signed integer, as Kafka's Integer and LongSerializer write it |
    | other text | itself |

    Raises:
        RecordError: invalid_utf8, or invalid_connect for a schema that does not fit.
    """
    key = without_window(key)
    try:
        text = key.decode()
    except UnicodeDecodeError as error:
        if len(key) in INTEGER_SIZES:
            return int.from_bytes(key, signed=True)
        raise RecordError("invalid_utf8", f"the record's key is not UTF-8: {error.reason} at {error.start}") from None
    if len(key) in INTEGER_SIZES and not text.isprintable():
        return int.from_bytes(key, signed=True)
    if text.startswith(("{", "[", '"')):
        try:
            return unwrap(orjson.loads(text))
        except orjson.JSONDecodeError:
            return text  # it only begins like JSON
    return text


def read_key(record: Record, schemas: Format | None) -> object:
    """Return the content of a record's key; None if it has none.

    Args:
        record: The record.
        schemas: Reads keys that begin with a schema registry's frame, or name their schema in a header; None: there
            are no such keys.

    Raises:
        RecordError: the key is not of this format, or what `decode_key` raises.
        LogError: the schema registry is unavailable for now.
    """
    if record.key is None or schemas is None:
        return None if record.key is None else decode_key(record.key)
    header = next((content for name, content in reversed(record.headers) if name == KEY_HEADER and content), None)
    framed = len(record.key) > NUMBER_FRAME and record.key[0] == 0 and any(record.key[1:NUMBER_FRAME])
    if header is None and not framed:
        return decode_key(record.key)
    framed_key = record._replace(value=record.key, headers=() if header is None else ((VALUE_HEADER, header),))
    try:
        documents = schemas.read(framed_key)
    except RecordError:
        inner = without_window(record.key)  # only now, as a schema's number and some bytes may look like a window
        if inner == record.key:
            raise
        documents = schemas.read(framed_key._replace(value=inner))
    return next(iter(documents), None)


def key_text(content: Any) -> str | None:
    """Return the content of a key as text: of an object or a list, its values joined by `/`; None if there is none.

    Values that are null, objects or lists are skipped.
    """
    if type(content) is dict:
        content = list(content.values())
    if type(content) is list:
        parts = [text for each in content if type(each) not in (dict, list) and (text := key_text(each)) is not None]
        return "/".join(parts) or None
    if content is None or isinstance(content, bytes):
        return None
    if isinstance(content, bool):
        return str(content).lower()
    return str(content) or None


def record_key(record: Record, schemas: Format | None) -> str:
    """Return the record's own key as the key of its series; `schemas` as for `read_key`.

    Text is used as it is, JSON included, except for Kafka Connect's schema and payload: of that, the payload's values.

    Raises:
        RecordError: missing_key, invalid_key, or what `read_key` raises.
        LogError: the schema registry is unavailable for now.
    """
    key = record.key
    if key is None:
        raise RecordError("missing_key", "the record has no key, and no field is configured to hold one (input.key)")
    key = without_window(key)
    plain = key[:1] != b"\x00" and len(key) not in INTEGER_SIZES and not key.startswith(CONNECT)
    if plain and schemas is None:
        try:
            return parse_key(key.decode())
        except UnicodeDecodeError as error:
            raise RecordError("invalid_utf8", f"the record's key is not UTF-8: {error}") from None
    content = read_key(record, schemas)
    if type(content) in (dict, list) and not key.startswith(CONNECT) and key[:1] in (b"{", b"["):
        return parse_key(key.decode())
    return parse_key(key_text(content) if type(content) in (dict, list) else content)
