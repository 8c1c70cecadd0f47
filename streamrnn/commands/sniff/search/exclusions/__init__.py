"""Numbers that are not fields: ids, times, codes, counters of messages."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from streamrnn.commands.sniff.search.exclusions.codes import Candidate, why_code
from streamrnn.commands.sniff.search.numbers import is_label
from streamrnn.commands.sniff.search.table import NUMBER, Column
from streamrnn.commands.sniff.search.words import (
    COUNTED,
    RATES,
    VALUES,
    is_day_number,
    is_described,
    is_duration,
    is_quantity,
    last_step,
    time_score,
    words_of,
)

DESCRIBES, LARGE = "describes the message", "an id: large whole numbers, each once"
_FEW_VALUES = 8
"""Fewest values for a conclusion from how they change."""
_SURELY_TIME, _USUALLY_TIME, _PERHAPS_TIME = 100, 75, 60
"""Least scores of names that are certainly, usually, and perhaps those of times."""
_FEWEST = 3
_SET_DURATIONS = frozenset(("interval", "period", "resolution", "timeout"))
"""Words of names of durations that are set rather than measured: fewer equal values are evidence that they are."""
_SET_PERIODS = frozenset((
    "collection", "heartbeat", "in", "log", "logging", "measuring", "measurement", "min", "minutes", "ms", "period",
    "poll", "polling", "publish", "refresh", "report", "reporting", "s", "sample", "sampling", "scan", "sec", "secs",
    "seconds", "send", "time", "update",
))  # fmt: skip
"""Words of names of periods that are set: any other one, as that of waves, says that the period is measured."""
_LEAST_SECONDS = 1e8
"""Larger whole numbers may be seconds since 1970, from 1973 on."""
_THIS_CENTURY, _2100 = 946_684_800, 4_102_444_800
"""Seconds since 1970 of the beginnings of 2000 and 2100."""
_INDEX, _COLUMN = "c1", re.compile(r"c\d+")
"""The first column of a table if it has no name, as an index of pandas has none, and all such columns."""
_LEAST_ID, _LONE_ID = 1e7, 1e8
"""Smallest whole numbers that may be ids: several close to each other, and a single one."""
_CLOSE = 1e-3
"""Largest range of ids, relative to the largest id."""
_EPOCHS = ((1e12, 4.2e12), (1e15, 4.2e15), (1e18, 4.2e18))
"""Milliseconds, microseconds and nanoseconds since 1970, from 2001 to 2103."""
_TIME_STAMPS = frozenset(("date", "datetime", "day", "epoch", "timestamp"))
"""Words of names whose large whole numbers are times."""
_MOMENTS = frozenset(("changed", "created", "modified", "seen", "updated"))
"""Further words of names of times."""
_EXCHANGE_IDS = frozenset(("f", "L", "a", "b", "t", "u", "U", "l", "i", "I", "pu", "tradeId", "seqNum"))
"""Members of the messages of exchanges whose whole numbers are ids of trades, orders and updates."""
_CYCLES = frozenset((15, 16, 32, 64, 128, 256, 1_024, 4_096, 65_536))
"""Numbers of values after which rolling counters of messages begin again."""


def why_no_field(
    column: Column,
    numbers: Sequence[float | None],
    *,
    times: Sequence[int | None],
    keys: Sequence[str],
    exchange: bool,
    paths: Collection[str] = (),
) -> str:
    """Return why numbers are not a field; empty if they are one.

    Args:
        column: The numbers as they are written.
        numbers: The numbers by row.
        times: Event time by row.
        keys: Key by row.
        exchange: Whether the messages are those of an exchange, which names members by single letters.
        paths: The paths of all members.
    """
    candidate = Candidate(
        column.path,
        column.present,
        numbers,
        [each for each in numbers if each is not None],
        all(type(v) is int or (type(v) is str and v.strip().lstrip("+-").isdigit()) for v in column.present),
        all(type(v) is str for v in column.present),
    )
    return (
        _why_odd(candidate, exchange=exchange)
        or _why_time(candidate, times)
        or why_code(candidate, paths)
        or _why_numbered(candidate, paths)
        or _why_constant(candidate, keys)
    )


def _why_odd(candidate: Candidate, *, exchange: bool) -> str:
    """Return why numbers are a time that is not understood, an exchange's id, a label, or part of an envelope."""
    known = candidate.known
    surely = time_score(candidate.path) == _SURELY_TIME
    if words_of(last_step(candidate.path))[-1:] == ["timestamp"] and candidate.whole and max(known) < _LEAST_SECONDS:
        return "a time that is not understood"
    odd = surely and (min(known) > _LEAST_SECONDS if candidate.are_text else rise_steadily(known))
    if odd or is_day_number(candidate.path, known):
        return "a time that is not understood"
    if candidate.whole and exchange and last_step(candidate.path) in _EXCHANGE_IDS:
        return "an id of the exchange"
    if candidate.are_text and is_label([v.strip() for v in candidate.written]):
        return "text that begins with a number, always the same"
    return DESCRIBES if is_described(candidate.path) else ""


