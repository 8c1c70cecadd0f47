"""Numbers, times and shares as text for people."""

import math
from datetime import UTC, datetime

NOTHING = "\N{EN DASH}"
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))
"""Units of time above a second, the largest first, in seconds."""


def quantity(value: float, reference: float = 0.0) -> str:
    """Return a number with about four digits (71.35, 12,346, 1.2e+09), no finer than `reference` would be shown."""
    size = max(abs(value), abs(reference))
    if not math.isfinite(size) or size == 0:
        return "0" if size == 0 else NOTHING
    if not 1e-3 <= size < 1e7:
        return f"{value:.3g}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(size)))}f}"


def percent(share: float | None) -> str:
    """Return a share as a whole percentage."""
    return NOTHING if share is None or not math.isfinite(share) else f"{round(100 * share)}%"


def moment(milliseconds: int) -> str:
    """Return an event time: 2026-01-31 09:15:00 UTC."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def quantified(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun: 1 observation, 12,345 observations."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def time_span(milliseconds: float) -> str:
    """Return a span of time in its largest unit: 45 s, 5 min, 3.5 h, 12 d."""
    if not math.isfinite(milliseconds):
        return NOTHING
    seconds = milliseconds / 1000
    size, unit = next((each for each in UNITS if seconds >= each[0]), (1, "s"))
    amount = seconds / size
    return f"{amount:.0f} {unit}" if amount >= 10 else f"{amount:.1f}".removesuffix(".0") + f" {unit}"
