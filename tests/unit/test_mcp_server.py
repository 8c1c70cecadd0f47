"""The MCP server, asked by the protocol's own client, over the API of a page."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import uvicorn
from mcp import Client, StdioServerParameters
from support.broker import free_ports
from support.pages import HORIZONS, MINUTE, feed, page_config, wave
from support.process import until

from streamrnn import cli
from streamrnn.commands.mcp_server.http_api import PageApi
from streamrnn.commands.mcp_server.tools import make_server
from streamrnn.page.access import Access
from streamrnn.page.api import create_api
from streamrnn.page.data.messages import SentNames
from streamrnn.page.data.store import Store

TOKEN = "correct-horse-battery-staple"
ODD = "../a?b#c %2F/ü/rpm"
STEPS = 50
TOOLS = {"status", "list_series", "forecast", "explain", "anomalies"}


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an ASGI application on a free port; yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    """Yield the address of the API of a page with a token and three series."""
    store, names = Store(page_config()), SentNames()
    feed(store, names, *(wave([0, 1, 2], step, names=["pump-0/rpm", "pump-1/rpm", ODD]) for step in range(STEPS)))
    with served(Access(create_api(store), host="127.0.0.1", port=8080, token=TOKEN)) as url:
        yield url


def call(server: Any, tool: str, **arguments: Any) -> tuple[bool, Any]:
    """Return whether a tool failed, and its structured answer or its message."""

    async def ask() -> tuple[bool, Any]:
        async with Client(server) as client:
            result = await client.call_tool(tool, arguments)
            failed = bool(result.is_error)
            return failed, result.content[0].text if failed else result.structured_content

    return asyncio.run(ask())


def test_the_tools_describe_themselves_and_only_read(page: str) -> None:
    """Each has a description of itself and of its parameters, and is marked as one that reads."""

    async def ask() -> Any:
        async with Client(make_server(PageApi(page, TOKEN))) as client:
            return (await client.list_tools()).tools

    tools = asyncio.run(ask())
    assert {tool.name for tool in tools} == TOOLS
    for tool in tools:
        assert tool.description
        assert tool.annotations.read_only_hint
        assert all(each["description"] for each in tool.input_schema["properties"].values())


def test_forecasts_are_those_of_the_page(page: str) -> None:
    """A forecast has the numbers of the API, with times in ISO 8601; odd names arrive unchanged."""
    server = make_server(PageApi(page, TOKEN))
    for row, name in enumerate(("pump-0/rpm", "pump-1/rpm", ODD)):
        failed, found = call(server, "forecast", series=name)
        assert not failed, found
        made = wave([row], STEPS - 1)
        assert (found["series"], found["value"], found["horizon"]) == (name, made.values[0], list(HORIZONS))
        assert found["quantiles"]["0.5"] == made.quantiles[0, :, 1].tolist()
        assert found["time"] == "1970-01-01T00:49:00+00:00"
        assert found["target_time"] == ["1970-01-01T00:50:00+00:00", "1970-01-01T00:52:00+00:00"]
    failed, found = call(server, "forecast", series="pump-0/rpm", horizon=[3])
    assert (failed, found["horizon"]) == (False, [3])
    failed, found = call(server, "list_series", search="PUMP", limit=1)
    assert (found["total"], [each["series"] for each in found["series"]]) == (2, ["pump-0/rpm"])
    assert call(server, "status")[1]["series"] == 3


def test_refusals_say_what_to_do(page: str) -> None:
    """A wrong name, a wrong token, a daemon without a page and one without explanations have a message each."""
    server = make_server(PageApi(page, TOKEN))
    failed, text = call(server, "forecast", series="nothing")
    assert (failed, text.rpartition(": ")[2]) == (
        True,
        "no series 'nothing'; GET /series?search= lists the available series",
    )
    assert "no forecast 2 steps ahead" in call(server, "forecast", series="pump-0/rpm", horizon=[2])[1]
    assert call(server, "list_series", limit=0)[0]
    assert "STREAMRNN_PAGE__TOKEN" in call(make_server(PageApi(page, None)), "status")[1]
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    failed, text = call(make_server(PageApi(address, None)), "status")
    assert failed
    assert address in text
    assert "page.enabled=true" in text


@contextmanager
def answering(answer: Callable[[str], tuple[int, bytes, dict[str, str]]]) -> Iterator[str]:
    """Serve what a function returns for a path: status, body and headers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, headers = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the library's
            """Keep requests out of the output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_anomalies_and_explanations() -> None:
    """They are asked for at /events and /series/NAME/explain, and known to be missing in a daemon without them."""
    asked = []

    def answer(path: str) -> tuple[int, bytes, dict[str, str]]:
        asked.append(path)
        if path.startswith("/events"):
            return 200, json.dumps([{"kind": "anomaly", "series": "a/b", "time": MINUTE, "count": 1}]).encode(), {}
        return (200, b'{"members": {}}', {}) if path.startswith("/series/a%2Fb/") else (404, b"<html>", {})

    with answering(answer) as url:
        server = make_server(PageApi(url, None))
        failed, found = call(server, "anomalies", series="a/b", limit=5)
        assert not failed, found
        assert found["result"] == [
            {"kind": "anomaly", "series": "a/b", "time": "1970-01-01T00:01:00+00:00", "count": 1}
        ]
        assert call(server, "explain", series="a/b") == (False, {"members": {}})
        assert not call(server, "forecast", series="a/b", until="24h")[0]
        assert asked[-1] == "/series/a%2Fb/forecast?horizon=24h"
        failed, text = call(server, "explain", series="other")
        assert failed
        assert text.endswith(f"the daemon at {url} is of a version without /explain")
    assert asked[0] == "/events?series=a%2Fb&limit=5"


def test_the_token_goes_to_no_other_address() -> None:
    """A redirect is not followed, and what is no JSON is not an answer."""
    stolen = []
    with answering(lambda path: (200, stolen.append(path) or b"{}", {})) as other:  # type: ignore[func-returns-value]
        with answering(lambda path: (302, b"", {"Location": other})) as url:
            assert call(make_server(PageApi(url, TOKEN)), "status")[0]
        assert stolen == []
    with answering(lambda path: (200, b"<html>", {})) as url:
        assert "does not answer in JSON" in call(make_server(PageApi(url, None)), "status")[1]


COMMAND = ["-m", "streamrnn.cli", "mcp", "--url"]


def test_the_command_speaks_on_standard_input_and_output(page: str) -> None:
    """`streamrnn mcp` is started by a client, which asks for a forecast."""
    environment = {"STREAMRNN_PAGE__TOKEN": TOKEN, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    server = StdioServerParameters(command=sys.executable, args=[*COMMAND, page], env=environment)
    failed, found = call(server, "forecast", series="pump-1/rpm")
    assert (failed, found["series"]) == (False, "pump-1/rpm")


def test_the_command_speaks_over_http(page: str) -> None:
    """With --port it serves this machine alone, and refuses the names of other sites."""
    (port,) = free_ports(1)
    command = [sys.executable, *COMMAND, page, "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, "STREAMRNN_PAGE__TOKEN": TOKEN}) as process:
        try:
            until(lambda: listens(port), "the server")
            failed, found = call(f"http://127.0.0.1:{port}/mcp", "forecast", series="pump-1/rpm")
            assert (failed, found["series"]) == (False, "pump-1/rpm")
            answer = httpx.post(f"http://127.0.0.1:{port}/mcp", headers={"Host": "evil.example"}, json={})
            assert answer.status_code == 421
        finally:
            process.terminate()


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With the exit code of a configuration that does not fit, and what to do."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        assert cli.main(["mcp", "--port", str(port)]) == 78
    message = f"streamrnn: --port {port}: cannot listen on 127.0.0.1:{port}: Address already in use; choose another"
    assert capsys.readouterr().err.startswith(message)


def listens(port: int) -> bool:
    """Return whether a server accepts connections on a port of this machine."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