def _why_time(candidate: Candidate, times: Sequence[int | None]) -> str:
    """Return why numbers are times or durations."""
    words = set(words_of(last_step(candidate.path)))
    large = candidate.whole and are_epochs(candidate.by_row) and not COUNTED.intersection(words)
    timely = time_score(candidate.path) >= _USUALLY_TIME or bool(_TIME_STAMPS.intersection(words))
    perhaps = time_score(candidate.path) >= _PERHAPS_TIME or not _MOMENTS.isdisjoint(words)
    named = perhaps and not COUNTED.intersection(words)
    low, high = min(candidate.known), max(candidate.known)
    seconds = (timely and low > _LEAST_SECONDS) or (named and _THIS_CENTURY <= low <= high < _2100)
    if (
        are_near(candidate.by_row, times)
        or _are_fractions(candidate.by_row, times)
        or large
        or (candidate.whole and seconds)
        or (timely and candidate.whole and _are_dates(candidate.known))
    ):
        return "a time"
    set_once = bool(words & _SET_DURATIONS) and ("period" not in words or words <= _SET_PERIODS)
    least = _FEWEST if set_once else _FEW_VALUES
    steady = len(candidate.known) >= least and len(set(candidate.known)) == 1 and candidate.known[0].is_integer()
    return "an interval, always the same" if steady and is_duration(candidate.path) else ""


def _why_numbered(candidate: Candidate, paths: Collection[str]) -> str:
    """Return why numbers are ids or sequence numbers, judged by their values."""
    padded = any(type(v) is str and len(v) > 1 and v[0] == "0" and v.isdigit() for v in candidate.written)
    if padded and not _are_padded(candidate):
        return "an id: text with leading zeros"
    known = candidate.known
    least = _FEWEST if candidate.path == _INDEX and not all(map(_COLUMN.fullmatch, paths)) else _FEW_VALUES
    counts = last_step(candidate.path).lower() not in VALUES
    if counts and candidate.whole and len(known) >= least and _count_records(known):
        return "a sequence number: it rises by 1 with every record"
    if candidate.whole and _rolls(known):
        return "a sequence number: it rises by 1 with every record, and begins again"
    return LARGE if candidate.whole and _is_large_id(candidate.path, known) else ""


def _are_padded(candidate: Candidate) -> bool:
    """Return whether texts of one length are numbers with zeros before them: they differ, and change by little."""
    known = candidate.known
    if len({*map(len, candidate.written)}) > 1 or len(known) < _FEW_VALUES or len({*known}) <= len(known) / 2:
        return False
    steps = [abs(b - a) for a, b in pairwise(known)]
    return sum(steps) / len(steps) < _SMOOTH * (max(known) - min(known))


_SMOOTH = 0.25
"""Largest mean step of a quantity, relative to its range; that of random numbers is a third."""


def _why_constant(candidate: Candidate, keys: Sequence[str]) -> str:
    """Return why numbers are ids, judged by the keys."""
    if not candidate.whole or is_quantity(candidate.path):
        return ""
    by_key = by_keys(candidate.by_row, keys)
    if len(by_key) > 1 and all(len(each) >= _FEW_VALUES and _count_records(each) for each in by_key.values()):
        return "a sequence number: it rises by 1 with every record of a key"
    if _repeat_keys(by_key):
        return "a part of the key"
    if not _identify_keys(by_key):
        return ""
    return "a number of each key" if _number_keys(by_key) else "an id: constant per key"


def _count_records(known: Sequence[float]) -> bool:
    return all(b - a == 1 for a, b in pairwise(known))


def _rolls(known: Sequence[float]) -> bool:
    """Return whether numbers rise by 1 and begin again at 0, as a rolling counter of messages does."""
    steps = [b - a for a, b in pairwise(known)]
    falls = {-step for step in steps if step != 1}
    return len(known) >= _FEW_VALUES and len(falls) == 1 and falls.pop() + 1 in _CYCLES and min(known) == 0


def by_keys(numbers: Sequence[float | None], keys: Sequence[str]) -> dict[str, list[float]]:
    """Return the numbers of each key that are not missing."""
    found: dict[str, list[float]] = {}
    for key, number in zip(keys, numbers, strict=True):
        if number is not None:
            found.setdefault(key, []).append(number)
    return found


