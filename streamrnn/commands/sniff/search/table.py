"""Documents as a table: a row per observation, a column per path."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeGuard

from streamrnn.commands.sniff.search.words import key_score, time_score
from streamrnn.errors import RecordError
from streamrnn.formats import NAME_BYTES, Format
from streamrnn.formats.keys import decode_key
from streamrnn.mapping.numbers import AREA_OR_VOLUME, NumberReader, NumberRule
from streamrnn.mapping.parts import find_parts
from streamrnn.mapping.paths import ALL, ROWS, Step, Surroundings, json_in, parse_path
from streamrnn.mapping.times import SECONDS_NAMES
from streamrnn.records import Record

MAX_ROWS = 20_000
"""Observations to examine at most."""
MAX_COLUMNS = 2_000
MAX_DEPTH = 8
"""Levels of nested objects to examine at most."""
MAX_TIME_PARTS = 2
"""Most members of an object that is a time: seconds and a fraction."""
MAX_LEVELS = 4
"""Levels of nested objects in which to search for lists."""

NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
COMMA_NUMBER = re.compile(r"[+-]?\d{1,3}(?:[. '\u00a0\u2009\u202f\u2019]\d{3})*,\d+|[+-]?\d+,\d+", re.ASCII)
_UNIT = rf"\s*[^\d\s.,+:/-](?:[^\d:]|{AREA_OR_VOLUME}){{0,15}}"
UNIT_NUMBER = re.compile(rf"(?:{NUMBER.pattern}){_UNIT}", re.ASCII)
COMMA_UNIT_NUMBER = re.compile(rf"({COMMA_NUMBER.pattern})({_UNIT})", re.ASCII)
_PLAIN_STEP = re.compile(r"[^.\[\]\"'\s][^.\[\]\"']*")


class ObservationRow(NamedTuple):
    """The part of a document that is one observation."""

    part: Any
    around: Surroundings | None
    """The documents that surround the part; None: the part is the document."""
    record: Record


class Column(NamedTuple):
    """The values at one path, None where it is absent or null."""

    path: str
    """Path as configured, such as `tags.host`."""
    name: str
    """Name of the field at that path: member names joined by dots."""
    values: list[Any]

    @property
    def present(self) -> list[Any]:
        """The values that are not None."""
        return [value for value in self.values if value is not None]


def read_documents(source: Format, records: Sequence[Record]) -> list[tuple[object, Record]]:
    """Return the documents that can be read from records, each with its record; unusable ones are skipped."""
    documents: list[tuple[object, Record]] = []
    for record in records:
        try:
            found = source.read(record) if record.value is not None else ()
        except RecordError:
            continue
        documents += [(each, record) for each in found if not isinstance(each, RecordError)]
    return documents


def rows_of(documents: Sequence[tuple[object, Record]], observations: str) -> list[ObservationRow]:
    """Return a row per observation, as the decoder finds them."""
    steps = parse_path(observations) if observations else ()
    rows: list[ObservationRow] = []
    for document, record in documents:
        parts = find_parts(document, steps, numbered=True) if steps else [(document, None)]
        rows += [
            ObservationRow(
                {"value": part} if around and around.name and type(part) in (int, float) else part, around, record
            )
            for part, around in parts
            if not isinstance(part, RecordError)
        ]
        if len(rows) >= MAX_ROWS:
            break
    return rows[:MAX_ROWS]


def columns_of(documents: Sequence[object]) -> dict[str, Column]:
    """Return a column per path to a value that is neither an object nor a list, by path, in order of appearance.

    The elements of a document that is a list are columns, too, as `[0]`, `[1]` and so on, with the values in them.
    """
    columns: dict[str, Column] = {}
    for index, document in enumerate(documents):
        if type(document) is not dict and not is_tuple(document):
            continue
        for steps, value in _leaves(document, ()):
            path = write_path(steps)
            column = columns.get(path)
            if column is None:
                name = path if any(type(step) is int for step in steps) else ".".join(map(str, steps))
                if len(columns) >= MAX_COLUMNS or not _can_be_configured(name, steps):
                    continue
                column = columns[path] = Column(path, name, [None] * len(documents))
            column.values[index] = value
    return columns


def columns_of_records(rows: Sequence[ObservationRow]) -> dict[str, Column]:
    """Return the columns of the records around the rows: the members of keys that are JSON objects, and the headers."""
    keys: list[object] = []
    headers: list[dict[str, str]] = []
    for row in rows:
        keys.append(_key_of(row.record))
        headers.append(
            {name: text for name, value in row.record.headers if _names_key_or_time(name) and (text := _text_of(value))}
        )
    found: dict[str, Column] = {}
    for start, documents in (("record:key.", keys), ("header:", headers)):
        if not any(documents):
            continue
        for path, column in columns_of(documents).items():
            name = f"{start}{column.name if start == 'header:' else path}"
            found[name] = column._replace(path=name, name=name)
    return found


def _names_key_or_time(header: str) -> bool:
    """Return whether a header is surely that of the key or the time, by its name."""
    return key_score(f"header:{header}") >= _SURE_KEY or time_score(f"header:{header}") == _SURE_TIME


_SURE_KEY, _SURE_TIME = 90, 100


def _key_of(record: Record) -> object:
    """Return the content of a record's key if it is an object; else None."""
    if record.key is None or record.key[:1] != b"{":
        return None
    try:
        return decode_key(record.key)
    except RecordError:
        return None


