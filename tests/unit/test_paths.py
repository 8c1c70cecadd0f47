"""Paths: forecasts for every step up to a horizon, made when asked, from state that stays as it is."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from support.pages import TASK, feed, page_config, wave
from support.streams import HORIZONS, HOUR, START, bits, run, seasonal, small, state

from streamrnn.core.banks.full import FullBank
from streamrnn.core.banks.lean.profiles import read_bins
from streamrnn.core.clock.season_clock import season_origin, season_time
from streamrnn.core.forecaster import CoreForecaster
from streamrnn.core.series.seasonal_state import read_shape
from streamrnn.explanation import explainer
from streamrnn.explanation.explainer import SeriesExplainer
from streamrnn.explanation.path import forecast_path, profile_ahead
from streamrnn.page.api import create_api
from streamrnn.page.data import answers
from streamrnn.page.data.feed import PageFeed
from streamrnn.page.data.messages import SentNames, decode_message
from streamrnn.page.data.store import Store
from streamrnn.records import TopicPartition

ODD = "a/forecast/ü ?#%2F"
BERLIN = {"timezone": "Europe/Berlin"}


class WatchedTask:
    """What a worker's task is to those who ask."""

    def __init__(self, forecaster: CoreForecaster, last_offset: int = 41) -> None:
        self.forecaster, self.last_offset = forecaster, last_offset


@pytest.mark.parametrize("options", [{}, {"variant": "lean"}, {"bounds": (("*", "auto"),)}, BERLIN])
@pytest.mark.parametrize("rows", [3, 30, 200])
def test_configured_horizons_are_as_published(options: dict[str, Any], rows: int) -> None:
    """At them a path has the published quantiles and times, bit for bit, however far it goes, and is in order."""
    forecaster = small(**options)
    values = np.maximum(seasonal(rows, 2) - 50, 0)
    last = run(forecaster, values)[-1]
    for row in range(2):
        for steps in (1, 4, 6, 200):
            found = forecast_path(forecaster, row, steps)
            assert (found.time, found.value) == (START + (rows - 1) * HOUR, values[-1, row])
            assert found.quantiles.shape == (steps, 5)
            assert np.isfinite(found.quantiles).all()
            assert (np.diff(found.quantiles) >= 0).all()
            for k, horizon in enumerate(HORIZONS):
                if horizon <= steps:
                    assert found.quantiles[horizon - 1].tobytes() == last.quantiles[row, k].tobytes()
            assert found.target_times.tolist() == [found.time + HOUR * ahead for ahead in range(1, steps + 1)]
            if "bounds" in options and rows > 100:
                assert found.quantiles.min() >= 0


@pytest.mark.parametrize("variant", ["full", "lean"])
def test_asking_changes_nothing(variant: str) -> None:
    """Forecasts and state are the same, bit for bit, with and without paths in between."""
    values = seasonal(60, 2)
    plain, asked = small(variant=variant), small(variant=variant)
    expected = run(plain, values)
    found = []
    for t, row in enumerate(values):
        found += run(asked, row[None], first=t)
        forecast_path(asked, t % 2, 30)
    assert bits(found) == bits(expected)
    assert state(asked) == state(plain)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("minutes", [60, 10])
