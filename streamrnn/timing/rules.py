"""Rules of event time, from the configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Duplicates = Literal["first", "last", "error", "all"]
Aggregation = Literal["mean", "sum", "count", "last", "min", "max", "rate", "ohlc"]
Empty = Literal["missing", "zero"]

ZONE = ""
"""Name of the pseudo-field with the number of an observation's time zone; no field has an empty name."""
FILLED: tuple[Aggregation, ...] = ("count", "sum")
"""Aggregations whose value without events is 0."""
MAX_HELD = 250_000
"""Default of the largest number of waiting values."""
MAX_FIELDS = 6
"""Largest number of other fields of its key that a field uses; see core.experts.cross_series."""
MAX_LEADS = 3
"""Largest number of horizons at which a planned field is read."""


@dataclass(frozen=True, kw_only=True)
class WindowRule:
    """Rule by which events become a regular series: section `input.window`."""

    every: int
    """Length of a window in milliseconds; windows are aligned to 1970-01-01T00:00:00Z."""
    how: tuple[tuple[str, Aggregation], ...] = (("*", "mean"),)
    """Aggregations by pattern of the field; the first pattern that matches decides, and the last one is `*`."""
    empty: Empty = "missing"
    """Value of a window without events, if the aggregation is one of FILLED."""


@dataclass(frozen=True, kw_only=True)
class TimingRule:
    """The settings of section `input` for event time."""

    grace: int = 0
    """Milliseconds that an observation may be late."""
    duplicates: Duplicates = "first"
    """The value to use of several waiting ones of the same series and time."""
    max_held: int = MAX_HELD
    """Largest number of waiting values; beyond it the oldest ones are released early."""
    window: WindowRule | None = None


def lead_indexes(fields: int, horizons: int) -> list[int]:
    """Return the indexes of the horizons at which each of several planned fields is read."""
    count, last = min(horizons, MAX_LEADS, MAX_FIELDS // fields), horizons - 1
    return [last] if count <= 1 else [round(index * last / (count - 1)) for index in range(count)]


def planned_names(fields: Sequence[str], horizons: Sequence[int]) -> list[str]:
    """Return the names of the covariates of planned fields, such as `price+24`."""
    leads = lead_indexes(len(fields), len(horizons)) if fields else []
    return [f"{field}+{horizons[index]}" for field in fields for index in leads]
