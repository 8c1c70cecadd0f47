"""The page's process as the daemon sees it: started, started again where it ends by itself, and ended with the daemon.

The daemon itself holds the port and all channels, so that nothing has to be found anew when the process is another one.
"""

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from importlib.util import find_spec

from streamrnn.errors import ConfigError
from streamrnn.runtime.child import Child

logger = logging.getLogger(__name__)

LOOK = 0.1
"""Seconds between two looks at the process."""
LONGEST_STOP = 2.0
"""Seconds that it has to end."""


def require() -> None:
    """See that what the page needs is installed.

    Raises:
        ConfigError: it is not.
    """
    if find_spec("nicegui") is None:
        raise ConfigError(
            "page.enabled: the page needs nicegui, which is not installed; install it by "
            "pip install 'streamrnn[page]', or leave the page out: page.enabled: false"
        )


class PageProcess:
    """Runs from construction until `close`, for as many workers as there are to be `channels`.

    `told` is what the process must know (see `server.Told`). Port 0 takes any free one; `port` says which.

    Raises:
        ConfigError: the address cannot be listened on, or the extra `page` is not installed.
    """

    def __init__(self, *, host: str, port: int, channels: int, told: Mapping[str, object]) -> None:
        require()
        self._listener = _listening(host, port)
        self.port: int = self._listener.getsockname()[1]
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(channels)]
        self.channels = [ours for ours, _ in pairs]
        """The ends for the workers."""
        self._theirs = [theirs for _, theirs in pairs]
        inherited = [each.fileno() for each in (self._listener, *self._theirs)]
        command = [sys.executable, "-m", "streamrnn.page.server", *map(str, inherited)]
        line = json.dumps({**told, "host": host, "port": self.port}).encode() + b"\n"
        self._child = Child(command, inherits=inherited, told=line)
        self._child.start(time.monotonic())
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="page-process", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the process, and give up the port."""
        self._closing.set()
        self._thread.join()
        process = self._child.process
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(LONGEST_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._child.close_input()
        for each in (self._listener, *self.channels, *self._theirs):
            each.close()

    def _watch(self) -> None:
        """Start it again where it has ended, after a pause that grows; the port stays ours meanwhile."""
        while not self._closing.wait(LOOK):
            now = time.monotonic()
            process = self._child.process
            if process is None:
                if now >= self._child.next_start:
                    self._start(now)
            elif (code := process.poll()) is not None:
                self._child.ended(code, now)
                pause = round(self._child.next_start - now, 1)
                logger.warning("page_ended", extra={"code": code, "seconds_until_start": max(0.0, pause)})

    def _start(self, now: float) -> None:
        try:
            self._child.start(now)
        except OSError as error:  # no memory, no process: the daemon goes on without
            self._child.ended(1, now)
            logger.warning("page_not_started", extra={"error": str(error)})


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise ConfigError(
            f"page.port: cannot listen on {host}:{port}: {error.strerror}; choose another port or page.host"
        ) from error
