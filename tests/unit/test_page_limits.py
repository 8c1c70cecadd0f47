"""The page's HTTP protocol against clients that send half a request."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from support.process import until

from streamrnn.page import server as page_server
from streamrnn.page.server import BoundedProtocol


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer after a while, once the request has arrived."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await asyncio.sleep(1.0 if scope["path"] == "/slow" else 0.0)
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield the port of a server in a thread."""
    monkeypatch.setattr(page_server, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(page_server, "MAX_CONNECTIONS", 5)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, http=BoundedProtocol, log_config=None, lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    until(lambda: server.started, "the server", 20)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


def read(connection: socket.socket) -> bytes:
    """Return what arrives until the connection is closed."""
    received = b""
    try:
        while data := connection.recv(1000):
            received += data
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize(
    "half",
    [
        b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
    ],
)  # fmt: skip
def test_half_a_request_is_disconnected(port: int, half: bytes) -> None:
    """A connection without a complete request is closed after a time limit."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(half)
        read(connection)
    assert 0.4 < time.monotonic() - begun < 4


def test_complete_requests_have_no_time_limit(port: int) -> None:
    """A slow answer arrives, and a connection may be used again."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for path in (b"/slow", b"/", b"/slow"):
            connection.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while not received.endswith(b"ok"):
                part = connection.recv(1000)
                assert part, "the connection was closed"
                received += part


def test_connections_are_limited(port: int) -> None:
    """Connections beyond the limit are closed at once."""
    held = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(5)]
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as further:
        assert read(further) == b""
    assert time.monotonic() - begun < 0.4
    for each in held:
        each.close()
