"""Members that split observations into series if the key alone does not."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from streamrnn.commands.sniff.search.numbers import has_measure
from streamrnn.commands.sniff.search.table import Column, ObservationRow, is_row, is_tuple, number_in
from streamrnn.commands.sniff.search.words import (
    STATES,
    is_duration,
    is_fraction,
    is_identifier,
    is_message_id,
    key_score,
    last_step,
    time_score,
    words_of,
)
from streamrnn.formats import usable_name
from streamrnn.mapping.paths import MEMBER_INDEX

_MAX_FURTHER = 4
"""Largest number of members added to a key that does not tell all series apart."""


def is_key(value: Any) -> bool:
    """Return whether a value can be a key, or part of one."""
    return type(value) is int or (type(value) is str and usable_name(value) and len(value) <= 100)


def recurring_elements(columns: Mapping[str, Column], rows: Sequence[ObservationRow], *, have_own: bool) -> list[str]:
    """Return the paths of elements of mixed lists that recur: texts, and a number if there is at most one text.

    Examples are the names of channel and instrument in the messages of exchanges, and the number of a channel.
    """
    around = rows[0].around
    root = around.documents[-1] if around else rows[0].part
    if not is_tuple(root) or is_row(root):
        return []
    elements = [f"{'$.' if around else ''}[{index}]" for index in range(len(root))]
    recurring = {
        path: set(map(type, columns[path].values))
        for path in elements
        if path in columns and len(set(map(str, columns[path].values))) <= max(1, len(rows) // 4)
    }
    texts = [path for path, kinds in recurring.items() if kinds == {str} and not _is_number_text(columns[path])]
    numbers = [path for path, kinds in recurring.items() if kinds == {int}][:1] if len(texts) < _NAMED else []
    return [*numbers, *texts] if texts or not have_own else []


_NAMED = 2
"""Texts that suffice to identify the subject of a list."""


def _is_number_text(column: Column) -> bool:
    return all(number_in(value) is not None for value in column.present)


def distinguishing(
    keys: Sequence[str],
    columns: Mapping[str, Column],
    rows: Sequence[ObservationRow],
    times: Sequence[str | None],
) -> list[str]:
    """Return the paths of further members of the key that make times unique per key; empty if none are needed or help.

    Args:
        keys: Key by row.
        columns: The columns to choose from, by path.
        rows: The observations.
        times: Event time and field name by row; None if unknown.
    """
    before = _clashes(keys, times, rows)
    categories = [
        column
        for path, column in columns.items()
        if not is_fraction(path) and (_is_category(column, rows) or _number_members(column, keys, times))
    ]
    categories.sort(key=lambda each: -key_score(each.path))
    chosen: list[str] = []
    left = before
    while left > before * 0.05 and len(chosen) < _MAX_FURTHER:
        longer = {
            column.path: [f"{key}/{value}" for key, value in zip(keys, column.values, strict=True)]
            for column in categories
            if column.path not in chosen
        }
        clashes = {
            path: _clashes(each, times, rows)
            for path, each in longer.items()
            if len(set(each)) < 0.9 * len(rows) or _names_few(columns[path], rows) or _recurs(columns[path], rows)
        }
        enough = next((path for path, count in clashes.items() if count <= before * 0.05), None)
        best = enough or min(clashes, key=lambda path: clashes[path], default="")
        if not best or clashes[best] >= left:
            return []
        chosen.append(best)
        keys, left = longer[best], clashes[best]
    return chosen


def polled_together(times: Sequence[int | None]) -> Sequence[int | None]:
    """Return times with those of a burst replaced by its first if all rows come in bursts of one size, as if polled.

    Only the last burst may be shorter. Within bursts, times are at most a fiftieth of the distance of bursts apart.
    """
    known = [time for time in times if time is not None]
    gaps = [b - a for a, b in pairwise(known)]
    if len(known) < len(times) or not gaps or min(gaps) < 0:
        return times
    starts = [0, *(index for index, gap in enumerate(gaps, 1) if gap > max(gaps) / _BURST)]
    sizes = [b - a for a, b in pairwise([*starts, len(known)])]
    if len(sizes) <= _FULL_BURSTS or sizes[0] < 2 or {*sizes[:-1]} != {sizes[0]} or sizes[-1] > sizes[0]:
        return times
    return [known[start] for start, size in zip(starts, sizes, strict=True) for _ in range(size)]


_BURST, _FULL_BURSTS = 50, 3
"""Least ratio of the distances of bursts and of the times in them, and fewest bursts that have their full size."""


def unused_numbers(
    columns: Mapping[str, Column], rows: Sequence[ObservationRow], times: Sequence[str | None], keys: Sequence[str]
) -> list[str]:
    """Return the path of numbers of list elements, in at most a few records, that share a key and a time; or none."""
    if not _clashes(keys, times, rows):
        return []
    numbers = [each for path, each in columns.items() if last_step(path).lower() in _INDEX_NAMES]
    records = [id(row.record) for row in rows]
    return [each.path for each in numbers if len({*zip(records, map(str, each.values), strict=True)}) == len(rows)][:1]


def uncounted_times(more: Sequence[str], columns: Mapping[str, Column], unused: Sequence[str]) -> list[str]:
    """Return a doubt about numbered periods of a day, or about numbered elements of a list that share a time.

    Args:
        more: Paths that were added to the key to make times unique.
        columns: The columns that have no other role, by path.
        unused: Paths of numbers that would have made times unique.
    """
    periods = [path for path in more if path in columns and _numbers_periods(columns[path])]
    if periods:
        return [
            f"`{periods[0]}` numbers the periods of a day, each as a series of its own: if these are one series, their "
            "times must be written before streamrnn reads them"
        ]
    numbers = [path for path in more if last_step(path).lower() in _INDEX_NAMES or path == MEMBER_INDEX]
    numbered = next(iter(numbers or unused), None)
    steps = [path for path in columns if is_duration(path)]
    if numbered is None or not steps:
        return []
    own = ", each as a series of its own" if numbers else ""
    return [
        f"the elements with one time differ by `{numbered}`{own}: if they follow each "
        f"other by `{steps[0]}`, as those of a load profile do, their times must be written before streamrnn reads them"
    ]


_PERIODS, _PERIOD = (
    frozenset(("hour", "hours", "interval", "period", "slot")),
    re.compile(r"\d+(?:\s*[-\u2013]\s*\d+)?"),
)
"""Words of names of periods of a day, and how these are written: `7`, or `06 - 07`."""


def _numbers_periods(column: Column) -> bool:
    """Return whether a column has the numbers of periods, judged by its name and values."""
    named = not _PERIODS.isdisjoint(words_of(last_step(column.path)))
    return named and all(_PERIOD.fullmatch(str(value)) for value in column.present)


_INDEX_NAMES = frozenset(("position", "index", "idx", "pos", "nr", "no", "number"))


def undecided(
    columns: Mapping[str, Column], rows: Sequence[ObservationRow], keys: Sequence[str], fields: Sequence[Sequence[Any]]
) -> list[str]:
    """Return a doubt about a member that may belong to the key, as it splits the values of a key into smoother series.

    Args:
        columns: The members that have no other role.
        rows: The observations.
        keys: Key by row.
        fields: The numbers of each field by row.
    """
    most = len({id(row.record) for row in rows}) / _RECURRING
    for path, column in columns.items():
        named = not time_score(path) and not STATES.intersection(words_of(last_step(path)))
        if not named or not _is_category(column, rows) or len(set(column.present)) > most:
            continue
        longer = [f"{key}/{value}" for key, value in zip(keys, column.values, strict=True)]
        if len(set(longer)) == len(set(keys)):
            continue
        if are_smoother(longer, keys, fields):
            return [
                f"the values of one key differ by `{path}`, such as {column.present[0]!r}: if it names what is "
                "measured, add it to input.key"
            ]
    return []


def are_smoother(longer: Sequence[str], keys: Sequence[str], fields: Sequence[Sequence[Any]]) -> bool:
    """Return whether the numbers of most fields, each by row, differ much less within longer keys than within keys."""
    ratios = [_roughness(longer, each) / whole for each in fields if (whole := _roughness(keys, each))]
    return bool(ratios) and sorted(ratios)[len(ratios) // 2] < _SMOOTHER


_SMOOTHER = 0.4
"""Ratio of the roughness of split series to that of unsplit ones, below which a member belongs to the key."""
_RECURRING = 4
"""Fewest records per value of such a member, on average."""


def _roughness(keys: Sequence[str], values: Sequence[Any]) -> float:
    """Return the mean absolute difference between successive values of a key; 0 if there are few differences."""
    last: dict[str, float] = {}
    total, count = 0.0, 0
    for key, value in zip(keys, values, strict=True):
        if value is None:
            continue
        if key in last:
            total += abs(value - last[key])
            count += 1
        last[key] = value
    return total / count if count >= _MIN_RECORDS else 0.0


_MIN_RECORDS = 8
"""Fewest differences for a mean."""


def _is_category(column: Column, rows: Sequence[ObservationRow]) -> bool:
    values = column.present
    if len(values) < len(rows) or not all(map(is_key, values)) or are_measures(values):
        return False
    if not 1 < len(set(values)) <= max(2, len(rows) // 2) and not _names_few(column, rows):
        return False
    named = key_score(column.path) > 0 or is_identifier(column.path) or column.path == MEMBER_INDEX
    named = named or words_of(last_step(column.path))[-1:] == ["index"] or _numbers_periods(column)
    texts = all(type(value) is str and (number_in(value) is None or _is_code(value)) for value in values)
    return named or texts or _numbers_elements(values, rows) or _recurs_evenly(values)


def _recurs_evenly(values: Sequence[Any]) -> bool:
    """Return whether values are a few whole numbers that follow each other in the same order, as polled devices do."""
    period = len(set(values))
    if not all(type(value) is int for value in values) or len(values) < 3 * period:
        return False
    return all(value == values[index % period] for index, value in enumerate(values))


def _is_code(text: str) -> bool:
    """Return whether digits begin with a zero, as those of a code do."""
    return text[:1] == "0" and len(text) > 1 and text.isdecimal()


def _names_few(column: Column, rows: Sequence[ObservationRow]) -> bool:
    """Return whether a column of few observations has names, judged by the column's name; then all may differ."""
    named = key_score(column.path) >= _NAMES_THINGS or is_identifier(column.path)
    return (
        len(rows) <= _FEW_ROWS
        and named
        and not is_message_id(column.path)
        and all(type(value) is str for value in column.present)
    )


