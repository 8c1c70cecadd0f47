"""The HTTP server of /metrics, /series, /healthz and /readyz; it has its own threads and only reads."""

import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from streamrnn.errors import ConfigError

STALLED = 30.0
"""Seconds without an iteration of the loop after which /healthz reports the process as hung."""


class HealthServer:
    """Serves from construction until `close`.

    Args:
        host: Address to listen on.
        port: 0 takes any free one; the attribute `port` is the one in use.
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
        try:
            self._server = ThreadingHTTPServer((host, port), partial(_Handler, self))
        except OSError as error:
            raise ConfigError(
                f"metrics.port: cannot listen on {host}:{port}: {error.strerror}; choose another port or metrics.host"
            ) from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def stalled(age: float) -> str:
    """Return what is wrong with a loop whose last iteration was `age` seconds ago; empty if it is not stalled."""
    return f"last iteration of the loop {age:.1f} s ago" if age >= STALLED else ""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    timeout = 10.0  # seconds to receive a request

    def __init__(self, sources: HealthServer, *arguments: Any) -> None:
        self._sources = sources
        super().__init__(*arguments)  # answers the request

    def do_GET(self) -> None:
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
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the library's
        """Keep requests out of the log."""
