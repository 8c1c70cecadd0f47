"""The search for the fields: which numbers measure something, and which are ids, times and counters of messages."""

import re
from collections.abc import Mapping, Sequence
from glob import escape
from typing import Any, NamedTuple

from streamrnn.commands.sniff.search.exclusions import (
    DESCRIBES,
    LARGE,
    are_copies,
    are_epochs,
    are_numbered,
    rise_steadily,
    why_no_field,
)
from streamrnn.commands.sniff.search.exclusions.codes import STATUS
from streamrnn.commands.sniff.search.exclusions.constants import constants_beside
from streamrnn.commands.sniff.search.exclusions.doubts import perhaps_codes, unclear_commas
from streamrnn.commands.sniff.search.numbers import NumberForm, find_form, sentinels_in
from streamrnn.commands.sniff.search.table import Column, number_in
from streamrnn.commands.sniff.search.words import (
    NAMES,
    PAYLOADS,
    PAYLOADS_SURE,
    SURE_NAMES,
    VALUES,
    is_described,
    is_duration,
    is_identifier,
    is_numbered,
    last_step,
    time_score,
)
from streamrnn.formats import shorten
from streamrnn.mapping.numbers import NumberReader, NumberRule
from streamrnn.mapping.paths import parse_path
from streamrnn.mapping.patterns import is_pattern

_MAX_LISTED = 30
"""Largest number of fields to list by name; more are selected by `*`."""
_NUMERIC_SHARE = 0.5
_PLACE = re.compile(r"\[\d+\].*", re.DOTALL)
"""Name of a field that is an element of a list, or is within one."""
_SWITCHES = NumberReader(NumberRule(booleans=True))


class FieldChoice(NamedTuple):
    """The fields, as section `input.fields` selects them."""

    under: str = ""
    only: tuple[str, ...] = ()
    """Names as configured; empty: every number except the excluded ones."""
    excluded: tuple[str, ...] = ()
    name: str = ""
    """Long format: path of the name ..."""
    value: str = ""
    """... and of the value."""
    form: NumberForm = NumberForm()
    left_out: Mapping[str, str] = {}
    """Why a number is not a field, by path."""
    doubts: tuple[str, ...] = ()


def find_fields(
    columns: Mapping[str, Column], *, used: Sequence[str], times: Sequence[int | None], keys: Sequence[str], rows: int
) -> FieldChoice:
    """Return the fields: in long format, the paths of name and value; else the members that are measured values.

    Args:
        columns: The members of the observations' documents by path.
        used: Paths of the key and the time.
        times: Event time by row.
        keys: Key by row.
        rows: Number of observations.
    """
    form = find_form([each for each in columns.values() if each.path not in used])
    numeric = {
        path: values
        for path, each in columns.items()
        if path not in used and (values := _numbers(each, form)) is not None
    }
    long = long_format(columns, used=used, rows=rows, form=form)
    if long is not None:
        return _in_long_format(columns, numeric, form, long)
    exchange = any(last_step(path) in ("e", "E", "x") and len(path) <= 6 for path in columns)
    left_out = {
        path: reason
        for path, values in numeric.items()
        if (reason := why_no_field(columns[path], values, times=times, keys=keys, exchange=exchange, paths=columns))
    }
    left_out |= _copies(columns, [path for path in numeric if path not in left_out])
    left_out |= constants_beside([path for path in numeric if path not in left_out], columns, numeric, keys)
    chosen = [path for path in numeric if path not in left_out]
    statuses = [] if chosen else [path for path, reason in left_out.items() if reason == STATUS]
    if not chosen:  # the members that describe the message are then its content
        chosen = [
            path for path, reason in left_out.items() if reason in (DESCRIBES, STATUS) and not is_identifier(path)
        ]
        left_out = {path: reason for path, reason in left_out.items() if path not in chosen}
    if not chosen:
        chosen = [path for path, each in columns.items() if path not in used and is_switch(each.present)]
        form = form._replace(booleans=bool(chosen))
        numeric |= {path: [_flag(value) for value in columns[path].values] for path in chosen}
    under, chosen, outside = _payload(chosen)
    left_out |= dict.fromkeys(outside, f"outside of {under}")
    # a value is missing in every column that is a field, or in none
    sentinels = sentinels_in({path: numeric[path] for path in chosen})
    texts = {
        text for path in chosen for text in _texts(columns[path], form) if _flag(text) is None or not form.booleans
    }
    form = form.with_missing(sentinels, texts)
    selection = _selection(under, chosen, left_out, columns, form, rows)
    doubts = _perhaps_ids(chosen, left_out, numeric)
    doubts += [f"`{path}` is the code of a status, but no other number is a field" for path in statuses]
    doubts += unclear_commas(columns, form.decimal)
    perhaps = [] if form.booleans else perhaps_codes(chosen, columns, numeric, keys)
    return selection._replace(doubts=(*doubts, *perhaps, *_unread_texts(chosen, columns, form)))


