"""The search for the parts of documents that make one observation each: lists, tables, and members of objects."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from streamrnn.commands.sniff.search.table import (
    MAX_LEVELS,
    ObservationRow,
    columns_of,
    is_path,
    lists_in,
    members_of,
    number_in,
    write_path,
)
from streamrnn.commands.sniff.search.words import (
    LISTS,
    NAMES,
    TAGS,
    VALUES,
    is_described,
    is_identifier,
    is_numbered,
    last_step,
    time_score,
    words_of,
    wraps_messages,
)
from streamrnn.errors import RecordError
from streamrnn.mapping.parts import INDEX, rows_in
from streamrnn.mapping.paths import Step, named_pair
from streamrnn.mapping.times import TimeReader, TimeRule

_MIN_VALUES = 5
"""Fewest documents from which it is evidence that a number is always the same."""
_MIN_ALIKE, _ELEMENT = 2, re.compile(r"\[\d+\]")
"""Fewest documents that are lists of different things in which an element is always the same, and its path."""
_MIN_RECORDS = 3
"""Fewest records with lists of the same length for which the index in the list can be part of the key."""
_TIME_NAME = 65
"""Least score of the name of a table's time column."""
_TIME = re.compile(r"\d{10}|\d{13}|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}")
_COUNTS = frozenset(("count", "total", "size", "length", "n", "interval", "code", "status", "rc"))


def find_observations(documents: Sequence[object]) -> str:
    """Return the path of the parts that are one observation each; empty if each document is one observation."""
    documents = documents[:300]
    if documents and all(_names_its_lists(document) for document in documents):
        return "*[*]"
    return _most(documents, tables_in, "[#]") or _find_map(documents) or _find_list(documents)


def _most(documents: Sequence[object], search: Any, ending: str) -> str:
    """Return the path, with `ending`, that `search` yields for most documents; empty if for less than half of them."""
    counts: dict[tuple[Step, ...], int] = defaultdict(int)
    for document in documents:
        for steps, _ in search(document):
            counts[steps] += is_path(steps)
    best = max(counts, key=counts.__getitem__, default=None)
    return write_path(best) + ending if best is not None and counts[best] >= 0.5 * len(documents) else ""


def tables_in(document: Any, prefix: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], list[Any]]]:
    """Yield the path and the rows of each table with a time column in a document."""
    if len(prefix) > MAX_LEVELS:
        return
    if (rows := rows_in(document)) and _has_times(rows):
        yield prefix, rows
    for name, value in members_of(document):
        if type(value) is dict:
            yield from tables_in(value, (*prefix, name))


def _has_times(rows: Sequence[Any]) -> bool:
    """Return whether rows have at least two columns, one of which has times, judged by its name and values."""
    first, last = rows[0], rows[-1]
    if type(first) is not dict or type(last) is not dict or len(first) < 2:
        return False
    reader = TimeReader(TimeRule())
    try:
        return any(
            (time_score(write_path((name,))) >= _TIME_NAME or name == INDEX)
            and reader.read(value) <= reader.read(last[name])
            for name, value in first.items()
        )
    except RecordError:
        return False


def _find_map(documents: Sequence[object]) -> str:
    """Return the path of the members of a map, such as from device names to values; empty if there is none."""
    path = _most(documents, _maps_in, ".*").removeprefix(".")
    inside = path.removesuffix("*")
    return path if path and not _measures(documents, without=inside) else ""


