"""The daemon's side of the page's process: start it, restart it if it ends, and stop it with the daemon.

The daemon owns the port and all channels, so they stay the same when the process is restarted.
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

from streamrnn.errors import missing_extra
from streamrnn.observe.network import open_listener
from streamrnn.page.limits import BACKLOG
from streamrnn.runtime.processes import ChildProcess

logger = logging.getLogger(__name__)

CHECK_SECONDS = 0.1
"""Seconds between two checks of the process."""
STOP_SECONDS = 2.0
"""Time limit for the process to end before it is killed."""


def require_nicegui() -> None:
    """Raise a ConfigError if the extra `page` is not installed."""
    if find_spec("nicegui") is None:
        raise missing_extra("page.enabled", "nicegui", "page")


class PageProcess:
    """Runs from construction until `close`.

    Args:
        host: Address to listen on.
        port: 0 takes any free one; the attribute `port` is the one in use.
        channels: Number of workers.
        config: The fields of `PageConfig`, without host and port.

    Raises:
        ConfigError: the address cannot be listened on, or the extra `page` is not installed.
    """

    def __init__(self, *, host: str, port: int, channels: int, config: Mapping[str, object]) -> None:
        require_nicegui()
        self._listener = open_listener(host, port, section="page", backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(channels)]
        self.channels = [ours for ours, _ in pairs]
        """One end per worker."""
        self._theirs = [theirs for _, theirs in pairs]
        inherited = [each.fileno() for each in (self._listener, *self._theirs)]
        command = [sys.executable, "-m", "streamrnn.page.server", *map(str, inherited)]
        line = json.dumps({**config, "host": host, "port": self.port}).encode() + b"\n"
        self._child = ChildProcess(command, inherits=inherited, first_input=line)
        self._child.start(time.monotonic())
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="page-process", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the process and release the port."""
        self._closing.set()
        self._thread.join()
        process = self._child.process
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._child.close_input()
        for each in (self._listener, *self.channels, *self._theirs):
            each.close()

    def _watch(self) -> None:
        """Restart the process if it ends, after a growing pause; the daemon keeps the port open meanwhile."""
        while not self._closing.wait(CHECK_SECONDS):
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
        except OSError as error:  # such as no memory; the daemon continues without the page
            self._child.ended(1, now)
            logger.warning("page_not_started", extra={"error": str(error)})
