"""Detection of how numbers are written: decimal marks, units and missing values."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from streamrnn.commands.sniff.search.table import (
    COMMA_NUMBER,
    COMMA_UNIT_NUMBER,
    NUMBER,
    UNIT_NUMBER,
    Column,
    number_in,
)
from streamrnn.commands.sniff.search.words import is_described, is_duration, is_identifier
from streamrnn.mapping.numbers import CURRENCIES, MISSING_TEXTS
from streamrnn.mapping.units import UnitScale, unit_scale

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
    -999999.0,
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
"""The end of a hexadecimal number that begins with decimal digits."""
_NAME = re.compile("[a-z]{2}[A-Z][a-z]{2}")
"""A part of a name such as `24hrTicker`, which no unit has."""
_CODED = re.compile(r"[+-]0\d{3},\d", re.ASCII)
"""A value with its quality code, as in NOAA's integrated surface data; not a decimal number."""
_MIN_VALUES = 5
"""Fewest texts from which it is evidence that they are all the same."""
_SHORT_UNIT = 3
"""Most letters of a unit behind a decimal number that need not be known."""
_FAR = 5
"""Least distance of a sentinel from the other values, in units of their range."""


class NumberForm(NamedTuple):
    """Notation of numbers, as section `input.numbers` configures it."""

    decimal: str = "."
    units: bool | Literal["scaled"] = False
    booleans: bool = False
    missing_numbers: tuple[float, ...] = ()
    missing_texts: tuple[str, ...] = MISSING_TEXTS

    def with_missing(self, numbers: Collection[float], texts: Collection[str]) -> "NumberForm":
        """Return the same form with these numbers and further texts as missing values."""
        more = sorted(set(texts) - {*MISSING_TEXTS})
        return self._replace(missing_numbers=tuple(sorted(numbers)), missing_texts=(*MISSING_TEXTS, *more))


def find_form(columns: Sequence[Column]) -> NumberForm:
    """Return the notation of the numbers in text columns: decimal mark and units."""
    comma, units, scales, coded = False, False, list[set[UnitScale]](), False
    unclear = points = False
    for column in columns:
        texts = [value.strip() for value in column.present if type(value) is str and len(value) <= 64][:300]
        if not texts:
            continue
        with_comma = [match for text in texts if (match := COMMA_UNIT_NUMBER.fullmatch(text))]
        if len(with_comma) >= 0.5 * len(texts) and not all(_THREE_DIGITS.search(each[1]) for each in with_comma):
            comma = True
            texts = [_with_point(text) for text in texts]
        coded = coded or all(map(_CODED.fullmatch, texts))
        plain = sum(NUMBER.fullmatch(text) is not None for text in texts)
        commas = sum(COMMA_NUMBER.fullmatch(text) is not None for text in texts)
        if commas and plain + commas >= 0.5 * len(texts):
            clear = any(COMMA_NUMBER.fullmatch(text) and not UNCLEAR.fullmatch(text) for text in texts)
            comma, unclear = comma or clear, unclear or not clear
        points = points or sum("." in text and NUMBER.fullmatch(text) is not None for text in texts) >= 0.5 * len(texts)
        if is_described(column.path) or is_identifier(column.path) or is_duration(column.path):
            continue  # of the message
        priced = [text for text in texts if text[:1] in CURRENCIES and number_in(text, units=True) is not None]
        with_unit = [text for text in texts if UNIT_NUMBER.fullmatch(text)]
        found = {unit: unit_scale(unit) for unit in map(unit_of, with_unit)}
        whole = plain + len(with_unit) >= 0.9 * len(texts)
        if whole and len({scale and scale.base for scale in found.values()}) == 1:
            scales.append({*filter(None, found.values())} | ({UnitScale("", 1, 1)} if plain else set()))
        measured = len(with_unit) >= 0.5 * len(texts) and _one_unit(with_unit)
        units = units or len(priced) >= 0.5 * len(texts) or (measured and not is_label(texts))
    comma = comma or (unclear and not points)
    scaled = any(_varies(each) for each in scales)
    return NumberForm("," if comma and not coded else ".", "scaled" if scaled else units)


UNCLEAR = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+", re.ASCII)
"""Numbers whose commas may separate thousands or decimals."""
_GROUPS = re.compile(r"[. '\u00a0\u2009\u202f\u2019]")
"""Marks between thousands."""
_THREE_DIGITS = re.compile(r",\d{3}$")
"""A comma that may separate thousands."""


