"""The search for the event time: which path, which unit, which pattern, and what is in doubt about it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from streamrnn.commands.sniff.search.patterns import find_pattern
from streamrnn.commands.sniff.search.table import Column, ObservationRow
from streamrnn.commands.sniff.search.words import is_day_number, last_step, time_score
from streamrnn.errors import RecordError
from streamrnn.mapping.times import TimeReader, TimeRule
from streamrnn.timestamps import parse_iso

RECORD_TIME = "record:timestamp"
_FIRST, _LAST = parse_iso("2000-01-01"), parse_iso("2101-01-01")
_DAY = 86_400_000
_NEAR_DAYS = 2
_LONG_AGO = 3 * 365.25
"""Days before the records' own timestamps from which a time is doubted."""
_UNNAMED = 25
"""Score of text that is a date and a time of day, whatever its name is."""
_TIME_LIKE = 75
"""Score of a name from which text that is no time is worth a word."""
_TRIED = 300
"""Values of a column that are tried."""
_FEW = 8
_CLOCK = re.compile(r"\d{1,2}[:.]\d{2}(?:[:.]\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?")
_DAY_ALONE = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{4}[./-]\d{1,2}[./-]\d{1,2}")
_GLUED_CLOCK, _GLUED_DAY = re.compile(r"[0-2]\d[0-5]\d[0-5]\d"), re.compile(r"(?:19|20)\d{6}")
_DATED = re.compile(r"\s*(?:\d{4}-\d{2}-\d{2}|\d{4}/\d{2}/\d{2}|\d{1,2}([./])\d{1,2}\1\d{4})[T ,]+\d{1,2}:\d{2}")
_OFFSET = re.compile(r"(?:Z|[+-]\d{2}:?\d{2}|\b(?:GMT|UTC)|\])\s*$")
_YEAR = re.compile(r"(?:1[89]|20)\d{2}")
_NUMERIC = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_TWO_DIGITS = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2}(?!\d)|\d{2}[./-]\d{1,2}[./-]\d{1,2}(?!\d)")


class TimeChoice(NamedTuple):
    """Where the event time is, and how it is written."""

    paths: tuple[str, ...] = ()
    """Empty: the record's own timestamp."""
    unit: str = ""
    """Of numbers; empty for text."""
    formats: tuple[str, ...] = ()
    words: str = ""
    """What stands there, for a comment."""
    doubts: tuple[str, ...] = ()
    times: Sequence[int | None] = ()
    """Milliseconds by row; None where there is none."""
    columns: tuple[str, ...] = ()
    """Of a table: the columns whose texts, joined by spaces, are the time; then `paths` is empty."""


class _Candidate(NamedTuple):
    column: Column
    score: float
    unit: str
    formats: tuple[str, ...]
    times: list[int | None]
    doubts: tuple[str, ...]


def find_time(
    columns: Mapping[str, Column], rows: Sequence[ObservationRow], *, prefer: Sequence[str] = (), table: bool = False
) -> TimeChoice:
    """Return where the event time is; the record's own timestamp where no member is a time.

    Args:
        columns: The members of the observations' documents by path.
        rows: The observations.
        prefer: Paths that are known to be the event time, such as that of a candle's start.
        table: Whether date and time of day may stand in two columns.
    """
    if table and (pair := _date_and_clock(columns, rows)) is not None:
        return pair
    found = sorted(
        filter(None, (_candidate(each, rows, preferred=each.path in prefer) for each in columns.values())),
        key=lambda each: -each.score,
    )
    own = [row.record.timestamp if row.record.timestamp > 0 else None for row in rows]
    if not found:
        words = "the record's own timestamp" if any(own) else ""
        return TimeChoice(times=own, words=words, doubts=tuple(_no_time(columns, have_own=any(own))))
    best = found[0]
    if apart := _clock(best, columns):
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
            times = [_first(times[index], values[index]) for index in range(len(rows))]
    doubts += _others(best, found[1:], paths)
    doubts += _naive(best, own)
    doubts += _apart(best, own)
    return TimeChoice(tuple(paths), best.unit, best.formats, _words(best), tuple(doubts), times)


