"""The HTTP API and who is let in, asked in this process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from support.pages import HORIZONS, TASK, feed, told, wave

from streamrnn.page import api
from streamrnn.page.access import HEADERS, LONGEST_FORM, Access
from streamrnn.page.messages import Names
from streamrnn.page.store import Store
from streamrnn.records import TopicPartition

ODD = ['<img src=x onerror="alert(1)">/rpm', "a/forecast/history", "ü ?#%2F&=+/rpm", "/rpm", "../../status/rpm"]
TOKEN = "correct-horse-battery-staple"


def store() -> Store:
    """A page that has seen a hundred observations of some series, some with odd names."""
    made, names = Store(told()), Names()
    for step in range(100):
        feed(made, names, wave(range(5), step), partition=TASK)
        feed(made, names, wave(range(len(ODD)), step, names=ODD), partition=TopicPartition("odd", 1))
    return made


def get(
    path: str,
    *,
    app: Any = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    host: str = "127.0.0.1:8080",
    **more: Any,
) -> httpx.Response:
    """What is answered."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app or api.create(store()))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, headers=headers, **more)

    return asyncio.run(asked())


def guarded(token: str | None = TOKEN) -> Access:
    """The API behind its door."""
    return Access(api.create(store()), host="127.0.0.1", port=8080, token=token)


def test_series_are_searched_sorted_and_limited() -> None:
    """The search knows no case; best and worst go by skill; the total says how many fit."""
    app = api.create(store())
    everything = get("/series", app=app).json()
    assert everything["total"] == 10
    names = [line["series"] for line in everything["series"]]
    assert names == sorted(names)
    found = get("/series?search=PUMP&limit=2", app=app).json()
    assert (found["total"], [line["series"] for line in found["series"]]) == (5, ["pump-0/rpm", "pump-1/rpm"])
    best, worst = (get(f"/series?sort={sort}", app=app).json()["series"] for sort in ("best", "worst"))
    skills = [line["skill"] for line in best]
    assert skills == sorted(skills, reverse=True)
    assert [line["skill"] for line in worst] == skills[::-1]
    assert None not in skills


@pytest.mark.parametrize("name", ["pump-3/rpm", *ODD[:4]])
def test_any_name_is_found(name: str) -> None:
    """Slashes, other letters, and what means something in an address: percent-encoded, all lead to their series."""
    app = api.create(store())
    path = f"/series/{quote(name, safe='')}"
    forecast = get(f"{path}/forecast", app=app)
    assert forecast.status_code == 200
    assert forecast.json()["series"] == name
    assert get(f"{path}/history?limit=7", app=app).json()["value"][-1] == forecast.json()["value"]


def test_a_forecast_is_that_of_the_record() -> None:
    """The numbers that were published, bit for bit."""
    found = get("/series/pump-2/rpm/forecast").json()
    made = wave([2], 99)
    assert (found["topic"], found["partition"], found["time"]) == ("sensors", 0, int(made.times[0]))
    assert found["value"] == made.values[0]
    assert found["horizon"] == list(HORIZONS)
    assert found["target_time"] == made.target_times[0].tolist()
    assert [found["quantiles"][level] for level in ("0.1", "0.5", "0.9")] == made.quantiles[0].T.tolist()
    assert all(0 <= share <= 1 for share in found["coverage"])


def test_a_history_runs_parallel() -> None:
    """As many forecasts as observations for each horizon and level; null where there was none."""
    made, names = Store(told()), Names()
    feed(made, names, *(wave([0], step) for step in range(5)))
    found = get("/series/pump-0/rpm/history", app=api.create(made)).json()
    assert len(found["time"]) == 5
    assert [earlier["horizon"] for earlier in found["forecasts"]] == list(HORIZONS)
    for earlier in found["forecasts"]:
        for values in earlier["quantiles"].values():
            assert [value is None for value in values] == [n < earlier["horizon"] for n in range(5)]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/series/none/rpm/forecast", 404),
        ("/series/none/rpm/history", 404),
        ("/series/pump-0/rpm/forecast?topic=elsewhere", 404),
        ("/series/pump-0/rpm/forecast?partition=x", 422),
        ("/series?limit=0", 422),
        ("/series?sort=random", 422),
        ("/nowhere", 404),
    ],
)
def test_what_cannot_be_answered(path: str, status: int) -> None:
    """An unknown series is 404, a parameter that cannot be is 422; both say what is wrong."""
    answer = get(path)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_the_status_of_a_page_that_has_seen_nothing() -> None:
    """Nothing is known, and that is an answer."""
    found = get("/status", app=api.create(Store(told()))).json()
    assert (found["series"], found["records"], found["tasks"]) == (0, 0, [])
    assert get("/series", app=api.create(Store(told()))).json() == {"total": 0, "series": []}


