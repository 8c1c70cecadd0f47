"""Points in doubt about the event time."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streamrnn.commands.sniff.search.exclusions import return_often, rise_steadily
from streamrnn.commands.sniff.search.table import NUMBER, Column, number_in
from streamrnn.commands.sniff.search.words import is_day_number, is_fraction, last_step, time_score

_DATE_NAME = re.compile(
    r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}[./-]\d{1,2}(?:[./-]\d{1,2}(?:[T ]\d{2}:\d{2}.*)?)?|\d{10}|\d{13}"
)
_DATED = re.compile(r"\d{1,2}([./-])\d{1,2}\1\d{2,4}\b|\d{4}([./-])\d{1,2}\2\d{1,2}\b")
_MANY_DATES = 3
"""Fewest columns with dates as names of a table that has a column per date."""
DAY = 86_400_000
"""Milliseconds of a day."""
_LONG_AGO = 3 * 365.25
"""Days before the records' own timestamps from which a time is doubted."""
_TIME_LIKE = 75
"""Least score of a name for which values that are no time raise a doubt."""
MAX_TRIED = 300
"""Values of a column to try at most."""
CLOCK = re.compile(r"\d{1,2}[:.]\d{2}(?:[:.]\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?")
"""A time of day."""
_OFFSET = re.compile(r"(?:Z|:\d{2}(?:\.\d+)? ?[+-]\d{2}|\d{12}[SW]|[+-]\d{2}:?\d{2}|\b(?:GMT|UTC)(?: m=\S+)?|\])\s*$")
"""The end of a text that says its offset or zone."""
_TWO_DIGITS = re.compile(
    r"(?<![\d./-])\d{1,2}[./-]\d{1,2}[./-]\d{2}(?!\d)|(?<![\d./-])\d{2}[./-]\d{1,2}[./-]\d{1,2}(?!\d)"
    r"|(?<!\d)\d{1,2}[ ./-][A-Za-z]{3}[ ./-]\d{2}(?!\d)"
)


class TimeCandidate(NamedTuple):
    """A column that may be the event time."""

    column: Column
    score: float
    unit: str
    formats: tuple[str, ...]
    times: list[int | None]
    doubts: tuple[str, ...]


def staleness(times: Sequence[int | None], own: Sequence[int | None]) -> int:
    """Return what to subtract from the score of times that are all the same, or return: little if they are few.

    Args:
        times: The times, ms.
        own: The records' own timestamps, ms; None for one that is unknown.
    """
    if return_often(times):
        return 60  # the start of each of several devices
    if len(times) < _FEW_TIMES[0] or len(set(times)) > 1:
        return 0
    known = [each for each in own if each is not None]
    if len(times) >= _FEW_TIMES[2] and known and max(known) - min(known) > _LONG:
        return 100
    return 30 if len(times) >= _FEW_TIMES[1] else 10


_FEW_TIMES, _LONG = (2, 5, 16), 60_000
"""Fewest equal times that are little, some, and much evidence, the latter in records over more than these ms."""


def a_column_per_month(columns: Mapping[str, Column]) -> list[str]:
    """Return a doubt about a table with a column per month of a year; empty if it is none."""
    months = [path for path in columns if path.strip(" .").lower()[:3] in _MONTHS and len(path) <= _MAX_MONTH_LENGTH]
    if len(months) < len(_MONTHS):
        return []
    return [
        f"the columns are named by months, such as `{months[0]}`, each a series of its own: if the months follow each "
        "other, they must be written as rows with a date and a value, as pandas does with melt"
    ]


