"""The HTTP API: what the page shows, as JSON and as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Path, Query
from fastapi.sse import EventSourceResponse

from streamrnn.page.store import Line, Store, number
from streamrnn.page.traffic import Task
from streamrnn.version import VERSION

LOOK = 0.25
"""Seconds between two looks for something new to send."""

Name = Annotated[str, Path(description="Name of the series, `<key>/<field>`; percent-encode what a path may not hold")]
Topic = Annotated[str | None, Query(description="Input topic, where several have a series of this name")]
Partition = Annotated[int | None, Query(description="Input partition, where several have a series of this name", ge=0)]
Most = Annotated[int, Query(description="At most so many", ge=1, le=1000)]


@dataclass(frozen=True)
class Status:
    """What the daemon does, as far as the page's process was told since it began."""

    version: str
    app: str
    series: int
    """Held now."""
    series_left_out: int
    """Not held: there is no room (page.memory)."""
    series_displaced: int
    """That had to go so far since they were silent and others came."""
    records: int
    records_per_second: float
    """Over the last ten seconds."""
    observations: int
    dead_letters: int
    drops: int
    observations_lost: int
    """Not shown: the page's process was behind, or not there."""
    tasks: list[Task]


@dataclass(frozen=True)
class Listed:
    """Series in the order that was asked for."""

    total: int
    """All that fit."""
    series: list[Line]


@dataclass(frozen=True)
class Forecast:
    """The latest forecast of a series, in the form of the forecast record, with what the page has scored."""

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
    """By horizon; null until enough has matured since the page is there."""
    coverage: list[float | None]
    """By horizon: share of truths inside the outermost interval."""


@dataclass(frozen=True)
class Earlier:
    """What had been forecast for each observation of a history, so many observations before."""

    horizon: int
    quantiles: dict[str, list[float | None]]
    """By level, parallel to the observations; null: nothing was forecast."""


@dataclass(frozen=True)
class Observed:
    """The last observations of a series, and what had been forecast for them."""

    series: str
    topic: str
    partition: int
    time: list[int]
    value: list[float]
    anomaly_score: list[float]
    forecasts: list[Earlier]


class Ask:
    """Answers the API's questions from what there is."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._history = store.history

    def status(self) -> Status:
        """See `Status`."""
        places, traffic = self._history.places, self._store.traffic
        return Status(
            VERSION,
            self._store.told.app,
            places.held,
            places.left_out,
            places.displaced,
            traffic.records,
            round(traffic.rate(), 1),
            traffic.observations,
            traffic.dead_letters,
            traffic.drops,
            traffic.lost,
            traffic.tasks(),
        )

    def place(self, name: str, topic: str | None, partition: int | None) -> int:
        """The place of a series; 404 where there is none."""
        place = self._history.places.find(name, topic, partition)
        if place is None:
            raise HTTPException(404, f"no series {name!r} is held; GET /series?search= says which are")
        return place

    def forecast(self, place: int) -> Forecast:
        """See `Forecast`."""
        history, present = self._history, self._history.present(place)
        line = self._store.line(place)
        return Forecast(
            line.series,
            line.topic,
            line.partition,
            present.time,
            present.value,
            list(history.horizons),
            present.target_times.tolist(),
            {f"{level:g}": present.quantiles[:, q].tolist() for q, level in enumerate(history.levels)},
            present.anomaly,
            [number(value) for value in history.scores.skill(place).tolist()],
            [number(value) for value in history.scores.coverage(place).tolist()],
        )

    def history(self, place: int, limit: int) -> Observed:
        """See `Observed`."""
        past, line = self._history.past(place, limit), self._store.line(place)
        earlier = [
            Earlier(
                horizon,
                {
                    f"{level:g}": [number(value) for value in past.forecasts[:, k, q].tolist()]
                    for q, level in enumerate(self._history.levels)
                },
            )
            for k, horizon in enumerate(self._history.horizons)
        ]
        times, values, anomaly = past.times.tolist(), past.values.tolist(), past.anomaly.tolist()
        return Observed(line.series, line.topic, line.partition, times, values, anomaly, earlier)

    async def live(self, name: str, topic: str | None, partition: int | None) -> AsyncIterator[Forecast]:
        """The latest forecast of a series now, and again whenever there is a later one."""
        time = None
        while True:
            place = self._history.places.find(name, topic, partition)
            if place is not None and self._history.present(place).time != time:
                found = self.forecast(place)
                time = found.time
                yield found
            await asyncio.sleep(LOOK)


def create(store: Store) -> FastAPI:
    """An application with the API; its description is at /openapi.json."""
    # the pages of documentation that FastAPI can serve fetch their scripts from elsewhere
    app = FastAPI(title="streamrnn", version=VERSION, docs_url=None, redoc_url=None)
    ask = Ask(store)
    missing: dict[int | str, dict[str, Any]] = {404: {"description": "No such series is held"}}

    @app.get("/status")
    async def status() -> Status:
        """What the daemon does."""
        return ask.status()

    @app.get("/series")
    async def series(
        search: Annotated[str, Query(description="Part of the name, in any case", max_length=1000)] = "",
        sort: Annotated[
            Literal["name", "best", "worst"],
            Query(description="best, worst: by skill; those that have none yet are left out"),
        ] = "name",
        limit: Most = 50,
    ) -> Listed:
        """The series that are held."""
        total, places = store.listed(search, sort, limit)
        return Listed(total, [store.line(place) for place in places])

    @app.get("/series/{name:path}/forecast", responses=missing)
    async def forecast(name: Name, topic: Topic = None, partition: Partition = None) -> Forecast:
        """The latest forecast of a series."""
        return ask.forecast(ask.place(name, topic, partition))

    @app.get("/series/{name:path}/history", responses=missing)
    async def history(name: Name, topic: Topic = None, partition: Partition = None, limit: Most = 240) -> Observed:
        """The last observations of a series, and what had been forecast for them."""
        return ask.history(ask.place(name, topic, partition), limit)

    @app.get("/series/{name:path}/live", response_class=EventSourceResponse)
    async def live(name: Name, topic: Topic = None, partition: Partition = None) -> AsyncIterator[Forecast]:
        """Server-sent events: the latest forecast of a series, as soon as there is one, and those that follow.

        Of several within a quarter of a second the last one is sent.
        """
        async for found in ask.live(name, topic, partition):
            yield found

    return app