def _recurs(column: Column, rows: Sequence[ObservationRow]) -> bool:
    """Return whether a text of a few observations occurs twice."""
    texts = all(type(value) is str for value in column.present)
    return len(rows) <= _FEW_ROWS and texts and len(set(column.present)) < len(column.present)


_FEW_ROWS = 5
_NAMES_THINGS = 60
"""Least key score of the name of a member that holds names."""


def are_measures(values: Sequence[Any]) -> bool:
    """Return whether values are all texts with decimal numbers or with numbers and a known unit, and so not names."""
    return all(type(value) is str and has_measure(value) for value in values)


def _numbers_elements(values: Sequence[Any], rows: Sequence[ObservationRow]) -> bool:
    """Return whether a column numbers list elements: every record has the same distinct values in the same order."""
    lists: dict[int, list[Any]] = {}
    for value, row in zip(values, rows, strict=True):
        lists.setdefault(id(row.record), []).append(value)
    first = next(iter(lists.values()))
    return len(lists) > 2 and len(set(first)) == len(first) > 1 and all(each == first for each in lists.values())


def _number_members(column: Column, keys: Sequence[str], times: Sequence[str | None]) -> bool:
    """Return whether the rows of one key and time have the same whole numbers each time, each once."""
    if not all(type(value) is int for value in column.values):
        return False
    groups: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for key, time, value in zip(keys, times, column.values, strict=True):
        groups[key, time].append(value)
    first = sorted(next(iter(groups.values())))
    alike = all(sorted(each) == first for each in groups.values())
    return alike and len(groups) >= _MIN_GROUPS and len({*first}) == len(first) > 1


_MIN_GROUPS = 3
"""Fewest times from which it is evidence that the numbers are the same each time."""


def _clashes(keys: Sequence[str], times: Sequence[str | None], rows: Sequence[ObservationRow]) -> int:
    """Return the number of rows with the key and time of an earlier row, one of which has all members of the other."""
    seen: dict[tuple[str, str], set[frozenset[str]]] = defaultdict(set)
    clashes = 0
    for key, time, row in zip(keys, times, rows, strict=True):
        if time is not None:
            names, others = frozenset(row.part if type(row.part) is dict else ()), seen[key, time]
            clashes += any(names <= other or names >= other for other in others)
            others.add(names)
    return clashes
