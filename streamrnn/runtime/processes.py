"""Child processes: restarted after a crash, the worker processes of one configuration, and inherited orphans."""

import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from streamrnn.errors import StreamrnnError

logger = logging.getLogger(__name__)

FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0
"""Shortest and longest wait before a crashed process is restarted, in seconds; doubled with each successive crash."""
STABLE = 60.0
"""Seconds of run time after which a crash does not count as a successive one."""
SETTLED = 5.0
"""Seconds of run time after which a process handles its signals."""
FINAL_CODES = (2, 69, 78)
"""Exit codes that a restart would not change: they end all workers and become the exit code of this process."""
CHECK_SECONDS = 0.1
"""Seconds between two checks of the workers."""
MAX_DESCRIPTORS = 65_536
"""Largest limit of open files to request."""
STOP_SECONDS = 10.0
"""Time limit of the workers' stop in seconds; each of them exits by itself shortly before."""
ORPHAN_SECONDS = 10.0
"""Seconds between two looks at the ended children of process 1; the daemon waits for its own ones sooner."""


class ChildProcess:
    """A process that can be restarted. Its standard input begins with `first_input`, and ends when this process ends.

    The process inherits the file descriptors `inherits`. Times are seconds of one clock.
    """

    def __init__(self, command: Sequence[str], *, inherits: Sequence[int] = (), first_input: bytes = b"") -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.pause = FIRST_PAUSE
        self.next_start = 0.0
        self.started = 0.0
        self._command = command
        self._inherits = inherits
        self._first_input = first_input

    def start(self, now: float) -> None:
        """Start the process. Raises OSError if no process can be started, for instance for lack of memory."""
        self.started = now
        # in a new session, so that Ctrl+C reaches this process only
        self.process = subprocess.Popen(  # noqa: S603 -- our own command
            self._command, stdin=subprocess.PIPE, pass_fds=self._inherits, start_new_session=True
        )
        if self._first_input and self.process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended already, which the next poll detects
                self.process.stdin.write(self._first_input)
                self.process.stdin.flush()

    def ended(self, code: int, now: float) -> None:
        """Schedule the next start after an exit."""
        self.close_input()
        self.process = None
        self.pause = FIRST_PAUSE if now - self.started > STABLE else self.pause
        self.next_start = now + (self.pause if code else 0.0)
        self.pause = min(2 * self.pause, LAST_PAUSE) if code else self.pause

    def close_input(self) -> None:
        """Close its standard input."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()


class WorkerProcesses:
    """Runs each of `commands` as a process until `stop`; each inherits one of the descriptors `inherits`, if any."""

    def __init__(self, commands: Sequence[Sequence[str]], inherits: Sequence[int] = ()) -> None:
        self._workers = [ChildProcess(command, inherits=inherits[n : n + 1]) for n, command in enumerate(commands)]
        self._stopping = threading.Event()
        self._code = 0

    def stop(self) -> None:
        """Stop all processes. Safe in signal handlers."""
        self._stopping.set()

    def reload(self) -> None:
        """Make the running processes read their settings again; the others read them at their start."""
        for worker in self._workers:
            process = worker.process
            if process is not None:
                process.send_signal(signal.SIGHUP)

    def dump(self, number: int) -> None:
        """Send the processes a signal that makes them write their stacks, unless they may not handle it yet."""
        for worker in self._workers:
            process = worker.process
            if process is not None and time.monotonic() - worker.started > SETTLED:
                process.send_signal(number)

    def run(self) -> int:
        """Run until stopped, or until a process ends with a final exit code. Return the exit code.

        It is 70 if a process had to be ended by force.
        """
        try:
            while not self._stopping.wait(CHECK_SECONDS):
                for number, worker in enumerate(self._workers):
                    self._check(number, worker)
        finally:
            self._end()
        return self._code

    def _check(self, number: int, worker: ChildProcess) -> None:
        now = time.monotonic()
        if worker.process is None:
            if now >= worker.next_start:
                self._start(number, worker, now)
            return
        code = worker.process.poll()
        if code is None:
            return
        logger.warning("worker_ended", extra={"worker": number, "code": code})
        worker.ended(code, now)
        if code in FINAL_CODES:
            self._code = code
            self.stop()

    def _start(self, number: int, worker: ChildProcess, now: float) -> None:
        try:
            worker.start(now)
        except OSError as error:  # such as no memory; the others continue
            worker.ended(1, now)
            pause = round(worker.next_start - now, 1)
            logger.warning(
                "worker_not_started", extra={"worker": number, "error": str(error), "seconds_until_start": pause}
            )

    def _end(self) -> None:
        running = [(n, worker.process) for n, worker in enumerate(self._workers) if worker.process is not None]
        for _, process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for number, process in running:
            try:
                code = process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            if code in {-signal.SIGKILL, StreamrnnError.exit_code}:
                logger.warning("worker_ended", extra={"worker": number, "code": code})
                self._code = self._code or StreamrnnError.exit_code
        for worker in self._workers:
            worker.close_input()


def worker_processes(
    arguments: Sequence[str], *, count: int, port: int, instance: str | None = None, channels: Sequence[int] = ()
) -> WorkerProcesses:
    """Return `count` processes of `streamrnn run` with the same arguments, not started yet.

    Their metrics use `port` and the ports after it (0: any), their instance names begin with `instance`, and each
    inherits one of the file descriptors `channels` that lead to the page.
    """
    program = [sys.executable, "-m", "streamrnn.cli", "run", *arguments]
    commands = []
    for number in range(count):
        own = ["workers=1", f"metrics.port={port + number if port else 0}"]
        own += [] if instance is None else [f"kafka.instance={instance}-{number}"]
        paged = [part for channel in channels[number : number + 1] for part in ("--channel", str(channel))]
        commands.append([*program, "--with-parent", *paged, *(part for each in own for part in ("--set", each))])
    return WorkerProcesses(commands, channels)


def raise_descriptor_limit() -> None:
    """Raise the limit of open files of this process and its children, up to the hard limit and MAX_DESCRIPTORS."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def stop_with_parent() -> None:
    """Stop this process cleanly when its parent has ended, which closes its standard input."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def reap_orphans() -> None:
    """Start a thread that waits for inherited processes which have ended, if this process is process 1 of a container.

    Otherwise each leaves an entry in the table of processes, and after enough of them no process can be started.
    """
    if os.getpid() == 1:
        threading.Thread(target=_wait_for_orphans, name="orphans", daemon=True).start()


def _wait_for_orphans() -> None:
    before: set[int] = set()
    while True:
        time.sleep(ORPHAN_SECONDS)
        ended = _ended_children()
        for each in ended & before:
            with suppress(OSError):  # waited for meanwhile
                os.waitpid(each, os.WNOHANG)
        before = ended


def _ended_children() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it is gone
            state, parent, *_ = path.read_text(errors="replace").rpartition(")")[2].split()
            if state == "Z" and int(parent) == os.getpid():
                found.add(int(path.parent.name))
    return found
