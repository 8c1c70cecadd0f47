"""JSON objects: one record is one key at one time, and its members are the fields."""

from collections.abc import Sequence
from typing import Any, Literal

import orjson

from streamrnn.errors import ConfigError, RecordError
from streamrnn.formats import LARGEST, parse_key, parse_time, record_key, record_time, shorten, usable_name
from streamrnn.records import Observation, Record

Fields = tuple[tuple[str, float], ...]


class JsonDecoder:
    """Decoder of records whose value is a JSON object. `30` and `30.0` are the same observation.

    Args:
        key: Member that holds the key; None for the record's own key.
        time: Member that holds the event time; None for the record's own timestamp.
        fields: Members to observe, which must all be present as numbers; "*" for every numeric member other than key
            and time, in the record's order.
        covariates: Further members to observe.
        max_record: Largest size of a value in bytes.

    Raises:
        ConfigError: a configured field cannot be part of a series' name.
    """

    def __init__(
        self, *, key: str | None, time: str | None, fields: Sequence[str] | Literal["*"], covariates: Sequence[str],
        max_record: int,
    ) -> None:  # fmt: skip
        self._key = key
        self._time = time
        self._fields = None if fields == "*" else (*fields, *covariates)
        self._max_record = max_record
        unusable = next((name for name in self._fields or () if "/" in name or not usable_name(name)), None)
        if unusable is not None:
            raise ConfigError(
                f"input.fields or input.covariates: {unusable!r} cannot name a series; allowed are 1 to 256 bytes "
                "without '/' and control characters"
            )

    def __call__(self, record: Record) -> Observation:
        """Decode one record.

        Raises:
            RecordError: with one of the reasons listed in `streamrnn.formats` except `late` and `too_many_series`.
        """
        value = record.value
        if value is None:
            raise RecordError("null_value", "the record has no value")
        if len(value) > self._max_record:
            raise RecordError(
                "too_large", f"the value has {len(value):,} bytes; {self._max_record:,} are allowed (input.max_record)"
            )
        try:
            document = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise _not_json(value, error) from None
        if type(document) is not dict:
            raise RecordError("not_an_object", f"the value must be a JSON object, not {shorten(document)}")
        key = record_key(record) if self._key is None else parse_key(document.get(self._key))
        time = record_time(record) if self._time is None else parse_time(document.get(self._time))
        return Observation(
            key, time, self._all_fields(document) if self._fields is None else self._configured_fields(document)
        )

    def _configured_fields(self, document: dict[str, Any]) -> Fields:
        observed = []
        for name in self._fields or ():
            try:
                value = document[name]
            except KeyError:
                raise RecordError(
                    "missing_field", f"the field {name!r} is absent (input.fields, input.covariates)"
                ) from None
            kind = type(value)
            if kind is not float and kind is not int:
                raise RecordError("not_a_number", f"the field {name!r} must be a number, not {shorten(value)}")
            if not -LARGEST <= value <= LARGEST:
                raise _out_of_range(name, value)
            observed.append((name, float(value)))
        return tuple(observed)

    def _all_fields(self, document: dict[str, Any]) -> Fields:
        observed = []
        for name, value in document.items():
            kind = type(value)
            if (kind is not float and kind is not int) or name == self._key or name == self._time:
                continue
            if "/" in name or not usable_name(name):
                raise RecordError(
                    "invalid_field", f"the name of the field {shorten(name)} must be 1 to 256 bytes without '/'"
                )
            if not -LARGEST <= value <= LARGEST:
                raise _out_of_range(name, value)
            observed.append((name, float(value)))
        if not observed:
            raise RecordError("no_fields", "the record has no numeric field but its key and time")
        return tuple(observed)


def _not_json(value: bytes, error: orjson.JSONDecodeError) -> RecordError:
    try:
        value.decode()
    except UnicodeDecodeError as damage:
        return RecordError("invalid_utf8", f"the value is not UTF-8: {damage.reason} at byte {damage.start}")
    return RecordError("invalid_json", f"the value is not JSON: {error}")


def _out_of_range(name: str, value: float) -> RecordError:
    return RecordError("out_of_range", f"the field {name!r} must be from -1e37 to 1e37, not {value!r}")
