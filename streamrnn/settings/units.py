"""Durations and sizes as people write them: a number and its unit, `500ms`, `1.5h`, `64KiB`."""

import re
from collections.abc import Mapping

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_NUMBER_AND_UNIT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)", re.ASCII)


def duration(text: str) -> float:
    """Read the seconds in a text such as `500ms`, `30s`, `5m`, `1.5h` or `7d`.

    Raises:
        ValueError: no number, no unit, or an unknown unit; the message says what is allowed.
    """
    number, unit = _split(text, _SECONDS, example="500ms, 30s, 5m, 1h or 7d")
    return round(float(number) * _SECONDS[unit], 9)


def size(text: str) -> int:
    """Read the bytes in a text such as `512B`, `64KiB` or `1MiB`.

    Raises:
        ValueError: no number, no unit, an unknown unit, or a fraction of a byte; the message says what is allowed.
    """
    number, unit = _split(text, _BYTES, example="512B, 64KiB or 1MiB")
    count = float(number) * _BYTES[unit]
    if not count.is_integer():
        raise ValueError("must be a whole number of bytes")
    return int(count)


def duration_text(seconds: float) -> str:
    """Write seconds as `duration` reads them, in the largest unit that leaves a whole number.

    Exact for whole milliseconds, which is as fine as the configuration goes.
    """
    milliseconds = round(seconds * 1000)
    for unit, thousandths in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % thousandths == 0:
            return f"{milliseconds // thousandths}{unit}"
    return f"{milliseconds}ms"


def size_text(count: int) -> str:
    """Write a number of bytes as the shortest text that `size` reads as the same."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count}B"


def _split(text: str, units: Mapping[str, float], *, example: str) -> tuple[str, str]:
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"must be a number and its unit, such as {example}")
    number, unit = match.groups()
    if unit not in units:
        named = f"{unit} is not a unit here" if unit else "a number without a unit says too little"
        raise ValueError(f"{named}: write {example}")
    return number, unit
