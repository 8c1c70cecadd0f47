"""Numbers that are no fields: ids, times, codes, counters of messages."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from streamrnn.commands.sniff.search.numbers import is_label
from streamrnn.commands.sniff.search.table import Column
from streamrnn.commands.sniff.search.words import (
    COUNTED,
    FIX_CODES,
    is_day_number,
    is_described,
    is_duration,
    is_identifier,
    is_numbered,
    last_step,
    time_score,
    words_of,
)

DESCRIBES = "describes the message"
_FEW = 8
"""Values below which nothing is concluded from their course."""
_SURELY_TIME, _USUALLY_TIME = 100, 75
"""Scores of names of times."""
_LEAST_SECONDS = 1e8
"""Whole numbers that are larger may be seconds since 1970: those from 1973 on."""
_LEAST_ID, _LONE_ID = 1e7, 1e8
"""Whole numbers from which those are ids that differ by little; a single one must be larger."""
_CLOSE = 1e-3
"""Range of ids in relation to the largest one."""
_EPOCHS = ((1e12, 4.2e12), (1e15, 4.2e15), (1e18, 4.2e18))
"""Milliseconds, microseconds and nanoseconds since 1970, from 2001 to 2103."""
_HTTP = (100, 600)
"""Codes of HTTP."""
_TIME_STAMPS = frozenset(("date", "datetime", "day", "epoch", "timestamp"))
"""Words of names whose large whole numbers are times."""
_EXCHANGE_IDS = frozenset(("f", "L", "a", "b", "t", "u", "U", "l", "i", "I", "pu", "tradeId", "seqNum"))
"""Members of the messages of exchanges whose whole numbers are ids of trades, orders and updates."""
_QUALITY = re.compile(r"(.+?)[_.-]?(?:qc|qf|qa|cd|quality|qualifier|flag|status)", re.IGNORECASE | re.DOTALL)
"""A name of a code that says how good a value is, whose name it begins with."""
_LOG_LEVELS, _LOG_TEXTS = frozenset(("level", "severity")), frozenset(("logger", "message", "msg", "short_message"))
"""Names of the level of a line of a log, and of the texts that such a line has."""


_FORMER = re.compile(r"(?:[oO]ld|[pP]rev|[pP]revious)(?:[_-]|(?=[A-Z]))(.+)", re.DOTALL)
"""A name of the value before, such as `oldValue`."""


def _beside(path: str, name: str, paths: Collection[str]) -> bool:
    """Return whether there is a member of a name, in any case, beside that at a path."""
    parent = path.rpartition(".")[0]
    return f"{parent}.{name}".removeprefix(".").lower() in {each.lower() for each in paths}


_FIX = frozenset(("35", "52", "55"))
"""Tags of FIX that its messages have: type, time and symbol."""


class _Numbers(NamedTuple):
    """Numbers under a name, of which is asked whether they are a field."""

    path: str
    written: list[Any]
    """As they are in the messages, without missing ones."""
    by_row: Sequence[float | None]
    known: list[float]
    """Those that are not missing."""
    whole: bool
    """Whether all are written as whole numbers."""
    are_text: bool


def why_no_field(
    column: Column,
    numbers: Sequence[float | None],
    *,
    times: Sequence[int | None],
    keys: Sequence[str],
    exchange: bool,
    beside: Collection[str] = (),
) -> str:
    """Return why numbers are no field; empty if they are one.

    Args:
        column: The numbers as they are written.
        numbers: The numbers by row.
        times: Event time by row.
        keys: Key by row.
        exchange: Whether the messages are those of an exchange, which names members by single letters.
        beside: The paths of all members.
    """
    asked = _Numbers(
        column.path,
        column.present,
        numbers,
        [each for each in numbers if each is not None],
        all(type(v) is int or (type(v) is str and v.strip().lstrip("+-").isdigit()) for v in column.present),
        all(type(v) is str for v in column.present),
    )
    return (
        _why_odd(asked, exchange=exchange)
        or _why_time(asked, times)
        or _why_code(asked, beside)
        or _why_numbered(asked)
        or _why_constant(asked, keys)
    )


def _why_odd(asked: _Numbers, *, exchange: bool) -> str:
    """Return why numbers are a time that is not understood, an exchange's id, a label, or part of an envelope."""
    known = asked.known
    surely = time_score(asked.path) == _SURELY_TIME
    odd = surely and (min(known) > _LEAST_SECONDS if asked.are_text else rise_steadily(known))
    if odd or is_day_number(asked.path, known):
        return "a time that is not understood"
    if asked.whole and exchange and last_step(asked.path) in _EXCHANGE_IDS:
        return "an id of the exchange"
    if asked.are_text and is_label([v.strip() for v in asked.written]):
        return "text that begins with a number, always the same"
    return DESCRIBES if is_described(asked.path) else ""


