"""Requests of the API about one series in detail: explanation, session, CSV; and the latest occurrences."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, Query, Response

from streamrnn.explanation.answer import Explanation
from streamrnn.page.data.export import file_name, recent_csv, session_csv
from streamrnn.page.data.messages import Request
from streamrnn.page.data.occurrences import Occurrence
from streamrnn.page.data.store import Store
from streamrnn.page.parameters import MISSING, SILENT, Limit, Name, Partition, Topic, find_slot, silent

_CSV: dict[int | str, dict[str, Any]] = {**MISSING, 200: {"content": {"text/csv": {}}, "description": "CSV"}}
Series = Annotated[str | None, Query(description="Only of this series")]


@dataclass(frozen=True)
class SeriesSession:
    """The past of a series since the page has known it, in stretches of equally many observations."""

    series: str
    topic: str
    partition: int
    time: list[int]
    """Event time of the first observation of each stretch, milliseconds since the epoch."""
    lowest: list[float]
    highest: list[float]
    last: list[float]
    anomaly_score: list[float]
    """The highest."""


def add_details(app: FastAPI, store: Store) -> None:
    """Add the requests to the API."""

    @app.get("/series/{name:path}/explain", responses=SILENT)
    async def explain(name: Name, topic: Topic = None, partition: Partition = None) -> Explanation:
        """Explain the latest forecasts of a series: mixture, seasons, and what widens the intervals."""
        series = store.history.slots.series_at(find_slot(store, name, topic, partition))
        request = Request(series.partition, series.name)
        found = await store.explanations.fresh(request, store.workers.owner(series.partition))
        if found is None:
            raise silent()
        return found

    @app.get("/series/{name:path}/session", responses=MISSING)
    async def session(name: Name, topic: Topic = None, partition: Partition = None) -> SeriesSession:
        """Return the past of a series since the page has known it, in up to 200 stretches."""
        slot = find_slot(store, name, topic, partition)
        series = store.history.slots.series_at(slot)
        found = store.history.session.stretches(slot, int(store.history.count[slot]))
        return SeriesSession(series.name, *series.partition, *(column.tolist() for column in found))

    @app.get("/series/{name:path}/history.csv", responses=_CSV, response_class=Response)
    async def history_csv(name: Name, topic: Topic = None, partition: Partition = None) -> Response:
        """Return the stored observations of a series and the forecasts for them as CSV."""
        return _as_file(name, "history", recent_csv(store.history, find_slot(store, name, topic, partition)))

    @app.get("/series/{name:path}/session.csv", responses=_CSV, response_class=Response)
    async def session_as_csv(name: Name, topic: Topic = None, partition: Partition = None) -> Response:
        """Return the past of a series since the page has known it as CSV."""
        return _as_file(name, "session", session_csv(store.history, find_slot(store, name, topic, partition)))

    @app.get("/events", responses=MISSING)
    async def events(
        series: Series = None, topic: Topic = None, partition: Partition = None, limit: Limit = 50
    ) -> list[Occurrence]:
        """Return the latest anomalies, silences and events, the last one first."""
        chosen = None
        if series is not None:
            chosen = store.history.slots.series_at(find_slot(store, series, topic, partition))
        return store.occurrences.latest(limit, chosen)


def _as_file(name: str, kind: str, text: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{file_name(name, kind)}"'}
    return Response(text, media_type="text/csv", headers=headers)
