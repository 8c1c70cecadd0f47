"""Cells of a CSV file: numbers in the notation of the file, and numbers that represent a missing value."""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence

from streamrnn.formats import shorten

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_COMMA = re.compile(
    r"[+-]?(?:(?:\d{1,3}(?:[. '\u2019\u00a0\u202f]\d{3})+|\d+)(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?", re.ASCII
)
_POINT = re.compile(r"[+-]?\d{1,3}(?:[, '\u2019\u00a0\u202f]\d{3})+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_GROUPS = str.maketrans("", "", " '\u2019\u00a0\u202f")
_HAS_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:[. '\u2019\u00a0\u202f]\d{3})*|\d+|),\d+", re.ASCII)
_HAS_GROUP_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?", re.ASCII)
_HAS_DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?", re.ASCII)
_HAS_GROUP_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+", re.ASCII)
_SENTINELS = frozenset(
    {-99.0, -99.9, -99.99, -200.0, -999.0, -999.9, -9999.0, -99999.0, -6999.0, -7999.0, -32768.0, 999.9, 9999.0,
     9999.9, 99999.0, 999999.0, -1e20, 1e20, -1e30, 1e30}
)  # fmt: skip
"""Numbers that often represent a missing value."""
Encode = Callable[[str], str]
"""Returns a cell as JSON: a number of the same value, or a string."""


def point_cell(cell: str) -> str:
    """Return a cell as JSON in a file with decimal points; commas between thousands are removed."""
    if JSON_NUMBER.fullmatch(cell):
        return cell
    plain = cell.replace("\u2212", "-")
    if _POINT.fullmatch(plain):
        plain = plain.translate(_GROUPS).replace(",", "")
    try:
        number = math.nan if "_" in plain else float(plain)  # 1_000 is a number in Python only
    except ValueError:
        number = math.nan
    return repr(number) if math.isfinite(number) else json.dumps(cell, ensure_ascii=False)


def comma_cell(cell: str) -> str:
    """Return a cell as JSON in a file with decimal commas; points between thousands are removed."""
    plain = cell.replace("\u2212", "-")
    if not _COMMA.fullmatch(plain):
        return json.dumps(cell, ensure_ascii=False)
    number = float(plain.translate(_GROUPS).replace(".", "").replace(",", "."))
    return repr(number) if math.isfinite(number) else json.dumps(cell, ensure_ascii=False)


def find_decimal(cells: Iterable[str]) -> tuple[str, str]:
    """Return the decimal mark of cells, `.` or `,`, and no note; or `?` and a note if only a person can decide it."""
    commas = points = unclear = ""
    for cell in cells:
        if _HAS_GROUP_COMMA.fullmatch(cell):
            if cell.count(",") > 1 or "." in cell:
                points = points or cell
            else:
                unclear = unclear or cell
        elif _HAS_DECIMAL_COMMA.fullmatch(cell):
            commas = commas or cell
        elif _HAS_GROUP_POINT.fullmatch(cell):
            commas = commas or (cell if cell.count(".") > 1 else "")
        elif _HAS_DECIMAL_POINT.fullmatch(cell):
            points = points or cell
    if commas and points:
        return "?", f"has decimal commas ({shorten(commas)}) and decimal points ({shorten(points)})"
    if unclear and not commas and not points:
        return "?", f"has numbers such as {shorten(unclear)}, where the comma may separate thousands or decimals"
    return ("," if commas else "."), ""


def find_sentinels(values: Sequence[float]) -> list[float]:
    """Return the numbers in a column that seem to represent missing values: usual sentinels far from all others."""
    suspects = _SENTINELS.intersection(values)
    others = [value for value in values if value not in suspects]
    if not suspects or not others:
        return []
    low, high = min(others), max(others)
    gap = max(high - low, abs(high) * 0.01, abs(low) * 0.01)
    return sorted(value for value in suspects if value < low - gap or value > high + gap)
