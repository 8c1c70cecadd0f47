"""The horizons that a request for a forecast may name: configured steps, or every step up to a time or a number."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from fastapi import HTTPException, Query

from streamrnn.explanation.answer import ForecastPath
from streamrnn.page.data.messages import Request
from streamrnn.page.data.store import Store
from streamrnn.page.parameters import silent
from streamrnn.settings.units import parse_duration

Horizons = Annotated[
    list[str] | None,
    Query(
        description="Steps ahead, of those of forecast.horizons; may be repeated; absent: all. Or a duration such as "
        "24h: every step up to it, forecast when asked",
        max_length=1000,
    ),
]
Steps = Annotated[int | None, Query(description="Every step up to this number, forecast when asked", ge=1, le=1000)]


class Reach(NamedTuple):
    """How far a path goes; one of the two is 0."""

    steps: int
    milliseconds: int


def parse_reach(horizon: Sequence[str] | None, steps: int | None) -> Reach | list[int] | None:
    """Return how far the requested path goes, or the requested steps ahead; None: all that are configured.

    Raises:
        HTTPException: 404, the parameters are invalid or contradict each other.
    """
    if horizon and all(each.isascii() and each.isdigit() for each in horizon) and steps is None:
        return [int(each[:9]) for each in horizon]
    if not horizon:
        return None if steps is None else Reach(steps, 0)
    if len(horizon) > 1 or steps is not None:
        raise HTTPException(404, "ask for some of forecast.horizons, or for one duration, or for a number of steps")
    try:
        seconds = parse_duration(horizon[0])
    except ValueError as error:
        raise HTTPException(404, f"horizon={horizon[0][:40]}: {error}; or the number of steps ahead") from None
    if not 0.001 <= seconds < 1e11:
        raise HTTPException(404, f"horizon={horizon[0]}: must be at least 1ms, and less than 1,000,000d")
    return Reach(0, round(seconds * 1000))


async def current_path(store: Store, slot: int, reach: Reach) -> ForecastPath:
    """Have its worker forecast the path of the series in a slot; answers 404 if it cannot, 503 if it is silent."""
    series = store.history.slots.series_at(slot)
    request = Request(series.partition, series.name, *reach)
    found = await store.paths.fresh(request, store.workers.owner(series.partition))
    if found is None:
        raise silent()
    if isinstance(found, str):
        raise HTTPException(404, found)
    return found
