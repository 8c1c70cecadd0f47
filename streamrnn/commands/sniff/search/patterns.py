"""Patterns of `strptime` for dates in other forms than ISO 8601."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

from streamrnn.mapping.times import start_of

_DAYS = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})(.*)", re.DOTALL)
_CLOCKS = (
    "",
    " %H:%M",
    " %H:%M:%S",
    " %H:%M:%S.%f",
    ", %H:%M:%S",
    ", %H:%M",
    "T%H:%M:%S",
    "T%H:%M",
    " %I:%M:%S %p",
    " %I:%M %p",
    " %I:%M:%S%p",
    " %I:%M%p",
    ", %I:%M:%S %p",
    ", %I:%M %p",
    " %H.%M.%S",
    " %H.%M",
    " %H:%M:%S%z",
    " %H:%M:%S %z",
    " - %H:%M:%S",
    " %H:%M:%S,%f",
    " %H Uhr",
    " %H:%M:%S UTC",
)
_OTHERS = tuple(
    day + clock
    for day in (
        "%Y.%m.%d",
        "%Y%m%d",
        "%d %b %Y",
        "%d-%b-%Y",
        "%b %d %Y",
        "%b %d, %Y",
        "%B %d, %Y",
        "%d %B %Y",
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%Y_%m_%d",
        "%d.%b.%Y",
        "%Y年%m月%d日",
    )
    for clock in _CLOCKS
)
_GLUED = (
    "%Y%m%dT%H%M%S",
    "%Y%m%dT%H%M%SZ",
    "%Y%m%d%H%M",
    "%Y%m%d_%H%M%S",
    "%Y-%m-%d_%H:%M:%S",
    "%Y-%m-%d-%H-%M-%S",
    "%Y-%m-%d %H-%M-%S",
    "%Y-%m-%d_%H-%M-%S",
    "%Y-%m-%d:%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S,%f",
    "%Y-%m",
    "%Y/%m",
    "%m/%Y",
    "%Y-%j",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y%m%d-%H:%M:%S",
    "%Y%m%d-%H:%M:%S.%f",
    "%Y%m%d %H%M%S",
)


_COMPACT = {4: "%Y", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f"}
"""Patterns of digits alone, by length."""
_COMPACT_DIGITS = re.compile(r"(?:1[89]|20)\d{2}(?:\d{4}(?:\d{2}){0,3}(?:\d{3})?)?", re.ASCII)


def find_compact(values: Sequence[object]) -> str:
    """Return the pattern of dates written as digits, such as 2024030110; empty if the values are not such dates.

    Read as seconds, dates with an hour would be times after 2030.
    """
    texts = [str(value).strip() for value in values]
    pattern = _COMPACT.get(len(texts[0]), "") if texts else ""
    if pattern == "%Y" and not all(type(value) is str for value in values):
        return ""
    same = all(len(text) == len(texts[0]) and _COMPACT_DIGITS.fullmatch(text) for text in texts)
    return pattern if pattern and same and _fits(pattern, texts) else ""


def find_pattern(texts: Sequence[str], near: Sequence[int | None] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the `strptime` pattern that fits all texts, and doubts about it; two empty tuples if none fits.

    A few texts without a digit, such as `Total`, are ignored.

    Args:
        texts: The texts.
        near: Timestamps of the records that the texts are from, ms; None for one that is unknown.
    """
    dated = [index for index, text in enumerate(texts) if any(map(str.isdigit, text))]
    if len(dated) >= _MOST * len(texts):
        near = [near[index] for index in dated] if near else near
        texts = [texts[index] for index in dated]
    texts = [start_of(text).strip() for text in texts]
    matches = [_DAYS.fullmatch(text) for text in texts]
    if all(matches):
        return _day_or_month([match for match in matches if match is not None], texts, near)
    for pattern in (*_GLUED, *_OTHERS):
        if _fits(pattern, texts):
            return (pattern,), ()
    return (), ()


def _day_or_month(
    matches: Sequence[re.Match[str]], texts: Sequence[str], near: Sequence[int | None]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the pattern of dates such as 03/04/2023, in which the day is first or second, and doubts about it."""
    mark = matches[0][2]
    first, second = max(int(match[1]) for match in matches), max(int(match[3]) for match in matches)
    days = (f"%d{mark}%m{mark}%Y", f"%m{mark}%d{mark}%Y")
    month_first = second > 12 or (first <= 12 and any(match[5].upper().endswith("M") for match in matches))
    unsure = first <= 12 and second <= 12
    if unsure and mark != ".":
        if _rises_better(days[1], days[0], texts) or _rises_better(days[0], days[1], texts):
            month_first = _rises_better(days[1], days[0], texts)
        apart = _distance(days[0], texts, near), _distance(days[1], texts, near)
        if min(apart) < _NEAR_DAYS < max(apart):
            month_first = apart[1] < apart[0]
    for day in (days[1], days[0]) if month_first else days:
        for clock in _CLOCKS:
            if _fits(day + clock, texts):
                doubt = (
                    f"dates such as {texts[0]!r} are read as {'month' if month_first else 'day'} first; no date of the "
                    f"sample has a number over 12 to prove it: if that is wrong, set input.time.format to "
                    f"{(days[0] if month_first else days[1]) + clock!r}"
                )
                return (day + clock,), (doubt,) if unsure and mark != "." else ()
    return (), ()


def _rises_better(one: str, other: str, texts: Sequence[str]) -> bool:
    """Return whether dates read by one pattern are in better order than by the other, or else at more even steps."""
    orders = []
    for day in (one, other):
        clock = next((clock for clock in _CLOCKS if _fits(day + clock, texts)), None)
        if clock is None:
            return False
        moments = [datetime.strptime(text, day + clock) for text in texts]
        steps = [(b - a).total_seconds() for a, b in pairwise(moments)]
        orders.append((sum(step < 0 for step in steps), len(set(steps))))
    return orders[0] < orders[1]


def _distance(day: str, texts: Sequence[str], near: Sequence[int | None]) -> float:
    """Return the median distance in days of texts, read by a pattern of the day, from the records' own timestamps."""
    clock = next((clock for clock in _CLOCKS if _fits(day + clock, texts)), None)
    if clock is None:
        return math.inf
    moments = [datetime.strptime(text, day + clock).replace(tzinfo=UTC).timestamp() * 1000 for text in texts]
    apart = sorted(abs(a - b) for a, b in zip(moments, near, strict=False) if b is not None)
    return apart[len(apart) // 2] / 86_400_000 if apart else 0.0


_MOST = 0.9
"""Least share of texts with a digit for which the others are ignored."""
_NEAR_DAYS = 2
"""Days within which a date and the timestamp of its record lie at most, if the record was written at once."""


def _fits(pattern: str, texts: Sequence[str]) -> bool:
    try:
        for text in texts:
            datetime.strptime(text, pattern)
    except ValueError:
        return False
    return True
