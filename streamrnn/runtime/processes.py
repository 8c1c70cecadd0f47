"""Several worker processes for one configuration: started, started again where one crashes, and ended together."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

from streamrnn.runtime.child import Child

logger = logging.getLogger(__name__)

FINAL = (2, 69, 78)
"""Exit codes that a new start would not change: they end all workers, and are that of the whole."""
LOOK = 0.1
"""Seconds between two looks at the workers."""
LONGEST_STOP = 10.0
"""Seconds that the workers have to end; each of them ends by force shortly before."""


class Workers:
    """Runs each of `commands` as a process of its own, until `stop`; each gets one of the file descriptors `inherits`.

    Without these, none gets any.
    """

    def __init__(self, commands: Sequence[Sequence[str]], inherits: Sequence[int] = ()) -> None:
        self._workers = [Child(command, inherits=inherits[n : n + 1]) for n, command in enumerate(commands)]
        self._stopping = threading.Event()
        self._code = 0

    def stop(self) -> None:
        """End all of them. May be called from a signal handler."""
        self._stopping.set()

    def run(self) -> int:
        """Work until stopped, or until one of them ends for good. Returns the exit code."""
        try:
            while not self._stopping.wait(LOOK):
                for number, worker in enumerate(self._workers):
                    self._look(number, worker)
        finally:
            self._end()
        return self._code

    def _look(self, number: int, worker: Child) -> None:
        now = time.monotonic()
        if worker.process is None:
            if now >= worker.next_start:
                worker.start(now)
            return
        code = worker.process.poll()
        if code is None:
            return
        logger.warning("worker_ended", extra={"worker": number, "code": code})
        worker.ended(code, now)
        if code in FINAL:
            self._code = code
            self.stop()

    def _end(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + LONGEST_STOP
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for worker in self._workers:
            worker.close_input()


def run(
    arguments: Sequence[str], *, count: int, port: int, instance: str | None = None, channels: Sequence[int] = ()
) -> int:
    """Run `streamrnn run` with these arguments `count` times, metrics on `port` and the ports after it (0: any).

    Where there is a name of the instance, each process gets it with a number of its own; where there are channels to
    the page (file descriptors), each gets one of them.
    """
    program = [sys.executable, "-m", "streamrnn.cli", "run", *arguments]
    commands = []
    for number in range(count):
        own = ["workers=1", f"metrics.port={port + number if port else 0}"]
        own += [] if instance is None else [f"kafka.instance={instance}-{number}"]
        paged = [part for channel in channels[number : number + 1] for part in ("--channel", str(channel))]
        commands.append([*program, "--with-parent", *paged, *(part for each in own for part in ("--set", each))])
    workers = Workers(commands, channels)

    def handle(_number: int, _frame: FrameType | None) -> None:
        workers.stop()

    before = {each: signal.signal(each, handle) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        return workers.run()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def end_with_parent() -> None:
    """Stop this process cleanly when the one that started it has ended: then its standard input ends."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
