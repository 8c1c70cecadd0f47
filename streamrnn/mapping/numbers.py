"""Values of fields: numbers, numbers in text, booleans and missing values."""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from streamrnn.errors import RecordError
from streamrnn.formats import MAX_VALUE, shorten
from streamrnn.mapping.units import unit_scale

MISSING_TEXTS = ("", "-", "--", "?", "n/a", "na", "nan", "nil", "none", "null")
"""Texts, in lower case, that represent a missing value unless others are configured."""

_MAX_LENGTH = 64
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
AREA_OR_VOLUME = r"(?<=[mst])[23](?!\w)"
"""The digit in units such as `m3/h`, `W/m2` and `m/s2`, after its letter."""
_WITH_UNIT = re.compile(rf"({_NUMBER.pattern})\s*[^\d\s.,+-](?:[^\d]|{AREA_OR_VOLUME}){{0,15}}", re.ASCII)
THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+\.\d+|(?:,\d{3}){2,})", re.ASCII)
"""A number whose commas cannot be decimal marks."""
CURRENCIES = "$€£¥"
_NO_THOUSANDS = re.compile(r"\d{4}\.|\.(?!\d{3}(?!\d))|,.*\.", re.ASCII)
"""A point that cannot separate thousands."""
_GROUP_MARKS = re.compile(r"(?<=\d)[\u00a0\u2009\u202f'\u2019](?=\d{3}(?!\d))")
"""No-break spaces and apostrophes between thousands."""
_SPACES = re.compile(r"(?<=\d) (?=\d{3}(?!\d))")
_SWITCH = {"true": 1.0, "on": 1.0, "yes": 1.0, "false": 0.0, "off": 0.0, "no": 0.0}
"""Texts, in lower case, that are truth values."""
_MONGO = {"$numberDouble", "$numberInt", "$numberLong", "$numberDecimal"}


class NumberRule(NamedTuple):
    """The values that count as numbers, and as missing."""

    text: bool = True
    """Whether to read numbers in text."""
    units: bool | Literal["scaled"] = False
    """Whether to read numbers followed by a unit, such as `21.5 °C`; `scaled`: in the unit without its prefix."""
    booleans: bool = False
    """Whether to read true as 1 and false as 0, also in text: `on`, `off`, `yes`, `no`."""
    decimal: str = "."
    """Decimal mark of numbers in text, `.` or `,`; the other one separates thousands, as apostrophes do."""
    missing: tuple[str | float, ...] = MISSING_TEXTS
    """Texts, in lower case, and numbers that represent a missing value."""


def parse_missing(texts: Sequence[str]) -> tuple[str | float, ...]:
    """Return texts that represent a missing value as `NumberRule.missing` has them: a number where a text is one."""
    return tuple(map(_number_or_text, texts))


def _number_or_text(text: str) -> str | float:
    try:
        return float(text) if text.strip()[:1] in "+-.0123456789" else text
    except ValueError:
        return text


class NumberReader:
    """Reads numbers by a rule."""

    def __init__(self, rule: NumberRule) -> None:
        self._rule = rule
        self._missing_texts = frozenset(each.lower() for each in rule.missing if isinstance(each, str))
        self.plain = all(isinstance(each, str) for each in rule.missing)
        """Whether no number represents a missing value."""
        self._quick = rule.text and rule.decimal == "." and not any(map(_NUMBER.fullmatch, self._missing_texts))
        """Whether text in the usual notation is always read as that number."""
        self._missing_numbers = frozenset(float(each) for each in rule.missing if not isinstance(each, str))

    def read(self, name: str, value: Any, *, named: bool) -> float | None:
        """Return the value of a field; None if it is missing, or if it is not a number and the field is not `named`.

        Raises:
            RecordError: not_a_number, out_of_range.
        """
        kind = type(value)
        if kind is float or kind is int:
            number = value
        elif kind is str and self._quick and len(value) <= _MAX_LENGTH and _NUMBER.fullmatch(value):
            number = float(value)
        else:
            number = self._other(value)
            if number is None:
                missing = value is None or (kind is str and value.strip().lower() in self._missing_texts)
                if named and not missing:
                    raise RecordError(
                        "not_a_number", lambda: f"the field {name!r} must be a number, not {shorten(value)}"
                    )
                return None
        if not -MAX_VALUE <= number <= MAX_VALUE:
            if math.isnan(number):  # of a binary format: a missing value
                return None
            raise RecordError("out_of_range", f"the field {name!r} must be from -1e37 to 1e37, not {shorten(value)}")
        if self._missing_numbers and number in self._missing_numbers:
            return None
        return float(number)

    def plain_text(self, text: str) -> float | None:
        """Return the number in a text in the usual notation; None for other text, which `read` can read or refuse."""
        if self._quick and len(text) <= _MAX_LENGTH and _NUMBER.fullmatch(text):
            number = float(text)
            return number if -MAX_VALUE <= number <= MAX_VALUE else None
        return None

    def _other(self, value: Any) -> float | None:
        """Return the number in a value of another type; None if there is none."""
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is bool:
            return float(value) if self._rule.booleans else None
        if kind is Decimal:
            return float(value)
        if kind is dict and len(value) == 1 and _MONGO.issuperset(value):
            return self._text(str(next(iter(value.values()))))
        return None

    def _text(self, text: str) -> float | None:
        """Return the number in a text; None if there is none, or it is missing."""
        rule = self._rule
        if not rule.text or len(text) > _MAX_LENGTH:
            return None
        stripped = text.strip()
        if stripped.lower() in self._missing_texts:
            return None
        if not stripped.isascii() or "'" in stripped:
            stripped = _GROUP_MARKS.sub("", stripped.replace("\u2212", "-", 1))
        if rule.decimal == ",":
            if "." in stripped and _NO_THOUSANDS.search(stripped):
                return None
            stripped = _SPACES.sub("", stripped).replace(".", "").replace(",", ".")
        elif "," in stripped and THOUSANDS.fullmatch(stripped.lstrip(CURRENCIES) if rule.units else stripped):
            stripped = stripped.replace(",", "")
        if rule.units:
            stripped = stripped.lstrip(CURRENCIES)
        if _NUMBER.fullmatch(stripped):
            return float(stripped)
        if rule.units and (measured := _WITH_UNIT.fullmatch(stripped)):
            scale = unit_scale(stripped[measured.end(1) :].strip()) if rule.units == "scaled" else None
            return float(measured[1]) * scale.factor / scale.divisor if scale else float(measured[1])
        return _SWITCH.get(stripped.lower()) if rule.booleans else None
