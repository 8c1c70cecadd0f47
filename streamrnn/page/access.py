"""Who may see the page: nobody from another site, and where there is a token, who knows it."""

import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from html import escape
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_WITH_PORT = re.compile(r":[0-9]+$", re.ASCII)
LOGIN = "/login"
LONGEST_FORM = 4096
"""Bytes."""
WEEK = 7 * 86_400
"""Seconds for which a browser remembers that it was let in."""

HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
)
"""With every answer: a browser fetches nothing from elsewhere, and shows the page in no other."""

FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><title>streamrnn</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>
body{{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif}}
form{{display:grid;gap:.75rem;width:min(20rem,90vw)}} h1{{font-size:1.25rem;margin:0}} p{{margin:0}}
input,button{{font:inherit;padding:.6rem .75rem;border-radius:.5rem;border:1px solid #8b95a5}}
button{{background:#2563eb;border-color:#2563eb;color:#fff;cursor:pointer}} [role=alert]{{color:#dc2626}}
</style>
<form method="post" action="{action}"><h1>streamrnn</h1>
<label for="token">This page asks for its token (page.token).</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
{complaint}<button>Show the page</button></form></html>
"""


class Access:
    """An ASGI application around another one that lets in who may see it.

    `host` is the address listened on, `port` makes cookies of several daemons on one machine differ. `token` None: who
    reaches it is let in, if they call it by an address, by `localhost` or by `host`: any other name could be one that a
    foreign site has made to lead here.
    """

    def __init__(self, app: Application, *, host: str, port: int, token: str | None) -> None:
        self._app = app
        self._hosts = {"localhost", host.lower()}
        self._token = None if token is None else token.encode()
        self._cookie = f"streamrnn_{port}"
        self._pass = "" if token is None else hmac.new(token.encode(), b"streamrnn page", sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        answer = _Answer(scope, send)
        complaint = self._foreign(headers)
        if complaint:
            await answer.text(403, complaint)
        elif self._token is None or self._known(headers):
            await self._app(scope, receive, answer.send)
        elif (scope.get("method"), scope["path"]) == ("POST", LOGIN):
            await self._log_in(scope, receive, answer)
        elif scope["type"] == "http" and "text/html" in headers.get(b"accept", ""):
            await answer.html(401, _form(scope, ""))
        else:
            words = "this needs the token: Authorization: Bearer TOKEN (page.token)"
            await answer.text(401, words, (b"www-authenticate", b"Bearer"))

    def _foreign(self, headers: MutableMapping[bytes, str]) -> str:
        """Why a request is not answered that another site has brought a browser to make; empty: it is."""
        host = headers.get(b"host", "")
        origin = headers.get(b"origin")
        if origin is not None and _place(origin) != host.lower():
            return f"requests from pages of other sites are refused: Origin {origin!r} is not {host!r}"
        if self._token is None and not self._named(host):
            return f"without a token (page.token) this is not served under the name {host!r}, only under an address"
        return ""

    def _named(self, host: str) -> bool:
        name = host.lower().rpartition(":")[0] if _WITH_PORT.search(host) else host.lower()
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self._hosts
        return True

    def _known(self, headers: MutableMapping[bytes, str]) -> bool:
        kind, _, given = headers.get(b"authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._right(given.strip()):
            return True
        for part in headers.get(b"cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._cookie and hmac.compare_digest(value.encode(), self._pass.encode()):
                return True
        return False

    def _right(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(given.encode(), self._token)

    async def _log_in(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        body = await _body(receive)
        given = parse_qs(body.decode("latin-1")).get("token", [""])[0]
        if not self._right(given):
            await answer.html(401, _form(scope, "This is not the token."))
            return
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = f"{self._cookie}={self._pass}; Path=/; Max-Age={WEEK}; HttpOnly; SameSite=Lax{secure}"
        query = scope["query_string"]
        place = b"/?" + query if query else b"/"
        await answer.html(303, "", (b"location", place), (b"set-cookie", cookie.encode()))


class _Answer:
    """Sends an answer to one request, with the headers of all."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._websocket = scope["type"] == "websocket"
        self._send = send

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass on what the application inside says."""
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await self._send(message)

    async def text(self, status: int, words: str, *headers: tuple[bytes, bytes]) -> None:
        """Answer with a line of text."""
        await self._whole(status, f"{words}\n", b"text/plain; charset=utf-8", headers)

    async def html(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        """Answer with a page."""
        await self._whole(status, text, b"text/html; charset=utf-8", headers)

    async def _whole(self, status: int, text: str, kind: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        if self._websocket:  # closed before it was accepted, a browser sees it as refused
            await self._send({"type": "websocket.close", "code": 1008})
            return
        own = ((b"content-type", kind), (b"cache-control", b"no-store"), *headers)
        await self.send({"type": "http.response.start", "status": status, "headers": own})
        await self.send({"type": "http.response.body", "body": text.encode()})


def _place(origin: str) -> str:
    """Name and port in an Origin header, as a Host header has them."""
    return origin.lower().partition("://")[2]


def _form(scope: Scope, complaint: str) -> str:
    """The form that asks for the token, and leads back to the series that the link was to."""
    query = scope["query_string"].decode("latin-1")
    action = f"{LOGIN}?{query}" if query else LOGIN
    return FORM.format(action=escape(action), complaint=complaint and f'<p role="alert">{escape(complaint)}</p>')


async def _body(receive: Receive) -> bytes:
    """What a form has sent; nothing where it is longer than a form of ours."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > LONGEST_FORM:
            return b""
        if not message.get("more_body"):
            return body