def _number_keys(by_key: Mapping[str, Sequence[float]]) -> bool:
    """Return whether the numbers enumerate the keys, at least three: 0, 1, 2 and so on, or from 1 on."""
    numbers = sorted(each[0] for each in by_key.values())
    return len(numbers) >= _FEWEST and numbers[0] in (0, 1) and all(b - a == 1 for a, b in pairwise(numbers))


def _repeat_keys(by_key: Mapping[str, Sequence[float]]) -> bool:
    """Return whether each of at least three keys has its number as a part, in at least three records."""
    if len(by_key) < _FEWEST or min(map(len, by_key.values())) < _FEWEST:
        return False
    return all({f"{each:.0f}" for each in numbers} <= {*key.split("/")} for key, numbers in by_key.items())


def are_copies(texts: Column, numbers: Column) -> bool:
    """Return whether texts are the numbers of another column, rounded or with a unit."""
    pairs = [(a, b) for a, b in zip(texts.values, numbers.values, strict=True) if a is not None and b is not None]
    if not all(type(a) is str and type(b) in (int, float) and _is_rounded(a, b) for a, b in pairs):
        return False
    # one number without a unit, such as 0, may be equal by chance
    return len({b for _, b in pairs}) > 1 or any(NUMBER.fullmatch(a.strip()) is None for a, _ in pairs)


def _is_rounded(text: str, number: float) -> bool:
    match = NUMBER.match(text.strip())
    if match is None:
        return False
    digits = len(match[0].rpartition(".")[2]) if "." in match[0] else 0
    return abs(float(match[0]) - number) <= 0.51 * 10.0**-digits


def are_numbered(numbers: Sequence[float | None]) -> bool:
    """Return whether a few numbers rise by 1 each, which may be by chance."""
    known = [each for each in numbers if each is not None]
    return _FEWEST <= len(known) < _FEW_VALUES and _count_records(known)


def are_epochs(numbers: Sequence[float | None]) -> bool:
    """Return whether all numbers are in the range of milliseconds, microseconds or nanoseconds since 1970."""
    known = [each for each in numbers if each is not None]
    return bool(known) and all(any(low <= each < high for low, high in _EPOCHS) for each in known)


def _are_dates(known: Sequence[float]) -> bool:
    """Return whether all numbers are dates written as digits, such as 20240301."""
    return all(19_000_101 <= each < 21_010_101 and _is_date(f"{each:.0f}") for each in known[:300])


def _is_date(digits: str) -> bool:
    try:
        datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return False
    return True


def rise_steadily(numbers: Sequence[float]) -> bool:
    """Return whether numbers never fall, as times do not, and enough of them are different."""
    different = len(set(numbers)) > len(numbers) / 4 + 1
    return len(numbers) >= _FEW_VALUES and different and all(a <= b for a, b in pairwise(numbers))


def return_often(numbers: Sequence[float | None]) -> bool:
    """Return whether a few numbers return after other ones, as those of devices that take turns do."""
    different = len(set(numbers))
    return different > 1 and sum(a != b for a, b in pairwise(numbers)) >= _FEWEST * different


def are_near(numbers: Sequence[float | None], times: Sequence[int | None]) -> bool:
    """Return whether numbers are s, ms, µs or ns since 1970 within a day of the event times (ms)."""
    pairs = [(number, time) for number, time in zip(numbers, times, strict=True) if number is not None and time]
    return any(
        bool(pairs) and all(abs(number / scale - time / 1000) < 86_400 for number, time in pairs)
        for scale in (1, 1e3, 1e6, 1e9)
    )


def _are_fractions(numbers: Sequence[float | None], times: Sequence[int | None]) -> bool:
    """Return whether numbers are the fractions of a second of the event times (ms), in ms, µs or ns."""
    pairs = [(number, time % 1000) for number, time in zip(numbers, times, strict=True) if number is not None and time]
    return len({fraction for _, fraction in pairs}) >= _FEWEST and any(
        all(number // scale == fraction for number, fraction in pairs) for scale in (1, 1e3, 1e6)
    )


def _is_large_id(path: str, known: Sequence[float]) -> bool:
    """Return whether whole numbers are distinct, large and close to each other, as ids are."""
    if (
        (COUNTED | RATES).intersection(words_of(last_step(path)))
        or len(set(known)) < len(known)
        or min(known) < _LEAST_ID
    ):
        return False
    return max(known) - min(known) < _CLOSE * max(known) and (len(known) > 1 or min(known) > _LONE_ID)


def _identify_keys(by_key: Mapping[str, Sequence[float]]) -> bool:
    """Return whether each of several keys has one number of its own, in at least 4 * _FEW_VALUES records each."""
    many = min(map(len, by_key.values()), default=0) >= 4 * _FEW_VALUES
    single = many and all(len({*each}) == 1 for each in by_key.values())
    return single and len(by_key) > 1 and len({each[0] for each in by_key.values()}) == len(by_key)