def _values(columns: Mapping[str, Column], paths: Sequence[str]) -> list[Any]:
    lists = [columns[path].values for path in paths if path in columns]
    return [next((value for value in values if value is not None), None) for values in zip(*lists, strict=True)]


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _candidate(column: Column, rows: Sequence[ObservationRow], *, preferred: bool) -> _Candidate | None:
    present = [index for index, value in enumerate(column.values) if value is not None]
    tried = present[:_TRIED]
    if not tried:
        return None
    name = 120 if preferred else time_score(column.path)
    numeric = all(type(column.values[i]) in (int, float) or _is_number(column.values[i]) for i in tried)
    if not name and not numeric:
        if not all(_is_dated(column.values[index]) for index in tried):
            return None
        name = _UNNAMED
    formats: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    reader = TimeReader(TimeRule())
    if numeric and name and all(type(column.values[i]) is str and _YEAR.fullmatch(column.values[i]) for i in tried):
        formats, numeric, reader = ("%Y",), False, TimeReader(TimeRule(format=("%Y",)))
    times = [_read(reader, column.values[index]) for index in tried]
    least = 0.9 if name < 100 else 0.3
    if not numeric and _share(times) < 0.9:
        formats, doubts = find_pattern([str(column.values[index]) for index in tried])
        if formats:
            reader = TimeReader(TimeRule(format=formats))
            times = [_read(reader, column.values[index]) for index in tried]
    if numeric:
        least = 0.9
        if not all(time is None or _FIRST <= time < _LAST for time in times):
            return None
        name = name or _nearness(column, times, [rows[index].record for index in tried])
    if _share(times) < least or not name:
        return None
    score = (
        name - 4 * column.path.count(".") + 10 * len(present) / len(rows) - 30 * _is_constant(times) - 40 * bool(doubts)
    )
    every: list[int | None] = [None if value is None else _read(reader, value) for value in column.values]
    return _Candidate(column, score, reader.unit or "" if numeric else "", formats, every, doubts)


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


def _is_constant(times: Sequence[int | None]) -> bool:
    return len(times) > 4 and len(set(times)) == 1


def _nearness(column: Column, times: Sequence[int | None], records: Sequence[Any]) -> int:
    """Return the score of numbers whose name says nothing: of finer units, or close to the records."""
    known = [time for time in times if time is not None]
    apart = [
        abs(time - record.timestamp)
        for time, record in zip(times, records, strict=True)
        if time is not None and record.timestamp > 0
    ]
    if apart:
        return 50 if max(apart) < _NEAR_DAYS * _DAY else 0
    fine = all(float(value) >= 1e12 for value in column.present[:_TRIED]) or _is_steady(known)
    # identifiers are as large, but rarely all within a few years around now
    return 30 if fine and known and max(known) - min(known) < 366 * _DAY and max(known) < _LAST // 2 * 2 else 0


def _is_steady(times: Sequence[int]) -> bool:
    """Return whether times follow each other at one interval, as no identifiers do that are as large as seconds."""
    steps = Counter(b - a for a, b in pairwise(times))
    step, count = steps.most_common(1)[0] if steps else (0, 0)
    return len(times) >= _FEW and step >= 1000 * _FEW and count >= 0.9 * len(times)


def _no_time(columns: Mapping[str, Column], *, have_own: bool) -> list[str]:
    """Return doubts about records in which no member can be read as a time."""
    doubts = []
    parts = {last_step(path).lower() for path in columns}
    if {"year", "month", "day"} <= parts:
        doubts.append("year, month and day stand in members of their own: they must be written as one time")
    for column in columns.values():
        if is_day_number(column.path, [v for v in column.present if type(v) in (int, float)]):
            doubts.append(f"`{column.path}` counts days, such as {column.present[0]!r}, which cannot be read as a time")
        if time_score(column.path) == 100 or last_step(column.path).lower() == "ticks":
            doubts += _unknown_number(column)
        texts = [value for value in column.present if type(value) is str]
        if time_score(column.path) and texts and _TWO_DIGITS.search(texts[0]):
            doubts.append(
                f"`{column.path}` has years of two digits, such as {texts[0]!r}, which cannot be read safely: have it "
                "written with four, or set input.time.format, such as '%d.%m.%y %H:%M'"
            )
        elif time_score(column.path) >= _TIME_LIKE and texts and any(each.isdigit() for each in texts[0]):
            doubts.append(
                f"`{column.path}`, such as {texts[0]!r}, is no time that is understood: set input.time.format"
            )
    if not doubts and not have_own:
        doubts.append("no member is a time, and the records have no timestamp of their own: set input.time")
    return doubts


def _unknown_number(column: Column) -> list[str]:
    """Return a doubt about whole numbers that are times by their name, but none that is understood."""
    value = column.present[0] if column.present else None
    if type(value) is not int or value < _LARGE:
        return []
    known = next((words for (low, high), words in _COUNTS.items() if low <= value < high), "")
    kind = f"looks like {known}" if known else "is no time that is understood"
    return [f"`{column.path}`, such as {value}, {kind}: have it written as milliseconds since 1970, or as text"]


_LARGE = 10**8
_COUNTS = {
    (10**11, 10**12): "a date of twelve digits with a year of two",
    (12 * 10**16, 2 * 10**17): "a FILETIME of Windows, 100 ns since 1601",
    (6 * 10**17, 10**18): "ticks of .NET, 100 ns since the year 1",
}
"""Ranges of numbers that count from another day, and what they are."""


