"""From a record's bytes to an observation: one file per format, and here what all formats judge alike.

A decoder is called with a record and returns its observation, or raises RecordError with one of these reasons, which
become dead letters and label a metric:

| reason | what is wrong |
|---|---|
| `null_value` | the record has no value |
| `too_large` | the value has more bytes than `max_record` |
| `invalid_utf8` | the value, or the Kafka key where it names the series, is not UTF-8 |
| `invalid_json` | the value is not JSON (NaN and Infinity are not JSON, nor is a number beyond the largest double) |
| `not_an_object` | the value is JSON, and not an object |
| `missing_key` | there is no key: the field is absent or null, or the record has no Kafka key |
| `invalid_key` | the key is neither text nor an integer, is empty, has control characters or more than 256 bytes |
| `missing_time` | there is no time: the field is absent or null, or the record has no Kafka timestamp |
| `invalid_time` | the time is neither whole milliseconds nor ISO-8601 text, or lies outside the years 1900 to 2199 |
| `missing_field` | a configured field is absent |
| `not_a_number` | a configured field is text, a truth value, null, a list or an object |
| `out_of_range` | a number is larger than 1e37 in size |
| `no_fields` | all numeric fields are wanted, and there are none |
| `invalid_field` | the name of a numeric field is empty, has a `/` or control characters or more than 256 bytes |

The task adds `late` and `too_many_series`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from streamrnn.errors import RecordError
from streamrnn.records import Observation, Record

Decoder = Callable[[Record], Observation]

NAME_BYTES = 256
LARGEST = 1e37
"""In size; what lies beyond is close to the end of single precision, in which the network reckons."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
FIRST_TIME = (datetime(1900, 1, 1, tzinfo=UTC) - EPOCH) // MILLISECOND
LAST_TIME = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // MILLISECOND - 1


def usable_name(name: str) -> bool:
    """Whether a text can be a key or a field: not empty, at most 256 bytes of UTF-8, no control characters."""
    if name.isprintable() and 0 < len(name) <= NAME_BYTES // 4:  # the common case, in which nothing need be encoded
        return True
    return 0 < len(name.encode()) <= NAME_BYTES and not any(c < " " or "\x7f" <= c <= "\x9f" for c in name)


def key_from(value: object) -> str:
    """The key in a field's value: text or an integer, which is written in decimal.

    Raises:
        RecordError: missing_key, invalid_key.
    """
    if value is None:
        raise RecordError("missing_key", "the field that names the key is absent or null")
    key = value if type(value) is str else str(value) if type(value) is int else ""
    if not usable_name(key):
        raise RecordError(
            "invalid_key",
            f"the key {shortened(value)} must be text or an integer, of 1 to {NAME_BYTES} bytes without control "
            "characters",
        )
    return key


def key_of(record: Record) -> str:
    """The key in the record's own key: UTF-8 text.

    Raises:
        RecordError: missing_key, invalid_utf8, invalid_key.
    """
    if record.key is None:
        raise RecordError("missing_key", "the record has no key, and no field is configured to hold one (input.key)")
    try:
        return key_from(record.key.decode())
    except UnicodeDecodeError as error:
        raise RecordError("invalid_utf8", f"the record's key is not UTF-8: {error}") from None


def time_from(value: object) -> int:
    """The event time in a field's value, as milliseconds since the epoch.

    A number must be whole milliseconds; text is ISO-8601, UTC where it names no offset.

    Raises:
        RecordError: missing_time, invalid_time.
    """
    if type(value) is int and FIRST_TIME <= value <= LAST_TIME:
        return value
    if value is None:
        raise RecordError("missing_time", "the field that holds the time is absent or null")
    time = LAST_TIME + 1
    if type(value) is int:
        time = value
    elif type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
            time = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND
        except (ValueError, OverflowError):
            pass
    if not FIRST_TIME <= time <= LAST_TIME:
        raise RecordError(
            "invalid_time",
            f"the time {shortened(value)} must be whole milliseconds since 1970 or ISO-8601 text, in the years 1900 to "
            "2199",
        )
    return time


def time_of(record: Record) -> int:
    """The event time in the record's own timestamp, as milliseconds since the epoch.

    Raises:
        RecordError: missing_time, invalid_time.
    """
    if record.timestamp == -1:
        raise RecordError(
            "missing_time", "the record has no timestamp, and no field is configured for one (input.time)"
        )
    return time_from(record.timestamp)


def shortened(value: object) -> str:
    """Write a value that may be of any size in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
