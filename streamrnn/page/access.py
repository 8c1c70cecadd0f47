"""Access control of the page: requests from other sites are refused, and a token is required if one is configured."""

import hmac
from collections.abc import MutableMapping
from hashlib import sha256
from html import escape
from typing import Any
from urllib.parse import parse_qs

from streamrnn.observe.network import is_trusted_host
from streamrnn.page.limits import GUESS_SECONDS, Application, GuessLimit, Receive, Scope, Send

LOGIN = "/login"
MAX_FORM_BYTES = 4096
COOKIE_SECONDS = 7 * 86_400
"""Seconds for which a browser stays logged in."""

HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
)
"""Headers of every answer: nothing is loaded from other hosts, and no other page may frame this one."""

FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><title>streamrnn</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>
body{{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui,sans-serif}}
form{{display:grid;gap:.75rem;width:min(20rem,90vw)}} h1{{font-size:1.25rem;margin:0}} p{{margin:0}}
input,button{{font:inherit;padding:.6rem .75rem;border-radius:.5rem;border:1px solid #8b95a5}}
button{{background:#2563eb;border-color:#2563eb;color:#fff;cursor:pointer}} [role=alert]{{color:#dc2626}}
</style>
<form method="post" action="{action}"><h1>streamrnn</h1>
<label for="token">This page needs its token (page.token).</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
{error}<button>Show the page</button></form></html>
"""


class Access:
    """An ASGI application that guards another one.

    Without a token, requests are answered only under an IP address, `localhost` or `host`: any other name could be one
    that a foreign site resolves to this server (DNS rebinding). A client that sends wrong tokens has to wait before it
    may send another.

    Args:
        app: The guarded application.
        host: Address listened on.
        port: Port listened on; it distinguishes the cookies of several daemons on one machine.
        token: Token that requests need; None: none.
    """

    def __init__(self, app: Application, *, host: str, port: int, token: str | None) -> None:
        self._app = app
        self._hosts = {host.lower()}
        self._token = None if token is None else token.encode()
        self._guesses = GuessLimit()
        self._cookie = f"streamrnn_{port}"
        self._cookie_value = "" if token is None else hmac.new(token.encode(), b"streamrnn page", sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or forward it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        answer = _Answer(scope, send)
        refusal = self._refusal(headers)
        if refusal:
            await answer.text(403, refusal)
        elif self._token is None or self._has_cookie(headers):
            await self._app(scope, receive, answer.send)
        elif self._guesses.exceeded(scope):
            text = f"too many wrong tokens: wait for {GUESS_SECONDS:g} s"
            await answer.text(429, text, (b"retry-after", b"%d" % GUESS_SECONDS))
        elif self._sends_token(scope, headers):
            await self._app(scope, receive, answer.send)
        elif (scope.get("method"), scope["path"]) == ("POST", LOGIN):
            await self._log_in(scope, receive, answer)
        elif scope["type"] == "http" and "text/html" in headers.get(b"accept", ""):
            await answer.html(401, _form(scope, ""))
        else:
            text = "a token is required (page.token): Authorization: Bearer TOKEN"
            await answer.text(401, text, (b"www-authenticate", b"Bearer"))

    def _refusal(self, headers: MutableMapping[bytes, str]) -> str:
        """Return why a request may come from another site and is refused; empty if it is not."""
        host = headers.get(b"host", "")
        origin = headers.get(b"origin")
        if origin is not None and origin.lower().partition("://")[2] != host.lower():
            return f"requests from other sites are refused: Origin {origin!r} differs from Host {host!r}"
        site, target = headers.get(b"sec-fetch-site"), headers.get(b"sec-fetch-dest")
        if site in {"cross-site", "same-site"} and target != "document":
            return "requests from other sites are refused; a link in another site may lead here"
        if self._token is None and not is_trusted_host(host, self._hosts):
            return f"Host {host!r} is refused: without a token (page.token) use an IP address or localhost"
        return ""

    def _has_cookie(self, headers: MutableMapping[bytes, str]) -> bool:
        for part in headers.get(b"cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._cookie and hmac.compare_digest(value.encode(), self._cookie_value.encode()):
                return True
        return False

    def _sends_token(self, scope: Scope, headers: MutableMapping[bytes, str]) -> bool:
        kind, _, token = headers.get(b"authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return False
        right = self._is_token(token.strip())
        if not right:
            self._guesses.add(scope)
        return right

    def _is_token(self, token: str) -> bool:
        return self._token is not None and hmac.compare_digest(token.encode(), self._token)

    async def _log_in(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        body = await _read_form(receive)
        if not self._is_token(parse_qs(body.decode("latin-1")).get("token", [""])[0]):
            self._guesses.add(scope)
            await answer.html(401, _form(scope, "This is not the token."))
            return
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = (
            f"{self._cookie}={self._cookie_value}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax{secure}"
        )
        query = scope["query_string"]
        location = b"./?" + query if query else b"./"  # relative: below the prefix of a reverse proxy
        await answer.html(303, "", (b"location", location), (b"set-cookie", cookie.encode()))


class _Answer:
    """Sends the answer to one request, with HEADERS."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._websocket = scope["type"] == "websocket"
        self._send = send

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Forward a message of the guarded application."""
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await self._send(message)

    async def text(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        """Answer with a line of text."""
        await self._send_all(status, f"{text}\n", b"text/plain; charset=utf-8", headers)

    async def html(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        """Answer with a page."""
        await self._send_all(status, text, b"text/html; charset=utf-8", headers)

    async def _send_all(self, status: int, text: str, kind: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        if self._websocket:  # closing it before it is accepted refuses it
            await self._send({"type": "websocket.close", "code": 1008})
            return
        own = ((b"content-type", kind), (b"cache-control", b"no-store"), *headers)
        await self.send({"type": "http.response.start", "status": status, "headers": own})
        await self.send({"type": "http.response.body", "body": text.encode()})


def _form(scope: Scope, error: str) -> str:
    """Return the login form, which leads back to the series of the link.

    Its address is relative, so that it stays below the path prefix of a reverse proxy, which is not known here.
    """
    query = scope["query_string"].decode("latin-1")
    path = scope.get("raw_path") or scope["path"].encode()
    action = "../" * (path.count(b"/") - 1) + LOGIN.removeprefix("/") + (f"?{query}" if query else "")
    return FORM.format(action=escape(action), error=error and f'<p role="alert">{escape(error)}</p>')


async def _read_form(receive: Receive) -> bytes:
    """Return the body of a form; empty if it is longer than MAX_FORM_BYTES."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > MAX_FORM_BYTES:
            return b""
        if not message.get("more_body"):
            return body
