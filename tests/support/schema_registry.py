"""A schema registry over real HTTP: as much of its interface as clients use, and the ways in which it can fail."""

import base64
import json
import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any


class RegistryStandIn:
    """Serves schemas, which tests add to.

    `failure` is what it does instead of answering: a number is an HTTP status, `hang` waits until it is closed, `drip`
    sends its answer byte by byte, `endless` never ends it, `cut` closes the connection within it, `moved` sends to
    `elsewhere`, and other text is the answer's body.
    """

    def __init__(self, *, user: str = "", certificate: Path | None = None) -> None:
        self.schemas: dict[int | str, dict[str, Any]] = {}
        self.versions: dict[str, list[int]] = {}
        self.failure: int | str = 0
        self.requests: list[str] = []
        self.user = user
        self.elsewhere = ""
        self.closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": self}))
        self._server.daemon_threads = True
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def add(self, number: int, schema: object, *, subject: str = "", kind: str = "", **more: Any) -> None:
        """Add a schema; text is that of a `.proto` file, anything else is turned into JSON."""
        text = schema if isinstance(schema, str) and kind == "PROTOBUF" else json.dumps(schema)
        self.schemas[number] = {"schema": text} | ({"schemaType": kind} if kind else {}) | more
        self.versions.setdefault(subject or f"topic-{number}-value", []).append(number)

    def __enter__(self) -> "RegistryStandIn":
        """Start it."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and body for a request."""
        match path.strip("/").split("/"):
            case ["schemas", "ids", number] if int(number) in self.schemas:
                return 200, self.schemas[int(number)]
            case ["schemas", "guids", guid] if guid in self.schemas:
                return 200, self.schemas[guid]
            case ["subjects", subject, "versions", version] if len(self.versions.get(subject, [])) >= int(version):
                number = self.versions[subject][int(version) - 1]
                return 200, {"subject": subject, "version": int(version), "id": number, **self.schemas[number]}
        return 404, {"error_code": 40403, "message": "Schema not found"}

    def register(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return status and body for a registration; a schema that is there keeps its number."""
        subject = path.strip("/").split("/")[1]
        if body["schema"] == "incompatible":
            return 409, {"error_code": 409, "message": "Schema being registered is incompatible"}
        for number, known in self.schemas.items():
            if known["schema"] == body["schema"]:
                return 200, {"id": number}
        number = 1 + max((each for each in self.schemas if isinstance(each, int)), default=0)
        self.schemas[number] = body
        self.versions.setdefault(subject, []).append(number)
        return 200, {"id": number}


class _Handler(BaseHTTPRequestHandler):
    """Answers requests as its registry says."""

    registry: RegistryStandIn

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a question."""
        self._respond(*self.registry.answer(self.path))

    def do_POST(self) -> None:
        """Register a schema."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._respond(*self.registry.register(self.path, body))

    def _respond(self, status: int, body: dict[str, Any]) -> None:
        self.registry.requests.append(self.path)
        expected = f"Basic {base64.b64encode(self.registry.user.encode()).decode()}"
        if self.registry.user and self.headers["Authorization"] != expected:
            status, body = 401, {"error_code": 40101, "message": "Unauthorized"}
        content, failure = json.dumps(body).encode(), self.registry.failure
        if isinstance(failure, int) and failure:
            status, content = failure, b'{"error_code": 50001, "message": "Error in the backend data store"}'
        elif failure == "hang":
            self.registry.closed.wait()
            return
        elif failure == "moved":
            status = 302
        elif failure and failure not in ("drip", "endless", "cut"):
            content = str(failure).encode()
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has had enough
            self._send(status, content)

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        if self.registry.failure == "moved":
            self.send_header("Location", f"{self.registry.elsewhere}{self.path}")
        if self.registry.failure != "endless":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.registry.failure == "endless":
            while not self.registry.closed.is_set():
                self.wfile.write(b" " * 65_536)
        elif self.registry.failure == "drip":
            for byte in content:
                self.wfile.write(bytes([byte]))
                if self.registry.closed.wait(0.1):
                    return
        else:
            self.wfile.write(content[:-3] if self.registry.failure == "cut" else content)