def _why_time(asked: _Numbers, times: Sequence[int | None]) -> str:
    """Return why numbers are times or durations."""
    words = set(words_of(last_step(asked.path)))
    large = asked.whole and are_epochs(asked.by_row) and not COUNTED.intersection(words)
    timely = time_score(asked.path) >= _USUALLY_TIME or bool(_TIME_STAMPS.intersection(words))
    seconds = timely and asked.whole and min(asked.known) > _LEAST_SECONDS
    if are_near(asked.by_row, times) or large or seconds or (timely and asked.whole and _are_dates(asked.known)):
        return "a time"
    steady = asked.whole and len(asked.known) >= _FEW and len(set(asked.known)) == 1
    return "an interval, always the same" if steady and is_duration(asked.path) else ""


def _why_code(asked: _Numbers, beside: Collection[str]) -> str:
    """Return why numbers are ids or codes by their names and those beside them."""
    name = last_step(asked.path).lower()
    tag = last_step(asked.path) in FIX_CODES and not _FIX.isdisjoint(map(last_step, beside))
    if tag or is_identifier(asked.path) or (asked.whole and is_numbered(asked.path)):
        return "an id, a number of the message or a place"
    former = _FORMER.match(last_step(asked.path))
    if former is not None and _beside(asked.path, former[1], beside):
        return "the value before, which is there, too"
    if not asked.whole:
        return ""
    low, high = _HTTP
    if words_of(last_step(asked.path))[-1:] == ["status"] and all(low <= each < high for each in asked.known):
        return "a code of HTTP"
    if name == "quality" and any(_beside(asked.path, value, beside) for value in ("value", "v")):
        return "the quality of the value"
    quality = _QUALITY.fullmatch(asked.path)
    if quality is not None and quality[1] in beside:
        return f"the quality of {quality[1]}"
    logged = name in _LOG_LEVELS and not _LOG_TEXTS.isdisjoint(last_step(path).lower() for path in beside)
    return "the level of a log" if logged else ""


def _why_numbered(asked: _Numbers) -> str:
    """Return why numbers are ids or numbers of messages by their values."""
    if any(type(v) is str and len(v) > 1 and v[0] == "0" and v.isdigit() for v in asked.written):
        return "an id: text with leading zeros"
    known = asked.known
    if asked.whole and len(known) >= _FEW and all(b - a == 1 for a, b in pairwise(known)):
        return "a sequence number: it rises by 1 with every record"
    return "an id: large whole numbers, each once" if asked.whole and _is_large_id(asked.path, known) else ""


def _why_constant(asked: _Numbers, keys: Sequence[str]) -> str:
    return "an id: constant per key" if asked.whole and _tells_keys(asked.by_row, keys) else ""


def are_epochs(numbers: Sequence[float | None]) -> bool:
    """Return whether all numbers are as large as times since 1970 in milliseconds, microseconds or nanoseconds."""
    known = [each for each in numbers if each is not None]
    return bool(known) and all(any(low <= each < high for low, high in _EPOCHS) for each in known)


def _are_dates(known: Sequence[float]) -> bool:
    """Return whether all numbers are dates of digits, such as 20240301."""
    return all(19_000_101 <= each < 21_010_101 and _is_date(f"{each:.0f}") for each in known[:300])


def _is_date(digits: str) -> bool:
    try:
        datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return False
    return True


def rise_steadily(numbers: Sequence[float]) -> bool:
    """Return whether several numbers, most of them different, never fall, as times do not."""
    different = len(set(numbers)) > len(numbers) / 4 + 1
    return len(numbers) >= _FEW and different and all(a <= b for a, b in pairwise(numbers))


def are_near(numbers: Sequence[float | None], times: Sequence[int | None]) -> bool:
    """Return whether numbers are seconds since 1970, or fractions of these, close to the event times."""
    pairs = [(number, time) for number, time in zip(numbers, times, strict=True) if number is not None and time]
    return any(
        bool(pairs) and all(abs(number / scale - time / 1000) < 86_400 for number, time in pairs)
        for scale in (1, 1e3, 1e6, 1e9)
    )


def _is_large_id(path: str, known: Sequence[float]) -> bool:
    """Return whether whole numbers are so large, and so close to each other, that they number something."""
    if COUNTED.intersection(words_of(last_step(path))) or len(set(known)) < len(known) or min(known) < _LEAST_ID:
        return False
    return max(known) - min(known) < _CLOSE * max(known) and (len(known) > 1 or min(known) > _LONE_ID)


def _tells_keys(numbers: Sequence[float | None], keys: Sequence[str]) -> bool:
    """Return whether each key has a number of its own: at least 20 records of several keys."""
    by_key: dict[str, set[float]] = {}
    counts: dict[str, int] = {}
    for key, number in zip(keys, numbers, strict=True):
        if number is not None:
            by_key.setdefault(key, set()).add(number)
            counts[key] = counts.get(key, 0) + 1
    single = all(len(each) == 1 for each in by_key.values()) and min(counts.values(), default=0) >= 4 * _FEW
    return single and len(by_key) > 1 and len({min(each) for each in by_key.values()}) == len(by_key)