_MONTHS = frozenset(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
_MAX_MONTH_LENGTH = len("September")


def no_time(columns: Mapping[str, Column], *, have_own: bool) -> list[str]:
    """Return doubts about records in which no member can be read as a time."""
    doubts = []
    parts = {last_step(path).lower() for path in columns}
    if {"year", "month", "day"} <= parts:
        doubts.append("year, month and day stand in members of their own: they must be written as one time")
    dates = [path for path in columns if _DATE_NAME.fullmatch(last_step(path.strip("[]")))]
    if len(dates) >= _MANY_DATES:
        doubts.append(
            f"the columns are named by dates, such as `{dates[0]}`: they must be written as rows with a date and a "
            "value, as pandas does with melt"
        )
    for column in columns.values():
        if is_day_number(column.path, [n for v in column.present if (n := number_in(v)) is not None]):
            doubts.append(f"`{column.path}` counts days, such as {column.present[0]!r}, which cannot be read as a time")
        if time_score(column.path) >= _TIME_LIKE or last_step(column.path).lower() == "ticks":
            doubts += _unknown_number(column)
        texts = [value for value in column.present if type(value) is str]
        if time_score(column.path) and texts and _TWO_DIGITS.search(texts[0]):
            doubts.append(
                f"`{column.path}` has years of two digits, such as {texts[0]!r}, which cannot be read safely: have it "
                "written with four"
            )
        elif time_score(column.path) >= _TIME_LIKE and texts and any(each.isdigit() for each in texts[0]):
            doubts.append(
                f"`{column.path}`, such as {texts[0]!r}, is no time that is understood: set input.time.format"
            )
    if not doubts:
        doubts += [
            f"`{path}` has dates, such as {column.present[0]!r}, that are not understood: set input.time.from and "
            "input.time.format"
            for path, column in columns.items()
            if column.present and type(column.present[0]) is str and _DATED.match(column.present[0])
        ][:1]
    if not doubts and not have_own:
        doubts.append("no member is a time, and the records have no timestamp of their own: set input.time")
    return doubts


def _unknown_number(column: Column) -> list[str]:
    """Return a doubt about numbers that are times by their name, but of an unknown kind; empty if they are not."""
    values = [value for value in column.present if type(value) in (int, float)]
    value = values[0] if values else 0
    if not (type(value) is int and value >= _LARGE) and not (time_score(column.path) == 100 and rise_steadily(values)):
        return []
    known = next((words for (low, high), words in _COUNTS.items() if low <= value < high), "")
    kind = f"looks like {known}" if known else "is no time that is understood"
    return [f"`{column.path}`, such as {value}, {kind}: have it written as milliseconds since 1970, or as text"]


_LARGE = 10**8


_COUNTS = {
    (14_000, 73_000): "days since 1900, as spreadsheets count",
    (2_400_000, 2_500_000): "a Julian day",
    (10**11, 10**12): "a date of twelve digits with a year of two",
    (12 * 10**16, 2 * 10**17): "a FILETIME of Windows, 100 ns since 1601",
    (6 * 10**17, 10**18): "ticks of .NET, 100 ns since the year 1",
}
"""Ranges of numbers that count time from another epoch, each with its meaning."""


def have_form(column: Column, pattern: re.Pattern[str], glued: re.Pattern[str]) -> bool:
    """Return whether all texts match `pattern`; under the name of a time, texts of digits may match `glued` instead."""
    texts = [value.strip() if type(value) is str else "" for value in column.present[:MAX_TRIED]]
    others = sum(pattern.fullmatch(text) is None for text in texts)
    if others <= max(1, len(texts) // _OTHERS) and others < len(texts) / 2:  # a row of totals
        # 40.77 may be a number
        return bool(time_score(column.path.strip("<>"))) or not all(map(NUMBER.fullmatch, texts))
    return bool(time_score(column.path.strip("<>"))) and all(map(glued.fullmatch, texts))


_OTHERS = 20
"""Fewest texts of one form per text of another form, such as `Total`."""


def far_apart(best: TimeCandidate, own: Sequence[int | None]) -> list[str]:
    """Return a doubt about times far from the records' own timestamps, such as those counted from another year."""
    apart = sorted(a - b for a, b in zip(best.times, own, strict=True) if a is not None and b is not None)
    days = apart[len(apart) // 2] / DAY if apart else 0.0
    if -_LONG_AGO <= days <= 1:
        return []
    distance = f"{abs(days) / 365.25:,.1f} years" if abs(days) > 365 else f"{abs(days):,.0f} days"
    return [
        f"the times in `{best.column.path}` lie {distance} {'before' if days < 0 else 'behind'} the records' own "
        "timestamps: they may be counted from another day than 1970-01-01"
    ]


def clock_apart(best: TimeCandidate, columns: Mapping[str, Column]) -> list[str]:
    """Return a doubt if the date and the time of day are in two members."""
    value = best.column.present[0]
    if type(value) is not str or best.unit or any(_has_time_of_day(time) for time in best.times):
        return []
    clocks = [each.path for each in columns.values() if each.present and have_form(each, CLOCK, CLOCK)]
    return [
        f"`{best.column.path}` has the date and `{path}` the time of day: they must be written as one member before "
        "streamrnn can read them"
        for path in clocks[:1]
    ]


def fraction_beside(best: TimeCandidate, columns: Mapping[str, Column]) -> list[str]:
    """Return a doubt about milliseconds in a member of their own; empty if there are none."""
    if any(time % 1000 for time in best.times if time is not None):
        return []
    return [
        f"`{path}` may be the milliseconds of `{best.column.path}`: if so, they must be written as one time"
        for path, column in columns.items()
        if is_fraction(path)
        and all((n := number_in(value)) is not None and n.is_integer() and 0 <= n < 1000 for value in column.present)
    ][:1]


def _has_time_of_day(time: int | None) -> bool:
    return time is not None and time % DAY != 0


def other_times(best: TimeCandidate, others: Sequence[TimeCandidate], used: Sequence[str]) -> list[str]:
    """Return a doubt that lists other members that may be the event time, if their scores are close to the best."""
    near = [each.column.path for each in others if each.score > best.score - 12 and each.column.path not in used]
    if not near:
        return []
    return [f"the event time could also be {', '.join(f'`{path}`' for path in near[:4])} (input.time.from)"]


def without_offset(best: TimeCandidate, own: Sequence[int | None]) -> list[str]:
    """Return a doubt about times without an offset, with the offset that the records' own timestamps suggest."""
    texts = [value for value in best.column.present if type(value) is str][:MAX_TRIED]
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
