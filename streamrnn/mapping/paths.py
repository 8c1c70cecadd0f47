r"""Paths into documents and records, such as `tags.host`, `data[*]`, `readings[0].value` or `header:device`.

| path | value |
|---|---|
| `a.b` | member `b` of the object `a`, or a member whose name is `a.b` |
| `"a.b".c` | member `c` of the member whose name is `a.b`; also `['a.b'].c` |
| `a[0]`, `a[-1]` | the first and the last element of a list |
| `a[*]`, `a.*` | all elements of a list, all members of an object |
| `a[#]` | all rows of a table: an object with one list per column, or with a list of names and one of rows |
| `tags.*` | as a key: the members with their names, also of a list of `{name, value}`, `{key, value}` and the like |
| `$.a` | `a` of the whole document, where `observations` selects parts of it; `a` looks in the part, then around it |
| `member:name` | the name of the member that `*` in `observations` selects |
| `member:index` | the place, from 0, of the element that `*` in `observations` selects from a list |
| `record:key`, `record:key.id` | the record's own key, as text, or a member of it where it is JSON |
| `record:timestamp`, `record:topic`, `record:partition` | the record's own timestamp (ms), topic and partition |
| `header:name` | the last header of that name, as text |

A value that is absent, or null, is None. A path continues into text that is a JSON object or list, also in base64: at
`payload.temp`, `{"payload": "{\"temp\": 21.5}"}` has 21.5.
"""

import binascii
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from streamrnn.formats.keys import key_text, read_key
from streamrnn.records import Record

Step = str | int
"""A member's name, an element's index, or ALL."""


class Surroundings(NamedTuple):
    """The documents around a part of a document."""

    documents: tuple[Any, ...]
    """The elements and members that contain the part, the innermost first; the last one is the whole document."""
    name: str | None = None
    """Name of the innermost member that `*` has selected."""
    position: int | None = None
    """Index of the innermost element that `*` has selected; None if it is not needed."""
    found: dict[tuple[Step, ...], Any] | None = None
    """Cache of the values at paths in `documents`, shared by parts with the same surroundings; None: no cache."""


Getter = Callable[[Any, Surroundings | None, Record], Any]
"""Returns the value at a path, given an observation's document, its surroundings if it is a part, and the record."""

KeyReader = Callable[[Record], Any]
"""Returns the content of a record's own key."""

ALL, ROWS = "[*]", "[#]"
RECORD, HEADER, ROOT, MEMBER_NAME, MEMBER_INDEX = "record:", "header:", "$", "member:name", "member:index"
RECORD_TIME = f"{RECORD}timestamp"
_RECORD_PARTS = ("key", "timestamp", "topic", "partition")
_STEP = re.compile(r"""\.?(?:"([^"]+)"|([^.\[\]"'\s][^.\[\]"']*))|\.?\[(?:(-?\d{1,6})|([*#])|'([^']+)'|"([^"]+)")\]""")
_KNOWN_PATHS = 1000
MAX_TEXT_LENGTH = 64 * 1024
"""Largest length of a text in which a path can continue."""
_JSON_STARTS = ("{", "[", "ey", "ew", "W3", "Wy", "Ww")
"""First characters of JSON objects and lists of them, plain and in base64."""
_PAIR_NAMES = ("name", "key", "tag")
MAX_STEPS = 32
"""Largest number of steps of a path."""


def decode_own_key(record: Record) -> Any:
    """Return the content of a record's own key, without a schema registry.

    Raises:
        RecordError: invalid_utf8, invalid_connect.
    """
    return read_key(record, None)


@lru_cache(_KNOWN_PATHS)
def parse_path(text: str) -> tuple[Step, ...]:
    """Return the steps of a path within a document, without a leading `$`.

    Raises:
        ValueError: it is not a path; the message says what is allowed.
    """
    rest = text.removeprefix("$.") if text.startswith("$.") else text.removeprefix("$")
    steps: list[Step] = []
    position = 0
    while position < len(rest):
        match = _STEP.match(rest, position)
        if match is None or (position == 0 and rest.startswith(".")):
            raise ValueError(
                f"{text!r} is not a path; allowed are names separated by dots, such as tags.host, data[0].value, "
                '"name.with.dots".x, header:NAME or record:key'
            )
        quoted, plain, index, every, *bracketed = match.groups()
        name = quoted or plain or next(filter(None, bracketed), None)
        spread = ROWS if every == "#" else ALL if every or plain == "*" else None
        steps.append(spread or (int(index) if index is not None else str(name)))
        position = match.end()
    if not steps or len(steps) > MAX_STEPS:
        raise ValueError(f"{text!r} is not a path of 1 to {MAX_STEPS} steps")
    return tuple(steps)


