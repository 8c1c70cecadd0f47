"""Reading of documents from records: one module per format, and here what all formats share.

What cannot be used is a RecordError with one of these reasons, which becomes a dead letter and labels a metric:

| reason | what is wrong |
|---|---|
| `null_value` | the record has no value |
| `too_large` | the value has more bytes than `max_record`, or more values or levels than can be decoded in time |
| `invalid_utf8` | the value, or the Kafka key where it names the series, is not UTF-8 |
| `invalid_json` | the value is not JSON (NaN and Infinity are not JSON, nor is a number beyond the largest double) |
| `invalid_csv` | the value is not CSV, or a row has another number of cells than there are columns |
| `not_an_object` | the value is JSON but neither an object nor a number |
| `missing_key` | there is no key: nothing is at its path, or the record has no Kafka key |
| `invalid_key` | the key is neither text nor an integer, is empty, has control characters or more than 256 bytes |
| `missing_time` | there is no time: nothing is at its path, or the record has no Kafka timestamp |
| `invalid_time` | the time has an unknown form, another unit than those before, or lies outside the allowed years |
| `missing_field` | nothing is at a configured path: no observation, no object with fields, or none of the fields |
| `not_a_number` | a configured field is text without a number, a truth value, a list or an object |
| `out_of_range` | the absolute value of a number is larger than 1e37 |
| `no_fields` | all numeric fields are wanted, and there are none |
| `invalid_field` | the name of a field is empty or has more than 256 bytes |
| `invalid_zone` | the time zone that the record names is not one of the IANA database |
| `unreadable` | the library that reads the format failed |
| `unknown_schema` | the schema, version or extension that a value names is unknown or cannot be used |
| `invalid_avro`, `invalid_protobuf` | the value does not fit its schema, or names none |
| `invalid_debezium`, `invalid_connect`, `invalid_cloudevents` | the value is JSON without the envelope it should have |
| `invalid_compression` | the value begins like a compressed one and is damaged |
| `invalid_influx` | a line is not of InfluxDB's line protocol |
| `invalid_telegraf` | a metric is not of Telegraf's JSON |
| `invalid_prometheus` | a sample is neither JSON, text nor remote write of Prometheus |
| `invalid_otlp` | the value, or a metric or data point in it, is not of OpenTelemetry's OTLP metrics |
| `invalid_senml` | a record is not of SenML |
| `invalid_sparkplug` | the value, or a metric in it, is not of Sparkplug B |
| `unknown_alias` | Sparkplug data uses an alias that no birth has given a name |

The task adds `late`, `duplicate`, `ahead`, `plan_full` and `too_many_series`.
"""

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streamrnn.errors import RecordError
from streamrnn.records import Record
from streamrnn.timestamps import parse_iso


class FieldRule(NamedTuple):
    """Selection of the values of a document that are fields."""

    under: str = ""
    """Path of the object whose members are the fields, named relative to it; empty: the document."""
    only: tuple[str, ...] | None = None
    """Names or patterns such as `usage_*`; None: every numeric value."""
    excluded: tuple[str, ...] = ()
    """Names or patterns of values that are not fields."""
    name: tuple[str, ...] = ()
    """Long format, one field per document: paths of the texts that form its name, joined by a dot."""
    value: str = ""
    """Long format: path of the field's value."""


class Layout(NamedTuple):
    """Paths of the parts of a document, such as `a.b`, `a[0].b` or `a[*]`; see `streamrnn.mapping.paths`."""

    observations: str = ""
    """Path of the parts that are one observation each, such as `data[*]`; empty: the document."""
    key: tuple[str, ...] = ()
    """Paths of the texts that form the key; empty: the record's own key."""
    time: tuple[str, ...] = ()
    """Paths of the event time, of which the first one present is used; empty: the record's own timestamp."""
    fields: FieldRule = FieldRule()


class Format(ABC):
    """Reads documents from the values of records; one module per format.

    A document is what `json.loads` returns, usually an object. Numbers may also be `Decimal`, and times `datetime`. A
    RecordError in place of a document is the error of that part of the record.
    """

    layout = Layout()
    """Paths of key, time and fields in documents of this format, unless they are configured."""
    flat = False
    """Whether many records can be scanned at once if their mapping is plain."""
    reads_null = False
    """Whether `read` accepts a record without a value."""
    reads_raw = False
    """Whether values must not be decompressed, since a value may begin with any bytes."""

    @abstractmethod
    def read(self, record: Record) -> Sequence[object]:
        """Return the documents in a record's value; none if it has no observation by design.

        Raises:
            RecordError: the value is not of this format, with a reason listed above.
            LogError: a service that is needed to read it is unavailable for now, such as a schema registry.
        """

    @property
    def state(self) -> Mapping[str, object]:
        """Definitions from earlier records, as JSON of bounded size; empty for most formats."""
        return {}

    def restore(self, state: Mapping[str, object]) -> None:  # noqa: B027 -- most formats have no state
        """Continue from a state, which may be empty.

        Raises:
            ValueError: it is not a state of this format.
        """


_BRIEF = reprlib.Repr()
NAME_BYTES = 256
MAX_VALUE = 1e37
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


def record_time(record: Record) -> int:
    """Return the record's own timestamp as event time, in milliseconds since the epoch.

    Raises:
        RecordError: missing_time, invalid_time.
    """
    if record.timestamp == -1:
        raise RecordError(
            "missing_time", "the record has no timestamp, and no field is configured for one (input.time)"
        )
    if FIRST_TIME <= record.timestamp <= LAST_TIME:
        return record.timestamp
    raise RecordError(
        "invalid_time", f"the record's timestamp {record.timestamp} must be milliseconds in the years 1900 to 2199"
    )


def shorten(value: object) -> str:
    """Return the representation of a value of any size in at most 60 characters."""
    if isinstance(value, str | bytes):
        value = value[:61]
    text = repr(value) if isinstance(value, str | bytes) else _BRIEF.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
