"""Decoding of records into observations: one module per format, and here the checks that all formats share.

A decoder is called with a record and returns its observation, or raises RecordError with one of these reasons, which
become dead letters and label a metric:

| reason | what is wrong |
|---|---|
| `null_value` | the record has no value |
| `too_large` | the value has more bytes than `max_record` |
| `invalid_utf8` | the value, or the Kafka key where it names the series, is not UTF-8 |
| `invalid_json` | the value is not JSON (NaN and Infinity are not JSON, nor is a number beyond the largest double) |
| `not_an_object` | the value is JSON but not an object |
| `missing_key` | there is no key: the field is absent or null, or the record has no Kafka key |
| `invalid_key` | the key is neither text nor an integer, is empty, has control characters or more than 256 bytes |
| `missing_time` | there is no time: the field is absent or null, or the record has no Kafka timestamp |
| `invalid_time` | the time is neither whole milliseconds nor ISO-8601 text, or lies outside the years 1900 to 2199 |
| `missing_field` | a configured field is absent |
| `not_a_number` | a configured field is text, a truth value, null, a list or an object |
| `out_of_range` | the absolute value of a number is larger than 1e37 |
| `no_fields` | all numeric fields are wanted, and there are none |
| `invalid_field` | the name of a numeric field is empty, has a `/` or control characters or more than 256 bytes |

The task adds `late` and `too_many_series`.
"""

from collections.abc import Callable
from contextlib import suppress

from streamrnn.errors import RecordError
from streamrnn.records import Observation, Record
from streamrnn.timestamps import parse_iso

Decoder = Callable[[Record], Observation]

NAME_BYTES = 256
LARGEST = 1e37
"""Largest absolute value, close to the end of the single precision in which the network computes."""
FIRST_TIME, LAST_TIME = parse_iso("1900-01-01"), parse_iso("2200-01-01") - 1


def usable_name(name: str) -> bool:
    """Return whether a text can be a key or a field: 1 to 256 bytes of UTF-8 without control characters."""
    if name.isprintable() and 0 < len(name) <= NAME_BYTES // 4:  # the common case, without encoding
        return True
    return 0 < len(name.encode()) <= NAME_BYTES and not any(c < " " or "\x7f" <= c <= "\x9f" for c in name)


def parse_key(value: object) -> str:
    """Return the key in a field's value, which is text or an integer.

    Raises:
        RecordError: missing_key, invalid_key.
    """
    if value is None:
        raise RecordError("missing_key", "the field that names the key is absent or null")
    key = value if type(value) is str else str(value) if type(value) is int else ""
    if not usable_name(key):
        raise RecordError(
            "invalid_key",
            f"the key {shorten(value)} must be text or an integer, of 1 to {NAME_BYTES} bytes without control "
            "characters",
        )
    return key


def record_key(record: Record) -> str:
    """Return the record's own key, which is UTF-8 text.

    Raises:
        RecordError: missing_key, invalid_utf8, invalid_key.
    """
    if record.key is None:
        raise RecordError("missing_key", "the record has no key, and no field is configured to hold one (input.key)")
    try:
        return parse_key(record.key.decode())
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", f"the record's key is not UTF-8: {error}") from None


def parse_time(value: object) -> int:
    """Return the event time in a field's value, in milliseconds since the epoch.

    A number is whole milliseconds; text is ISO-8601, in UTC without an offset.

    Raises:
        RecordError: missing_time, invalid_time.
    """
    if type(value) is int and FIRST_TIME <= value <= LAST_TIME:
        return value
    if value is None:
        raise RecordError("missing_time", "the field that holds the time is absent or null")
    if type(value) is str:
        with suppress(ValueError, OverflowError):
            time = parse_iso(value)
            if FIRST_TIME <= time <= LAST_TIME:
                return time
    raise RecordError(
        "invalid_time",
        f"the time {shorten(value)} must be whole milliseconds since 1970 or ISO-8601 text, in the years 1900 to 2199",
    )


def record_time(record: Record) -> int:
    """Return the record's own timestamp as event time, in milliseconds since the epoch.

    Raises:
        RecordError: missing_time, invalid_time.
    """
    if record.timestamp == -1:
        raise RecordError(
            "missing_time", "the record has no timestamp, and no field is configured for one (input.time)"
        )
    return parse_time(record.timestamp)


def shorten(value: object) -> str:
    """Return the representation of a value in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
