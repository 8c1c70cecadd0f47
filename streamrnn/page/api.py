"""The HTTP API: the data of the page as JSON and as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Path, Query
from fastapi.sse import EventSourceResponse

from streamrnn.page.data.store import SeriesSummary, Store, finite_or_none
from streamrnn.page.data.traffic import TaskStatus
from streamrnn.version import VERSION

LIVE_SECONDS = 0.25
"""Seconds between two checks for a new forecast to send."""

Name = Annotated[str, Path(description="Series name, `<key>/<field>`; percent-encode characters reserved in paths")]
Topic = Annotated[str | None, Query(description="Input topic, if several have a series of this name")]
Partition = Annotated[int | None, Query(description="Input partition, if several have a series of this name", ge=0)]
Limit = Annotated[int, Query(description="Maximum number of items", ge=1, le=1000)]


@dataclass(frozen=True)
class DaemonStatus:
    """The activity of the daemon since the page's process started."""

    version: str
    app: str
    series: int
    """Series that the page stores."""
    series_left_out: int
    """Series not stored for lack of memory (page.memory)."""
    series_displaced: int
    """Silent series evicted so far to store others."""
    records: int
    records_per_second: float
    """Over the last ten seconds."""
    observations: int
    dead_letters: int
    drops: int
    observations_lost: int
    """Observations not shown because the page's process was behind or not running."""
    tasks: list[TaskStatus]


@dataclass(frozen=True)
class SeriesSelection:
    """Series in the requested order."""

    total: int
    """Number of all matching series."""
    series: list[SeriesSummary]


@dataclass(frozen=True)
class SeriesForecast:
    """The latest forecast of a series, in the form of the forecast record, with scores."""

    series: str
    topic: str
    partition: int
    time: int
    value: float
    horizon: list[int]
    target_time: list[int]
    quantiles: dict[str, list[float]]
    anomaly_score: float
    skill: list[float | None]
    """By horizon; null until enough forecasts have matured."""
    coverage: list[float | None]
    """Share of labels inside the outermost interval, by horizon."""


@dataclass(frozen=True)
class PastForecasts:
    """The forecasts for each observation of a history, made as many observations before as the horizon."""

    horizon: int
    quantiles: dict[str, list[float | None]]
    """By level, parallel to the observations; null for no forecast."""


@dataclass(frozen=True)
class SeriesPast:
    """The last observations of a series and the forecasts for them."""

    series: str
    topic: str
    partition: int
    time: list[int]
    value: list[float]
    anomaly_score: list[float]
    forecasts: list[PastForecasts]


def daemon_status(store: Store) -> DaemonStatus:
    """Return the answer of /status."""
    slots, traffic = store.history.slots, store.traffic
    return DaemonStatus(
        version=VERSION,
        app=store.config.app,
        series=slots.occupied,
        series_left_out=slots.excluded,
        series_displaced=slots.evicted,
        records=traffic.records,
        records_per_second=round(traffic.rate(), 1),
        observations=traffic.observations,
        dead_letters=traffic.dead_letters,
        drops=traffic.drops,
        observations_lost=traffic.lost,
        tasks=traffic.tasks(),
    )


def series_forecast(store: Store, slot: int) -> SeriesForecast:
    """Return the latest forecast of the series in a slot."""
    history, series, present = store.history, store.history.slots.series_at(slot), store.history.present(slot)
    return SeriesForecast(
        series.name,
        *series.partition,
        present.time,
        present.value,
        list(history.horizons),
        present.target_times.tolist(),
        {f"{level:g}": present.quantiles[:, q].tolist() for q, level in enumerate(history.levels)},
        present.anomaly,
        [finite_or_none(value) for value in history.scores.skill(slot).tolist()],
        [finite_or_none(value) for value in history.scores.coverage(slot).tolist()],
    )


def series_past(store: Store, slot: int, limit: int) -> SeriesPast:
    """Return the last observations of the series in a slot, at most `limit`."""
    history, series, past = store.history, store.history.slots.series_at(slot), store.history.past(slot, limit)
    forecasts = [
        PastForecasts(
            horizon,
            {
                f"{level:g}": [finite_or_none(value) for value in past.forecasts[:, k, q].tolist()]
                for q, level in enumerate(history.levels)
            },
        )
        for k, horizon in enumerate(history.horizons)
    ]
    times, values, anomaly = past.times.tolist(), past.values.tolist(), past.anomaly.tolist()
    return SeriesPast(series.name, *series.partition, times, values, anomaly, forecasts)


async def live_forecasts(
    store: Store, name: str, topic: str | None, partition: int | None
) -> AsyncIterator[SeriesForecast]:
    """Yield the latest forecast of a series, and every newer one, without end."""
    time = None
    while True:
        slot = store.history.slots.find(name, topic, partition)
        if slot is not None and store.history.present(slot).time != time:
            forecast = series_forecast(store, slot)
            time = forecast.time
            yield forecast
        await asyncio.sleep(LIVE_SECONDS)


def create_api(store: Store) -> FastAPI:
    """Return an application with the API, described at /openapi.json."""
    # FastAPI's documentation pages load scripts from other hosts
    app = FastAPI(title="streamrnn", version=VERSION, docs_url=None, redoc_url=None)
    missing: dict[int | str, dict[str, Any]] = {404: {"description": "The page has no such series"}}

    def slot_of_series(name: str, topic: str | None, partition: int | None) -> int:
        slot = store.history.slots.find(name, topic, partition)
        if slot is None:
            raise HTTPException(404, f"no series {name!r}; GET /series?search= lists the available series")
        return slot

    @app.get("/status")
    async def status() -> DaemonStatus:
        """Return the activity of the daemon."""
        return daemon_status(store)

    @app.get("/series")
    async def series(
        search: Annotated[str, Query(description="Part of the name, in any case", max_length=1000)] = "",
        sort: Annotated[
            Literal["name", "best", "worst"],
            Query(description="best, worst: by skill, without series that have none yet"),
        ] = "name",
        limit: Limit = 50,
    ) -> SeriesSelection:
        """Return the available series."""
        total, slots = store.search(search, sort, limit)
        return SeriesSelection(total, [store.summary(slot) for slot in slots])

    @app.get("/series/{name:path}/forecast", responses=missing)
    async def forecast(name: Name, topic: Topic = None, partition: Partition = None) -> SeriesForecast:
        """Return the latest forecast of a series."""
        return series_forecast(store, slot_of_series(name, topic, partition))

    @app.get("/series/{name:path}/history", responses=missing)
    async def history(name: Name, topic: Topic = None, partition: Partition = None, limit: Limit = 240) -> SeriesPast:
        """Return the last observations of a series and the forecasts for them."""
        return series_past(store, slot_of_series(name, topic, partition), limit)

    @app.get("/series/{name:path}/live", response_class=EventSourceResponse)
    async def live(name: Name, topic: Topic = None, partition: Partition = None) -> AsyncIterator[SeriesForecast]:
        """Send server-sent events: the latest forecast of a series, and every newer one.

        Of several within a quarter of a second only the last one is sent.
        """
        async for found in live_forecasts(store, name, topic, partition):
            yield found

    return app
