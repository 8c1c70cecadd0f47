"""Conditions that an observation must meet (`input.where`), such as `k.x == true` or `device.type != "gateway"`."""

import operator
import re
from collections.abc import Callable
from typing import Any

import orjson

from streamrnn.mapping.paths import KeyReader, Surroundings, check_path, decode_own_key, getter
from streamrnn.records import Record

Condition = Callable[[Any, Surroundings | None, Record], bool]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_FORM = re.compile(r"\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def parse_condition(text: str) -> tuple[str, str, Any]:
    """Return path, comparison and value of a condition; a value that is not JSON is a text.

    Raises:
        ValueError: it has another form; the message says which are allowed.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} must be a path, ==, !=, <, <=, > or >=, and a value, such as k.x == true")
    path, comparison, value = match.groups()
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        parsed = value.strip("'")
    if type(parsed) in (dict, list) or (comparison not in ("==", "!=") and type(parsed) not in (int, float, str)):
        raise ValueError(f"{text!r} compares with {value}; allowed are numbers and text, and for == also true and null")
    return check_path(path), comparison, parsed


def condition(text: str, read_key: KeyReader = decode_own_key) -> Condition:
    """Return a function that returns whether a document meets a valid condition; `read_key` as for `paths.getter`."""
    path, name, wanted = parse_condition(text)
    compare, get, numeric = _COMPARISONS[name], getter(path, read_key), type(wanted) in (int, float)

    def met(document: Any, around: Surroundings | None, record: Record) -> bool:
        value = get(document, around, record)
        if numeric and type(value) is str and _NUMBER.fullmatch(value):
            value = float(value)
        if name in ("==", "!="):
            same = value == wanted and (type(value) is bool) == (type(wanted) is bool)
            return same if name == "==" else not same
        comparable = (numeric and type(value) in (int, float)) or type(wanted) is type(value) is str
        return comparable and compare(value, wanted)

    return met
