"""The search for the event time: its path, unit and pattern, and the points in doubt."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from streamrnn.commands.sniff.search.patterns import find_compact, find_pattern
from streamrnn.commands.sniff.search.table import Column, ObservationRow
from streamrnn.commands.sniff.search.time_doubts import (
    CLOCK,
    DAY,
    MAX_TRIED,
    TimeCandidate,
    a_column_per_month,
    clock_apart,
    far_apart,
    fraction_beside,
    have_form,
    no_time,
    other_times,
    staleness,
    without_offset,
)
from streamrnn.commands.sniff.search.words import last_step, time_score
from streamrnn.errors import RecordError
from streamrnn.mapping.times import TimeReader, TimeRule
from streamrnn.timestamps import parse_iso

RECORD_TIME = "record:timestamp"
_FIRST, _LAST = parse_iso("2000-01-01"), parse_iso("2101-01-01")
_NEAR_DAYS = 2
_UNNAMED = 25
"""Score of text with a date and a time of day, under any name."""
_FEW = 8
_DAY_ALONE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{4}[./-]\d{1,2}[./-]\d{1,2}")
_GLUED_CLOCK, _GLUED_DAY = re.compile(r"[0-2]\d[0-5]\d[0-5]\d"), re.compile(r"(?:19|20)\d{6}")
_DATED = re.compile(
    r"\s*(?:20\d{6}-\d{2}:\d{2}:|"
    r"(?:\d{4}-\d{2}-\d{2}|\d{4}/\d{2}/\d{2}|\d{1,2}([./])\d{1,2}\1\d{4})[T ,]+\d{1,2}[:.]\d{2})"
)
_NUMERIC = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


class TimeChoice(NamedTuple):
    """The event time, as section `input.time` configures it."""

    paths: tuple[str, ...] = ()
    """Paths of the members; empty: the record's own timestamp."""
    unit: str = ""
    """Unit of numbers; empty for text."""
    formats: tuple[str, ...] = ()
    """Patterns of text; empty for ISO 8601 and the like."""
    words: str = ""
    """Kind of the times and an example, for a comment."""
    doubts: tuple[str, ...] = ()
    times: Sequence[int | None] = ()
    """Event time by row, ms; None for a row without one."""
    columns: tuple[str, ...] = ()
    """Columns of a table whose texts, joined by spaces, are the time; `paths` is then empty."""


def find_time(
    columns: Mapping[str, Column],
    rows: Sequence[ObservationRow],
    *,
    prefer: Sequence[str] = (),
    inner: Sequence[str] = (),
    table: bool = False,
) -> TimeChoice:
    """Return the event time: the best member, or the record's own timestamp if no member is a time.

    Args:
        columns: The members of the observations' documents by path.
        rows: The observations.
        prefer: Paths that are known to be the event time, such as that of a candle's start.
        inner: Paths within the elements of a list, whose own times go before those around it.
        table: Whether date and time of day may stand in two columns.
    """
    if table and (pair := _date_and_clock(columns, rows)) is not None:
        return pair
    candidates = filter(None, (_candidate(each, rows, preferred=each.path in prefer) for each in columns.values()))
    found = [
        each._replace(score=each.score + _INNER * (each.column.path in inner and last_step(each.column.path) in _OWN))
        for each in candidates
    ]
    found = sorted((each for each in found if each.score > 0), key=lambda each: -each.score)
    found = [each for each in found if not each.column.path.startswith("header:")] or found
    own = [row.record.timestamp if row.record.timestamp > 0 else None for row in rows]
    if not found:
        words = "the record's own timestamp" if any(own) else ""
        return TimeChoice(times=own, words=words, doubts=tuple(no_time(columns, have_own=any(own))))
    best = _finest(found)
    found = [best, *(each for each in found if each is not best)]
    if apart := clock_apart(best, columns):
        return TimeChoice(times=own, words="the record's own timestamp", doubts=tuple(apart))
    paths, times, doubts = [best.column.path], list(best.times), list(best.doubts)
    for other in [*found[1:], None]:
        absent = [index for index, value in enumerate(_values(columns, paths)) if value is None]
        if not absent:
            break
        values = own if other is None else other.times
        alike = other is None or (other.unit, other.formats) == (best.unit, best.formats)
        same = alike and (other is None or time_score(other.column.path) > _UNNAMED)
        if same and any(values[index] is not None for index in absent):
            paths.append(RECORD_TIME if other is None else other.column.path)
            times = [other_time if time is None else time for time, other_time in zip(times, values, strict=True)]
    doubts += other_times(best, found[1:], paths)
    doubts += without_offset(best, own)
    doubts += [*far_apart(best, own), *fraction_beside(best, columns), *a_column_per_month(columns)]
    return TimeChoice(tuple(paths), best.unit, best.formats, _words(best), tuple(doubts), times)