def test_profiles_are_those_of_the_bank(zone: str, minutes: int) -> None:
    """They equal what the compiled functions read for these times, through a change of the clock."""
    events = ({"date": "2023-10-28", "like": "sunday"},)
    for variant in ("full", "lean"):
        forecaster = small(variant=variant, timezone=zone, events=events, enabled=False)
        forecaster.add(["k/x"])
        first, step = 1_697_500_000_000, 60_000 * minutes  # October 16; the clocks change on the 29th
        times = first + step * np.arange(9 * 1440 // minutes)
        for time in times.tolist():
            phase = 2 * np.pi * time / 86_400_000
            forecaster.step(np.zeros(1, np.int64), np.array([50 + 10 * np.sin(phase)]), np.array([time]))
        bank: Any = forecaster._bank
        row = {name: array[0] for name, array in forecaster.copy_rows(np.array([0])).items()}
        for i in range(2):
            found, series = profile_ahead(row, i, bank.plan.clock, step, 5 * 1440 // minutes), bank.series
            assert np.isfinite(found).all()
            for ahead in range(0, len(found), 7):
                then, period, clock = float(times[-1] + ahead * step), series.period[0, i], bank.plan.clock
                if isinstance(bank, FullBank):
                    expected = read_shape(series, bank.plan, 0, i, then)
                else:
                    shown, origin = season_time(clock, then, then, period), season_origin(clock, float(first), period)
                    expected = read_bins((series.long if i else series.short)[0], shown, origin, period, step)
                assert found[ahead] == pytest.approx(expected, abs=1e-6), (variant, i, ahead)


@pytest.mark.parametrize("variant", ["full", "lean"])
def test_a_path_follows_the_season(variant: str) -> None:
    """Between horizons and for days beyond the last one, the median has the shape of the day."""
    forecaster = small(variant=variant, horizons=(1, 12))
    hours = np.arange(720)
    clean = 50 + 10 * np.sin(2 * np.pi * hours / 24)
    run(forecaster, (clean + np.random.default_rng(1).normal(0, 0.3, 720))[:480, None])
    error = np.abs(forecast_path(forecaster, 0, 240).quantiles[:, 2] - clean[480:])
    assert error[:12].mean() < 1.5
    assert error.mean() < 2.0  # of persistence: 9


def test_intervals_grow_beyond_the_last_horizon() -> None:
    """Those of a random walk grow with the square root of the steps, those of noise hardly."""
    random = np.random.default_rng(2)
    widths = []
    for values in (np.cumsum(random.normal(size=400)), random.normal(size=400)):
        forecaster = small(enabled=False)
        run(forecaster, values[:, None])
        found = forecast_path(forecaster, 0, 384).quantiles
        widths.append((found[383, -1] - found[383, 0]) / (found[5, -1] - found[5, 0]))
    assert 4 < widths[0] <= 8
    assert widths[1] < 2.5


def test_a_path_says_where_it_comes_from_and_why_there_is_none() -> None:
    """It has origin, offset, step and status; too many steps, too short a time and an unknown step are refused."""
    asked, forecaster = SeriesExplainer(), small()
    task = WatchedTask(forecaster)
    asked.watch(TASK, task)
    run(forecaster, seasonal(1, 1))
    (found,) = asked.path(TASK, "s0", 5, 0)
    assert "one observation" in found["refusal"]
    run(forecaster, seasonal(50, 1)[1:], first=1)
    (found,) = asked.path(TASK, "s0", 0, 24 * HOUR)
    assert found["horizon"] == list(range(1, 25))
    assert found["source"] == {"topic": "sensors", "partition": 0, "offset": 41}
    assert (found["time"], found["step_seconds"], found["status"]) == (START + 49 * HOUR, 3600.0, "ok")
    assert found["model"] == forecaster.model
    for steps, milliseconds, words in (
        (1001, 0, "at most 1000"), (0, 1001 * HOUR, "to 3600000 s"), (0, HOUR - 99_999, "shorter than a step"),
    ):  # fmt: skip
        (found,) = asked.path(TASK, "s0", steps, milliseconds)
        assert words in found["refusal"]
    assert len(asked.path(TASK, "s0", 1000, 0)) == 1
    assert asked.path(TASK, "other", 5, 0) == []
    assert asked.path(TopicPartition("sensors", 1), "s0", 5, 0) == []


class Served(NamedTuple):
    """An API whose worker answers, and its forecaster."""

    app: Any
    store: Store
    forecaster: CoreForecaster


@contextmanager
def serving(name: str, workers: int = 1) -> Iterator[Served]:
    """Serve the API of a page; the last of some workers has the series `name`, the others none."""
    ends = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(workers)]
    store, closed = Store(page_config(), [end for end, _ in ends]), threading.Event()
    forecaster = small(enabled=False)
    forecaster.add([name])
    run(forecaster, seasonal(40, 1))
    watching, task = SeriesExplainer(), WatchedTask(forecaster)
    watching.watch(TASK, task)
    feed(store, SentNames(), wave([0], 0, names=[name]))
    store.workers._owners[TASK] = workers - 1
    with closing(PageFeed(ends[-1][1], path=watching.path)) as observer:

        def work() -> None:
            while not closed.wait(0.01):
                observer.iterated(0.0, 0)

        def receive() -> None:
            while data := ends[-1][0].recv(1 << 20):
                store.add(decode_message(data, 2, 3), workers - 1)

        threads = [threading.Thread(target=work), threading.Thread(target=receive, daemon=True)]
        for thread in threads:
            thread.start()
        try:
            yield Served(create_api(store), store, forecaster)
        finally:
            closed.set()
            threads[0].join()
    for pair in ends:
        for end in pair:
            end.shutdown(socket.SHUT_RDWR)
            end.close()


def get(app: Any, name: str, query: str) -> httpx.Response:
    """Ask for a forecast of a series."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(f"/series/{quote(name, safe='')}/forecast?{query}")

    return asyncio.run(request())


@pytest.mark.parametrize(("name", "workers"), [("pump-7/rpm", 1), (ODD, 3)])
def test_the_api_answers_with_the_path(name: str, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from the worker that owns the series, whatever its name, in pieces; other answers stay as they were."""
    monkeypatch.setattr(explainer, "PIECE_NUMBERS", 50)
    with serving(name, workers) as served:
        expected = forecast_path(served.forecaster, 0, 24)
        for query in ("horizon=24h", "steps=24", "horizon=1d"):
            found = get(served.app, name, query).json()
            assert (found["series"], found["horizon"]) == (name, list(range(1, 25)))
            assert list(found["quantiles"].values()) == expected.quantiles.T.tolist()
            assert found["target_time"] == expected.target_times.tolist()
            assert found["source"] == {"topic": "sensors", "partition": 0, "offset": 41}
        assert get(served.app, name, "horizon=3").json()["horizon"] == [3]
        assert "coverage" in get(served.app, name, "").json()


def test_refusals_are_words() -> None:
    """Too far, too short, another form, both forms, an unknown series and a silent worker have a message each."""
    with serving("pump-7/rpm") as served:
        for query, status, words in (
            ("horizon=60d", 404, "at most 1000"), ("horizon=1s", 404, "shorter than a step"),
            ("horizon=24x", 404, "unknown unit x"), ("horizon=24h&steps=3", 404, "or for a number of steps"),
            ("horizon=1h&horizon=3", 404, "one duration"), ("horizon=0h", 404, "at least 1ms"),
            ("horizon=2", 404, "steps=2"), ("steps=1001", 422, "less than or equal to 1000"),
        ):  # fmt: skip
            answer = get(served.app, "pump-7/rpm", query)
            assert (answer.status_code, words in str(answer.json()["detail"])) == (status, True), query
        assert get(served.app, "other/rpm", "horizon=24h").status_code == 404
        served.store.workers._owners[TASK] = 7
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(answers, "ANSWER_SECONDS", 0.1)
            assert get(served.app, "pump-7/rpm", "horizon=23h").status_code == 503


def test_a_turn_of_the_loop_answers_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that take long do not hold the loop for longer than one of them, and are all answered in the end."""
    now, answered = 0.0, list[str]()

    def slow(*request: Any) -> list[dict[str, Any]]:
        nonlocal now
        now += 0.006
        answered.append(request[1])
        return []

    clock: Callable[[], float] = lambda: now  # noqa: E731
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(here), closing(there), closing(PageFeed(there, path=slow)) as observer:
        asked = answers.Request(TASK, "s", 5)
        observer._requests.extend(asked._replace(series=f"s{number}") for number in range(7))
        monkeypatch.setattr("streamrnn.page.data.feed.time", type("Clock", (), {"monotonic": staticmethod(clock)}))
        counts = []
        while observer._requests:
            observer.iterated(0.0, 0)
            counts.append(len(answered))
    assert counts == [2, 4, 6, 7]
