"""Numbers that are not fields: ids, times, codes, counters of messages."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from http import HTTPStatus
from itertools import pairwise
from typing import Any, NamedTuple

from streamrnn.commands.sniff.search.numbers import is_label
from streamrnn.commands.sniff.search.table import NUMBER, Column
from streamrnn.commands.sniff.search.words import (
    COUNTED,
    FIX_CODES,
    RATES,
    VALUES,
    is_day_number,
    is_described,
    is_duration,
    is_identifier,
    is_numbered,
    last_step,
    time_score,
    words_of,
)

DESCRIBES, STATUS = "describes the message", "the code of a status"
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
_HTTP = frozenset((*map(float, HTTPStatus), 499.0, *map(float, range(520, 531))))
"""HTTP status codes, with those of proxies."""
_TIME_STAMPS = frozenset(("date", "datetime", "day", "epoch", "timestamp"))
"""Words of names whose large whole numbers are times."""
_MOMENTS = frozenset(("changed", "created", "modified", "seen", "updated"))
"""Further words of names of times."""
_EXCHANGE_IDS = frozenset(("f", "L", "a", "b", "t", "u", "U", "l", "i", "I", "pu", "tradeId", "seqNum"))
"""Members of the messages of exchanges whose whole numbers are ids of trades, orders and updates."""
_QUALITY = re.compile(r"(.+?)[_.-]?(?:qc|qf|qa|cd|quality|qualifier|flag|status)", re.IGNORECASE | re.DOTALL)
"""Name of a quality code: the name of the value, and a suffix."""
_LOG_LEVELS, _LOG_TEXTS = frozenset(("level", "severity")), frozenset(("logger", "message", "msg", "short_message"))
"""Member names of a log line: those of its level, and those of its texts."""
_FORMER = re.compile(r"(?:[oO]ld|[pP]rev|[pP]revious)(?:[_-]|(?=[A-Z]))(.+)", re.DOTALL)
"""Name of a previous value, such as `oldValue`."""
_NITRIC = ("no2", "nox")
_LONGITUDES = ("lon", "lng", "long")
_LATITUDE = re.compile(r"(.+)lat", re.IGNORECASE | re.DOTALL)
_LONGITUDE = re.compile(r"(.+)(?:lon|lng|long)", re.IGNORECASE | re.DOTALL)
"""Names of coordinates that begin alike, such as `start_lat` and `start_lon`."""
_SHARES = ("us", "sy", "wa")
"""Names of shares of a processor's time beside `id`."""
_PLAIN = frozenset(("new", "old", "v", "val", "value"))
"""Names of members whose meaning is that of the object around them."""
_FIX = frozenset(("35", "52", "55"))
"""Tags by which a FIX message is recognised: type, time and symbol."""


class _Candidate(NamedTuple):
    """A column of numbers that may be a field."""

    path: str
    written: list[Any]
    """The values as they are in the messages, without missing ones."""
    by_row: Sequence[float | None]
    known: list[float]
    """The numbers that are not missing."""
    whole: bool
    """Whether all are written as whole numbers."""
    are_text: bool
    """Whether all are written as text."""


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
    candidate = _Candidate(
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
        or _why_code(candidate, paths)
        or _why_numbered(candidate, paths)
        or _why_constant(candidate, keys)
    )


def is_idle_share(path: str, paths: Collection[str]) -> bool:
    """Return whether a member called `id` is the share of time in which a processor was idle, given all paths."""
    return last_step(path) == "id" and all(_has_sibling(path, each, paths) for each in _SHARES)


def _has_sibling(path: str, name: str, paths: Collection[str]) -> bool:
    """Return whether the object of the member at `path` has a member `name`, in any case."""
    parent = path.rpartition(".")[0]
    return f"{parent}.{name}".removeprefix(".").lower() in {each.lower() for each in paths}


def _why_odd(candidate: _Candidate, *, exchange: bool) -> str:
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


def _why_time(candidate: _Candidate, times: Sequence[int | None]) -> str:
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
        or large
        or (candidate.whole and seconds)
        or (timely and candidate.whole and _are_dates(candidate.known))
    ):
        return "a time"
    set_once = bool(words & _SET_DURATIONS) and ("period" not in words or words <= _SET_PERIODS)
    least = _FEWEST if set_once else _FEW_VALUES
    steady = candidate.whole and len(candidate.known) >= least and len(set(candidate.known)) == 1
    return "an interval, always the same" if steady and is_duration(candidate.path) else ""


