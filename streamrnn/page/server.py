"""The page's process: receives the workers' messages, and serves the page and the API until standard input ends.

python -m streamrnn.page.server LISTENER CHANNEL...    file descriptors; first line of standard input: a `PageConfig`
"""

import asyncio
import json
import logging
import os
import socket
import sys
from functools import partial

import uvicorn

from streamrnn.observe import logging as logs
from streamrnn.page.access import Access
from streamrnn.page.api import create_api
from streamrnn.page.data.messages import HELLO, decode_message
from streamrnn.page.data.store import PageConfig, Store
from streamrnn.page.ui.live import mount_page

NICENESS = 10
"""Lowers the priority of this process below that of the workers."""
MAX_MESSAGE = 512 * 1024
"""Bytes; more than a socket buffers."""
BATCH = 20
"""Messages received before other events of the loop are handled."""
SHUTDOWN_SECONDS = 1
"""Time limit for pending answers when the process ends."""


async def serve(page: PageConfig, listener: socket.socket, channels: list[socket.socket]) -> None:
    """Serve until standard input ends."""
    store = Store(page)
    app = create_api(store)
    mount_page(app, store)
    config = uvicorn.Config(
        Access(app, host=page.host, port=page.port, token=page.token),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    loop = asyncio.get_running_loop()
    for channel in channels:
        loop.add_reader(channel, partial(_receive, store, channel))
        channel.send(HELLO, socket.MSG_DONTWAIT)
    loop.add_reader(sys.stdin, _end, server)  # after the first line it can only end
    await server.serve([listener])


def _end(server: uvicorn.Server) -> None:
    server.should_exit = True


def _receive(store: Store, channel: socket.socket) -> None:
    """Store the messages waiting on a channel."""
    for _ in range(BATCH):
        try:
            data = channel.recv(MAX_MESSAGE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:  # the daemon is gone, and standard input ends too
            asyncio.get_running_loop().remove_reader(channel)
            return
        store.add(decode_message(data, len(store.config.horizons), len(store.config.quantiles)))


def _read_first_line() -> bytes:
    """Return the first line of standard input, without buffering what follows."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):
        line += byte
    return line


def run_page_server() -> None:
    """Run this process."""
    os.nice(NICENESS)
    page = PageConfig(**json.loads(_read_first_line()))
    logs.configure(**page.logging)
    logging.getLogger("nicegui").setLevel(logging.ERROR)  # it warns of every unknown address
    listener, *channels = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    asyncio.run(serve(page, listener, channels))


if __name__ == "__main__":
    run_page_server()
