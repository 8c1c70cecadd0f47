"""The HTTP server of /metrics, /series, /healthz and /readyz; it has its own thread and only reads.

Its clients cannot harm the daemon: the number and duration of connections and the size of a request are limited, so
that clients cannot exhaust the memory or file descriptors that the loop needs, or block other clients.
"""

import asyncio
import logging
import re
import resource
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any, cast
from urllib.parse import parse_qsl

from streamrnn.observe.network import is_loopback, is_trusted_host, open_listener

logger = logging.getLogger(__name__)

STALLED = 30.0
"""Seconds without an iteration of the loop after which /healthz reports the process as hung."""
MAX_CONNECTIONS = 64
"""Most open connections, but at most an eighth of the file descriptors; a further one displaces the oldest."""
ACCEPTED = 16
"""Connections accepted at a time: few, so that each is read before it can be displaced."""
BACKLOG = 128
"""Connections that may wait to be accepted."""
REQUEST_SECONDS = 5.0
"""Time limit from the connection to the last byte of the answer, in seconds."""
MAX_REQUEST = 16 * 1024
"""Largest size of a request in bytes."""

_END = re.compile(rb"\r?\n\r?\n")


class HealthServer:
    """Serves from construction until `close`.

    On a loopback address it answers only requests to an IP address, `localhost` or `host`, so that no page of another
    site can read the metrics under a name of its own.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 for any free one. The attribute `port` is the one in use.
        exposition: Returns content type and text of the metrics for an Accept header.
        worst: Returns the JSON of /series for a query; its ValueError is answered with 400.
        age: Returns the seconds since the last iteration of the loop.
        unready: Returns why no records are processed; empty if they are.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        exposition: Callable[[str], tuple[str, bytes]],
        worst: Callable[[dict[str, str]], bytes],
        age: Callable[[], float],
        unready: Callable[[], str],
    ) -> None:
        self.exposition, self.worst, self.age, self.unready = exposition, worst, age, unready
        self._listener = open_listener(host, port, section="metrics", backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self._names = {host.lower()} if is_loopback(self._listener) else None
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        unlimited = descriptors == resource.RLIM_INFINITY
        self._most = MAX_CONNECTIONS if unlimited else max(1, min(MAX_CONNECTIONS, descriptors // 8))
        self._connections: dict[_Connection, None] = {}  # the oldest first
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_failure)
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def trusts(self, host: str | None) -> bool:
        """Return whether to answer a request with this Host header; None (no header, hence no browser) is trusted."""
        return self._names is None or host is None or is_trusted_host(host, self._names)

    def opened(self, connection: "_Connection") -> None:
        """Count a new connection, and displace one if there are too many."""
        self._connections[connection] = None
        if len(self._connections) > self._most:
            waiting = (each for each in self._connections if not each.answered)
            next(waiting, next(iter(self._connections))).abort()

    def closed(self, connection: "_Connection") -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        connect = partial(_Connection, self, self._loop)
        server = await self._loop.create_server(connect, sock=self._listener, backlog=ACCEPTED)
        self._listener.listen(BACKLOG)
        await self._closing.wait()
        server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)  # the transports close their sockets


def stalled(age: float) -> str:
    """Return the problem of a loop whose last iteration was `age` seconds ago; empty if it is not stalled."""
    return f"last iteration of the loop {age:.1f} s ago" if age >= STALLED else ""


def _log_failure(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log a failed connection, for instance for lack of descriptors; asyncio tries again by itself."""
    logger.debug("connection_failed", extra={"error": str(context.get("exception") or context["message"])})


class _Connection(asyncio.Protocol):
    """Receives one request, and sends its answer."""

    def __init__(self, server: HealthServer, loop: asyncio.AbstractEventLoop) -> None:
        self.answered = False
        self._server, self._loop = server, loop
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._deadline = self._loop.call_later(REQUEST_SECONDS, self._transport.abort)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._received += data
        if len(self._received) > MAX_REQUEST:
            self._transport.write(b"HTTP/1.0 431 Request Header Fields Too Large\r\n\r\n")
            self._transport.close()
        elif not self.answered and _END.search(self._received):
            self.answered = True
            self._transport.write(_Request(self._server, self._received).answer())
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self._deadline.cancel()
        self._server.closed(self)

    def abort(self) -> None:
        """Close at once."""
        self._server.closed(self)
        self._transport.abort()


class _Request(BaseHTTPRequestHandler):
    """Answers one request that has been received."""

    def __init__(self, server: HealthServer, received: bytes) -> None:
        self._sources = server
        self.client_address = ("", 0)
        self.rfile, self.wfile = BytesIO(received), BytesIO()

    def answer(self) -> bytes:
        """Return the answer."""
        try:
            self.handle_one_request()
        except Exception:
            logger.exception("metrics_failed", extra={"in": "request"})
            self.wfile = BytesIO()
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error; see the log of the daemon\n")
        return cast("BytesIO", self.wfile).getvalue()

    def do_GET(self) -> None:
        host = self.headers.get("Host")
        if not self._sources.trusts(host):
            text = f"Host {host!r} is refused: use an IP address, localhost or the name in metrics.host\n"
            self._answer(HTTPStatus.FORBIDDEN, text.encode())
            return
        path, _, query = self.path.partition("?")
        match path:
            case "/metrics":
                content_type, body = self._sources.exposition(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, body, content_type)
            case "/series":
                self._answer_series(dict(parse_qsl(query)))
            case "/healthz":
                self._answer_check(stalled(self._sources.age()))
            case "/readyz":
                self._answer_check(self._sources.unready())
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"not found; see /metrics, /series, /healthz and /readyz\n")

    do_HEAD = do_GET  # noqa: N815 -- the name is the library's

    def _answer_series(self, query: dict[str, str]) -> None:
        try:
            self._answer(HTTPStatus.OK, self._sources.worst(query), "application/json")
        except ValueError as error:
            self._answer(HTTPStatus.BAD_REQUEST, f"{error}\n".encode())

    def _answer_check(self, problem: str) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
        self._answer(status, f"{problem or 'ok'}\n".encode())

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the library's
        """Keep requests out of the log."""