def check_path(text: str) -> str:
    """Return a path if it is valid.

    Raises:
        ValueError: it is not; the message says what is allowed.
    """
    if text in (MEMBER_NAME, MEMBER_INDEX):
        return text
    if text.startswith(HEADER):
        if not text.removeprefix(HEADER):
            raise ValueError("header: needs the name of a header, such as header:device")
    elif text.startswith(RECORD):
        part, _, inner = text.removeprefix(RECORD).partition(".")
        if part not in _RECORD_PARTS or (inner and part != "key"):
            raise ValueError(f"{text!r} is no part of a record; allowed are record:key (or a member of it, such as "
                             "record:key.id), record:timestamp, record:topic and record:partition")  # fmt: skip
        if inner:
            parse_path(inner)
    else:
        parse_path(text)
    return text


def is_plain(path: str) -> bool:
    """Return whether a path is a name, or names separated by dots."""
    return not path.startswith((RECORD, HEADER, ROOT, MEMBER_NAME, MEMBER_INDEX)) and all(
        type(step) is str and step not in (ALL, ROWS) for step in parse_path(path)
    )


def getter(path: str, read_key: KeyReader = decode_own_key) -> Getter:
    """Return a function that finds the value at a valid path; `read_key` returns the content of a record's own key."""
    if path == MEMBER_NAME:
        return lambda _part, around, _record: around and around.name
    if path == MEMBER_INDEX:
        return lambda _part, around, _record: around and around.position
    if path.startswith(HEADER):
        name = path.removeprefix(HEADER)
        return lambda _part, _around, record: _header(record, name)
    if path.startswith(RECORD):
        return _record_getter(path.removeprefix(RECORD), read_key)
    steps = parse_path(path)
    if path.startswith(ROOT):
        return lambda part, around, _record: find(around.documents[-1] if around else part, steps)
    if len(steps) == 1 and type(steps[0]) is str and steps[0] != ALL:
        return _member_getter(steps[0])

    return _path_getter(steps)


def find(document: Any, steps: Sequence[Step]) -> Any:
    """Return the value at a path within a document; None if there is none."""
    value = _straight(document, steps)
    return _dotted(document, steps) if value is None and len(steps) > 1 else value


def json_in(text: str) -> Any:
    """Return the JSON object or list in a text, also in base64; None if there is none."""
    if not text.startswith(_JSON_STARTS) or len(text) > MAX_TEXT_LENGTH:
        return None
    return _parsed(text)


def named_pair(element: Any) -> tuple[str, Any] | None:
    """Return the name and value of an object with only these, such as `{"key": "host", "value": "a"}`; else None."""
    if type(element) is not dict or len(element) != 2:
        return None
    if type(label := element.get("key")) is str and "value" in element:  # the common case
        value = element["value"]
        return (label, next(iter(value.values()))) if type(value) is dict and len(value) == 1 else (label, value)
    by_name = {name.lower(): each for name, each in element.items()}
    label = next((by_name[name] for name in _PAIR_NAMES if name in by_name), None)
    value = by_name.get("value")
    if type(value) is dict and len(value) == 1:  # OpenTelemetry's {"stringValue": "a"}
        (value,) = value.values()
    return (label, value) if type(label) is str and "value" in by_name else None


def present(document: Any, path: str, around: Surroundings | None = None) -> str:
    """Return a text about the content of a document at a path without a value, for messages.

    If it has no member of that name, but one of the documents `around` has, the text is about that one.
    """
    if path.startswith(HEADER):
        return "the record has no such header"
    if path.startswith(RECORD):
        return "the record's key has no such member, or the record has no key"
    steps, parent, complete = parse_path(path), "", True
    others = (document, *around.documents) if around is not None else (document,)
    others = others[-1:] if path.startswith(ROOT) else others
    document = next((each for each in others if type(each) is dict and steps[0] in each), others[0])
    for step in steps[:-1]:
        value = find(document, [step])
        if value is None:
            complete = False
            break
        document, parent = value, f"{parent}{f'[{step}]' if type(step) is int else f'.{step}' if parent else step}"
    if complete and type(document) is dict and steps[-1] in document:
        return f"{parent}.{steps[-1]} is null" if parent else f"{steps[-1]} is null"
    if type(document) is not dict:
        kind = "a list" if type(document) is list else "text" if type(document) is str else type(document).__name__
        return f"{parent or 'the document'} is {kind}"
    names = [f"{parent}.{name}" if parent else name for name in list(document)[:8]]
    shown = ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in names)
    more = f" and {len(document) - 8} more" if len(document) > 8 else ""
    return f"the record has {shown}{more}" if names else f"{parent or 'the document'} is empty"


