"""The HTTP server of metrics and health against clients that send nothing, too slowly, too much or the wrong thing."""

import logging
import resource
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from support.process import until

from streamrnn.observe import health
from streamrnn.observe import logging as logs
from streamrnn.observe.health import MAX_CONNECTIONS, HealthServer


def serve(host: str = "127.0.0.1", **changes: Any) -> HealthServer:
    """Return a server of an idle loop."""
    sources: dict[str, Any] = {
        "exposition": lambda _: ("text/plain", b"metric 1\n"), "worst": lambda _: b"[]", "age": lambda: 0.0,
        "unready": lambda: "",
    }  # fmt: skip
    return HealthServer(host=host, port=0, **{**sources, **changes})


@pytest.fixture
def server() -> Iterator[HealthServer]:
    """Yield a server on 127.0.0.1."""
    with closing(serve()) as made:
        yield made


def ask(port: int, request: bytes, host: str = "127.0.0.1") -> bytes:
    """Return all that is answered to a request; nothing for a connection that is reset."""
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        try:
            while data := connection.recv(65536):
                answer += data
        except ConnectionResetError:
            pass
        return answer


def get(port: int, path: str, host: str = "127.0.0.1", name: str = "localhost") -> bytes:
    """Return the answer to a GET request, without its head."""
    head, _, body = ask(port, f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode(), host).partition(b"\r\n\r\n")
    return body if b" 200 " in head.splitlines()[0] else head.splitlines()[0]


def descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


CLIENTS = """
import resource, socket, sys, time
port, count = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
held = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
print("connected", flush=True)
while True:
    for each in held[::2]:  # half of them send nothing at all
        try:
            each.send(b"G")
        except OSError:
            pass
    time.sleep(0.05)
"""


def test_a_thousand_idle_connections(server: HealthServer) -> None:
    """With any number of idle and dripping clients, requests are answered and few descriptors are used."""
    before = descriptors()
    command = [sys.executable, "-c", CLIENTS, str(server.port), "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as clients:
        assert clients.stdout is not None
        assert clients.stdout.readline() == b"connected\n"
        for _ in range(20):
            assert get(server.port, "/healthz") == b"ok\n"
            assert get(server.port, "/metrics") == b"metric 1\n"
            assert descriptors() <= before + MAX_CONNECTIONS + 4
        clients.kill()


def test_a_request_has_a_total_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends a byte now and then is disconnected all the same, and its descriptor is free."""
    monkeypatch.setattr(health, "REQUEST_SECONDS", 0.5)
    with closing(serve()) as server:
        before, begun = descriptors(), time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.settimeout(0.1)
            while time.monotonic() < begun + 20:
                try:
                    connection.sendall(b"G")
                    if connection.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            assert 0.4 < time.monotonic() - begun < 5
        until(lambda: descriptors() == before, "the descriptor", 5)


def test_resets_leave_no_trace(server: HealthServer, capfd: pytest.CaptureFixture[str]) -> None:
    """A client that resets its connection amid a request or an answer leaves nothing on standard error."""
    logs.configure(format="json")
    try:
        for request in (b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(request)
        assert get(server.port, "/healthz") == b"ok\n"
    finally:
        logging.getLogger().handlers.clear()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 20_000, b"431"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", b"501"),
        (b"GET /healthz HTTP/1.0\n\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50, b"200"),
        (b"GET /healthz HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"200"),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", b"200"),
    ],
)
def test_unusual_requests(server: HealthServer, request_: bytes, status: bytes) -> None:
    """A request that is too long, invalid or not a GET has a status of its own."""
    assert status in ask(server.port, request_).splitlines()[0]


def test_an_internal_error_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A defect in the metrics is answered with 500 and logged."""
    with closing(serve(exposition=lambda _: 1 / 0)) as server:
        assert b" 500 " in get(server.port, "/metrics")
        assert get(server.port, "/healthz") == b"ok\n"
    assert [(record.message, record.levelname) for record in caplog.records] == [("metrics_failed", "ERROR")]


@pytest.mark.parametrize(("host", "clients"), [("::1", ["::1"]), ("::", ["::1", "127.0.0.1"])])
def test_ipv6(host: str, clients: list[str]) -> None:
    """An IPv6 address can be listened on; `::` accepts IPv4, too."""
    with closing(serve(host)) as server:
        for client in clients:
            assert get(server.port, "/healthz", client, f"[{client}]:9108") == b"ok\n"


def test_only_own_names_on_this_machine(server: HealthServer) -> None:
    """On a loopback address a name that a foreign site may have chosen is refused; elsewhere any name is accepted."""
    for name in ("localhost:9108", "127.0.0.1", "[::1]:80", "192.168.1.5:9108"):
        assert get(server.port, "/metrics", name=name) == b"metric 1\n"
    for name in ("rebound.example", "localhost.example:9108", "127.0.0.1.example", ""):
        assert b" 403 " in get(server.port, "/metrics", name=name)
    with closing(serve("0.0.0.0")) as public:
        assert get(public.port, "/metrics", name="pump.example:9108") == b"metric 1\n"


def test_fewer_connections_with_few_descriptors() -> None:
    """The clients can take an eighth of the descriptors at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        with closing(serve()) as server, ExitStack() as stack:
            before = descriptors()
            mine = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(40)]
            assert get(server.port, "/healthz") == b"ok\n"
            assert descriptors() <= before + len(mine) + 16
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_answer_larger_than_a_socket_buffers() -> None:
    """A large answer arrives whole."""
    text = b"x" * (8 << 20)
    with closing(serve(exposition=lambda _: ("text/plain", text))) as server:
        assert get(server.port, "/metrics") == text


def test_closed_before_it_has_begun() -> None:
    """A server closed at once ends its thread without an exception, which would fail the test."""
    for _ in range(50):
        serve().close()
