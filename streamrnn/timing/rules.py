"""What is configured about event time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Duplicates = Literal["first", "last", "error", "all"]
Aggregation = Literal["mean", "sum", "count", "last", "min", "max", "rate", "ohlc"]
Empty = Literal["missing", "zero"]

ZONE = ""
"""In place of a field, which has a name: the number of the time zone that an observation names."""
FILLED: tuple[Aggregation, ...] = ("count", "sum")
"""Aggregations whose value without events is 0."""
MOST_HELD = 250_000
"""Default of the largest number of values that wait."""
MOST_FIELDS = 6
"""Other fields of its key that a field reads at most; see core.experts.cross_series."""
MOST_LEADS = 3
"""Horizons at which a planned field is read, at most: the values between them follow from those before."""


@dataclass(frozen=True, kw_only=True)
class WindowRule:
    """How events become a regular series: section `input.window`."""

    every: int
    """Length of a window in milliseconds; windows are aligned to 1970-01-01T00:00:00Z."""
    how: tuple[tuple[str, Aggregation], ...] = (("*", "mean"),)
    """Patterns of fields, the first one that matches a field decides; the last one is `*`."""
    empty: Empty = "missing"
    """What a window without events yields, where the aggregation is one of FILLED."""


@dataclass(frozen=True, kw_only=True)
class TimingRule:
    """What is configured in section `input` about event time."""

    grace: int = 0
    """Milliseconds that an observation may be late."""
    duplicates: Duplicates = "first"
    """Which one counts of several values that wait, of one series and time."""
    max_held: int = MOST_HELD
    """Largest number of values that wait; beyond it the oldest ones are released early."""
    window: WindowRule | None = None


def lead_indexes(fields: int, horizons: int) -> list[int]:
    """Return the indexes of the horizons at which each of several planned fields is read."""
    count, last = min(horizons, MOST_LEADS, MOST_FIELDS // fields), horizons - 1
    return [last] if count <= 1 else [round(index * last / (count - 1)) for index in range(count)]


def planned_names(fields: Sequence[str], horizons: Sequence[int]) -> list[str]:
    """Return the names of the covariates that stand for planned fields."""
    leads = lead_indexes(len(fields), len(horizons)) if fields else []
    return [f"{field}+{horizons[index]}" for field in fields for index in leads]
