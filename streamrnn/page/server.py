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
from streamrnn.page.assets import CompressedAssets
from streamrnn.page.connections import BoundedProtocol, BoundedServer
from streamrnn.page.data.messages import HELLO, decode_message
from streamrnn.page.data.store import PageConfig, Store
from streamrnn.page.limits import BACKLOG, ViewLimit
from streamrnn.page.ui.live import may_build_view, mount_page
from streamrnn.page.ui.preload import ASSETS

NICENESS = 10
"""Lowers the priority of this process below that of the workers."""
MAX_MESSAGE = 512 * 1024
"""Bytes; more than a socket buffers."""
BATCH_REPORTS = 20
"""Messages received before other events of the loop are handled."""
SHUTDOWN_SECONDS = 1
"""Time limit for pending answers when the process ends."""


async def serve(page: PageConfig, listener: socket.socket, channels: list[socket.socket]) -> None:
    """Serve until standard input ends."""
    store = Store(page, channels)
    app = create_api(store)
    mount_page(app, store)
    answers = ViewLimit(CompressedAssets(app, ASSETS), may_build_view)
    config = uvicorn.Config(
        Access(answers, host=page.host, port=page.port, token=page.token),
        http=BoundedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = BoundedServer(config, BACKLOG)
    loop = asyncio.get_running_loop()
    for number, channel in enumerate(channels):
        loop.add_reader(channel, partial(_receive, store, channel, number))
        channel.send(HELLO, socket.MSG_DONTWAIT)
    loop.add_reader(sys.stdin, _end, server)  # after the first line it can only end
    await server.serve([listener])


def _end(server: uvicorn.Server) -> None:
    server.should_exit = True


def _receive(store: Store, channel: socket.socket, worker: int) -> None:
    """Store the messages waiting on the channel of a worker."""
    for _ in range(BATCH_REPORTS):
        try:
            data = channel.recv(MAX_MESSAGE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:  # the daemon is gone, and standard input ends too
            asyncio.get_running_loop().remove_reader(channel)
            return
        store.add(decode_message(data, len(store.config.horizons), len(store.config.quantiles)), worker)


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
    for name in ("nicegui", "uvicorn"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they warn of every unknown address and invalid request
    listener, *channels = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    asyncio.run(serve(page, listener, channels))


if __name__ == "__main__":
    run_page_server()
