"""Members that may be the key, each with how likely it is."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import correlation, mean
from typing import Any

from streamrnn.commands.sniff.search.categories import are_measures, are_smoother, is_key
from streamrnn.commands.sniff.search.exclusions import are_near, rise_steadily
from streamrnn.commands.sniff.search.exclusions.codes import is_idle_share
from streamrnn.commands.sniff.search.table import Column, ObservationRow, number_in
from streamrnn.commands.sniff.search.words import (
    ALSO_MEASURED,
    SOME_ID,
    STATES,
    is_described,
    is_duration,
    is_identifier,
    is_message_id,
    joined,
    key_score,
    last_step,
    time_score,
    words_of,
)

KEY_MEMBER = "record:key."
"""Start of the paths of members of the records' own keys."""
SURE = 60
"""Least score of a member that is the key, if the records' own keys are absent or all the same."""
_COLUMN = re.compile(r"c\d+|\[\d+\]")
"""A column without a name."""
_OF_HEADER = 35
"""What to subtract from the score of a header, which may describe who wrote the record."""
_MEASURED = frozenset((
    "counters", "decoded", "decoded_payload", "gauges", "histograms", "meters", "object", "payload_fields", "reported",
    "timers",
))  # fmt: skip
"""Names of objects of measured values."""
_LOADS = frozenset(("cpu", "disk", "fan", "gpu", "mem", "memory", "ram", "swap"))
"""Names of loads of a computer."""
_THING = 100
"""Score of a name that is certainly that of a thing."""
_MOST_THINGS, _MOST_DOUBTED = 8, 32
"""Most different numbers that are taken for those of things, and that may be."""
_DOUBTED, _UNKNOWN = 40, 15
"""Largest scores of an `id`, and of the id of something unknown, if each of a few records has another one."""


def key_candidates(
    columns: Mapping[str, Column],
    rows: Sequence[ObservationRow],
    *,
    used: Sequence[str],
    times: Sequence[int | None],
    tags: str,
) -> list[tuple[str, float]]:
    """Return the paths of members that may be the key, each with a score, the best first.

    Args:
        columns: The members by path.
        rows: The observations.
        used: Paths with another role, such as the time and the name of a field.
        times: Event time by row.
        tags: Name of the object of tags, whose members are no candidates; empty if there is none.
    """
    candidates = [
        (path, score)
        for path, column in columns.items()
        if path not in used
        and not is_within(path, tags)
        and not _is_of_part(path, columns)
        and not is_idle_share(path, columns)
        and not _is_load(column, columns, times)
        and (score := _score(column, rows, times)) > 0
    ]
    return sorted(candidates, key=lambda each: -each[1])


def is_within(path: str, parent: str) -> bool:
    """Return whether a path leads into an object; no path does if `parent` is empty."""
    return bool(parent) and path.startswith(f"{parent}.")


def _score(column: Column, rows: Sequence[ObservationRow], times: Sequence[int | None]) -> float:
    """Return how likely a column is the key; 0 if it cannot be."""
    values = column.present
    if not values or len(values) < 0.9 * len(rows) or not all(is_key(value) for value in values):
        return 0
    if _numbers_something(column, rows, times):
        return 0
    distinct = len(set(map(str, values)))
    score = float(key_score(column.path)) - _OF_HEADER * column.path.startswith("header:")
    if _identifies_messages(column, rows, sure=score >= _THING):
        return 0
    if (named := joined(last_step(column.path)) in ("id", "uuid")) or score == SOME_ID:
        score = min(score, _DOUBTED if named else _UNKNOWN) if all_differ(column, rows) else score
    if not score and time_score(column.path) >= SURE:
        return 0
    if len(last_step(column.path)) == 1 and type(values[0]) is int:
        return 0  # of an exchange: `s` is a size, if not a symbol
    if score < SURE and all(number_in(value) is not None for value in values):
        return 0
    if not score and distinct == 1 and _COLUMN.fullmatch(column.path):
        return 5
    if not score and (distinct == 1 or distinct > len(values) / 2 or STATES.intersection(words_of(column.path))):
        return 0
    return (score or 10.0) - 2 * column.path.count(".") - 5 * (type(values[0]) is int) + 8 * (distinct > 1)


