"""Limits of what clients of the page can demand: pages built at a time, and attempts to guess the token."""

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

BACKLOG = 128
"""Connections that may wait to be accepted."""
GUESSES, GUESS_SECONDS = 5, 60.0
"""Wrong tokens that an address may send within these seconds."""
MAX_ADDRESSES = 1000
"""Largest number of addresses with wrong tokens to store; the oldest is dropped."""
IPV6_NETWORK = 64
"""Number of leading bits of an IPv6 address that a provider assigns; the client chooses the others."""


class ViewLimit:
    """An ASGI application that answers requests for another page view with 503 while `free` returns False."""

    def __init__(self, app: Application, free: Callable[[], bool]) -> None:
        self._app, self._free = app, free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or forward it; HEAD as GET, as the server omits the body, except for an endless answer."""
        if scope["type"] != "http" or scope["path"] != "/" or self._free():
            if scope.get("method") == "HEAD" and scope["path"] != "/" and not scope["path"].endswith("/live"):
                scope["method"] = "GET"
            await self._app(scope, receive, send)
            return
        headers = ((b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"10"))
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": b"too many open pages: close some, or try again later\n"})


class GuessLimit:
    """Counts the wrong tokens by client address, in bounded memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        """Times of the latest wrong tokens; the address with the latest one is last."""

    def exceeded(self, scope: Scope) -> bool:
        """Return whether the client of a request has to wait."""
        times = self._times.get(_network(scope))
        return times is not None and len(times) == GUESSES and self._clock() - times[0] < GUESS_SECONDS

    def add(self, scope: Scope) -> None:
        """Count a wrong token."""
        network = _network(scope)
        self._times.setdefault(network, deque(maxlen=GUESSES)).append(self._clock())
        self._times.move_to_end(network)
        if len(self._times) > MAX_ADDRESSES:
            self._times.popitem(last=False)


def _network(scope: Scope) -> str:
    """Return the address of a client; for IPv6, the network that its provider has assigned."""
    client = scope.get("client")
    host = client[0] if client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return str(host)
    if address.version == 4 or address.ipv4_mapped:
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))