def _with_point(text: str) -> str:
    """Return a number with a decimal comma and a unit rewritten with a point; any other text unchanged."""
    match = COMMA_UNIT_NUMBER.fullmatch(text)
    return text if match is None else _GROUPS.sub("", match[1]).replace(",", ".") + match[2]


def _varies(scales: set[UnitScale]) -> bool:
    """Return whether units with one base have several prefixes, or usually vary: bytes and Kubernetes quantities."""
    sizes = any(each.base in ("B", "byte", "bytes") and each.factor > 1 for each in scales)
    quantities = any(not each.base and (each.factor % 1024 == 0 or each.divisor >= 10**6) for each in scales)
    return len(scales) > 1 or sizes or quantities


def unit_of(text: str) -> str:
    """Return the text after the number that a text begins with; the whole text if it begins with none."""
    match = NUMBER.match(text)
    return text[match.end() :].strip() if match else text


def is_label(texts: Sequence[str]) -> bool:
    """Return whether all texts are the same number followed by an unknown unit, such as `200 OK`."""
    labelled = len(texts) >= _MIN_VALUES and len(set(texts)) == 1 and UNIT_NUMBER.fullmatch(texts[0]) is not None
    unit = unit_of(texts[0]) if labelled else ""
    measured = "." in texts[0] and len(unit) <= _SHORT_UNIT  # 0.00 in
    return labelled and not (measured or _is_known(unit))


def has_measure(text: str) -> bool:
    """Return whether a text is a decimal number, or a number with a known unit: `0.5`, `20 %`, `64Mi`."""
    if NUMBER.fullmatch(text):
        return "." in text
    return UNIT_NUMBER.fullmatch(text) is not None and (
        _is_known(unit_of(text)) or unit_scale(unit_of(text)) is not None
    )


def _is_known(unit: str) -> bool:
    """Return whether a unit is known; a lone prefix, as in `11n`, is not."""
    scale = unit_scale(unit)
    return (scale is not None and (bool(scale.base) or scale.factor % 1024 == 0)) or unit[:1] in ("%", "\u00b0")


def _one_unit(texts: Sequence[str]) -> bool:
    """Return whether texts have few distinct short units; other texts that begin with a digit have many endings."""
    endings = set(map(unit_of, texts))
    short = all(
        len(ending) <= 12 and len(ending.split()) <= 2 and not _HEX.fullmatch(ending) and not _NAME.search(ending)
        for ending in endings
    )
    return short and len(endings) <= max(1, len(texts) // 3)


def sentinels_in(values: Mapping[str, Sequence[float | None]]) -> set[float]:
    """Return the numbers that represent a missing value, given the numbers of each field by row.

    Such a number is far from all others of its field, and is not an ordinary value of any field. Numbers of nines,
    such as 99.0, must besides only be in rows in which another field has such a number.
    """
    present = {path: [value for value in known if value is not None] for path, known in values.items()}
    certain = _certain_sentinels(present)
    if not certain:
        return set()
    absent = [any(value in certain for value in row) for row in zip(*values.values(), strict=True)]
    usual = {value for known in values.values() for value, without in zip(known, absent, strict=True) if not without}
    nines = {
        nines
        for known in present.values()
        for nines in _NINES.intersection(known) - usual
        if _is_far(nines, [value for value in known if value != nines] or [nines])
    }
    return certain | nines


def _certain_sentinels(values: Mapping[str, Sequence[float]]) -> set[float]:
    found: set[float] = set()
    for known in values.values():
        present = {each for each in SENTINELS if each in known}
        others = [each for each in known if each not in present] if present else []
        found |= {sentinel for sentinel in present if others and _is_far(sentinel, others)}
    return {each for each in found if not any(_is_ordinary(each, known) for known in values.values())}


_NINES = frozenset((9.9, 99.0, 99.9, 99.99))
"""Numbers that represent a missing value in archives, and are as often measured."""


def _is_far(sentinel: float, others: Sequence[float]) -> bool:
    low, high = min(others), max(others)
    spread = max(high - low, 0.05 * max(abs(low), abs(high)), 1e-9)
    beyond = low - sentinel if sentinel < low else sentinel - high if sentinel > high else 0.0
    # a negative number in a field that is otherwise never negative needs less distance
    return beyond > _FAR * spread or (sentinel < 0 <= low and beyond > spread and sentinel <= -99)


def _is_ordinary(sentinel: float, known: Sequence[float]) -> bool:
    others = [each for each in known if each not in SENTINELS]
    return bool(others) and sentinel in known and not _is_far(sentinel, others)
