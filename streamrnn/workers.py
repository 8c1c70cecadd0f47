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
from typing import IO

logger = logging.getLogger(__name__)

FINAL = (2, 69, 78)
"""Exit codes that a new start would not change: they end all workers, and are that of the whole."""
FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0
"""Seconds before a crashed worker is started again; doubled with each crash, ..."""
STABLE = 60.0
"""... and the first again after one that ran for so many seconds."""
LOOK = 0.1
"""Seconds between two looks at the workers."""
LONGEST_STOP = 10.0
"""Seconds that the workers have to end; each of them ends by force shortly before."""


class _Worker:
    """One of them: a process, and when the next one may be started."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.pause = FIRST_PAUSE
        self.next_start = 0.0
        self._command = command
        self._started = 0.0

    def start(self, now: float) -> None:
        # its standard input ends when this process does, see `end_with_parent`; a Ctrl+C is for this process alone
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 -- ours
        self._started = now

    def ended(self, code: int, now: float) -> None:
        """Say when to start anew after an exit."""
        self.process = None
        self.pause = FIRST_PAUSE if now - self._started > STABLE else self.pause
        self.next_start = now + (self.pause if code else 0.0)
        self.pause = min(2 * self.pause, LAST_PAUSE) if code else self.pause


class Workers:
    """Runs each of `commands` as a process of its own, until `stop`."""

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        self._workers = [_Worker(command) for command in commands]
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

    def _look(self, number: int, worker: _Worker) -> None:
        now = time.monotonic()
        if worker.process is None:
            if now >= worker.next_start:
                worker.start(now)
            return
        code = worker.process.poll()
        if code is None:
            return
        logger.warning("worker_ended", extra={"worker": number, "code": code})
        _closed(worker.process.stdin)
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
            _closed(process.stdin)


def _closed(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()


def run(arguments: Sequence[str], *, count: int, port: int, instance: str | None = None) -> int:
    """Run `streamrnn run` with these arguments `count` times, metrics on `port` and the ports after it (0: any).

    Where there is a name of the instance, each process gets it with a number of its own.
    """
    program = [sys.executable, "-m", "streamrnn.cli", "run", *arguments]
    commands = []
    for number in range(count):
        own = ["workers=1", f"metrics.port={port + number if port else 0}"]
        own += [] if instance is None else [f"kafka.instance={instance}-{number}"]
        commands.append([*program, "--with-parent", *(part for each in own for part in ("--set", each))])
    workers = Workers(commands)

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
