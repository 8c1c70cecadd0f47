"""Time zones as step functions, from the package `tzdata`, independent of the time zone files of the machine."""

from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Integers, compiled
from streamrnn.errors import ConfigError
from streamrnn.timestamps import ZONES_PACKAGE, read_zone

FIRST_YEAR, LAST_YEAR = 1970, 2100
"""Years whose changes are known; earlier and later offsets are those of their first and last day."""
DAY_SECONDS, SECOND_MS = 86_400, 1_000


class StepFunction(NamedTuple):
    """An offset as a function of time, with C changes; undefined if `offsets` is empty."""

    changes: Integers  # (C,) ms, ascending
    offsets: Integers  # (C + 1,) ms, before the first change and after each change


UNDEFINED = StepFunction(np.empty(0, np.int64), np.empty(0, np.int64))


@compiled
def step_at(function: StepFunction, time: float) -> int:
    """Return the number of changes up to `time` (ms), which is the index of its offset."""
    low, high = 0, len(function.changes)
    while low < high:
        middle = (low + high) // 2
        if time < function.changes[middle]:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def offset_at(function: StepFunction, time: float) -> float:
    """Return the offset (ms) at `time` (ms)."""
    return float(function.offsets[step_at(function, time)])


def offsets_at(function: StepFunction, times: NDArray[Any]) -> Integers:
    """Return the offsets (ms) at `times` (ms); see `offset_at`."""
    return function.offsets[np.searchsorted(function.changes, times, "right")]


@cache
def zone_offsets(name: str) -> StepFunction:
    """Return local time minus UTC in a zone of the IANA database, as a function of UTC.

    Raises:
        ConfigError: The package tzdata does not contain the zone.
    """
    zone = _read_zone(name)

    def offset(seconds: int) -> int:
        found = datetime.fromtimestamp(seconds, zone).utcoffset()
        return 0 if found is None else round(found.total_seconds()) * SECOND_MS

    first, last = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (FIRST_YEAR, LAST_YEAR + 1))
    changes: list[int] = []
    offsets = [offset(first)]
    for day in range(first, last, DAY_SECONDS):
        after = offset(day + DAY_SECONDS)
        if after == offsets[-1]:
            continue
        low, high = day, day + DAY_SECONDS  # bisection: the offset is still the old one at `low`, and new at `high`
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offsets[-1] else (low, middle)
        changes.append(high * SECOND_MS)
        offsets.append(after)
    return StepFunction(np.array(changes, np.int64), np.array(offsets, np.int64))


def _read_zone(name: str) -> ZoneInfo:
    try:
        return read_zone(name)
    except (OSError, ValueError):
        raise ConfigError(
            f"forecast.timezone = {name}: the package tzdata {ZONES_PACKAGE} has no such zone; use a name of the "
            "IANA database such as Europe/Berlin, or a newer tzdata"
        ) from None
