"""Limits of the page's connections, so that clients cannot block others, or take all its memory or file descriptors."""

import asyncio
import resource
import socket
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

MAX_CONNECTIONS = 1000
"""Most open connections, but at most half of the file descriptors; a further one displaces the oldest."""
ACCEPTED = 16
"""Connections accepted at a time: few, so that each is counted before the next ones."""
REQUEST_SECONDS = 10.0
"""Seconds in which a request has to arrive."""
MAX_HEAD = 256 * 1024
"""Bytes of a request's first line and headers after which no more are read."""

_Protocol: Any = AutoHTTPProtocol


class BoundedProtocol(_Protocol):  # type: ignore[misc]  # one of two classes
    """The server's HTTP protocol, which by itself has no limit of connections, of headers, or of the time to send them.

    If there are too many connections, the oldest without a complete request is closed, or else the oldest of all.
    """

    _open: ClassVar[dict[asyncio.Transport, "BoundedProtocol"]] = {}
    """The protocol that each connection had at first; the oldest comes first."""
    _deadline: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        if len(self.connections) > _most_connections():
            _displace(self._open)
        self._open[transport] = self
        self._limit()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        self._limit()
        self._head = self._head + len(data) if self.cycle is None or self.cycle.response_complete else 0
        if self._head > MAX_HEAD:
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._cancel()
        self._open.pop(self.transport, None)
        super().connection_lost(exc)

    @property
    def waiting(self) -> bool:
        """Whether the server waits for the rest of a request, or for the next one."""
        return self._deadline is not None

    def _limit(self) -> None:
        """Start the time limit if a request is incomplete; end it if not, or if the connection is a WebSocket now."""
        cycle = self.cycle
        incomplete = cycle is None or cycle.response_complete or cycle.more_body
        if not incomplete or self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._cancel()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _most_connections() -> int:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = descriptors == resource.RLIM_INFINITY
    return MAX_CONNECTIONS if unlimited else max(1, min(MAX_CONNECTIONS, descriptors // 2))


def _displace(connections: dict[asyncio.Transport, BoundedProtocol]) -> None:
    """Close a connection; forget those that are closing, such as WebSockets, of which the protocol is not told."""
    for transport in [each for each in connections if each.is_closing()]:
        del connections[transport]
    waiting = (transport for transport, protocol in connections.items() if protocol.waiting)
    oldest = next(waiting, None) or next(iter(connections), None)
    if oldest is not None:
        del connections[oldest]
        oldest.abort()


class BoundedServer(uvicorn.Server):
    """A server that accepts few connections at a time, so that none is accepted without being counted."""

    def __init__(self, config: uvicorn.Config, backlog: int) -> None:
        super().__init__(config)
        config.backlog = ACCEPTED  # of a listening socket, and in asyncio also of connections accepted at a time
        self._backlog = backlog

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn.Server."""
        await super().startup(sockets)
        for each in sockets or ():
            each.listen(self._backlog)
