"""Durations and sizes as a number and a unit: `500ms`, `1.5h`, `64KiB`."""

import re
from collections.abc import Mapping

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_NUMBER_AND_UNIT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds in a text such as `500ms`, `30s`, `5m`, `1.5h` or `7d`.

    Raises:
        ValueError: the text has no number, no unit or an unknown unit.
    """
    number, unit = _split(text, _SECONDS, example="500ms, 30s, 5m, 1h or 7d")
    return round(float(number) * _SECONDS[unit], 9)


def parse_size(text: str) -> int:
    """Return the bytes in a text such as `512B`, `64KiB` or `1MiB`.

    Raises:
        ValueError: the text has no number, no unit, an unknown unit, or is not a whole number of bytes.
    """
    number, unit = _split(text, _BYTES, example="512B, 64KiB or 1MiB")
    count = float(number) * _BYTES[unit]
    if not count.is_integer():
        raise ValueError("must be a whole number of bytes")
    return int(count)


def format_duration(seconds: float) -> str:
    """Return seconds in the largest unit that gives a whole number, rounded to milliseconds."""
    milliseconds = round(seconds * 1000)
    for unit, factor in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % factor == 0:
            return f"{milliseconds // factor}{unit}"
    return f"{milliseconds}ms"


def format_size(count: int) -> str:
    """Return a number of bytes in the largest unit that gives a whole number."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count}B"


def _split(text: str, units: Mapping[str, float], *, example: str) -> tuple[str, str]:
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"must be a number with a unit, such as {example}")
    number, unit = match.groups()
    if unit not in units:
        problem = f"unknown unit {unit}" if unit else "the unit is missing"
        raise ValueError(f"{problem}; write a number with a unit, such as {example}")
    return number, unit
