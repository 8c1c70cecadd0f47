"""The value of a window: one function per aggregation, over the events of one series in order of time."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from streamrnn.timing.rules import Aggregation


class TimedValue(NamedTuple):
    """One value of a series."""

    time: int
    """Event time, milliseconds since the epoch."""
    value: float
    offset: int
    """Offset of its record."""


def aggregate(
    how: Aggregation, field: str, events: Sequence[TimedValue], before: TimedValue | None
) -> list[tuple[str, float]]:
    """Return the values of a window with at least one event, each with the name of its field.

    Args:
        how: The aggregation.
        field: Name of the field.
        events: The events in the window, in order of time.
        before: The last event of the series before the window, for `rate`.
    """
    values = [event.value for event in events]
    if how == "ohlc":
        parts = {"open": values[0], "high": max(values), "low": min(values), "close": values[-1]}
        return [(f"{field}.{name}", value) for name, value in parts.items()]
    if how == "rate":
        found = _rate([*([] if before is None else [before]), *events])
        return [] if found is None else [(field, found)]
    return [(field, _SIMPLE[how](values))]


def _rate(events: Sequence[TimedValue]) -> float | None:
    """Return the increase of a counter per second from the first to the last event; None without two times.

    A counter that falls was reset to 0 and has risen to its value since.
    """
    seconds = (events[-1].time - events[0].time) / 1000
    steps = [max(b, 0.0) if b < a else b - a for a, b in pairwise([event.value for event in events])]
    return math.fsum(steps) / seconds if seconds > 0 else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _count(values: Sequence[float]) -> float:
    return float(len(values))


def _last(values: Sequence[float]) -> float:
    return values[-1]


_SIMPLE: dict[Aggregation, Callable[[Sequence[float]], float]] = {
    "mean": _mean, "sum": math.fsum, "count": _count, "last": _last, "min": min, "max": max,
}  # fmt: skip
"""Sums are exact until they are rounded, so that they do not depend on the order of events."""
