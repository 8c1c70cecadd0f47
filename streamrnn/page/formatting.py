"""Numbers, times and shares as people read them."""

import math
from datetime import UTC, datetime

NOTHING = "\N{EN DASH}"


def quantity(value: float, beside: float = 0.0) -> str:
    """A number to four digits or so (71.35, 12,346, 1.2e+09), no finer than the larger one that stands beside it."""
    size = max(abs(value), abs(beside))
    if not math.isfinite(size) or size == 0:
        return "0" if size == 0 else NOTHING
    if not 1e-3 <= size < 1e7:
        return f"{value:.3g}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(size)))}f}"


def percent(share: float | None) -> str:
    """A share, to the percent."""
    return NOTHING if share is None or not math.isfinite(share) else f"{100 * share:.0f}%"


def moment(milliseconds: int) -> str:
    """An event time: 2026-01-31 09:15:00 UTC."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def count(number: int, one: str, several: str = "") -> str:
    """A number of things: 1 observation, 12,345 observations."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