def _date_and_clock(columns: Mapping[str, Column], rows: Sequence[ObservationRow]) -> TimeChoice | None:
    """Return the time that stands in two columns of a table, None if there are no such columns."""
    clocks = [each for each in columns.values() if each.present and _are_like(each, _CLOCK, _GLUED_CLOCK)]
    days = [each for each in columns.values() if each.present and _are_like(each, _DAY_ALONE, _GLUED_DAY)]
    if not clocks or not days:
        return None
    pair = (days[0], clocks[0])
    both = [None if None in texts else " ".join(texts) for texts in zip(*(each.values for each in pair), strict=True)]
    found = _candidate(Column("time", "time", both), rows, preferred=True)
    if found is None:
        return None
    doubts = (*found.doubts, *_naive(found, [None] * len(rows)))
    names = (pair[0].name, pair[1].name)
    return TimeChoice((), found.unit, found.formats, _words(found), doubts, found.times, names)


def _are_like(column: Column, pattern: re.Pattern[str], glued: re.Pattern[str]) -> bool:
    """Return whether texts have a form; digits alone do by the name of their column, too."""
    texts = [value.strip() if type(value) is str else "" for value in column.present[:_TRIED]]
    if all(map(pattern.fullmatch, texts)):
        return True
    return bool(time_score(column.path.strip("<>"))) and all(map(glued.fullmatch, texts))


def _apart(best: _Candidate, own: Sequence[int | None]) -> list[str]:
    """Return a doubt about times that the records' own timestamps make unlikely, such as those since another year."""
    apart = sorted(a - b for a, b in zip(best.times, own, strict=True) if a is not None and b is not None)
    days = apart[len(apart) // 2] / _DAY if apart else 0.0
    if -_LONG_AGO <= days <= 1:
        return []
    distance = f"{abs(days) / 365.25:,.1f} years" if abs(days) > 365 else f"{abs(days):,.0f} days"
    return [
        f"the times in `{best.column.path}` lie {distance} {'before' if days < 0 else 'behind'} the records' own "
        "timestamps: they may be counted from another day than 1970-01-01"
    ]


def _clock(best: _Candidate, columns: Mapping[str, Column]) -> list[str]:
    """Return a doubt where the date and the time of day stand in two members."""
    value = best.column.present[0]
    if type(value) is not str or best.unit or any(_spread(time) for time in best.times):
        return []
    clocks = [each.path for each in columns.values() if each.present and _are_like(each, _CLOCK, _CLOCK)]
    return [
        f"`{best.column.path}` has the date and `{path}` the time of day: they must be written as one member before "
        "streamrnn can read them"
        for path in clocks[:1]
    ]


def _spread(time: int | None) -> bool:
    return time is not None and time % _DAY != 0


def _others(best: _Candidate, others: Sequence[_Candidate], used: Sequence[str]) -> list[str]:
    """Return a doubt that names other times, where the name of the chosen one is no better."""
    near = [each.column.path for each in others if each.score > best.score - 12 and each.column.path not in used]
    if not near:
        return []
    return [f"the event time could also be {', '.join(f'`{path}`' for path in near[:4])} (input.time.from)"]


def _naive(best: _Candidate, own: Sequence[int | None]) -> list[str]:
    """Return a doubt about text without an offset, with what the records' own timestamps tell about its zone."""
    texts = [value for value in best.column.present if type(value) is str][:_TRIED]
    if best.unit or not texts or any(_OFFSET.search(text) for text in texts[:5]) or "utc" in best.column.path.lower():
        return []
    if all("%z" in pattern for pattern in best.formats) and best.formats:
        return []
    doubt = f"times such as {texts[0]!r} have no offset and are read as UTC: if they are local, set input.time.zone"
    apart = sorted(b - a for a, b in zip(best.times, own, strict=True) if a is not None and b is not None)
    hours = apart[len(apart) // 2] / 3_600_000 if apart else 0.0
    half = round(hours * 2) / 2
    if apart and half and abs(half) <= 14 and abs(hours - half) < 0.1:
        doubt += f" (the records' own timestamps are {abs(half):g} h {'earlier' if half < 0 else 'later'})"
    return [doubt]


_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def _words(best: _Candidate) -> str:
    """Return what stands at the chosen path, such as `epoch seconds as text, such as "1709287200"`."""
    value = best.column.present[0]
    shown = str(value) if len(str(value)) <= 40 else str(value)[:37] + "..."
    if best.unit:
        text = " as text" if type(value) is str else ""
        return f"epoch {_UNITS.get(best.unit, 'numbers')}{text}, such as {shown}"
    return f"such as {shown}"
