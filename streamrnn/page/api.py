"""The HTTP API: the data of the page as JSON and as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query
from fastapi.sse import EventSourceResponse

from streamrnn.explanation.answer import ForecastPath
from streamrnn.page.data.store import SeriesSummary, Sort, Store, finite_or_none
from streamrnn.page.data.traffic import LetterExample, TaskStatus
from streamrnn.page.details import add_details
from streamrnn.page.parameters import MISSING, SILENT, Limit, Name, Partition, Topic, find_slot
from streamrnn.page.paths import Horizons, Reach, Steps, current_path, parse_reach
from streamrnn.page.rows import add_rows
from streamrnn.version import VERSION

SORTS = (
    "best, worst: by skill; anomaly: by the highest score of the last 12 observations; silence: by the time since the "
    "last observation; width: by that of the interval at the last horizon, relative to the error of persistence. "
    "Without series that have no skill or width yet"
)
LIVE_SECONDS = 0.25
"""Seconds between two checks for a new forecast to send."""

Offset = Annotated[int, Query(description="Items to leave out before", ge=0, le=10_000_000)]


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
    """Records per second over the last ten seconds."""
    observations: int
    dead_letters: int
    dead_letters_by_reason: dict[str, int]
    dead_letter_examples: dict[str, LetterExample]
    """Latest dead letter by reason, with its value masked."""
    drops: int
    drops_by_reason: dict[str, int]
    observations_lost: int
    """Observations not shown because the page's process was behind or not running."""
    unready: str
    """Why some worker does not process records; empty if all do."""
    silent_seconds: float
    """Seconds since the last report of the worker that has been silent for longest; 0 if all report."""
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
    """Skill by horizon; null until enough forecasts have matured."""
    coverage: list[float | None]
    """Share of labels inside the outermost interval, by horizon."""


@dataclass(frozen=True)
class PastForecasts:
    """The forecasts for each observation of a history, made `horizon` observations before it."""

    horizon: int
    quantiles: dict[str, list[float | None]]
    """Forecasts by level, parallel to the observations; null where there is none."""


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
        dead_letters=traffic.dead_letters.total(),
        dead_letters_by_reason=dict(traffic.dead_letters),
        dead_letter_examples=traffic.letters,
        drops=traffic.drops.total(),
        drops_by_reason=dict(traffic.drops),
        observations_lost=traffic.lost,
        unready=store.workers.unready(),
        silent_seconds=round(store.workers.silent(), 1),
        tasks=traffic.tasks(),
    )


def series_forecast(store: Store, slot: int, horizons: Sequence[int] | None = None) -> SeriesForecast:
    """Return the latest forecast of the series in a slot, at these horizons or at all. 404 for one not configured."""
    history, series, present = store.history, store.history.slots.series_at(slot), store.history.present(slot)
    configured = list(history.horizons)
    if unknown := sorted({*(horizons or ())} - {*configured}):
        known = ", ".join(map(str, configured))
        further = f"forecast.horizons has {known}, and steps={unknown[0]} asks for every step up to it"
        raise HTTPException(404, f"no forecast {unknown[0]} steps ahead; {further}")
    chosen = [k for k, horizon in enumerate(configured) if horizons is None or horizon in horizons]
    skill, coverage = history.scores.skill(slot), history.scores.coverage(slot)
    return SeriesForecast(
        series.name,
        *series.partition,
        present.time,
        present.value,
        [configured[k] for k in chosen],
        present.target_times[chosen].tolist(),
        {f"{level:g}": present.quantiles[chosen, q].tolist() for q, level in enumerate(history.levels)},
        present.anomaly,
        [finite_or_none(value) for value in skill[chosen].tolist()],
        [finite_or_none(value) for value in coverage[chosen].tolist()],
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

    @app.get("/status")
    async def status() -> DaemonStatus:
        """Return the activity of the daemon."""
        return daemon_status(store)

    @app.get("/series")
    async def series(
        search: Annotated[str, Query(description="Part of the name, in any case", max_length=1000)] = "",
        sort: Annotated[Sort, Query(description=SORTS)] = "name",
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> SeriesSelection:
        """Return the available series."""
        total, slots = store.search(search, sort, limit, offset)
        return SeriesSelection(total, [store.summary(slot) for slot in slots])

    @app.get("/series/{name:path}/forecast", responses=SILENT)
    async def forecast(
        name: Name, topic: Topic = None, partition: Partition = None, horizon: Horizons = None, steps: Steps = None
    ) -> SeriesForecast | ForecastPath:
        """Return the latest forecast of a series, whether or not it was published.

        With a duration as `horizon`, or with `steps`: forecasts for every step up to it, made from the present state.
        """
        wanted, slot = parse_reach(horizon, steps), find_slot(store, name, topic, partition)
        if isinstance(wanted, Reach):
            return await current_path(store, slot, wanted)
        return series_forecast(store, slot, wanted)

    @app.get("/series/{name:path}/history", responses=MISSING)
    async def history(name: Name, topic: Topic = None, partition: Partition = None, limit: Limit = 240) -> SeriesPast:
        """Return the last observations of a series and the forecasts for them."""
        return series_past(store, find_slot(store, name, topic, partition), limit)

    @app.get("/series/{name:path}/live", response_class=EventSourceResponse)
    async def live(name: Name, topic: Topic = None, partition: Partition = None) -> AsyncIterator[SeriesForecast]:
        """Send server-sent events: the latest forecast of a series, and every newer one.

        Of several within a quarter of a second only the last one is sent.
        """
        async for found in live_forecasts(store, name, topic, partition):
            yield found

    add_rows(app, store)
    add_details(app, store)
    return app
