"""The HTTP server of /metrics, /healthz and /readyz; it has a thread of its own and only reads."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from streamrnn.errors import ConfigError

STALLED = 30.0
"""Seconds without a round of the loop after which the process counts as hung."""


class HealthServer:
    """Serves from construction until `close`.

    `exposition` makes the metrics for an Accept header, `age` says how many seconds ago the loop last came round,
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
        age: Callable[[], float],
        unready: Callable[[], str],
    ) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(exposition, age, unready))
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


def _handler(
    exposition: Callable[[str], tuple[str, bytes]], age: Callable[[], float], unready: Callable[[], str]
) -> type[BaseHTTPRequestHandler]:
    """The server makes one of these for every request."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0  # seconds for a request to come in

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                content_type, body = exposition(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, body, content_type)
            elif path == "/healthz":
                seconds = age()
                stalled = f"the loop last came round {seconds:.1f} s ago\n" if seconds >= STALLED else ""
                self._say(stalled)
            elif path == "/readyz":
                reason = unready()
                self._say(reason and f"{reason}\n")
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"here are /metrics, /healthz and /readyz\n")

        do_HEAD = do_GET  # noqa: N815 -- the name is the library's

        def _say(self, complaint: str) -> None:
            status = HTTPStatus.SERVICE_UNAVAILABLE if complaint else HTTPStatus.OK
            self._answer(status, (complaint or "ok\n").encode())

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
