"""Documents as a table: a row per observation, a column per path."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeGuard

from streamrnn.formats import NAME_BYTES
from streamrnn.mapping.numbers import CURRENCIES, THOUSANDS
from streamrnn.mapping.paths import ALL, Surroundings, find_parts, json_in, parse_path
from streamrnn.records import Record

MOST_ROWS = 20_000
"""Observations that are looked at."""
MOST_COLUMNS = 2_000
DEEPEST = 8
"""Levels of nested objects that are looked at."""

NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
COMMA_NUMBER = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})*,\d+|[+-]?\d+,\d+", re.ASCII)
UNIT_NUMBER = re.compile(rf"(?:{NUMBER.pattern})\s*[^\d\s.,+:/-][^\d:]{{0,15}}", re.ASCII)
_PLAIN_STEP = re.compile(r"[^.\[\]\"'\s][^.\[\]\"']*")


class ObservationRow(NamedTuple):
    """What one observation is read from."""

    part: Any
    around: Surroundings | None
    """What surrounds the part; None: it is the document."""
    record: Record


class Column(NamedTuple):
    """The values at one path, None where it is absent or null."""

    path: str
    """As it is configured, such as `tags.host`."""
    name: str
    """As fields are named: member names joined by dots."""
    values: list[Any]

    @property
    def present(self) -> list[Any]:
        """The values that are not None."""
        return [value for value in self.values if value is not None]


def rows_of(documents: Sequence[tuple[object, Record]], observations: str) -> list[ObservationRow]:
    """Return a row per observation, as the decoder finds them."""
    steps = parse_path(observations) if observations else ()
    rows: list[ObservationRow] = []
    for document, record in documents:
        parts = find_parts(document, steps) if steps else [(document, None)]
        rows += [ObservationRow(part, around, record) for part, around in parts]
        if len(rows) >= MOST_ROWS:
            break
    return rows[:MOST_ROWS]


def columns_of(documents: Sequence[object]) -> dict[str, Column]:
    """Return a column per path to a value that is neither an object nor a list, by path, in order of appearance.

    The elements of a document that is a list are columns, too: `[0]`, `[1]` and so on.
    """
    columns: dict[str, Column] = {}
    for index, document in enumerate(documents):
        if is_row(document):
            for number, value in enumerate(document[:MOST_COLUMNS]):
                path = f"[{number}]"
                columns.setdefault(path, Column(path, path, [None] * len(documents))).values[index] = value
        if type(document) is not dict:
            continue
        for steps, value in _leaves(document, ()):
            path = write_path(steps)
            column = columns.get(path)
            if column is None:
                if len(columns) >= MOST_COLUMNS or not _can_be_configured(path, steps):
                    continue
                column = columns[path] = Column(path, ".".join(steps), [None] * len(documents))
            column.values[index] = value
    return columns


def _can_be_configured(path: str, steps: tuple[str, ...]) -> bool:
    """Return whether a path leads to the member, and its name can be that of a field."""
    try:
        return ALL not in steps and parse_path(path) == steps and 0 < len(".".join(steps).encode()) <= NAME_BYTES
    except (ValueError, UnicodeEncodeError):
        return False


def write_path(steps: Sequence[str]) -> str:
    """Return the path of nested members, with quotes where a name needs them."""
    return ".".join(step if _PLAIN_STEP.fullmatch(step) and step not in ("*", "$") and step[0] != "$"
                    else f"['{step}']" if '"' in step else f'"{step}"' for step in steps)  # fmt: skip


def _leaves(document: dict[str, Any], prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, text in document.items():
        steps = (*prefix, str(name))
        value = inner if type(text) is str and type(inner := json_in(text)) is dict else text
        if type(value) is dict and not _is_scalar(value):
            if len(steps) < DEEPEST:
                yield from _leaves(value, steps)
        elif type(value) is not list or is_moment(value):
            yield steps, value


def _is_scalar(value: dict[str, Any]) -> bool:
    """Return whether an object stands for one number or one time, such as {"$date": ...} or {seconds, nanos}."""
    names = set(value)
    extended = len(names) == 1 and next(iter(names)).startswith(("$date", "$number"))
    return extended or bool(names & {"seconds", "_seconds", "epochSecond"} and len(names) <= 2)


def is_moment(value: list[Any]) -> bool:
    """Return whether a list is a time, as Jackson writes one: [2023, 11, 14, 22, 13, 20]."""
    whole = 3 <= len(value) <= 7 and all(type(each) is int for each in value)
    return whole and 1980 <= value[0] <= 2100 and 1 <= value[1] <= 12 and 1 <= value[2] <= 31


def number_in(value: Any, decimal: str = ".", *, units: bool = False) -> float | None:
    """Return the number in a value; None if there is none."""
    kind = type(value)
    if kind is int or kind is float:
        return float(value) if abs(value) < 1e300 else None
    if kind is Decimal:
        return float(value)
    if kind is dict and len(value) == 1 and next(iter(value)).startswith("$number"):
        value, kind = str(next(iter(value.values()))), str
    if kind is not str or len(value) > 64:
        return None
    text = value.strip().lstrip(CURRENCIES) if units else value.strip()
    if decimal == "." and THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if decimal == "," and COMMA_NUMBER.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    if NUMBER.fullmatch(text):
        return float(text)
    if units and UNIT_NUMBER.fullmatch(text):
        match = NUMBER.match(text)
        return float(match[0]) if match else None
    return None


def is_row(value: Any) -> TypeGuard[list[Any]]:
    """Return whether a value is a list of a few numbers and texts, such as `[1709280000, 20.5]`."""
    return type(value) is list and len(value) > 1 and not any(type(each) in (dict, list) for each in value)


def lists_in(document: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Yield the path and content of every list of objects or rows, at any depth but not within each other."""
    if type(document) is not dict or len(prefix) > 4:
        return
    for name, content in document.items():
        value = json_in(content) if type(content) is str else content
        if type(value) is list and value and (all(type(each) is dict for each in value) or all(map(is_row, value))):
            yield (*prefix, str(name)), value
        elif type(value) is dict:
            yield from lists_in(value, (*prefix, str(name)))


def common(values: Sequence[Any]) -> list[tuple[Any, int]]:
    """Return the distinct values with their counts, the most frequent first."""
    return Counter(map(str, values)).most_common()
