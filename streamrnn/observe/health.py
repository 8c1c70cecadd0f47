"""The HTTP server of /metrics, /series, /healthz and /readyz; it has a thread of its own and only reads."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from streamrnn.errors import ConfigError

STALLED = 30.0
"""Seconds without a round of the loop after which the process counts as hung."""


class HealthServer:
    """Serves from construction until `close`.

    `exposition` makes the metrics for an Accept header, `worst` the JSON of /series for a query (a ValueError says what
    is wrong with it), `age` says how many seconds ago the loop last came round,
    `unready` why records are not being worked on (empty: they are). Port 0 takes any free one; `port` says which.

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
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(exposition, worst, age, unready))
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


def stalled(seconds: float) -> str:
    """What is wrong with a loop that came round so many seconds ago; empty: nothing."""
    return f"the loop last came round {seconds:.1f} s ago" if seconds >= STALLED else ""


def _handler(
    exposition: Callable[[str], tuple[str, bytes]],
    worst: Callable[[dict[str, str]], bytes],
    age: Callable[[], float],
    unready: Callable[[], str],
) -> type[BaseHTTPRequestHandler]:
    """The server makes one of these for every request."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0  # seconds for a request to come in

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            pages: dict[str, Callable[[], None]] = {
                "/metrics": lambda: self._show(*exposition(self.headers.get("Accept", ""))),
                "/series": lambda: self._list(dict(parse_qsl(query))),
                "/healthz": lambda: self._say(stalled(age())),
                "/readyz": lambda: self._say(unready()),
            }
            pages.get(path, self._nothing)()

        do_HEAD = do_GET  # noqa: N815 -- the name is the library's

        def _show(self, content_type: str, body: bytes) -> None:
            self._answer(HTTPStatus.OK, body, content_type)

        def _nothing(self) -> None:
            self._answer(HTTPStatus.NOT_FOUND, b"here are /metrics, /series, /healthz and /readyz\n")

        def _list(self, query: dict[str, str]) -> None:
            try:
                self._show("application/json", worst(query))
            except ValueError as error:
                self._answer(HTTPStatus.BAD_REQUEST, f"{error}\n".encode())

        def _say(self, complaint: str) -> None:
            status = HTTPStatus.SERVICE_UNAVAILABLE if complaint else HTTPStatus.OK
            self._answer(status, f"{complaint or 'ok'}\n".encode())

        def _answer(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the library's
            """Keep requests out of the log."""

    return Handler