def _text_of(value: bytes | None) -> str:
    """Return the text of a header; empty if it is none."""
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        return ""


def _can_be_configured(name: str, steps: Sequence[Step]) -> bool:
    """Return whether steps can be written as a path, and their name can be that of a field."""
    try:
        return is_path(steps) and 0 < len(name.encode()) <= NAME_BYTES
    except UnicodeEncodeError:
        return False


def is_path(steps: Sequence[Step]) -> bool:
    """Return whether members and elements can be written as a path: no name is empty, or has both kinds of quotes."""
    try:
        return not steps or (ALL not in steps and ROWS not in steps and parse_path(write_path(steps)) == tuple(steps))
    except ValueError:
        return False


def write_path(steps: Sequence[Step]) -> str:
    """Return the path of nested members, with quotes where a name needs them."""
    return "".join(f"[{step}]" if type(step) is int else f".{_quoted(str(step))}" for step in steps).removeprefix(".")


def _quoted(step: str) -> str:
    if _PLAIN_STEP.fullmatch(step) and step not in ("*", "$") and step[0] != "$":
        return step
    return f"['{step}']" if '"' in step else f'"{step}"'


def _leaves(document: Any, prefix: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], Any]]:
    members: Any = enumerate(document[:MAX_COLUMNS]) if type(document) is list else document.items()
    for name, text in members:
        steps = (*prefix, name)
        value = inner if type(text) is str and type(inner := json_in(text)) is dict else text
        nested = type(value) is dict and not _is_scalar(value)
        of_list = type(document) is list or (prefix and type(prefix[0]) is int)
        if nested or (of_list and is_row(value)):
            if len(steps) < MAX_DEPTH:
                yield from _leaves(value, steps)
        elif type(value) is not list or is_moment(value):
            yield steps, value
        elif len(value) == 1 and _is_name(value[0]):
            yield from _leaves(value[0], (*steps, 0))


def _is_name(value: Any) -> bool:
    """Return whether a list element is an object of texts that identifies something, such as `{"name": "h1", ...}`."""
    return type(value) is dict and bool(value) and value.keys() <= _NAMING and set(map(type, value.values())) == {str}


_NAMING = frozenset(("code", "display", "id", "name", "system", "type"))
"""Members of objects that identify something and have no measured values."""


def _is_scalar(value: dict[str, Any]) -> bool:
    """Return whether an object represents one number or one time, such as {"$date": ...} or {seconds, nanos}."""
    names = set(value)
    extended = len(names) == 1 and next(iter(names)).startswith(("$date", "$number", "$timestamp"))
    return extended or bool(names & SECONDS_NAMES and len(names) <= MAX_TIME_PARTS)


def is_moment(value: list[Any]) -> bool:
    """Return whether a list is a time, as Jackson writes one: [2023, 11, 14, 22, 13, 20]."""
    whole = 3 <= len(value) <= 7 and all(type(each) is int for each in value)
    return whole and 1980 <= value[0] <= 2100 and 1 <= value[1] <= 12 and 1 <= value[2] <= 31


_READERS = {
    (decimal, units): NumberReader(NumberRule(decimal=decimal, units=units))
    for decimal in (".", ",") for units in (False, True, "scaled")
}  # fmt: skip


def number_in(value: Any, decimal: str = ".", *, units: bool | Literal["scaled"] = False) -> float | None:
    """Return the number in a value, as the decoder reads it; None if there is none."""
    try:
        return _READERS[decimal, units].read("", value, named=False)
    except RecordError:
        return None


def is_row(value: Any) -> TypeGuard[list[Any]]:
    """Return whether a value is a list of a few numbers and texts, such as `[1709280000, 20.5]`."""
    return type(value) is list and len(value) > 1 and not any(type(each) in (dict, list) for each in value)


def is_tuple(value: Any) -> TypeGuard[list[Any]]:
    """Return whether a value is a list of different things, such as `[2, "id", "MeterValues", {...}]`, or a row."""
    return type(value) is list and bool(value) and type(value[0]) in (str, int, float)


def lists_in(document: Any, prefix: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], list[Any]]]:
    """Yield the path and content of every list of objects or rows, at any depth but not within each other."""
    if len(prefix) > MAX_LEVELS:
        return
    for name, content in members_of(document):
        value = json_in(content) if type(content) is str else content
        if type(value) is list and value and (all(type(each) is dict for each in value) or all(map(is_row, value))):
            yield (*prefix, name), value
        elif type(value) is dict:
            yield from lists_in(value, (*prefix, name))


def members_of(document: Any) -> Iterable[tuple[Step, Any]]:
    """Return the members of an object, and the elements of a list of different things."""
    if type(document) is dict:
        return document.items()
    return enumerate(document[:MAX_COLUMNS]) if is_tuple(document) else ()
