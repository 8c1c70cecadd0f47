"""Fast parsing of numbers and times in JSON text, with the results of `orjson` and `parse_iso`.

Text that the functions cannot read is passed to the general decoder.
"""

import numpy as np

from streamrnn.columns.index import Bytes
from streamrnn.core.jit import Integers, compiled, external

UNREAD = -1
"""Returned in place of the next position if only the general decoder can read the text."""
MINUS, PLUS, POINT, COLON, ZERO = ord("-"), ord("+"), ord("."), ord(":"), ord("0")
EXACT_INTEGERS = 2**53
EXACT_DIGITS = 18  # number of digits that always fit into a 64-bit integer
POWERS = 10.0 ** np.arange(23)  # the powers of ten that doubles represent exactly
DAY, HOUR, MINUTE, SECOND = 86_400_000, 3_600_000, 60_000, 1_000

strtod = external("strtod", "float64", "int64", "int64")
"""C library function, which rounds correctly; Python never changes its locale for numbers."""


@compiled
def is_digit(c: int) -> bool:
    """Return whether a byte is a decimal digit."""
    return 48 <= c <= 57


@compiled
def skip_digits(text: Bytes, at: int, end: int) -> int:
    """Return the position after the digits at `at`."""
    while at < end and is_digit(text[at]):
        at += 1
    return at


@compiled
def read_integer(text: Bytes, at: int, end: int) -> int:
    """Return the integer with the digits text[at:end], at most 18."""
    number = 0
    for i in range(at, end):
        number = 10 * number + (int(text[i]) - ZERO)
    return number


@compiled
def read_number(text: Bytes, at: int, end: int, scratch: Integers) -> tuple[int, float, bool]:
    """Return the position after the JSON number at `at`, or UNREAD, its value, and whether it is written as an integer.

    `scratch` has one entry.
    """
    negative = text[at] == MINUS
    first = at + 1 if negative else at
    behind = skip_digits(text, first, end)
    whole_digits, decimals, exact, integer = behind - first, 0, True, True
    if whole_digits == 0 or (text[first] == ZERO and whole_digits > 1):
        return UNREAD, 0.0, False
    mantissa = read_integer(text, first, behind) if whole_digits <= EXACT_DIGITS else 0
    if behind < end and text[behind] == POINT:
        point, integer = behind, False
        behind = skip_digits(text, point + 1, end)
        decimals = behind - point - 1
        if decimals == 0:
            return UNREAD, 0.0, False
        if whole_digits + decimals <= EXACT_DIGITS:
            mantissa = mantissa * 10**decimals + read_integer(text, point + 1, behind)
    if behind < end and (text[behind] == 69 or text[behind] == 101):  # E, e
        exact = integer = False
        behind += 1
        if behind < end and (text[behind] == MINUS or text[behind] == PLUS):
            behind += 1
        digits = behind
        behind = skip_digits(text, digits, end)
        if behind == digits:
            return UNREAD, 0.0, False
    if behind == end:  # no JSON object ends with a number, and strtod needs a character at which it stops
        return UNREAD, 0.0, False
    if exact and whole_digits + decimals <= EXACT_DIGITS and mantissa <= EXACT_INTEGERS:
        value = mantissa / POWERS[decimals]  # correctly rounded, as both are doubles
        negative = negative and not (integer and mantissa == 0)  # the integer -0 is 0
        return behind, -value if negative else value, integer
    value = strtod(text.ctypes.data + at, scratch.ctypes.data)
    usable = scratch[0] == text.ctypes.data + behind and abs(value) < np.inf
    return (behind if usable else UNREAD), value, integer


@compiled
def read_pair(text: Bytes, at: int) -> int:
    """Return the number with the two digits at `at`; UNREAD if they are no digits."""
    tens, units = int(text[at]) - ZERO, int(text[at + 1]) - ZERO
    return tens * 10 + units if 0 <= tens <= 9 and 0 <= units <= 9 else UNREAD


@compiled
def days_since_1970(year: int, month: int, day: int) -> int:
    """Return the days since 1970, after Hinnant, "chrono-compatible low-level date algorithms"."""
    shifted = year - 1 if month <= 2 else year  # so that years begin in March
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@compiled
def days_in_month(year: int, month: int) -> int:
    """Return the number of days of a month, 1 to 12."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@compiled
def read_iso(text: Bytes, at: int, end: int, time: Integers) -> bool:
    """Parse the ISO 8601 time text[at:end] into time[0], ms since 1970, rounded down; return whether it was read.

    Only YYYY-MM-DDThh:mm:ss is read, with T or a space, any decimals, and no offset, Z or +hh:mm.
    """
    if end - at < 19 or text[at + 4] != MINUS or text[at + 7] != MINUS or (text[at + 10] != 84 and text[at + 10] != 32):
        return False
    if text[at + 13] != COLON or text[at + 16] != COLON:
        return False
    century, of_century, month, day = (
        read_pair(text, at), read_pair(text, at + 2), read_pair(text, at + 5), read_pair(text, at + 8)
    )  # fmt: skip
    hour, minute, second = read_pair(text, at + 11), read_pair(text, at + 14), read_pair(text, at + 17)
    year = 100 * century + of_century
    if century < 0 or of_century < 0 or year < 1 or not 1 <= month <= 12 or not 1 <= day <= days_in_month(year, month):
        return False
    if not 0 <= hour < 24 or not 0 <= minute < 60 or not 0 <= second < 60:
        return False
    milliseconds, behind = 0, at + 19
    if behind < end and text[behind] == POINT:
        digits = behind + 1
        behind = skip_digits(text, digits, end)
        if behind == digits:
            return False
        for i in range(3):
            milliseconds = 10 * milliseconds + (int(text[digits + i]) - ZERO if digits + i < behind else 0)
    offset = read_offset(text, behind, end)
    if offset == DAY:
        return False
    days = days_since_1970(year, month, day)
    time[0] = days * DAY + hour * HOUR + minute * MINUTE + second * SECOND + milliseconds - offset
    return True


@compiled
def read_offset(text: Bytes, at: int, end: int) -> int:
    """Return the offset from UTC in text[at:end], ms: none, Z or +hh:mm; DAY if it is anything else."""
    if at == end or (at + 1 == end and text[at] == 90):  # Z
        return 0
    if at + 6 != end or (text[at] != MINUS and text[at] != PLUS) or text[at + 3] != COLON:
        return DAY
    hours, minutes = read_pair(text, at + 1), read_pair(text, at + 4)
    if not 0 <= hours < 24 or not 0 <= minutes < 60:
        return DAY
    offset = hours * HOUR + minutes * MINUTE
    return -offset if text[at] == MINUS else offset
