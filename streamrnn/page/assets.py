"""Compression of answers, and a cache of the scripts and styles that every new browser loads."""

from collections.abc import MutableMapping
from typing import Any

from fastapi.middleware.gzip import GZipMiddleware

from streamrnn.page.limits import Application, Receive, Scope, Send

LEVEL = 6
"""Compression level of gzip: higher ones take twice the time to save a hundredth of the size."""
MAX_CACHED = 4 * 1024 * 1024
"""Largest total size of cached answers in bytes; the page's own files take 0.7 MB compressed, 2.2 MB otherwise."""


class CompressedAssets:
    """An ASGI application that compresses the answers of another one, and repeats those below `paths` from memory.

    Their addresses contain a version or a hash of the content, so an answer never changes.
    """

    def __init__(self, app: Application, paths: tuple[str, ...]) -> None:
        self._app: Application = GZipMiddleware(app, compresslevel=LEVEL)
        self._paths = paths
        self._answers: dict[tuple[str, bool], tuple[MutableMapping[str, Any], bytes]] = {}
        """First message and body, by path and whether gzip is accepted."""
        self._size = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(self._paths):
            await self._app(scope, receive, send)
            return
        accepted = next((value for name, value in scope["headers"] if name == b"accept-encoding"), b"")
        key = scope["path"], b"gzip" in accepted
        if key not in self._answers:
            await self._record(key, scope, receive, send)
            return
        start, body = self._answers[key]
        await send({**start})  # a copy, because headers are added to it
        await send({"type": "http.response.body", "body": body})

    async def _record(self, key: tuple[str, bool], scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, and store its answer if it is complete and there is memory."""
        start: MutableMapping[str, Any] = {}
        body = bytearray()

        async def forward(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))
                whole = not message.get("more_body") and start["status"] == 200
                if whole and key not in self._answers and self._size + len(body) <= MAX_CACHED:
                    self._size += len(body)
                    self._answers[key] = start, bytes(body)
            await send(message)

        await self._app(scope, receive, forward)