def _why_code(candidate: _Candidate, paths: Collection[str]) -> str:
    """Return why numbers are ids or codes, judged by their names and those of the other members."""
    name = last_step(candidate.path).lower()
    if _only_resembles_id(candidate, paths):
        return ""
    tag = last_step(candidate.path) in FIX_CODES and not _FIX.isdisjoint(map(last_step, paths))
    whole_id = candidate.whole and is_numbered(candidate.path)
    if tag or whole_id or is_identifier(candidate.path) or _is_coordinate(candidate.path, paths):
        return "an id, a number of the message or a place"
    former = _FORMER.match(last_step(candidate.path))
    if former is not None and _has_sibling(candidate.path, former[1], paths):
        return "the value before, which is there, too"
    parent, _, step = candidate.path.rpartition(".")
    moved = last_step(parent).lower() == "position" and not candidate.whole  # of a valve, not in a list
    if parent and step.lower() in _PLAIN and is_identifier(parent) and not moved:
        return "an id, a number of the message or a place"  # elevation.value, revision.new
    if not candidate.whole:
        return ""
    words = words_of(last_step(candidate.path).removesuffix("_raw"))
    of_status = words[-1:] == ["status"] or (words[-1:] == ["state"] and not candidate.are_text)
    if of_status and (why := _why_status(candidate)):
        return why
    if "quality" in words and any(_has_sibling(candidate.path, value, paths) for value in ("value", "v")):
        return "the quality of the value"
    quality = _QUALITY.fullmatch(candidate.path)
    if quality is not None and quality[1] in paths:
        return f"the quality of {quality[1]}"
    logged = name in _LOG_LEVELS and not _LOG_TEXTS.isdisjoint(last_step(path).lower() for path in paths)
    return "the level of a log" if logged else ""


def _only_resembles_id(candidate: _Candidate, paths: Collection[str]) -> bool:
    """Return whether a name is like that of an id: an idle share, nitric oxide, or the offset of a clock."""
    name = last_step(candidate.path).lower()
    nitric_oxide = name == "no" and any(_has_sibling(candidate.path, other, paths) for other in _NITRIC)
    of_clock = not candidate.whole and "offset" in words_of(name)
    return nitric_oxide or of_clock or is_idle_share(candidate.path, paths)


def _is_coordinate(path: str, paths: Collection[str]) -> bool:
    """Return whether a name ends like that of a latitude or longitude with the other one in the same object."""
    latitude, longitude = _LATITUDE.fullmatch(last_step(path)), _LONGITUDE.fullmatch(last_step(path))
    if latitude is not None and any(_has_sibling(path, latitude[1] + other, paths) for other in _LONGITUDES):
        return True
    return longitude is not None and _has_sibling(path, f"{longitude[1]}lat", paths)


def _why_status(candidate: _Candidate) -> str:
    """Return why whole numbers of a status are no field: codes are few, counts by status mostly different."""
    known = set(candidate.known)
    if _HTTP.issuperset(known):
        return "a code of HTTP"
    mostly_different = len(known) >= _FEWEST and 2 * len(known) > len(candidate.known)
    switch = len(known) == 2 or words_of(last_step(candidate.path))[1:][-1:] == ["state"]
    if (switch and known <= {0.0, 1.0}) or (
        max(known) >= _FEW_VALUES and (mostly_different or len(known) >= _FEW_VALUES)
    ):
        return ""
    return STATUS


def _why_numbered(candidate: _Candidate, paths: Collection[str]) -> str:
    """Return why numbers are ids or sequence numbers, judged by their values."""
    if any(type(v) is str and len(v) > 1 and v[0] == "0" and v.isdigit() for v in candidate.written):
        return "an id: text with leading zeros"
    known = candidate.known
    least = _FEWEST if candidate.path == _INDEX and not all(map(_COLUMN.fullmatch, paths)) else _FEW_VALUES
    counts = last_step(candidate.path).lower() not in VALUES
    if counts and candidate.whole and len(known) >= least and all(b - a == 1 for a, b in pairwise(known)):
        return "a sequence number: it rises by 1 with every record"
    return "an id: large whole numbers, each once" if candidate.whole and _is_large_id(candidate.path, known) else ""


def _why_constant(candidate: _Candidate, keys: Sequence[str]) -> str:
    """Return why numbers are ids, judged by the keys."""
    return "an id: constant per key" if candidate.whole and _identify_keys(candidate.by_row, keys) else ""


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
    return _FEWEST <= len(known) < _FEW_VALUES and all(b - a == 1 for a, b in pairwise(known))


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


def are_near(numbers: Sequence[float | None], times: Sequence[int | None]) -> bool:
    """Return whether numbers are s, ms, µs or ns since 1970 within a day of the event times (ms)."""
    pairs = [(number, time) for number, time in zip(numbers, times, strict=True) if number is not None and time]
    return any(
        bool(pairs) and all(abs(number / scale - time / 1000) < 86_400 for number, time in pairs)
        for scale in (1, 1e3, 1e6, 1e9)
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


def _identify_keys(numbers: Sequence[float | None], keys: Sequence[str]) -> bool:
    """Return whether each of several keys has one number of its own, in at least 4 * _FEW_VALUES records each."""
    by_key: dict[str, set[float]] = {}
    counts: dict[str, int] = {}
    for key, number in zip(keys, numbers, strict=True):
        if number is not None:
            by_key.setdefault(key, set()).add(number)
            counts[key] = counts.get(key, 0) + 1
    single = all(len(each) == 1 for each in by_key.values()) and min(counts.values(), default=0) >= 4 * _FEW_VALUES
    return single and len(by_key) > 1 and len({min(each) for each in by_key.values()}) == len(by_key)