def _finest(found: Sequence[TimeCandidate]) -> TimeCandidate:
    """Return the best candidate, or another with the same times in more detail: milliseconds, or the time of day."""
    best = found[0]
    for other in found[1:]:
        score = time_score(other.column.path)
        finer = score >= _NAMED and other.unit and _is_finer(other, best, 1000)
        if finer or (score == _CERTAIN and _is_finer(other, best, DAY)):
            return other
    return best


def _is_finer(other: TimeCandidate, best: TimeCandidate, step: int) -> bool:
    """Return whether times are those of another candidate, in milliseconds or with the time of day."""
    if other.doubts or None in other.times or None in best.times or best.unit not in ("s", ""):
        return False
    pairs = [(a, b) for a, b in zip(other.times, best.times, strict=True) if a is not None and b is not None]
    return any(a % step for a, _ in pairs) and all(a - a % step == b for a, b in pairs)


_INNER, _OWN = 36, frozenset(("T", "captured", "measured", "observed", "occurred", "recorded", "sampled", "t"))
"""What an own time of an element adds to its score, and the names of such times."""
_NAMED, _CERTAIN = 65, 100
"""Least scores of names of times to prefer: with milliseconds instead of seconds, and with times of day."""


def _values(columns: Mapping[str, Column], paths: Sequence[str]) -> list[Any]:
    lists = [columns[path].values for path in paths if path in columns]
    return [next((value for value in values if value is not None), None) for values in zip(*lists, strict=True)]


def _candidate(column: Column, rows: Sequence[ObservationRow], *, preferred: bool) -> TimeCandidate | None:
    present = [index for index, value in enumerate(column.values) if value is not None]
    tried = present[:MAX_TRIED]
    if not tried:
        return None
    name = 120 if preferred else time_score(column.path)
    numeric = all(type(column.values[i]) in (int, float) or _is_number(column.values[i]) for i in tried)
    if not name and not numeric:
        if sum(_is_dated(column.values[index]) for index in tried) < _MOST * len(tried):
            return None
        name = _UNNAMED
    values = [column.values[index] for index in tried]
    compact = find_compact(values) if numeric and name else ""
    numeric = numeric and not compact
    known = next((pattern for mark, pattern in _BY_PRODUCT.items() if mark in column.path), "")
    own = [timestamp if (timestamp := rows[index].record.timestamp) > 0 else None for index in tried]
    formats, doubts, times = _read_texts(values, compact or known, own) if not numeric else ((), (), [])
    reader = TimeReader(TimeRule(format=formats))
    times = times or [_read(reader, value) for value in values]
    least = 0.9 if name < 100 else 0.3
    if numeric:
        least = 0.9
        if not all(time is None or _FIRST <= time < _LAST for time in times):
            return None
        name = name or _nearness(column, times, [rows[index].record for index in tried])
    if _share(times) < least or not name:
        return None
    score = (
        name - 4 * column.path.count(".") + 10 * len(present) / len(rows) - staleness(times, own) - 40 * bool(doubts)
    )
    score -= 50 * (numeric and _is_ahead(times, [rows[index].record for index in tried]))
    every: list[int | None] = [None if value is None else _read(reader, value) for value in column.values]
    return TimeCandidate(column, score, reader.unit or "" if numeric else "", formats, every, doubts)


