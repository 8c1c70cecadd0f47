"""Detection of the form of times in the columns of files."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import product

from streamrnn.errors import RecordError
from streamrnn.mapping.times import TimeReader, TimeRule, start_of

_DAYS = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d", "%Y/%m/%d", "%Y-%m-%d", "%d %m %Y",
    "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y", "%d. %B %Y", "%d %B %Y", "%B %d, %Y", "%Y%m%d",
)  # fmt: skip
_CLOCKS = (
    "%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p", "%H.%M.%S", "%H.%M", "%H:%M:%S.%f",
    "%H:%M:%S,%f", "%H", "%H:%M:%S %z", "%H:%M %z", "%H:%M:%S%z", "%Hh%M", "%H%M",
)  # fmt: skip
_BETWEEN = (" ", "T", ", ", "-", " - ")
_PERIODS = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%Y %b")
_COMPACT = {10: "%Y%m%d%H", 12: "%Y%m%d%H%M"}
"""Patterns of times written as digits, by length; as numbers they are seconds after 2030, or ms before 1980."""
_COMPACT_DIGITS = re.compile(r"(?:19|20)\d{8}(?:\d{2})?", re.ASCII)
_PATTERNS = (
    *_DAYS,
    *_PERIODS,
    *(f"{day}{gap}{clock}" for day, clock, gap in product(_DAYS, _CLOCKS, _BETWEEN)),
)
_EXAMPLE = datetime(2004, 3, 10, 18, 5, 6, tzinfo=UTC)
_MAX_TRIED = 2_000
_DATE = re.compile(
    r"(?:\d{4}([-/. ])\d{1,2}\1\d{1,2}|\d{1,2}([-/. ])\d{1,2}\2\d{4}|\d{1,2}\.?[- ][A-Za-z]{3,9}[- ]\d{4}"
    r"|[A-Za-z]{3,9} \d{1,2},? \d{4})(?=$|[T ,-])"
)
_SHORT_YEAR = re.compile(r"\d{1,2}([-/.])\d{1,2}\1\d{2}(?=$|[ ,T])")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?|\d{1,2}\.\d{2}\.\d{2}|\d{1,2}h\d{2}")
_DOTTED = re.compile(r"\d{1,2}\.\d{2}")
_CLOCK_NAME = re.compile(r"(?i)time|zeit|hora|heure|ora\b|hour|std|stunde|uur|tid")
_HOUR = re.compile(r"\d{1,2}")
_HOUR_NAME = re.compile(r"(?i)h|hr|hrs|hours?|hora|heure|ora|std|stunde|uur|time|zeit|uhrzeit")
USUAL_SHARE = 0.9
"""Least share of cells that are times in a column of times."""


class UnclearTimesError(ValueError):
    """The cells of a column can be read as different times; the message has the patterns."""


def looks_like_date(text: str) -> bool:
    """Return whether a text begins with a date with a four-digit year."""
    return _DATE.match(text) is not None


def is_date_without_clock(text: str) -> bool:
    """Return whether a text is a date without a time of day."""
    match = _DATE.match(text)
    return match is not None and match.end() == len(text)


def is_clock(text: str, column: str) -> bool:
    """Return whether a text is a time of day; a number such as 12.30 or 7 only in a column with a fitting name."""
    if _CLOCK.fullmatch(text) or (_HOUR.fullmatch(text) and _HOUR_NAME.fullmatch(column)):
        return True
    return _DOTTED.fullmatch(text) is not None and _CLOCK_NAME.search(column) is not None


def has_short_year(text: str) -> bool:
    """Return whether a text looks like a date with a two-digit year."""
    return _SHORT_YEAR.match(text) is not None


def readable(text: str, rule: TimeRule) -> bool:
    """Return whether a text is a time."""
    try:
        TimeReader(rule).read(text)
    except RecordError:
        return False
    return True


def find_rule(sample: Sequence[str], rule: TimeRule, whole: Callable[[], Iterable[str]]) -> TimeRule | None:
    """Return a rule by which the cells of a column are read as times; None if they are not times.

    `whole` yields all cells of the column, for dates whose first cells have no day after the 12th.

    Raises:
        UnclearTimesError: all cells can be read in two ways.
    """
    cells = [start_of(cell) for cell in sample if cell]
    tried = cells[:: max(1, len(cells) // _MAX_TRIED)]
    if cells and not rule.format and rule.unit == "auto" and all(map(_COMPACT_DIGITS.fullmatch, tried)):
        compact = _COMPACT[len(tried[0])]
        if all(len(cell) == len(tried[0]) and _fits(cell, compact) for cell in tried):
            return rule._replace(format=(compact,))
    if not cells or rule.format or _share(tried, rule) >= USUAL_SHARE:
        return rule if cells and (rule.format or _share(tried, rule) >= USUAL_SHARE) else None
    found = _best(tried, [pattern for cell in tried[:3] for pattern in _by_shape().get(_shape(cell), ())])
    if len(found) > 1 and len(tried) < len(cells):
        found = _best(cells, found)
    if len(found) > 1:
        remaining = found
        for cell in whole():
            remaining = [each for each in remaining if _fits(start_of(cell), each)] if cell else remaining
            if len(remaining) <= 1:
                break
        found = remaining or found
    if len(found) > 1:
        raise UnclearTimesError(" or ".join(found))
    return rule._replace(format=(found[0],)) if found else None


@cache
def _by_shape() -> dict[str, list[str]]:
    """Return the known patterns by the shape of their texts."""
    found: dict[str, list[str]] = {}
    for pattern in _PATTERNS:
        found.setdefault(_shape(_EXAMPLE.strftime(pattern)), []).append(pattern)
    return found


def _shape(text: str) -> str:
    """Return a text with each number replaced by `0` and each word by `a`."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", re.sub(r"(?<=:\d\d)( ?)[+-]\d\d:?\d\d$", r"\1a", text)))


def _share(cells: Sequence[str], rule: TimeRule) -> float:
    """Return the share of cells that a rule reads."""
    reader, usable = TimeReader(rule), 0
    for cell in cells:
        try:
            reader.read(cell)
        except RecordError:
            continue
        usable += 1
    return usable / len(cells)


def _best(cells: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return the patterns that fit most cells, at least USUAL_SHARE; of patterns with equal results only the first."""
    counts = {pattern: sum(_fits(cell, pattern) for cell in cells) for pattern in dict.fromkeys(patterns)}
    most = max(counts.values(), default=0)
    if most < USUAL_SHARE * len(cells):
        return []
    different: dict[tuple[datetime | None, ...], str] = {}
    for pattern, count in counts.items():
        if count == most:
            different.setdefault(tuple(_moment(cell, pattern) for cell in cells), pattern)
    return list(different.values())


def _fits(cell: str, pattern: str) -> bool:
    return _moment(cell, pattern) is not None


def _moment(cell: str, pattern: str) -> datetime | None:
    try:
        return datetime.strptime(cell, pattern)
    except ValueError:
        return None
