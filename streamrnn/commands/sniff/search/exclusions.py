"""Numbers that are no fields: ids, times, counters of messages."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from streamrnn.commands.sniff.search.numbers import is_label
from streamrnn.commands.sniff.search.table import Column
from streamrnn.commands.sniff.search.words import (
    COUNTED,
    is_day_number,
    is_described,
    is_duration,
    is_identifier,
    last_step,
    time_score,
    words_of,
)

_FEW = 8
"""Values below which nothing is concluded from their course."""


DESCRIBES = "describes the message"


_TIME_STAMPS = frozenset(("date", "datetime", "epoch", "timestamp"))
"""Words of names whose large whole numbers are times."""


def are_epochs(numbers: Sequence[float | None]) -> bool:
    """Return whether all numbers are as large as times since 1970 in milliseconds, microseconds or nanoseconds."""
    known = [each for each in numbers if each is not None]
    return bool(known) and all(
        1e12 <= each < 4.2e12 or 1e15 <= each < 4.2e15 or 1e18 <= each < 4.2e18 for each in known
    )


_EXCHANGE_IDS = frozenset(("f", "L", "a", "b", "t", "u", "U", "l", "i", "I", "pu", "tradeId", "seqNum"))
"""Members of the messages of exchanges whose whole numbers are ids of trades, orders and updates."""


def why_no_field(
    column: Column,
    numbers: Sequence[float | None],
    *,
    times: Sequence[int | None],
    keys: Sequence[str],
    exchange: bool,
) -> str:
    """Return why numbers are no field; empty if they are one."""
    path = column.path
    known = [each for each in numbers if each is not None]
    whole = all(type(v) is int or (type(v) is str and v.strip().lstrip("+-").isdigit()) for v in column.present)
    amount = bool(COUNTED.intersection(words_of(last_step(path))))
    reason = ""
    texts = all(type(v) is str for v in column.present)
    odd = time_score(path) == 100 and ((texts and min(known) > 1e8) or (not texts and rise_steadily(known)))
    if odd or is_day_number(path, known):
        reason = "a time that is not understood"
    elif whole and exchange and last_step(path) in _EXCHANGE_IDS:
        reason = "an id of the exchange"
    elif texts and is_label([v.strip() for v in column.present]):
        reason = "text that begins with a number, always the same"
    elif is_described(path):
        reason = DESCRIBES
    elif (
        _is_near(numbers, times)
        or (whole and are_epochs(numbers) and not amount)
        or (
            whole
            and min(known) > 1e8
            and (time_score(path) >= 75 or _TIME_STAMPS.intersection(words_of(last_step(path))))
        )
    ):
        reason = "a time"
    elif whole and is_duration(path) and len(known) >= _FEW and len(set(known)) == 1:
        reason = "an interval, always the same"
    elif is_identifier(path) or _are_codes(path, known):
        reason = "an id, a number of the message or a place"
    else:
        reason = _why_numbered(path, column.present, known, whole=whole)
        reason = "an id: constant per key" if not reason and whole and _tells_keys(numbers, keys) else reason
    return reason


def _are_codes(path: str, known: Sequence[float]) -> bool:
    """Return whether numbers called a status are codes of HTTP."""
    return last_step(path).lower() == "status" and all(100 <= each < 600 and each % 1 == 0 for each in known)


def rise_steadily(numbers: Sequence[float]) -> bool:
    """Return whether several numbers, most of them different, never fall, as times do not."""
    different = len(set(numbers)) > len(numbers) / 4 + 1
    return len(numbers) >= _FEW and different and all(a <= b for a, b in pairwise(numbers))


def _why_numbered(path: str, values: Sequence[Any], known: Sequence[float], *, whole: bool) -> str:
    """Return why numbers are ids or numbers of messages by their values; empty if they are not."""
    if any(type(v) is str and len(v) > 1 and v[0] == "0" and v.isdigit() for v in values):
        return "an id: text with leading zeros"
    if whole and len(known) >= _FEW and all(b - a == 1 for a, b in pairwise(known)):
        return "a sequence number: it rises by 1 with every record"
    return "an id: large whole numbers, each once" if whole and _is_large_id(path, known) else ""


def _is_near(numbers: Sequence[float | None], times: Sequence[int | None]) -> bool:
    """Return whether numbers are seconds since 1970, or fractions of these, close to the event times."""
    pairs = [(number, time) for number, time in zip(numbers, times, strict=True) if number is not None and time]
    return any(
        bool(pairs) and all(abs(number / scale - time / 1000) < 86_400 for number, time in pairs)
        for scale in (1, 1e3, 1e6, 1e9)
    )


def _is_large_id(path: str, known: Sequence[float]) -> bool:
    """Return whether whole numbers are so large, and so close to each other, that they number something."""
    if COUNTED.intersection(words_of(last_step(path))) or len(set(known)) < len(known) or min(known) < 1e7:
        return False
    return max(known) - min(known) < 1e-3 * max(known) and (len(known) > 1 or min(known) > 1e8)


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
