"""The page's process: takes in what the workers tell, and serves the page and the API until its standard input ends.

python -m streamrnn.page.server LISTENER CHANNEL...    file descriptors; the first line of standard input is `Told`
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
from streamrnn.page import api, live
from streamrnn.page.access import Access
from streamrnn.page.messages import HELLO, decode
from streamrnn.page.store import Store, Told

logger = logging.getLogger(__name__)

POLITE = 10
"""How much less than the workers this process is to have of the processor (nice)."""
LONGEST_MESSAGE = 512 * 1024
"""Bytes; more than a socket takes in one piece."""
AT_ONCE = 20
"""Messages taken in before others have their turn."""
ENDING = 1
"""Seconds that answers under way have when the process ends."""


async def serve(told: Told, listener: socket.socket, channels: list[socket.socket]) -> None:
    """Serve until told to end."""
    store = Store(told)
    app = api.create(store)
    live.mount(app, store)
    config = uvicorn.Config(
        Access(app, host=told.host, port=told.port, token=told.token),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=ENDING,
    )
    server = uvicorn.Server(config)
    loop = asyncio.get_running_loop()
    for channel in channels:
        loop.add_reader(channel, partial(_take, store, channel))
        channel.send(HELLO, socket.MSG_DONTWAIT)
    loop.add_reader(sys.stdin, _end, server)  # nothing comes after the first line but its end
    await server.serve([listener])


def _end(server: uvicorn.Server) -> None:
    server.should_exit = True


def _take(store: Store, channel: socket.socket) -> None:
    """Take in what waits at a channel."""
    told = store.told
    for _ in range(AT_ONCE):
        try:
            data = channel.recv(LONGEST_MESSAGE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:  # the daemon is gone, and standard input ends, too
            asyncio.get_running_loop().remove_reader(channel)
            return
        store.take(decode(data, len(told.horizons), len(told.quantiles)))


def _first_line() -> bytes:
    """Read no further than that: the end of standard input must still be seen."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):
        line += byte
    return line


def main() -> None:
    """Run this process."""
    os.nice(POLITE)
    told = Told(**json.loads(_first_line()))
    logs.configure(**told.logging)
    logging.getLogger("nicegui").setLevel(logging.ERROR)  # it warns of every address that it does not know
    listener, *channels = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    asyncio.run(serve(told, listener, channels))


if __name__ == "__main__":
    main()