def _maps_in(document: Any, prefix: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """Yield the path and content of maps: objects with members of one shape, or with times as names."""
    if type(document) is not dict or len(prefix) > MAX_LEVELS:
        return
    if len(document) > 1 and (_is_by_time(document) or _is_map(document)):
        yield prefix, document
        return
    for name, value in document.items():
        yield from _maps_in(value, (*prefix, name))


def _is_by_time(document: dict[str, Any]) -> bool:
    return all(_TIME.fullmatch(name) for name in document) and all(
        type(value) is dict or number_in(value) is not None for value in document.values()
    )


def _is_map(document: dict[str, Any]) -> bool:
    """Return whether all members of an object are objects with the same members, at least two of them numbers."""
    values = list(document.values())
    if not all(type(value) is dict for value in values) or len({frozenset(value) for value in values}) > 1:
        return False
    if all(map(_is_by_time, values)):
        return False  # a column each
    return all(sum(number_in(each) is not None for each in value.values()) > 1 for value in values)


def names_are_times(rows: Sequence[ObservationRow]) -> bool:
    """Return whether the observations are members of an object whose names are times."""
    return all(row.around and row.around.name and _TIME.fullmatch(row.around.name) for row in rows)


def _find_list(documents: Sequence[object]) -> str:
    """Return the path of the elements of the best list, and of lists within them; empty if there is no list."""
    found: dict[tuple[Step, ...], list[int]] = defaultdict(list)
    for document in documents:
        for steps, elements in lists_in(document):
            if any(_has_number(each) for each in elements[:5]):
                found[steps].append(len(elements))
    outside, timed = _measures(documents), any(map(_has_time, documents[:5]))
    best, most = "", -math.inf
    for steps, counts in found.items():
        passed_over = any(wraps_messages(str(step)) for step in steps) or _is_side(steps[-1])
        if not is_path(steps) or passed_over or len(counts) < 0.5 * len(documents):
            continue
        is_usual = str(steps[-1]).lower() in LISTS
        if outside and _are_labels(documents, steps):
            continue
        if (
            outside
            and not (outside <= 1 and (is_usual or _has_more(documents, steps)))
            and not ((is_usual or max(counts) > 1) and _is_series(documents, steps))
        ):
            continue
        score = sum(counts) + 1000 * is_usual - len(steps)
        if score > most:
            best, most = f"{write_path(steps)}[*]{_inner(_elements_at(documents, steps), timed=timed)}", score
    return best


def _is_side(name: Step) -> bool:
    """Return whether a list is a side of an order book, whose levels only their place distinguishes."""
    return not {"ask", "asks", "bid", "bids"}.isdisjoint(words_of(str(name)))


def _are_labels(documents: Sequence[object], at: tuple[Step, ...]) -> bool:
    """Return whether the list at a path has labels, such as {"key": "code", "type": "int64", "value": 200}."""
    named = str(at[-1]).lower() in TAGS
    return named and all({"key", "value"} <= each.keys() for each in _elements_at(documents, at) if type(each) is dict)


def _elements_at(documents: Sequence[object], at: tuple[Step, ...]) -> list[Any]:
    return [each for document in documents[:50] for steps, found in lists_in(document) if steps == at for each in found]


def _has_more(documents: Sequence[object], at: tuple[Step, ...]) -> bool:
    """Return whether the elements of the list at a path have at least two measured values."""
    return _measures(_elements_at(documents, at)) > 1


def _is_series(documents: Sequence[object], at: tuple[Step, ...]) -> bool:
    """Return whether the elements of the list at a path have names and values, or times that nothing outside has."""
    elements = _elements_at(documents, at)
    if all(type(each) is dict and {*map(str.lower, each)} & VALUES and _label(each) for each in elements):
        return True
    timed = all(_has_time(each) for each in elements)
    return timed and not any(time_score(path) >= _TIME_NAME for path in columns_of(documents[:50]))


def _label(element: dict[str, Any]) -> bool:
    return any(name.lower() in NAMES and type(value) is str for name, value in element.items())


def _has_time(element: Any) -> bool:
    """Return whether an element has a member named like a time, or the text of one."""
    return any(
        time_score(path) >= _TIME_NAME or (type(column.values[0]) is str and _MOMENT.match(column.values[0]))
        for path, column in columns_of([element]).items()
    )


def _inner(elements: Sequence[Any], *, timed: bool) -> str:
    """Return the path of a list or table within the elements of a list; empty if these have numbers themselves.

    `timed` says that there is a time around the list; where there is none, times in an inner list decide for that.
    """
    timed = timed or _has_time(elements[0])
    if _measures(elements) and (timed or not _holds_times(elements)):
        return ""
    for element in elements[:5]:
        for steps in (each for each, _ in tables_in(element) if is_path(each)):
            return f".{write_path(steps)}[#]" if steps else "[#]"
        lists = [
            (steps, inner)
            for steps, inner in lists_in(element)
            if is_path(steps)
            and not (wraps_messages(str(steps[-1])) or _is_side(steps[-1]))
            and any(_has_number(each) for each in inner)
        ]
        if lists:
            steps, inner = max(lists, key=lambda each: _holds_times(each[1]))
            return f".{write_path(steps)}[*]{_inner(inner, timed=timed)}"
    return ""


def _holds_times(elements: Sequence[Any]) -> bool:
    """Return whether the elements of a list, or of a list within them, have a member named like a time."""
    named = any(time_score(path) >= _TIME_NAME for path in columns_of(elements[:1]))
    tables = any(True for _ in tables_in(elements[0]))
    return named or tables or any(_holds_times(inner) for _, inner in lists_in(elements[0]))


def _names_its_lists(document: object) -> bool:
    """Return whether a document has only lists of objects of one shape, under names that are not usual for lists."""
    if type(document) is not dict or len(document) < 2 or any(name.lower() in LISTS for name in document):
        return False
    if not all(type(each) is list and each and all(type(one) is dict for one in each) for each in document.values()):
        return False
    shapes = {frozenset(one) for each in document.values() for one in each[:5]}
    return len(shapes) == 1 and any(_has_number(each[0]) for each in document.values())


def other_lists(documents: Sequence[object], observations: str, parts: Sequence[object]) -> list[str]:
    """Return doubts about lists that are not read: next to the list of observations, and within its elements."""
    return _beside(documents, observations) + _unread(parts, observations)


def _beside(documents: Sequence[object], observations: str) -> list[str]:
    """Return doubts about unread values next to the list of observations: lists of the same shape, and numbers."""
    chosen, shape, others = "", frozenset[str](), {}
    for document in documents:
        for steps, elements in lists_in(document):
            path = f"{write_path(steps)}[*]"
            names = frozenset(elements[0]) if type(elements[0]) is dict else frozenset()
            if observations.startswith(path):
                chosen, shape = path, names
            else:
                others[path] = names
    left = sorted(path for path, names in others.items() if chosen and names == shape)
    shown = ", ".join(f"`{path}`" for path in left[:4])
    doubts = [f"{shown}: more observations, which are not read; one list can be (input.observations)"] if left else []
    outside = _measured(documents) if chosen else []
    shown = ", ".join(f"`{path}`" for path in outside[:4])
    return doubts + (
        [f"{shown} beside `{chosen}`: not read; without input.observations only these would be"] if outside else []
    )


def _unread(parts: Sequence[object], observations: str) -> list[str]:
    """Return a doubt about lists of numbers within the observations."""
    measured: dict[tuple[Step, ...], str] = {}
    for part in parts:
        for steps, elements in lists_in(part):
            names = _measured(elements) if steps not in measured and not is_described(f"{write_path(steps)}.x") else []
            if not names and _is_side(steps[-1]):  # its prices may be text
                names = [
                    path for path, each in columns_of(elements[:1]).items() if number_in(each.values[0]) is not None
                ]
            if names and is_path(steps):
                measured[steps] = names[0]
    if not measured:
        return []
    lists = {write_path(steps): name for steps, name in measured.items()}
    path, name = next(iter(lists.items()))
    shown = ", ".join(f"`{each}`" for each in list(lists)[:4])
    element = f"{path}[0]{name if name.startswith('[') else f'.{name}'}"
    whole = f"{observations}{'' if path.startswith('[') or not observations else '.'}{path}[*]"
    return [
        f"{shown}: lists that are not read; input.fields can name what is in an element that is always the same, such "
        f"as {element}, or input.observations be `{whole}`, and then all else is not read"
    ]


def element_indexes(rows: Sequence[ObservationRow]) -> list[int] | None:
    """Return the index of each row in its record's list; None unless all records have lists of the same length."""
    by_record: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        if row.around is None or row.around.position is None:
            return None
        by_record[id(row.record)].append(row.around.position)
    lists = list(by_record.values())
    alike = len(lists) >= _MIN_RECORDS and len(lists[0]) > 1 and all(each == lists[0] for each in lists)
    return [index for each in lists for index in each] if alike else None


def _has_number(element: Any) -> bool:
    columns = columns_of([element])
    if named_pair(element) is not None and any(type(each.values[0]) is str for each in columns.values()):
        return any(type(each.values[0]) in (int, float) for each in columns.values())  # a tag
    return (
        any(number_in(each.values[0], units=True) is not None for each in columns.values())
        or any(last_step(path).lower() in VALUES for path in columns)
        or any(True for _ in lists_in(element))
        or any(True for _ in tables_in(element))
    )


def _measures(documents: Sequence[object], *, without: str = "\n") -> int:
    """Return the number of members that are measured values, ignoring paths that begin with `without`."""
    return len(_measured(documents, without=without))


def _measured(documents: Sequence[object], *, without: str = "\n") -> list[str]:
    """Return the paths of members that are measured values, judged by names and values; see `_measures`."""
    return [
        path
        for path, column in columns_of(documents).items()
        if column.present
        and not (path.startswith(without) or is_identifier(path) or is_described(path) or time_score(path))
        and last_step(path).lower() not in _COUNTS
        and words_of(last_step(path))[-1:] != ["interval"]
        and words_of(last_step(path))[:2] != ["number", "of"]
        and all(_is_measure(value) for value in column.present[:50])
        and not (
            _is_fixed(column.present, _MIN_ALIKE if _ELEMENT.fullmatch(path) else _MIN_VALUES)
            or (is_numbered(path) and all(type(each) is int for each in column.present))
        )
    ]


def _is_fixed(values: Sequence[Any], least: int = _MIN_VALUES) -> bool:
    """Return whether values are all the same whole number, such as the address of a device."""
    return len(values) >= least and type(values[0]) is int and all(value == values[0] for value in values)


def _is_measure(value: Any) -> bool:
    number = number_in(value)
    return number is not None and not 1e9 <= abs(number) < 4.2e18 and type(value) is not str
