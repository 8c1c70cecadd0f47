"""A series as flat rows, in the form that data sources for JSON read, such as Grafana's Infinity."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, HTTPException, Query

from streamrnn.page.data.store import Store, finite_or_none
from streamrnn.page.parameters import MISSING, Limit, Name, Partition, Topic, find_slot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streamrnn.page.data.history import SeriesHistory

LAST_TIME = 2**53
"""Milliseconds since the epoch."""
Ahead = Annotated[
    int | None,
    Query(description="Steps ahead, one of forecast.horizons; absent: the first one, and all of the latest forecast"),
]
Since = Annotated[int, Query(alias="from", description="First time, ms since 1970", ge=-LAST_TIME, le=LAST_TIME)]
Until = Annotated[int, Query(alias="to", description="Last time, ms since 1970", ge=-LAST_TIME, le=LAST_TIME)]


@dataclass(frozen=True)
class SeriesRow:
    """An observation with the forecast that was made for it, or a forecast alone."""

    time: int
    """Milliseconds since the epoch."""
    value: float | None
    """Null in the future."""
    median: float | None
    """Null before the first forecast, as are the bounds."""
    lower: float | None
    """The lowest of forecast.quantiles."""
    upper: float | None
    """The highest of forecast.quantiles."""
    anomaly_score: float | None


def series_rows(history: "SeriesHistory", slot: int, horizon: int | None) -> Iterator[SeriesRow]:
    """Yield the stored observations of the series in a slot, then its forecasts beyond them, in order of time.

    With a horizon, its forecasts alone; otherwise those of the first horizon for the observations, and then the latest
    forecast at all horizons. `horizon` is one of the configured ones.
    """
    k = 0 if horizon is None else history.horizons.index(horizon)
    past = history.past(slot, history.history)
    known = zip(past.times.tolist(), past.values.tolist(), past.anomaly.tolist(), past.forecasts[:, k], strict=True)
    for time, value, anomaly, quantiles in known:
        yield SeriesRow(time, value, *_interval(history, quantiles), anomaly)
    if horizon is None:
        present = history.present(slot)
        future = present.target_times, present.quantiles
    else:
        future = history.pending(slot, k)
    for time, quantiles in zip(future[0].tolist(), future[1], strict=True):
        yield SeriesRow(time, None, *_interval(history, quantiles), None)


def _interval(
    history: "SeriesHistory", quantiles: "NDArray[np.float64]"
) -> tuple[float | None, float | None, float | None]:
    """Return median, lower and upper bound of quantiles (Q,)."""
    lower, median, upper = (finite_or_none(float(quantiles[index])) for index in (0, history.median, -1))
    return median, lower, upper


def add_rows(app: FastAPI, store: Store) -> None:
    """Add the request to the API."""

    @app.get("/series/{name:path}/rows", responses=MISSING)
    async def rows(
        name: Name,
        topic: Topic = None,
        partition: Partition = None,
        horizon: Ahead = None,
        since: Since = -LAST_TIME,
        until: Until = LAST_TIME,
        limit: Limit = 1000,
    ) -> list[SeriesRow]:
        """Return observations and forecasts of a series as rows, in order of time; beyond the limit, the last ones."""
        configured = store.history.horizons
        if horizon is not None and horizon not in configured:
            known = ", ".join(map(str, configured))
            raise HTTPException(404, f"no forecast {horizon} steps ahead; forecast.horizons has {known}")
        found = series_rows(store.history, find_slot(store, name, topic, partition), horizon)
        return [row for row in found if since <= row.time <= until][-limit:]