@lru_cache(8)
def _parsed(text: str) -> Any:
    try:
        content = orjson.loads(text if text[0] in "{[" else binascii.a2b_base64(text))
    except ValueError:
        return None
    return content if type(content) in (dict, list) else None


def _find_around(around: Surroundings, steps: tuple[Step, ...]) -> Any:
    known = around.found
    if known is not None and steps in known:
        return known[steps]
    found = (value for document in around.documents if (value := find(document, steps)) is not None)
    value = next(found, None)
    if known is not None:
        known[steps] = value
    return value


def _path_getter(steps: tuple[Step, ...]) -> Getter:
    """Return a function that finds the value at several steps in a part, or else in its surroundings."""
    names = [str(step) for step in steps[: _names(steps)]]
    heads = [".".join(names[: end + 1]) for end in range(len(names))]
    """Names of which a part must have one for the path to lead into it."""

    def found(part: Any, around: Surroundings | None, _record: Record) -> Any:
        value = part  # the common case, without calls: each step is a member of an object
        for step in steps:
            if type(value) is not dict:
                break
            value = value.get(step)
        else:
            if value is not None:
                return value
        if around is None:
            return find(part, steps)
        if type(part) is not dict or not heads or any([head in part for head in heads]):  # noqa: C419 -- faster
            value = find(part, steps)
            if value is not None:
                return value
        return _find_around(around, steps)

    return found


def _member_getter(name: str) -> Getter:
    def found(part: Any, around: Surroundings | None, _record: Record) -> Any:
        if type(part) is dict and (value := part.get(name)) is not None:
            return value
        if around is not None:
            for document in around.documents:
                if type(document) is dict and (value := document.get(name)) is not None:
                    return value
        return None

    return found


def _record_getter(path: str, read_key: KeyReader) -> Getter:
    part, _, inner = path.partition(".")
    if part == "key" and inner:
        steps = parse_path(inner)
        return lambda _part, _around, record: find(read_key(record), steps)
    if part == "key":
        return lambda _part, _around, record: _key_or_text(read_key(record))
    if part == "timestamp":
        return lambda _part, _around, record: None if record.timestamp == -1 else record.timestamp
    return lambda _part, _around, record: getattr(record, part)


def _key_or_text(content: Any) -> Any:
    return key_text(content) if type(content) in (dict, list) else content


def _header(record: Record, name: str) -> str | None:
    for each, value in reversed(record.headers):
        if each == name and value is not None:
            return value.decode(errors="replace")
    return None


def _straight(value: Any, steps: Sequence[Step]) -> Any:
    for step in steps:
        if type(step) is int:
            value = json_in(value) if type(value) is str else value
            if type(value) is not list or not -len(value) <= step < len(value):
                return None
            value = value[step]
        elif type(value) is dict:
            value = value.get(step)
        elif type(value) is str and type(inner := json_in(value)) is dict:
            value = inner.get(step)
        else:
            return None
    return value


def _dotted(document: Any, steps: Sequence[Step]) -> Any:
    """Find a value whose path has member names with dots, the longest name first."""
    if not steps:
        return document
    if type(document) is not dict:
        return _dotted(_straight(document, steps[:1]), steps[1:]) if type(document) is list else None
    for end in range(_names(steps), 0, -1):
        value = document.get(".".join(steps[:end]))  # type: ignore[arg-type]  # those are names
        if value is not None and (found := _dotted(value, steps[end:])) is not None:
            return found
    return None


def _names(steps: Sequence[Step]) -> int:
    """Return the number of leading steps that are names."""
    return next((i for i, step in enumerate(steps) if type(step) is int or step == ALL), len(steps))