def _perhaps_ids(
    chosen: Sequence[str], left_out: Mapping[str, str], numeric: Mapping[str, Sequence[float | None]]
) -> list[str]:
    """Return doubts about fields that may only number the records, and about ids that may be counters."""
    return [
        f"`{path}` rises by 1 with each of a few records: if it only numbers them, leave it out (input.fields)"
        for path in chosen
        if are_numbered(numeric[path])
    ] + [
        f"`{path}` is taken for ids, as its large numbers only rise: if it is a counter, add it to input.fields"
        for path, reason in left_out.items()
        if reason == LARGE and rise_steadily([each for each in numeric[path] if each is not None])
    ]


def _unread_texts(chosen: Sequence[str], columns: Mapping[str, Column], form: NumberForm) -> list[str]:
    """Return a doubt about each field with texts among its numbers that are no numbers, and that no rule expects."""
    doubts = []
    for path in chosen:
        texts = [value for value in columns[path].present if _is_unread(value, form)]
        if texts:
            doubts.append(
                f"{len(texts):,} of {len(columns[path].present):,} values of `{path}` are no numbers, such as "
                f"{shorten(texts[0])}: they are left out"
            )
    return doubts


def _in_long_format(
    columns: Mapping[str, Column],
    numeric: Mapping[str, Sequence[float | None]],
    form: NumberForm,
    long: tuple[str, str, bool],
) -> FieldChoice:
    """Return the paths of name and value, or the value as the only field if the name is part of the key."""
    name, value, keyed = long
    sentinels = sentinels_in({value: numeric.get(value, ())})
    form = form.with_missing(sentinels, _texts(columns[value], form))
    left_out = _reasons(numeric, (value,), "long format")
    if keyed:
        return FieldChoice(only=(columns[value].name,), form=form, left_out=left_out)
    return FieldChoice(name=name, value=value, form=form, left_out=left_out)


def _copies(columns: Mapping[str, Column], paths: Sequence[str]) -> dict[str, str]:
    """Return why members are no fields that repeat a value, such as its text `20.5 °C`, or replace it at times."""
    instead = {
        path: f"in place of {parent}"
        for path in paths
        if (parent := parent_of(path)) in paths and len(columns[path].present) < len(columns[parent].present)
    }
    values = [path for path in paths if last_step(path).lower() in VALUES or last_step(path).endswith("_raw")]
    return instead | {
        path: f"the text of {value}"
        for value in values
        for path in paths
        if path not in values and parent_of(path) == parent_of(value) and are_copies(columns[path], columns[value])
    }


def _flag(value: Any) -> float | None:
    """Return a truth value, or a text such as `on`, as 0 or 1; None for another value."""
    return _SWITCHES.read("", value, named=False) if type(value) in (bool, str) else None


def is_switch(values: Sequence[Any]) -> bool:
    """Return whether all values are truth values, or texts such as `on` and `off`."""
    return bool(values) and all(_flag(value) in (0.0, 1.0) for value in values)


def _numbers(column: Column, form: NumberForm) -> list[float | None] | None:
    """Return the numbers of a column; None unless at least half of its values are numbers."""
    values = [number_in(value, form.decimal, units=form.units) for value in column.values]
    found = sum(value is not None for value in values)
    return values if found and found >= _NUMERIC_SHARE * len(column.present) else None


def _texts(column: Column, form: NumberForm) -> set[str]:
    """Return the texts among the numbers of a column, such as `unavailable`, if at most three; else none."""
    others = {
        value.strip().lower()
        for value in column.present
        if type(value) is str and number_in(value, form.decimal, units=form.units) is None
    }
    return others if len(others) <= 3 else set()


def _reasons(numeric: Mapping[str, Any], used: Sequence[str], reason: str) -> dict[str, str]:
    return {path: reason for path in numeric if path not in used}


