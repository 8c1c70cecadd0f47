"""The section `series`: when series end."""

from collections.abc import Iterator
from typing import Annotated, Literal

from streamrnn.settings import units
from streamrnn.settings.durations import AS_OPTIONAL_DURATION, optional_seconds
from streamrnn.settings.section import Section


class SeriesSettings(Section):
    """When series end."""

    ttl: Annotated[float | None, optional_seconds("1s", "3650d"), AS_OPTIONAL_DURATION] = None
    """Remove a series, with all that was learned of it, after this time without an observation, in the partition's
    event time; needs `input.max_ahead`. Absent: series are never removed."""
    stale: Annotated[float | None, optional_seconds("1s", "3650d"), AS_OPTIONAL_DURATION] = None
    """Publish a forecast of a series with the status `stale` after this time without an observation, in the partition's
    event time, and again at each doubling; its intervals grow. Needs `input.max_ahead`. Absent: none."""
    evict: Literal["none", "longest_silent"] = "none"
    """Where a new series exceeds `input.max_series`: `none` makes a dead letter of its record; `longest_silent` removes
    the series that were silent for longest, a sixteenth of the limit at once."""


def conflicts_of_series(series: SeriesSettings, max_ahead: float | None, wait: float) -> Iterator[tuple[str, str]]:
    """Yield each key of `series` that contradicts another one, with the problem.

    `wait` is the longest time that an observation waits by `input.grace` and `input.window`, seconds.
    """
    for key, span in {"ttl": series.ttl, "stale": series.stale}.items():
        if span is not None and max_ahead is None:
            problem = "needs input.max_ahead, such as 1d: without it one record with a wrong date would end all series"
            yield f"series.{key}", problem
        if span is not None and span <= wait:
            limit = units.format_duration(wait)
            problem = f"must be longer than input.grace and a window of input.window together, which are {limit}"
            yield f"series.{key}", problem
    if series.stale is not None and series.ttl is not None and series.stale >= series.ttl:
        yield "series.stale", f"has no effect: series.ttl removes series after {units.format_duration(series.ttl)}"