_BY_PRODUCT = {"(PDH-CSV 4.0)": "%m/%d/%Y %H:%M:%S.%f"}
"""Time patterns of products, by a part of the column's name: Windows' performance monitor."""


def _read_texts(
    values: Sequence[Any], compact: str, own: Sequence[int | None]
) -> tuple[tuple[str, ...], tuple[str, ...], list[int | None]]:
    """Return the patterns, the doubts and the times (ms) of text.

    Args:
        values: The texts.
        compact: The pattern, if it is known already; else empty.
        own: Timestamps of the records, ms.
    """
    usual = TimeReader(TimeRule())
    times = [_read(usual, value) for value in values]
    texts = all(type(value) is str for value in values)
    if (not compact or (texts and len(compact) in _UNDERSTOOD)) and _share(times) >= _MOST:
        return (), (), times
    formats, doubts = ((compact,), ()) if compact else find_pattern([str(value) for value in values], own)
    if not formats:
        return (), (), times
    reader = TimeReader(TimeRule(format=formats))
    return formats, doubts, [_read(reader, value) for value in values]


_MOST = 0.9
_UNDERSTOOD = (len("%Y%m%d"), len("%Y%m%d%H%M%S"))
"""Lengths of patterns of digits that are read as dates without a pattern, too."""


def _read(reader: TimeReader, value: Any) -> int | None:
    try:
        return reader.read(value)
    except RecordError:
        return None


def _share(times: Sequence[int | None]) -> float:
    return sum(time is not None for time in times) / len(times)


def _is_number(value: Any) -> bool:
    return type(value) is str and _NUMERIC.fullmatch(value.strip()) is not None


def _is_dated(value: Any) -> bool:
    """Return whether a text begins like a date, or a value is a time of a binary format."""
    return isinstance(value, datetime) or (type(value) is str and _DATED.match(value) is not None)


def _is_ahead(times: Sequence[int | None], records: Sequence[Any]) -> bool:
    """Return whether most times are later than their records, and so still to come."""
    pairs = [(a, b.timestamp) for a, b in zip(times, records, strict=True) if a is not None and b.timestamp > 0]
    return bool(pairs) and sum(time - own > _AHEAD for time, own in pairs) > len(pairs) / 2


_AHEAD = 600_000
"""Milliseconds by which the clocks of an event's writer and of the log may differ at most."""


def _nearness(column: Column, times: Sequence[int | None], records: Sequence[Any]) -> int:
    """Return the score of numbers without a telling name: 40 or 50 if near to records' times, 30 if plausible, or 0."""
    known = [time for time in times if time is not None]
    apart = [
        abs(time - record.timestamp)
        for time, record in zip(times, records, strict=True)
        if time is not None and record.timestamp > 0
    ]
    if apart:
        if max(apart) < DAY / 24:
            return 50
        return 40 if max(apart) < _NEAR_DAYS * DAY else 0
    fine = all(float(value) >= 1e12 for value in column.present[:MAX_TRIED]) or _is_steady(known)
    # identifiers are as large, but rarely all within a few years around now
    return 30 if fine and known and max(known) - min(known) < 366 * DAY and max(known) < _LAST // 2 * 2 else 0


def _is_steady(times: Sequence[int]) -> bool:
    """Return whether times (ms) follow each other at one interval, unlike ids that are as large as seconds."""
    steps = Counter(b - a for a, b in pairwise(times))
    step, count = steps.most_common(1)[0] if steps else (0, 0)
    return len(times) >= _FEW and step >= 1000 * _FEW and count >= 0.9 * len(times)


_CALENDAR = (("year", "%Y"), ("month", "%m"), ("day", "%d"), ("hour", "%H"), ("minute", "%M"), ("second", "%S"))
"""Names of columns from the year on, each with its pattern."""


