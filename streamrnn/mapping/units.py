"""Scales of units with prefixes, such as KiB, ms and kW, and of Kubernetes quantities, such as 250m and 64Mi."""

import re
from functools import lru_cache
from typing import NamedTuple

_PREFIXES = {
    "n": (1, 10**9), "u": (1, 10**6), "\u00b5": (1, 10**6), "\u03bc": (1, 10**6), "m": (1, 1000),
    "k": (1000, 1), "K": (1000, 1), "M": (10**6, 1), "G": (10**9, 1), "T": (10**12, 1), "P": (10**15, 1),
    "E": (10**18, 1), **{f"{name}i": (1024**power, 1) for power, name in enumerate("KMGTPE", 1)},
}  # fmt: skip
"""Factor and divisor by prefix."""
_BASES = "B|b|bit|bits|byte|bytes|s|sec|W|Wh|V|A|VA|VAh|var|varh|Hz|J|g|m|l|L|Pa|bar|bps|Bps|Ohm|\u03a9"
_UNIT = re.compile(rf"({'|'.join(sorted(_PREFIXES, key=len, reverse=True))})?({_BASES})?(/s)?")
_DURATIONS = {"min": 60, "mins": 60, "h": 3600, "hr": 3600, "hrs": 3600, "d": 86_400, "day": 86_400, "days": 86_400}


class UnitScale(NamedTuple):
    """Size of a unit in its base unit: factor / divisor."""

    base: str
    """The unit without its prefix; empty for a prefix alone, as Kubernetes writes quantities."""
    factor: int
    divisor: int


@lru_cache(1000)
def unit_scale(unit: str) -> UnitScale | None:
    """Return the scale of a unit; None for an unknown unit, such as `%`.

    A prefix may stand alone: `250m` is 0.25. `m` is a metre only after a prefix.
    """
    if unit in _DURATIONS:
        return UnitScale("s", _DURATIONS[unit], 1)
    match = _UNIT.fullmatch(unit)
    if match is None or unit in ("", "K"):
        return None
    prefix, base, per_second = match.groups()
    if prefix == "K" and base not in ("B", "b", "bit", "byte", "bytes", "bps", "Bps"):
        return None
    factor, divisor = _PREFIXES[prefix] if prefix else (1, 1)
    return UnitScale(f"{base or ''}{per_second or ''}", factor, divisor)
