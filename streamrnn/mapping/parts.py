"""The parts of a document that are one observation each: elements of lists, members of objects, rows of tables.

A table is an object of lists, one per column, such as `{"time": [...], "temp": [...]}`, or an object with a list of
names and a list of rows, such as `{"columns": ["time", "temp"], "values": [[...], [...]]}`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from streamrnn.errors import RecordError
from streamrnn.mapping.paths import ALL, ROWS, Step, Surroundings, find, json_in

_NAMES = frozenset({"columns", "column_names", "columnnames", "column_meta", "fields", "header", "headers", "names"})
"""Members, in lower case, that name the columns of a list of rows."""
MAX_ROWS = 10_001
"""Rows of a table to read at most: one more than the number of observations that a record may have."""
INDEX = "index"
"""Member with the labels of rows, as pandas writes them."""
_LEAST_TIME = 10**9
_NAME_OF = ("name", "text", "columnname", "field", "label")
"""Member of an object, in lower case, that names a column."""

Part = tuple[Any, Surroundings]


def find_parts(document: Any, steps: Sequence[Step], *, numbered: bool = False) -> list[Part]:
    """Return the values at a path with any number of `*` and `#`, with their surroundings.

    A list at the end of the path yields its elements. If `numbered`, the surroundings have the index in the list.
    """
    found = [(document, Surroundings((document,), found={}))]
    spread = [index for index, step in enumerate(steps) if step in (ALL, ROWS)]
    tail = spread[-1] + 1 if spread else 0
    for index, step in enumerate(steps[:tail]):
        if step in (ALL, ROWS):
            spread_out = _elements if step == ALL else _rows
            found = [each for part, around in found for each in spread_out(part, around, numbered)]
            if index + 1 < len(steps):  # the following steps are within the elements
                found = [
                    (each, Surroundings((each, *around.documents), around.name, around.position, {}))
                    for each, around in found
                ]
        else:
            found = [(value, around) for part, around in found if (value := find(part, [step])) is not None]
    if tail == len(steps):
        return found
    values = [(_opened(value), around) for part, around in found if (value := find(part, steps[tail:])) is not None]
    return [
        each for value, around in values for each in (
            _elements(value, around, numbered) if type(value) is list else [(value, around)]
        ) if each[0] is not None
    ]  # fmt: skip


def rows_in(table: Any) -> list[Any]:
    """Return the rows of a table as objects, or a RecordError for a row of another length; none if it is no table."""
    if type(table) is not dict:
        return []
    lists = {name: value for name, value in table.items() if type(value) is list and value}
    named = next((name for name in lists if name.lower() in _NAMES and _names_in(lists[name])), None)
    if named is not None:
        names = _names_in(lists.pop(named))
        rows = next((value for value in lists.values() if all(type(each) is list for each in value)), None)
        if rows is not None:
            if _are_times(index := lists.get(INDEX, []), rows):
                names, rows = [*names, INDEX], [[*cells, time] for cells, time in zip(rows, index, strict=True)]
            return [_row(names, cells) for cells in rows[:MAX_ROWS]]
    columns = {name: value for name, value in lists.items() if not any(type(each) in (dict, list) for each in value)}
    lengths = Counter(map(len, columns.values()))
    if not lengths:
        return []
    length = lengths.most_common(1)[0][0]
    columns = {name: value for name, value in columns.items() if len(value) == length}
    return [dict(zip(columns, cells, strict=True)) for cells in islice(zip(*columns.values(), strict=True), MAX_ROWS)]


def _are_times(index: list[Any], rows: list[Any]) -> bool:
    """Return whether there is a time for each row: text, or a large number."""
    return len(index) == len(rows) and all(
        type(each) is str or (type(each) in (int, float) and each >= _LEAST_TIME) for each in index
    )


def _names_in(columns: list[Any]) -> list[str]:
    """Return the names of columns: texts, objects with a name, or lists that begin with one; else empty."""
    names = [each[0] if type(each) is list and each else _name_of(each) for each in columns]
    return names if all(type(name) is str for name in names) and len(set(names)) == len(names) else []


def _name_of(column: Any) -> Any:
    if type(column) is not dict:
        return column
    by_name = {name.lower(): value for name, value in column.items()}
    return next((by_name[name] for name in _NAME_OF if name in by_name), None)


def _row(names: list[str], cells: list[Any]) -> Any:
    if len(cells) != len(names):
        return RecordError("missing_field", f"a row has {len(cells)} cells, but there are {len(names)} columns")
    return dict(zip(names, cells, strict=True))


def _rows(table: Any, around: Surroundings, _numbered: bool) -> Iterator[Part]:  # noqa: FBT001 -- as `_elements`
    """Yield the rows of a table, each with the table in its surroundings."""
    table = _opened(table)
    inner = around if around.documents[0] is table else around._replace(documents=(table, *around.documents), found={})
    yield from ((row, inner) for row in rows_in(table))


def _opened(value: Any) -> Any:
    """Return the JSON in a text; any other value unchanged."""
    return json_in(value) if type(value) is str else value


def _elements(value: Any, around: Surroundings, numbered: bool) -> Iterator[Part]:  # noqa: FBT001 -- one call's width
    """Yield the elements of a list, or the members of an object, which `*` selects."""
    value = _opened(value)
    if type(value) is list and numbered:
        yield from ((each, around._replace(position=index)) for index, each in enumerate(value))
    elif type(value) is list:
        yield from ((each, around) for each in value)
    elif type(value) is dict:
        yield from ((each, around._replace(name=name)) for name, each in value.items())