def _calendar_columns(columns: Mapping[str, Column]) -> TimeChoice | None:
    """Return the time in columns called year, month, day and so on; None if there are no such columns."""
    named = {path.lower(): each for path, each in columns.items()}
    named |= {_SHORT[name]: each for name, each in named.items() if "yyyy" in named and name in _SHORT}
    parts = [(named[name], pattern) for name, pattern in _CALENDAR if name in named]
    if [pattern for _, pattern in parts] != [pattern for _, pattern in _CALENDAR[: len(parts)]] or len(parts) < 2:
        return None
    if len(parts) == len(("year", "month")) and any(time_score(path) > 75 for path in columns):
        return None
    texts = [" ".join(map(str, cells)) for cells in zip(*(column.values for column, _ in parts), strict=True)]
    pattern = " ".join(pattern for _, pattern in parts)
    reader = TimeReader(TimeRule(format=(pattern,)))
    times = [_read(reader, text) for text in texts]
    if _share(times) < _MOST:
        return None
    doubt = f"times such as {texts[0]!r} have no offset and are read as UTC: if they are local, set input.time.zone"
    names = tuple(column.name for column, _ in parts)
    return TimeChoice((), "", (pattern,), f"such as {texts[0]}", (doubt,), times, names)


_SHORT = {"yyyy": "year", "mm": "month", "dd": "day", "hh": "hour"}
_HOURS = frozenset(("heure", "hour", "hora", "hr", "stunde"))


def _date_and_hour(columns: Mapping[str, Column], rows: Sequence[ObservationRow]) -> TimeChoice | None:
    """Return the time in a column of days and one of hours from 0 to 23; None if there are no such columns."""
    hours = [each for path, each in columns.items() if path.lower() in _HOURS and each.present
             and all(str(value).isdigit() and int(value) < 24 for value in each.present)]  # fmt: skip
    days = [each for each in columns.values() if each.present and have_form(each, _DAY_ALONE, _GLUED_DAY)]
    day = _candidate(days[0]._replace(path="time"), rows, preferred=True) if hours and days else None
    if day is None or day.unit or any(time is not None and time % DAY for time in day.times):
        return None
    pair = (days[0], hours[0])
    texts = [" ".join(map(str, cells)) for cells in zip(*(each.values for each in pair), strict=True)]
    pattern = f"{day.formats[0] if day.formats else '%Y-%m-%d'} %H"
    reader = TimeReader(TimeRule(format=(pattern,)))
    times = [_read(reader, text) for text in texts]
    if _share(times) < _MOST:
        return None
    doubt = f"times such as {texts[0]!r} have no offset and are read as UTC: if they are local, set input.time.zone"
    names = (pair[0].name, pair[1].name)
    return TimeChoice((), "", (pattern,), f"such as {texts[0]}", (*day.doubts, doubt), times, names)


def _date_and_clock(columns: Mapping[str, Column], rows: Sequence[ObservationRow]) -> TimeChoice | None:
    """Return the time that is split over several columns of a table; None if there are no such columns."""
    if (parts := _calendar_columns(columns) or _date_and_hour(columns, rows)) is not None:
        return parts
    clocks = [each for each in columns.values() if each.present and have_form(each, CLOCK, _GLUED_CLOCK)]
    days = [each for each in columns.values() if each.present and have_form(each, _DAY_ALONE, _GLUED_DAY)]
    if not clocks or not days:
        return None
    pair = (days[0], clocks[0])
    both = [None if None in texts else " ".join(texts) for texts in zip(*(each.values for each in pair), strict=True)]
    found = _candidate(Column("time", "time", both), rows, preferred=True)
    if found is None:
        return None
    doubts = (*found.doubts, *without_offset(found, [None] * len(rows)))
    names = (pair[0].name, pair[1].name)
    return TimeChoice((), found.unit, found.formats, _words(found), doubts, found.times, names)


_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def _words(best: TimeCandidate) -> str:
    """Return the kind of the times and an example: `epoch seconds as text, such as 1709287200`."""
    value = best.column.present[0]
    shown = str(value) if len(str(value)) <= 40 else str(value)[:37] + "..."
    if best.unit:
        text = " as text" if type(value) is str else ""
        return f"epoch {_UNITS.get(best.unit, 'numbers')}{text}, such as {shown}"
    return f"such as {shown}"
