"""The page's HTTP protocol against clients that send half a request, too much, or nothing, over many connections."""

import asyncio
import logging
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from support.process import until

from streamrnn.page import connections
from streamrnn.page.connections import MAX_HEAD, BoundedProtocol, BoundedServer


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer after a while, once the request has arrived; or accept a WebSocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()  # waits until it ends
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await asyncio.sleep(1.0 if scope["path"] == "/slow" else 0.0)
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield the port of a server in a thread, of five connections at a time."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    with serving() as number:
        yield number


@contextmanager
def serving() -> Iterator[int]:
    """Serve in a thread; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = BoundedServer(
        uvicorn.Config(application, http=BoundedProtocol, log_config=None, lifespan="off", timeout_graceful_shutdown=1),
        100,
    )
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


REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
UPGRADE = (
    b"GET /slow HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def ask(port: int) -> bytes:
    """Return the last bytes of an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(REQUEST)
        return read(connection)[-2:]


@pytest.mark.parametrize("first", [b"", b"GET", b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", UPGRADE])
def test_connections_are_limited(port: int, monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    """A further connection is served at once, and displaces the oldest, whatever that one does."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 20.0)
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(9)]
        for each in held[-5:]:
            each.sendall(first)
        for each in held[:4]:
            assert read(each) == b""
        assert ask(port) == b"ok"
        assert not read(held[4]).endswith(b"ok")  # within 20 s
        held[5].setblocking(False)
        with suppress(BlockingIOError):
            assert held[5].recv(1000)


def test_a_flood_takes_half_of_the_descriptors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No accept fails for lack of a descriptor, which would be logged each time with a traceback."""
    most = connections._most_connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack, serving() as port:
        held = [stack.enter_context(socket.socket()) for _ in range(250)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(each.fileno() for each in held) + 110, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        monkeypatch.setattr(connections, "_most_connections", lambda: min(40, most()))  # the others are the clients'
        for each in held:
            each.connect(("127.0.0.1", port))
        assert ask(port) == b"ok"
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_the_limit_of_connections_depends_on_the_descriptors() -> None:
    """The clients can take half of the descriptors at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        assert connections._most_connections() == 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("endless", [b"GET /", b"GET / HTTP/1.1\r\nX: "])
def test_headers_without_end_are_refused(port: int, endless: bytes) -> None:
    """A request whose head has more than MAX_HEAD bytes is not read to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        sent, piece = 0, b"a" * 100_000
        try:
            connection.sendall(endless)
            while sent < 100 * MAX_HEAD:
                connection.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        assert sent < 50 * MAX_HEAD  # what the sockets buffer


def test_a_large_body_is_no_head(port: int) -> None:
    """What follows the headers of a request has no limit here."""
    size = 4 * MAX_HEAD
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
        connection.sendall(bytes(size))
        assert read(connection)[-2:] == b"ok"