def _identifies_messages(column: Column, rows: Sequence[ObservationRow], *, sure: bool) -> bool:
    """Return whether values are ids of messages: each record has another one, or they are numbers that only rise.

    `sure` says that the name is surely that of a thing; only an `id` may be that of a message nevertheless.
    """
    if sure:
        return last_step(column.path).lower() in ("id", "mrid") and _names_records(column, rows)
    numbers = [number for value in column.present if (number := number_in(value)) is not None]
    rise = len(numbers) == len(column.present) and rise_steadily(numbers)
    return rise or _names_records(column, rows)


def _is_of_part(path: str, columns: Mapping[str, Column]) -> bool:
    """Return whether a member identifies one of several parts of a device, such as `DS18B20-1.Id`."""
    above, _, name = path.rpartition(".")
    if not above or above == "record:key" or key_score(above):
        return False
    device = above.rpartition(".")[0]
    others = {each.rpartition(".")[0] for each in columns if last_step(each) == name} - {above, "record:key"}
    alike = (each for each in others if each.rpartition(".")[0] == device and not is_described(f"{each}.x"))
    return any(not key_score(each) for each in alike)


def _numbers_something(column: Column, rows: Sequence[ObservationRow], times: Sequence[int | None]) -> bool:
    """Return whether a column has durations, measured values, times or record numbers."""
    values = column.present
    if is_duration(column.path) or are_measures(values) or are_near([number_in(v) for v in column.values], times):
        return True
    if type(values[0]) is int and not _MEASURED.isdisjoint(column.path.split(".")[:-1]):
        return not is_identifier(column.path)  # such as the speed of a fan
    started = joined(last_step(column.path)) == "instanceid" and type(values[0]) is int  # of an agent of MTConnect
    return started or (len(values) > 3 and _counts_records(values, rows, times))


def _counts_records(values: Sequence[Any], rows: Sequence[ObservationRow], times: Sequence[int | None]) -> bool:
    """Return whether values are whole numbers that rise by one with every record, or with every row of a table."""
    one_each = len({id(row.record) for row in rows}) == len(rows) or len(set(times)) > 1
    if not one_each or not all(str(value).isdigit() for value in values):
        return False
    return all(int(b) - int(a) == 1 for a, b in pairwise(values))


def _numbers_things(values: Sequence[Any], times: Sequence[int | None]) -> bool:
    """Return whether values are 0, 1 and so on, or from 1 on, each once per time or in the same order again."""
    different = sorted({number_in(value) or 0.0 for value in values})
    counted = len(different) > 1 and different[0] in (0, 1) and different[-1] - different[0] + 1 == len(different)
    period = len(different)
    recur = len(values) >= 3 * period and all(value == values[n % period] for n, value in enumerate(values))
    return counted and (recur or len({*times}) <= len(times) / 2)


def _is_load(column: Column, columns: Mapping[str, Column], times: Sequence[int | None]) -> bool:
    """Return whether a column has what is measured of a processor, a pump and the like, not which one it is.

    A load is one of several of a computer, or does not consist of a few numbers that recur.
    """
    if not _may_be_load(column) or _numbers_things(column.present, times):
        return False
    if _is_beside_load(column, columns):
        return True
    if len(set(map(number_in, column.present))) == 1:
        return key_score(column.path) < _THING or not number_in(column.present[0])
    return not (_recur(column.present, _MOST_THINGS) or _tell_apart(column, columns))


def perhaps_things(paths: Sequence[str], columns: Mapping[str, Column], times: Sequence[int | None]) -> list[str]:
    """Return doubts about recurring numbers of which it is unclear whether they identify things or measure them.

    Args:
        paths: The paths of the key.
        columns: The members by path that have no other role than that of a key or a field.
        times: Event time by row.
    """
    unclear = [
        path
        for path, column in columns.items()
        if _may_be_load(column)
        and key_score(path) > 0
        and (_recur(column.present, _MOST_DOUBTED) or _jump(column.present))
        and not _numbers_things(column.present, times)
        and not _is_beside_load(column, columns)
    ]
    return [
        f"`{path}` is taken for the number of a thing: if it is measured, take it out of input.key"
        if path in paths
        else f"`{path}` may be the key: if its numbers identify things, set input.key"
        for path in unclear
    ]


