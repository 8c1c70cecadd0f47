"""The HTTP API and the access control, called in this process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from support.pages import HORIZONS, TASK, feed, page_config, wave

from streamrnn.page import api
from streamrnn.page.access import HEADERS, MAX_FORM_BYTES, Access
from streamrnn.page.data.messages import SentNames
from streamrnn.page.data.store import Store
from streamrnn.page.limits import GUESS_SECONDS, GUESSES, MAX_ADDRESSES, GuessLimit
from streamrnn.records import TopicPartition

ODD = ['<img src=x onerror="alert(1)">/rpm', "a/forecast/history", "ü ?#%2F&=+/rpm", "/rpm", "../../status/rpm"]
TOKEN = "correct-horse-battery-staple"


def store() -> Store:
    """Return a store with a hundred observations of some series, some with odd names."""
    made, names = Store(page_config()), SentNames()
    for step in range(100):
        feed(made, names, wave(range(5), step), partition=TASK)
        feed(made, names, wave(range(len(ODD)), step, names=ODD), partition=TopicPartition("odd", 1))
    return made


@cache
def shared_api() -> Any:
    """Return the API of a store, which no request changes."""
    return api.create_api(store())


def get(
    path: str,
    *,
    app: Any = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    host: str = "127.0.0.1:8080",
    **more: Any,
) -> httpx.Response:
    """Return the answer to a request."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=app or shared_api())
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, headers=headers, **more)

    return asyncio.run(request())


def guarded(token: str | None = TOKEN) -> Access:
    """Return the API with its access control."""
    return Access(shared_api(), host="127.0.0.1", port=8080, token=token)


def test_series_are_searched_sorted_and_limited() -> None:
    """The search ignores case; best and worst sort by skill; the total counts all matches."""
    app = shared_api()
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
    """Names with slashes, non-ASCII letters and reserved characters are found when percent-encoded."""
    app = shared_api()
    path = f"/series/{quote(name, safe='')}"
    forecast = get(f"{path}/forecast", app=app)
    assert forecast.status_code == 200
    assert forecast.json()["series"] == name
    assert get(f"{path}/history?limit=7", app=app).json()["value"][-1] == forecast.json()["value"]


def test_a_forecast_equals_the_published_one() -> None:
    """The API returns the numbers of the forecast record, bit for bit."""
    found = get("/series/pump-2/rpm/forecast").json()
    made = wave([2], 99)
    assert (found["topic"], found["partition"], found["time"]) == ("sensors", 0, int(made.times[0]))
    assert found["value"] == made.values[0]
    assert found["horizon"] == list(HORIZONS)
    assert found["target_time"] == made.target_times[0].tolist()
    assert [found["quantiles"][level] for level in ("0.1", "0.5", "0.9")] == made.quantiles[0].T.tolist()
    assert all(0 <= share <= 1 for share in found["coverage"])


def test_a_forecast_at_chosen_horizons() -> None:
    """It has these alone, in every list, with the numbers of the whole one."""
    whole = get("/series/pump-2/rpm/forecast").json()
    for chosen in ([len(HORIZONS) - 1], [0, len(HORIZONS) - 1]):
        query = "&".join(f"horizon={HORIZONS[k]}" for k in chosen)
        part = get(f"/series/pump-2/rpm/forecast?{query}").json()
        for name in ("horizon", "target_time", "skill", "coverage"):
            assert part[name] == [whole[name][k] for k in chosen]
        for level, numbers in part["quantiles"].items():
            assert numbers == [whole["quantiles"][level][k] for k in chosen]


def test_past_forecasts_are_parallel_to_the_observations() -> None:
    """There is one forecast per observation for each horizon and level; null before the first."""
    made, names = Store(page_config()), SentNames()
    feed(made, names, *(wave([0], step) for step in range(5)))
    found = get("/series/pump-0/rpm/history", app=api.create_api(made)).json()
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
        ("/series/pump-0/rpm/forecast?horizon=999", 404),
        ("/series?limit=0", 422),
        ("/series?sort=random", 422),
        ("/nowhere", 404),
    ],
)
def test_invalid_requests(path: str, status: int) -> None:
    """An unknown series is 404, an invalid parameter 422; both name the problem."""
    answer = get(path)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_status_of_an_empty_page() -> None:
    """Without any message, the status has zeros and the list is empty."""
    found = get("/status", app=api.create_api(Store(page_config()))).json()
    assert (found["series"], found["records"], found["tasks"]) == (0, 0, [])
    assert get("/series", app=api.create_api(Store(page_config()))).json() == {"total": 0, "series": []}