def test_live_forecasts_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A series that comes later, then each newer forecast; one that does not change is not said again."""
    monkeypatch.setattr(api, "LOOK", 0)
    made, names = Store(told()), Names()

    async def heard() -> list[int]:
        stream: AsyncIterator[api.Forecast] = api.Ask(made).live("pump-0/rpm", None, None)
        times = []
        for step in (3, 4, 9):
            coming = asyncio.ensure_future(anext(stream))
            for _ in range(100):  # many looks
                await asyncio.sleep(0)
            assert not coming.done()
            feed(made, names, wave([0], step))
            times.append((await asyncio.wait_for(coming, 10)).time)
        return times

    assert asyncio.run(heard()) == [3 * 60_000, 4 * 60_000, 9 * 60_000]


def test_the_token_is_asked_for() -> None:
    """Without it, and with a wrong one, 401; with it, the answer; other kinds of credentials are none."""
    app = guarded()
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"cookie": "streamrnn_8080=x"},
    ):
        for path in ("/status", "/series", "/openapi.json", "/", "/nowhere", "/login"):
            answer = get(path, app=app, headers=headers)
            assert answer.status_code == 401, (headers, path)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert get("/status", app=app, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_browser_is_asked_by_a_form_and_remembered() -> None:
    """The form with the right token sets a cookie that lets in, and leads back to the series of the link."""
    app = guarded()
    form = get("/?series=%22><script>", app=app, headers={"accept": "text/html"})
    assert form.status_code == 401
    assert "<form" in form.text
    assert "<script>" not in form.text
    wrong = get("/login?series=a%2Fb", app=app, method="POST", data={"token": "wrong"})
    assert (wrong.status_code, "not the token" in wrong.text) == (401, True)
    right = get("/login?series=a%2Fb", app=app, method="POST", data={"token": TOKEN})
    assert (right.status_code, right.headers["location"]) == (303, "/?series=a%2Fb")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert TOKEN not in cookie
    assert get("/status", app=app, headers={"cookie": cookie.partition(";")[0]}).status_code == 200


def test_a_form_that_is_too_long_is_refused() -> None:
    """Nobody can fill the memory before being let in: no more is read than a form of ours could be."""
    read = 0

    async def long() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1000
            yield b"x" * 1000

    assert get("/login", app=guarded(), method="POST", content=long()).status_code == 401
    assert read <= 2 * LONGEST_FORM


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8080", None, 200),
        ("localhost:8080", None, 200),
        ("[::1]:8080", None, 200),
        ("192.168.1.5:8080", None, 200),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", 200),
        ("127.0.0.1:8080", "http://evil.example", 403),
        ("127.0.0.1:8080", "http://127.0.0.1:9999", 403),
        ("127.0.0.1:8080", "null", 403),
        ("evil.example:8080", None, 403),  # a name that its owner has made to lead here
        ("evil.example", "http://evil.example", 403),
    ],
)
def test_other_sites_are_kept_out(host: str, origin: str | None, status: int) -> None:
    """Without a token a browser that another site has brought here gets nothing to read."""
    headers = {"host": host} | ({"origin": origin} if origin else {})
    assert get("/status", app=guarded(None), headers=headers).status_code == status


def test_with_a_token_any_name_will_do() -> None:
    """Behind a proxy it is called by the proxy's name; who knows the token is no other site."""
    headers = {"host": "forecasts.example.com", "authorization": f"Bearer {TOKEN}"}
    assert get("/status", app=guarded(), headers=headers).status_code == 200
    assert get("/status", app=guarded(), headers={**headers, "origin": "https://evil.example"}).status_code == 403


def test_a_websocket_is_guarded_alike() -> None:
    """It is closed before it is accepted without the token, or from another site."""

    def closed(headers: list[tuple[bytes, bytes]]) -> bool:
        said: list[Any] = []

        async def inside(scope: Any, receive: Any, send: Callable[[Any], Any]) -> None:
            await send({"type": "websocket.accept"})

        async def send(message: Any) -> None:
            said.append(message["type"])

        app = Access(inside, host="127.0.0.1", port=8080, token=TOKEN)
        scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": [(b"host", b"x"), *headers]}
        asyncio.run(app(scope, None, send))  # type: ignore[arg-type]
        return said == ["websocket.close"]

    right = (b"authorization", f"Bearer {TOKEN}".encode())
    assert closed([])
    assert closed([right, (b"origin", b"https://evil.example")])
    assert not closed([right, (b"origin", b"https://x")])


def test_every_answer_keeps_the_browser_at_home() -> None:
    """Answers, refusals and forms alike: nothing is fetched from elsewhere, and no other page may frame this one."""
    app = guarded()
    for headers in ({}, {"accept": "text/html"}, {"authorization": f"Bearer {TOKEN}"}):
        answer = get("/status", app=app, headers=headers)
        for name, value in HEADERS:
            assert answer.headers[name.decode()] == value.decode()


def test_the_description_names_nothing_elsewhere() -> None:
    """OpenAPI is there, the pages that would load scripts from elsewhere are not."""
    described = get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/status", "/series", "/series/{name}/forecast", "/series/{name}/history", "/series/{name}/live",
    }  # fmt: skip
    assert "http" not in json.dumps(described["paths"])
    for path in ("/docs", "/redoc"):
        assert get(path).status_code == 404


schema = schemathesis.openapi.from_asgi("/openapi.json", api.create(store())).exclude(path_regex="/live$")


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_nothing_that_is_asked_makes_it_fail(case: Any) -> None:
    """Whatever the parameters, the answer is one that the description promises, and no 5xx."""
    case.call_and_validate(headers={"host": "127.0.0.1"})
