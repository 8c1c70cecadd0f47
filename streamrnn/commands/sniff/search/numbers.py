"""How numbers are written: decimal marks, units, and what stands for a missing value."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from streamrnn.commands.sniff.search.table import COMMA_NUMBER, NUMBER, UNIT_NUMBER, Column, number_in
from streamrnn.commands.sniff.search.words import is_described, is_duration, is_identifier
from streamrnn.mapping.numbers import CURRENCIES, MISSING_TEXTS

SENTINELS = (
    -9999.0,
    -999.0,
    -99.0,
    -999.9,
    -9999.9,
    -99.9,
    -99.99,
    -999.99,
    -9999.99,
    -99999.0,
    -200.0,
    -888.0,
    -6999.0,
    -7777.0,
    9999.0,
    99999.0,
    999.9,
    9999.9,
    999.0,
    32767.0,
    -32768.0,
    65535.0,
    2147483647.0,
    -2147483648.0,
    -127.0,
    3276.7,
    6553.5,
    -3276.8,
    327.67,
    655.35,
    9.96921e36,
    -1e30,
    -1e20,
    1e20,
    1e30,
)
"""Numbers that sensors and archives write for a missing value."""
_HEX = re.compile("[0-9A-F]{2,}|[0-9a-f]{2,}")
"""What follows the digits of a hexadecimal number that begins with some."""
_FAR = 5
"""Ranges of the other values that a sentinel is away from them."""


class NumberForm(NamedTuple):
    """How numbers are written in text."""

    decimal: str = "."
    units: bool = False
    booleans: bool = False
    missing_numbers: tuple[float, ...] = ()
    missing_texts: tuple[str, ...] = MISSING_TEXTS

    def with_missing(self, numbers: Collection[float], texts: Collection[str]) -> "NumberForm":
        """Return the same form with further values that are missing."""
        more = sorted(set(texts) - {*MISSING_TEXTS})
        return self._replace(missing_numbers=tuple(sorted(numbers)), missing_texts=(*MISSING_TEXTS, *more))


def find_form(columns: Sequence[Column]) -> NumberForm:
    """Return how numbers in text are written."""
    comma, units = False, False
    for column in columns:
        texts = [value.strip() for value in column.present if type(value) is str and len(value) <= 64][:300]
        if not texts:
            continue
        plain = sum(NUMBER.fullmatch(text) is not None for text in texts)
        commas = sum(COMMA_NUMBER.fullmatch(text) is not None for text in texts)
        if commas and plain + commas >= 0.5 * len(texts):
            comma = True
        with_unit = [text for text in texts if UNIT_NUMBER.fullmatch(text)]
        of_message = is_described(column.path) or is_identifier(column.path) or is_duration(column.path)
        priced = [text for text in texts if text[:1] in CURRENCIES and number_in(text, units=True) is not None]
        units = units or len(priced) >= 0.5 * len(texts)
        if len(with_unit) >= 0.5 * len(texts) and _one_unit(with_unit) and not of_message:
            units = True
    return NumberForm("," if comma else ".", units)


def _one_unit(texts: Sequence[str]) -> bool:
    """Return whether texts have one unit, or very few; other texts that begin with a digit have many endings."""
    endings = {text[match.end() :].strip() for text in texts if (match := NUMBER.match(text))}
    short = all(len(ending) <= 12 and len(ending.split()) <= 2 and not _HEX.fullmatch(ending) for ending in endings)
    return short and len(endings) <= max(1, len(texts) // 3)


def sentinels_in(values: Mapping[str, Sequence[float]]) -> set[float]:
    """Return the numbers that stand for a missing value, given the numbers of each field.

    Such a number is far from all others of its field, and in no other field an ordinary value.
    """
    found: set[float] = set()
    for known in values.values():
        present = {each for each in SENTINELS if each in known}
        others = [each for each in known if each not in present] if present else []
        found |= {sentinel for sentinel in present if others and _is_far(sentinel, others)}
    return {each for each in found if not any(_is_ordinary(each, known) for known in values.values())}


def _is_far(sentinel: float, others: Sequence[float]) -> bool:
    low, high = min(others), max(others)
    spread = max(high - low, 0.05 * max(abs(low), abs(high)), 1e-9)
    beyond = low - sentinel if sentinel < low else sentinel - high if sentinel > high else 0.0
    # a value below zero of what is never negative is far whatever the range
    return beyond > _FAR * spread or (sentinel < 0 <= low and beyond > spread and sentinel <= -99)


def _is_ordinary(sentinel: float, known: Sequence[float]) -> bool:
    others = [each for each in known if each not in SENTINELS]
    return bool(others) and sentinel in known and not _is_far(sentinel, others)
