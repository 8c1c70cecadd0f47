"""Answers of the page's process are compressed, and scripts and styles come from memory."""

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest

from streamrnn.page import assets
from streamrnn.page.assets import CompressedAssets
from streamrnn.page.ui.preload import imported_files

SCRIPT = b"let answer = 42;\n" * 1000


class Site:
    """An application that answers with a script, and counts its requests."""

    def __init__(self) -> None:
        self.requests = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        self.requests += 1
        found = 404 if scope["path"].endswith("missing.js") else 200
        headers = [(b"content-type", b"text/javascript"), (b"content-length", b"%d" % len(SCRIPT))]
        await send({"type": "http.response.start", "status": found, "headers": headers})
        await send({"type": "http.response.body", "body": SCRIPT[:100], "more_body": True})
        await send({"type": "http.response.body", "body": SCRIPT[100:]})


def get(app: CompressedAssets, path: str, encoding: bytes = b"gzip, br") -> tuple[int, dict[bytes, bytes], bytes]:
    """Return status, headers and body; the headers are changed, as `Access` does."""
    start: dict[str, Any] = {}
    body = b""

    async def send(message: Any) -> None:
        nonlocal body
        if message["type"] == "http.response.start":
            start.update(message)
            assert (b"x-seen", b"1") not in message["headers"]
            message["headers"] = [*message["headers"], (b"x-seen", b"1")]
        else:
            body += message.get("body", b"")

    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"accept-encoding", encoding)]}
    asyncio.run(app(scope, None, send))  # type: ignore[arg-type]  # nothing is received
    return start["status"], dict(start["headers"]), body


def test_scripts_are_compressed_once() -> None:
    """The second answer is the first one, without asking again, by the encoding that a client accepts."""
    site = Site()
    app = CompressedAssets(site, ("/scripts/",))
    for requests, encoding in ((1, b"gzip, br"), (2, b"identity")):
        first, second = (get(app, "/scripts/a.js", encoding) for _ in range(2))
        assert first == second
        assert site.requests == requests
        status, headers, body = first
        compressed = headers.get(b"content-encoding") == b"gzip"
        assert compressed == (encoding != b"identity")
        assert (status, gzip.decompress(body) if compressed else body) == (200, SCRIPT)
        assert headers[b"vary"] == b"Accept-Encoding"
    assert len(get(app, "/scripts/a.js")[2]) < len(SCRIPT) / 10


def test_only_complete_scripts_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other paths, missing files, and what exceeds the memory are asked for each time, and compressed."""
    monkeypatch.setattr(assets, "MAX_CACHED", len(SCRIPT) + 100)
    site = Site()
    app = CompressedAssets(site, ("/scripts/",))
    for number, path in enumerate(("/status", "/scripts/missing.js")):
        assert {get(app, path)[1][b"content-encoding"] for _ in range(2)} == {b"gzip"}
        assert site.requests == 2 * (number + 1)
    for name, requests in (("a", 1), ("b", 2), ("a", 0), ("b", 2)):  # the second one has no room
        before = site.requests
        for _ in range(2):
            assert get(app, f"/scripts/{name}.js", b"")[2] == SCRIPT
        assert site.requests - before == requests


def test_imported_scripts_are_found(tmp_path: Path) -> None:
    """Scripts in the same folder that are imported statically, also by others; each once."""
    files = {
        "index.js": 'import{a as b}from"./first.js";import"./second.js";import x from"elsewhere";',
        "first.js": "import { c } from './third.js';\nconst late = () => import(\"./late.js\");",
        "second.js": 'export * from "./first.js";import"./missing.js";',
        "third.js": "",
        "late.js": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert imported_files(tmp_path, "index.js") == ["index.js", "first.js", "second.js", "third.js"]