def _may_be_load(column: Column) -> bool:
    """Return whether a column has numbers and a name that both things and what is measured of them have."""
    named = joined(last_step(column.path)) in ALSO_MEASURED
    return named and bool(column.present) and all(number_in(value) is not None for value in column.present)


def _is_beside_load(column: Column, columns: Mapping[str, Column]) -> bool:
    """Return whether a column is one of several loads of a computer in the same object."""
    parent, _, name = column.path.rpartition(".")
    loads = {
        last_step(path).lower()
        for path, each in columns.items()
        if path.rpartition(".")[0] == parent and each.present and number_in(each.present[0]) is not None
    } & _LOADS
    return name.lower() in loads and len(loads) > 1


def _recur(values: Sequence[Any], most: int) -> bool:
    """Return whether values are a few positive whole numbers that return after other ones; at most `most` of them."""
    different = set(map(str, values))
    returned = 1 + sum(a != b for a, b in pairwise(map(str, values))) > len(different)
    few = 1 < len(different) <= min(most, len(values) // 2)
    return few and returned and all(each.isdigit() and int(each) for each in different)


def _jump(values: Sequence[Any]) -> bool:
    """Return whether whole numbers that recur follow each other in no order, unlike those of a quantity."""
    if not _recur(values, len(values)):
        return False
    numbers = [float(value) for value in values]
    steps = mean(abs(b - a) for a, b in pairwise(numbers))
    # the mean difference of any two of them
    apart = sum(number * (2 * place + 1 - len(numbers)) for place, number in enumerate(sorted(numbers)))
    return steps >= _UNORDERED * 2 * apart / len(numbers) ** 2


_SQUARED = 1e100
"""Numbers above this are too large to be squared and added."""
_UNORDERED, _DRIVEN = 0.7, 0.8
"""Least ratio of steps to other differences of numbers in no order, and least correlation of related quantities."""


def _tell_apart(column: Column, columns: Mapping[str, Column]) -> bool:
    """Return whether numbers in no order are those of things: what else is measured differs less for each of them.

    It does not rise or fall with the numbers, as it may if these are measured themselves.
    """
    if len(column.present) < len(column.values) or not _jump(column.present):
        return False
    numbers = [float(value) for value in column.values]
    others = [
        found
        for path, each in columns.items()
        if _may_be_measured(path)
        and len(found := [number for value in each.values if (number := number_in(value)) is not None]) == len(numbers)
        and len(set(found)) > 1
        and max(map(abs, found)) < _SQUARED
    ]
    driven = any(abs(correlation(numbers, each)) > _DRIVEN for each in others)
    return not driven and are_smoother([str(each) for each in numbers], [""] * len(numbers), others)


def _may_be_measured(path: str) -> bool:
    return not (time_score(path) or key_score(path) or is_identifier(path) or is_described(path))


def all_differ(column: Column, rows: Sequence[ObservationRow]) -> bool:
    """Return whether each of a few records has a value of its own."""
    pairs = {(id(row.record), str(value)) for row, value in zip(rows, column.values, strict=True)}
    return len(pairs) > 1 and len(pairs) == len({record for record, _ in pairs}) == len({value for _, value in pairs})


def _names_records(column: Column, rows: Sequence[ObservationRow]) -> bool:
    """Return whether each of several records has a value of its own, in all its rows."""
    values = [None if value is None else str(value) for value in column.values]
    pairs = {(id(row.record), value) for row, value in zip(rows, values, strict=True) if value is not None}
    return len(pairs) > 3 and len(pairs) == len({record for record, _ in pairs}) == len({value for _, value in pairs})


def says_little(column: Column) -> bool:
    """Return whether a column is 0 or 1 in all rows, and so numbers a part of the device in the record's key."""
    return len(set(column.present)) == 1 and str(column.present[0]) in ("0", "1")


def members_of_record_key(
    columns: Mapping[str, Column], rows: Sequence[ObservationRow], used: Sequence[str], times: Sequence[int | None]
) -> list[str]:
    """Return the paths of the members of keys that are JSON objects, without times and ids of messages."""
    return [
        path
        for path, column in columns.items()
        if path.startswith(KEY_MEMBER)
        and path not in used
        and len(column.present) == len(rows)
        and all(map(is_key, column.present))
        and time_score(path) < SURE
        and not is_message_id(path)
        and not are_near([number_in(value) for value in column.values], times)
        and not _names_records(column, rows)
    ]
