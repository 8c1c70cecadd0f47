"""Decoding of records: a format reads documents, and the mapping finds observations in them."""

from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from streamrnn.errors import LogError, RecordError, join_errors
from streamrnn.formats import (
    FIRST_TIME,
    LAST_TIME,
    MAX_VALUE,
    Format,
    Layout,
    parse_key,
    record_time,
    shorten,
)
from streamrnn.formats.compression import decompress
from streamrnn.formats.keys import read_key, record_key
from streamrnn.mapping.conditions import condition
from streamrnn.mapping.fields import FieldReader
from streamrnn.mapping.names import key_part
from streamrnn.mapping.numbers import NumberReader, NumberRule
from streamrnn.mapping.parts import find_parts
from streamrnn.mapping.paths import (
    ALL,
    MEMBER_INDEX,
    ROWS,
    Surroundings,
    find,
    getter,
    is_plain,
    parse_path,
    present,
)
from streamrnn.mapping.patterns import is_pattern
from streamrnn.mapping.tags import TagReader
from streamrnn.mapping.times import UNITS, TimeReader, TimeRule
from streamrnn.records import Decoded, Mapping, Observation, Record
from streamrnn.timestamps import zone_code

COMPRESSED = frozenset({b"\x1f", b"\x28", b"\x04", b"\x82", b"\xff", b"\x78"})
"""First bytes of compressed values, and of few others; see `formats.compression`."""
EXPANSION = 16
"""Largest size of a decompressed value, in multiples of `max_record`."""
MAX_EXPANDED_BYTES = 2 * 1024 * 1024
"""Largest size of a decompressed value in bytes; parsing a larger one takes too long."""
MAX_OBSERVATIONS = 10_000
"""Largest number of observations of one record."""
_MAX_KEYS = 10_000
NO_OBSERVATION = "no_observation"
FILTERED = "filtered"

_Part = tuple[Any, Surroundings | None]
_tuple: Callable[[type[Observation], tuple[object, ...]], Observation] = tuple.__new__


@dataclass(frozen=True, kw_only=True)
class MappingRules:
    """Rules by which documents become observations."""

    layout: Layout
    """Paths of key, time and fields."""
    times: TimeRule = field(default_factory=TimeRule)
    numbers: NumberRule = field(default_factory=NumberRule)
    where: tuple[str, ...] = ()
    """Conditions that an observation must meet; see `conditions`."""
    zone: tuple[str, ...] = ()
    """Paths of the record's time zone; the first one present is used."""
    max_record: int = 64 * 1024
    """Largest size of a value in bytes."""