def test_live_forecasts_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream waits for the series, then sends each newer forecast once."""
    monkeypatch.setattr(api, "LIVE_SECONDS", 0)
    made, names = Store(page_config()), SentNames()

    async def received() -> list[int]:
        stream: AsyncIterator[api.SeriesForecast] = api.live_forecasts(made, "pump-0/rpm", None, None)
        times = []
        for step in (3, 4, 9):
            following = asyncio.ensure_future(anext(stream))
            for _ in range(100):  # many checks
                await asyncio.sleep(0)
            assert not following.done()
            feed(made, names, wave([0], step))
            times.append((await asyncio.wait_for(following, 10)).time)
        return times

    assert asyncio.run(received()) == [3 * 60_000, 4 * 60_000, 9 * 60_000]


def test_the_token_is_required() -> None:
    """Without the token, with a wrong one and with other credentials the answer is 401."""
    app = guarded()
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"cookie": "streamrnn_8080=x"},
    ):
        app._guesses = GuessLimit()
        for path in ("/status", "/", "/openapi.json", "/nowhere", "/login"):
            answer = get(path, app=app, headers=headers)
            assert answer.status_code == 401, (headers, path)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert get("/status", app=app, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_browser_logs_in_with_a_form() -> None:
    """The right token sets a cookie that authenticates, and redirects to the series of the link."""
    app = guarded()
    form = get("/?series=%22><script>", app=app, headers={"accept": "text/html"})
    assert form.status_code == 401
    assert "<form" in form.text
    assert "<script>" not in form.text
    wrong = get("/login?series=a%2Fb", app=app, method="POST", data={"token": "wrong"})
    assert (wrong.status_code, "not the token" in wrong.text) == (401, True)
    right = get("/login?series=a%2Fb", app=app, method="POST", data={"token": TOKEN})
    assert (right.status_code, right.headers["location"]) == (303, "./?series=a%2Fb")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert TOKEN not in cookie
    assert get("/status", app=app, headers={"cookie": cookie.partition(";")[0]}).status_code == 200


@pytest.mark.parametrize(
    ("path", "action"),
    [("/", "login"), ("/?series=a%2Fb", "login?series=a%2Fb"), ("/series/a%2Fb/forecast", "../../login")],
)
def test_the_form_stays_below_a_prefix(path: str, action: str) -> None:
    """The form's address is relative, so that it is right below the path prefix of any reverse proxy."""
    form = get(path, app=guarded(), headers={"accept": "text/html"})
    assert f'<form method="post" action="{action}">' in form.text


def test_guesses_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """After five wrong tokens, in forms or headers, an address has to wait for a minute; a cookie still counts."""
    app, now = guarded(), 1000.0
    monkeypatch.setattr(app._guesses, "_clock", lambda: now)
    right = {"authorization": f"Bearer {TOKEN}"}
    cookie = {"cookie": f"streamrnn_8080={app._cookie_value}"}
    for number in range(GUESSES):
        if number % 2:
            assert get("/login", app=app, method="POST", data={"token": "wrong"}).status_code == 401
        else:
            assert get("/status", app=app, headers={"authorization": "Bearer wrong"}).status_code == 401
        now += 1
    for answer in (
        get("/status", app=app, headers=right),
        get("/login", app=app, method="POST", data={"token": TOKEN}),
    ):
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert get("/status", app=app, headers=cookie).status_code == 200
    now += GUESS_SECONDS
    assert get("/status", app=app, headers=right).status_code == 200


def test_guesses_take_bounded_memory_and_count_by_network() -> None:
    """The addresses of an IPv6 network count as one; of many, the latest are remembered."""
    guesses = GuessLimit()
    for number in range(GUESSES):
        guesses.add({"client": (f"2001:db8::{number}", 1)})
    assert guesses.exceeded({"client": ("2001:db8::ffff", 1)})
    assert not guesses.exceeded({"client": ("2001:db8:0:1::1", 1)})
    for number in range(2 * MAX_ADDRESSES):
        guesses.add({"client": (f"10.0.{number // 256}.{number % 256}", 1)})
    assert len(guesses._times) == MAX_ADDRESSES
    assert not guesses.exceeded({"client": ("2001:db8::ffff", 1)})
    assert not guesses.exceeded({})


