"""Rows for data sources: they say the same as history and forecast."""

from typing import Any

import pytest
from support.pages import HORIZONS, MINUTE, feed, page_config, wave
from test_page_api import get

from streamrnn.page import api
from streamrnn.page.data.messages import SentNames
from streamrnn.page.data.store import Store

STEPS, STORED = 30, 20
"""Observations of the series, and those that the page stores."""
PATH = "/series/pump-0%2Frpm"


@pytest.fixture(scope="module")
def app() -> Any:
    """Return the API of a page with a series."""
    store, names = Store(page_config(history=STORED)), SentNames()
    feed(store, names, *(wave([0], step) for step in range(STEPS)))
    return api.create_api(store)


def rows(app: Any, query: str = "") -> list[dict[str, Any]]:
    """Return the rows of the series."""
    answer = get(f"{PATH}/rows{query}", app=app)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def interval(row: dict[str, Any]) -> list[float]:
    """Return lower bound, median and upper bound."""
    return [row[name] for name in ("lower", "median", "upper")]


@pytest.mark.parametrize("horizon", [None, *HORIZONS])
def test_rows_say_the_same_as_history_and_forecast(app: Any, horizon: int | None) -> None:
    """Each observation has the forecast made for it; behind the last one come the forecasts that have no label yet."""
    found = rows(app, "" if horizon is None else f"?horizon={horizon}")
    past, ahead = found[:STORED], horizon or HORIZONS[0]
    history = get(f"{PATH}/history", app=app).json()
    assert [row["time"] for row in past] == history["time"]
    assert [row["value"] for row in past] == history["value"]
    assert [row["anomaly_score"] for row in past] == history["anomaly_score"]
    for number, row in enumerate(past, start=STEPS - STORED):
        assert interval(row) == wave([0], number - ahead).quantiles[0, HORIZONS.index(ahead)].tolist()
    future = found[STORED:]
    if horizon is None:  # the latest forecast at every horizon
        expected = [(STEPS - 1 + each, wave([0], STEPS - 1).quantiles[0, k]) for k, each in enumerate(HORIZONS)]
    else:
        origins = range(STEPS - horizon, STEPS)
        expected = [(n + horizon, wave([0], n).quantiles[0, HORIZONS.index(horizon)]) for n in origins]
    assert [(row["time"], interval(row)) for row in future] == [(MINUTE * n, each.tolist()) for n, each in expected]
    assert {(row["value"], row["anomaly_score"]) for row in future} == {(None, None)}
    assert [row["time"] for row in found] == sorted(row["time"] for row in found)


def test_rows_of_a_range(app: Any) -> None:
    """`from` and `to` include both ends, as Grafana sends them; of more than the limit, the last rows are returned."""
    everything = rows(app)
    first, last = everything[3]["time"], everything[-2]["time"]
    assert rows(app, f"?from={first}&to={last}") == everything[3:-1]
    assert rows(app, "?limit=5") == everything[-5:]
    assert rows(app, f"?from={everything[-1]['time'] + 1}") == []


@pytest.mark.parametrize(
    ("query", "status"), [("?horizon=2", 404), ("?from=now", 422), ("?limit=0", 422), ("?topic=other", 404)]
)
def test_what_is_not_there(app: Any, query: str, status: int) -> None:
    """A horizon, a time or a series that does not exist is refused in words."""
    answer = get(f"{PATH}/rows{query}", app=app)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_rows_before_the_first_forecast_have_none() -> None:
    """There is null where there is no forecast, not a number."""
    store, names = Store(page_config()), SentNames()
    feed(store, names, *(wave([0], step) for step in range(4)))
    found = rows(api.create_api(store), "?horizon=3")
    assert [row["median"] is None for row in found] == [True, True, True, False, False, False, False]