class RecordDecoder:
    """Decodes records of a format by rules.

    Each record yields observations, an error that names its unusable parts, or neither, as a deletion does.

    Args:
        source: The format of the records.
        rules: The mapping.
        keys: Format of the records' own keys, if these have schemas.
    """

    def __init__(self, source: Format, rules: MappingRules, *, keys: Format | None = None) -> None:
        self._format, self._rules, layout = source, rules, rules.layout
        self._key_format, own = keys, partial(read_key, schemas=keys)
        self._time = TimeReader(rules.times)
        self._times = [(path, getter(path, own)) for path in layout.time]
        self._first_time = self._times[0][1] if self._times and layout.time[0] != "record:timestamp" else None
        self._known_keys: set[str] = set()
        """Cache of valid keys, which need not be checked again."""
        self._keys = [(path, None if path.endswith("*") else getter(path, own)) for path in layout.key]
        self._tags = {path: TagReader(path) for path in layout.key if path.endswith("*")}
        self._only_key = self._keys[0][1] if len(self._keys) == 1 else None
        self._zones = [(path, getter(path, own)) for path in rules.zone]
        used = (*layout.key, *layout.time, *rules.zone)
        self._fields = FieldReader(layout.fields, NumberReader(rules.numbers), used=used, read_key=own)
        self._conditions = [condition(text, own) for text in rules.where]
        self._observations = parse_path(layout.observations) if layout.observations else ()
        spread = [index for index, step in enumerate(self._observations) if step in (ALL, ROWS)]
        self._before_all = self._observations[: spread[0]] if spread else self._observations
        self._numbered = MEMBER_INDEX in (*layout.key, *layout.fields.name)
        self._flat = source.flat and _is_flat(rules)

    @property
    def mapping(self) -> Mapping | None:
        """Mapping of flat JSON objects, with which many can be scanned at once; None for another format or mapping."""
        if not self._flat:
            return None
        key, time, fields = self._rules.layout.key, self._rules.layout.time, self._rules.layout.fields
        # a double cannot represent nanoseconds exactly
        numbers = (self._time.first, self._time.last) if self._time.unit != "ns" else (1, 0)
        return Mapping(
            next(iter(key), None), next(iter(time), None), fields.only, self._rules.max_record,
            (FIRST_TIME, LAST_TIME), MAX_VALUE, numbers, self._time.scale,
        )  # fmt: skip

    @property
    def state(self) -> MappingOf[str, object]:
        """Decisions from earlier records, as JSON: the unit of times unless it is ms, and the format's own state."""
        auto = self._rules.times.unit == "auto" and bool(self._times)
        unit = {"unit": self._time.unit} if auto and self._time.unit != "ms" else {}
        return unit | ({"format": dict(self._format.state)} if self._format.state else {})

    def restore(self, state: MappingOf[str, Any]) -> None:
        """Continue from a state.

        Raises:
            ValueError: it is not a state of this decoder.
        """
        if self._rules.times.unit == "auto":
            unit = state.get("unit", "ms")
            if unit is not None and unit not in UNITS:
                raise ValueError(f"the unit of times is {unit!r}")
            self._time.set_unit(unit)
        self._format.restore(state.get("format", {}))

    def decode(self, records: Sequence[Record]) -> list[Decoded]:
        """Decode records in their order.

        Raises:
            LogError: a service that is needed is unavailable, such as a schema registry.
        """
        return [self.decode_one(record) for record in records]

    def decode_one(self, record: Record) -> Decoded:
        """Decode one record; see `decode`."""
        try:
            parts = self._parts(self._read(record))
        except RecordError as error:
            return Decoded((), error)
        if len(parts) == 1 and not self._conditions:
            return self._decode_part(*parts[0], record)
        return self._decode_parts(parts, record)

    def _decode_part(self, part: Any, around: Surroundings | None, record: Record) -> Decoded:
        """Decode a record with one part: the common case, without loops."""
        if isinstance(part, RecordError):
            return Decoded((), part)
        errors: list[RecordError] = []
        try:
            observation = self._observe(part, around, record, errors)
        except RecordError as error:
            return Decoded((), error)
        if observation is None:
            return Decoded((), join_errors(errors)) if errors else Decoded((), None, {NO_OBSERVATION: 1})
        return Decoded((observation,), join_errors(errors) if errors else None)

    def _decode_parts(self, parts: Sequence[_Part], record: Record) -> Decoded:
        found: list[Observation] = []
        errors: list[RecordError] = []
        filtered = 0
        for part, around in parts:
            if type(part) is not dict and isinstance(part, RecordError):
                errors.append(part)
                continue
            if self._conditions and not all(met(part, around, record) for met in self._conditions):
                filtered += 1
                continue
            try:
                observation = self._observe(part, around, record, errors)
            except RecordError as error:
                errors.append(error.with_traceback(None))  # thousands of tracebacks would keep their frames alive
                continue
            if observation is not None:
                found.append(observation)
        drops = {FILTERED: filtered} if filtered else {} if found or errors else {NO_OBSERVATION: 1}
        return Decoded(found, join_errors(errors) if errors else None, drops)

    def _read(self, record: Record) -> Sequence[object]:
        value, most = record.value, self._rules.max_record
        if value is None:
            if not self._format.reads_null:
                raise RecordError("null_value", "the record has no value")
        elif len(value) > most:
            raise RecordError(
                "too_large", f"the value has {len(value):,} bytes; {most:,} are allowed (input.max_record)"
            )
        elif value[:1] in COMPRESSED and not self._format.reads_raw:
            record = record._replace(value=decompress(value, largest=min(EXPANSION * most, MAX_EXPANDED_BYTES)))
        try:
            return self._format.read(record)
        except (RecordError, LogError):
            raise
        except Exception as error:
            raise RecordError("unreadable", f"the value cannot be read: {type(error).__name__}: {error}") from error

    def _parts(self, documents: Sequence[object]) -> list[_Part]:
        """Return the part of each observation, with its surroundings; None for those of a whole document."""
        if self._observations:
            parts = [part for document in documents for part in self._selected(document)]
        else:
            _check_count(len(documents))  # before a list of that length is made
            parts = [(document, None) for document in documents]
        _check_count(len(parts))
        return parts

    def _selected(self, document: object) -> Sequence[_Part]:
        """Return the parts of a document at the path `observations`, or an error if there are none."""
        if isinstance(document, RecordError):
            return [(document, None)]
        found = find_parts(document, self._observations, numbered=self._numbered)
        if not found and find(document, self._before_all) != []:
            path = self._rules.layout.observations
            text = f"nothing at `{path}` (input.observations); {present(document, path)}"
            return [(RecordError("missing_field", text), None)]
        return found

    def _observe(
        self, part: Any, around: Surroundings | None, record: Record, errors: list[RecordError]
    ) -> Observation | None:
        """Return the observation of a part, or None if all its fields are missing; append the errors of single fields.

        Raises:
            RecordError: the part cannot be used at all.
        """
        if type(part) is dict:
            pass
        elif (type(part) is float or type(part) is int) and around is not None and around.name is not None:
            part = {"value": part}
        elif type(part) is not list or not part:
            raise RecordError("not_an_object", lambda: f"the value must be a JSON object, not {shorten(part)}")
        # the common case here, without calls
        if self._only_key is None:
            key = self._key(part, around, record)
        else:
            key = self._only_key(part, around, record)
            if type(key) is not str or key not in self._known_keys:
                key = self._new_key(key) if key is not None else self._no_key(self._keys[0][0], part, around)
        moment = self._first_time(part, around, record) if self._first_time is not None else None
        time = self._time.read(moment) if moment is not None else self._event_time(part, around, record)
        fields, wrong, missing = self._fields.read(part, around, record)
        if wrong:
            errors += wrong
        elif not fields and not missing:
            reason = "no_fields" if self._rules.layout.fields.only is None else "missing_field"
            raise RecordError(reason, lambda: self._fields.explain(part))
        if not fields:
            return None
        zone = self._zone(part, around, record, errors) if self._zones else 0
        return _tuple(Observation, (key, time, tuple(fields), zone))  # without Python's own call

    def _key(self, part: Any, around: Surroundings | None, record: Record) -> str:
        if not self._keys:
            return record_key(record, self._key_format)
        texts = []
        for path, get in self._keys:
            if get is None:
                texts.append(self._tags[path].read(part, around))
            else:
                value = get(part, around, record)
                if value is None:
                    self._no_key(path, part, around)
                known = type(value) is str and value in self._known_keys
                texts.append(key_part(value if known else self._new_key(value)))
        key = "/".join(filter(None, texts))
        return key if key in self._known_keys else self._new_key(key)

    def _new_key(self, value: Any) -> str:
        """Return a key after checking it, and add it to the known keys."""
        key = parse_key(value)
        if len(self._known_keys) >= _MAX_KEYS:
            self._known_keys.clear()
        self._known_keys.add(key)
        return key

    def _no_key(self, path: str, part: Any, around: Surroundings | None) -> str:
        raise RecordError("missing_key", lambda: f"no key at `{path}` (input.key); {present(part, path, around)}")

    def _zone(self, part: Any, around: Surroundings | None, record: Record, errors: list[RecordError]) -> int:
        """Return the number of an observation's time zone, 0 without one; append an error for an invalid zone."""
        for path, get in self._zones:
            name = get(part, around, record)
            if name is None or name == "":
                continue
            code = zone_code(name) if isinstance(name, str) else 0
            if not code:
                text = f"the time zone {shorten(name)} at `{path}` (forecast.timezone) is not in the IANA database"
                errors.append(RecordError("invalid_zone", f"{text}; use a name such as Europe/Berlin"))
            return code
        return 0

    def _event_time(self, part: Any, around: Surroundings | None, record: Record) -> int:
        if not self._times:
            return record_time(record)
        for path, get in self._times:
            value = get(part, around, record)
            if value is not None:
                return record_time(record) if path == "record:timestamp" else self._time.read(value)
        path = self._times[0][0]
        raise RecordError("missing_time", lambda: f"no time at `{path}` (input.time); {present(part, path, around)}")


def _check_count(observations: int) -> None:
    if observations > MAX_OBSERVATIONS:
        raise RecordError(
            "too_large", f"the record has {observations:,} observations; {MAX_OBSERVATIONS:,} are allowed"
        )


def _is_flat(rules: MappingRules) -> bool:
    """Return whether rules use only members of a flat object and the record's own parts, in their usual forms."""
    layout, times = rules.layout, rules.times
    fields = layout.fields
    plain = len(layout.key) <= 1 and len(layout.time) <= 1 and all(map(is_plain, (*layout.key, *layout.time)))
    usual = not (layout.observations or rules.where or times.format or fields.under or fields.name or fields.excluded)
    names = fields.only is None or not any(map(is_pattern, fields.only))
    numbers = rules.numbers
    plain_numbers = numbers.decimal == "." and not numbers.booleans and not numbers.units
    numeric = plain_numbers and all(isinstance(each, str) for each in numbers.missing)
    return plain and usual and names and numeric and times.zone == "UTC" and not rules.zone