def long_format(
    columns: Mapping[str, Column], *, used: Sequence[str], rows: int, form: NumberForm
) -> tuple[str, str, bool] | None:
    """Return the paths of name and value if an observation has one field, and whether the name is part of the key.

    Return None if an observation has several fields. If the name is part of the key, `value` is the field.
    """
    values = [
        path
        for path, each in columns.items()
        if last_step(path).lower() in VALUES and len(each.present) >= 0.8 * rows and _numbers(each, form)
    ]
    if len(values) != 1:
        return None
    (value,) = values
    parent = value.rpartition(".")[0]
    others = [
        path
        for path, each in columns.items()
        if path not in (*used, value)
        and (numbers := _numbers(each, form))
        and not (is_identifier(path) or is_described(path) or time_score(path) or are_epochs(numbers))
        and not (is_numbered(path) and all(number is None or number.is_integer() for number in numbers))
        and not (is_duration(path) and last_step(path).lower() in VALUES)
    ]
    if others:
        return None
    name = next(
        (
            path
            for each in NAMES
            for path, column in columns.items()
            if last_step(path).lower() == each
            and path.rpartition(".")[0] in (parent, "")
            and _names_fields(column, each, rows)
        ),
        None,
    )
    if name is None:
        return None
    return name, value, name in used


_TYPES = frozenset((
    "bool", "boolean", "decimal", "double", "float", "int", "integer", "long", "number", "numeric", "real", "short",
    "string", "text", "uint", "uinteger",
))  # fmt: skip
"""Names of data types, which name no fields."""


def _names_fields(column: Column, name: str, rows: int) -> bool:
    """Return whether a column can name fields: texts, present in most rows, few, and different if its name is weak."""
    values = column.present
    if len(values) < 0.9 * rows or not all(type(value) is str for value in values):
        return False
    if _TYPES.issuperset(value.lower().rstrip("0123456789") for value in values):
        return False
    distinct = len(set(values))
    return distinct <= max(4, len(values) // 2, 1) and (distinct > 1 or name in SURE_NAMES)


def _payload(chosen: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """Return the path of the payload object, the fields in it, and the fields outside, which are left out."""
    parents = {path: parent_of(path) for path in chosen}
    for path in chosen:
        steps = path.split(".")
        for end in range(len(steps) - 1, 0, -1):
            of_http = end > 1 and steps[end - 2] in ("request", "response")  # their bodies are counted, not read
            if steps[end - 1] in PAYLOADS_SURE and not of_http:
                under = ".".join(steps[:end])
                inside = [each for each in chosen if each.startswith(f"{under}.")]
                return under, inside, [each for each in chosen if each not in inside]
    shared = set(parents.values())
    if len(shared) == 1 and (under := shared.pop()) and last_step(under) in PAYLOADS:
        return under, list(chosen), []
    return "", list(chosen), []


def parent_of(path: str) -> str:
    """Return the path of the object that contains a member; empty for the document itself."""
    if path.endswith('"'):
        return path[: path.rindex('"', 0, -1)].rstrip(".")
    return path.rpartition(".")[0] if not path.endswith("]") else path[: path.rindex("[")]


def _selection(
    under: str,
    chosen: Sequence[str],
    left_out: Mapping[str, str],
    columns: Mapping[str, Column],
    form: NumberForm,
    rows: int,
) -> FieldChoice:
    """Return the fields: listed by name if most records have all of them, else every number except those left out."""
    prefix = f"{under}." if under else ""
    names = [columns[path].name.removeprefix(prefix) for path in chosen]
    steady = all(len(columns[path].present) >= 0.9 * rows for path in chosen)
    odd = any(_texts_kept(columns[path], form) for path in chosen)
    inside = [columns[path].name.removeprefix(prefix) for path in left_out if path.startswith(prefix)]
    listed = (steady and len(names) <= _MAX_LISTED) or form.units or len(inside) > 2 * _MAX_LISTED
    if names and listed and not odd:
        return FieldChoice(under=under, only=tuple(configured_names(names)), form=form, left_out=left_out)
    return FieldChoice(under=under, excluded=tuple(configured_names(inside)), form=form, left_out=left_out)


def _texts_kept(column: Column, form: NumberForm) -> bool:
    """Return whether a column has text among its numbers that does not count as missing."""
    return any(_is_unread(value, form) for value in column.present)


def _is_unread(value: Any, form: NumberForm) -> bool:
    """Return whether a value is a text that is neither a number nor missing."""
    return (
        type(value) is str
        and number_in(value, form.decimal, units=form.units) is None
        and value.strip().lower() not in form.missing_texts
        and not (form.booleans and _flag(value) is not None)
    )


def configured_names(names: Sequence[str]) -> list[str]:
    """Return names as configured: wildcard characters escaped, and dots too where a name cannot be a path."""
    written = [name if _PLACE.fullmatch(name) else escape(name) for name in names]
    if not any(map(is_pattern, written)):
        written = [name if _is_usable(name) else name.replace(".", "[.]") for name in written]
    return written


def _is_usable(name: str) -> bool:
    if "." not in name:
        return True
    try:
        return parse_path(name) == tuple(name.split("."))
    except ValueError:
        return False