@pytest.mark.parametrize(
    ("site", "target", "status"),
    [
        ("same-origin", "empty", 200), ("none", "document", 200), ("cross-site", "document", 200),
        ("cross-site", "image", 403), ("cross-site", "empty", 403), ("cross-site", "iframe", 403),
        ("same-site", "empty", 403),
    ],
)  # fmt: skip
def test_other_sites_may_only_link(site: str, target: str, status: int) -> None:
    """A page of another site can lead here by a link, and cannot load anything from here."""
    headers = {"sec-fetch-site": site, "sec-fetch-dest": target}
    assert get("/status", app=guarded(None), headers=headers).status_code == status


def test_a_form_that_is_too_long_is_refused() -> None:
    """An unauthenticated client cannot fill the memory: no more is read than the login form can have."""
    read = 0

    async def long() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1000
            yield b"x" * 1000

    assert get("/login", app=guarded(), method="POST", content=long()).status_code == 401
    assert read <= 2 * MAX_FORM_BYTES


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
        ("evil.example:8080", None, 403),  # a name that its owner resolves to this server
        ("evil.example", "http://evil.example", 403),
    ],
)
def test_requests_from_other_sites_are_refused(host: str, origin: str | None, status: int) -> None:
    """Without a token, a request with another site's origin or an untrusted host name is refused."""
    headers = {"host": host} | ({"origin": origin} if origin else {})
    assert get("/status", app=guarded(None), headers=headers).status_code == status


def test_a_token_allows_any_host_name() -> None:
    """With a token, requests under a proxy's name are answered; those of other origins are still refused."""
    headers = {"host": "forecasts.example.com", "authorization": f"Bearer {TOKEN}"}
    assert get("/status", app=guarded(), headers=headers).status_code == 200
    assert get("/status", app=guarded(), headers={**headers, "origin": "https://evil.example"}).status_code == 403


def test_websockets_are_guarded() -> None:
    """Without the token, or from another site, a WebSocket is closed before it is accepted."""

    def closed(headers: list[tuple[bytes, bytes]]) -> bool:
        sent: list[Any] = []

        async def inside(scope: Any, receive: Any, send: Callable[[Any], Any]) -> None:
            await send({"type": "websocket.accept"})

        async def send(message: Any) -> None:
            sent.append(message["type"])

        app = Access(inside, host="127.0.0.1", port=8080, token=TOKEN)
        scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": [(b"host", b"x"), *headers]}
        asyncio.run(app(scope, None, send))  # type: ignore[arg-type]
        return sent == ["websocket.close"]

    right = (b"authorization", f"Bearer {TOKEN}".encode())
    assert closed([])
    assert closed([right, (b"origin", b"https://evil.example")])
    assert not closed([right, (b"origin", b"https://x")])


def test_every_answer_has_the_security_headers() -> None:
    """Answers, refusals and forms forbid loading from other hosts, and framing."""
    app = guarded()
    for headers in ({}, {"accept": "text/html"}, {"authorization": f"Bearer {TOKEN}"}):
        answer = get("/status", app=app, headers=headers)
        for name, value in HEADERS:
            assert answer.headers[name.decode()] == value.decode()


def test_the_description_refers_to_no_other_host() -> None:
    """The OpenAPI description is served; documentation pages that load scripts from other hosts are not."""
    described = get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/status", "/series", "/series/{name}/forecast", "/series/{name}/history", "/series/{name}/live", "/events",
        "/series/{name}/explain", "/series/{name}/session", "/series/{name}/history.csv", "/series/{name}/session.csv",
        "/series/{name}/rows",
    }  # fmt: skip
    assert "http" not in json.dumps(described["paths"])
    for path in ("/docs", "/redoc"):
        assert get(path).status_code == 404


def described() -> Any:
    """Return the API of a store whose workers refuse every path."""

    async def refuse(*_: object) -> str:
        return "too far"

    made = store()
    made.paths.fresh = refuse  # type: ignore[method-assign]
    return api.create_api(made)


@pytest.mark.parametrize("valid", [True, False])
def test_answers_conform_to_the_description(valid: bool) -> None:
    """For any parameters of any operation, the answer conforms to the OpenAPI description, and is no 5xx."""
    import schemathesis  # here, as all tests would wait for it while they are collected
    from schemathesis.generation import GenerationMode

    schema = schemathesis.openapi.from_asgi("/openapi.json", described()).exclude(path_regex="/(live|explain)$")
    operations = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) > 4
    for operation in operations:
        if not valid and not (operation.path_parameters or operation.query):
            continue  # nothing to be wrong

        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy(GenerationMode.POSITIVE if valid else GenerationMode.NEGATIVE))
        def conforms(case: Any) -> None:
            case.call_and_validate(headers={"host": "127.0.0.1"})

        conforms()
