"""Daemons that start quickly: forked from a server process that has imported everything and loaded the kernels.

Starting a daemon takes five seconds of CPU time, nearly all of it imports; forking one takes a tenth of a second. The
forked daemon runs the same command in its own process. The server must have no other thread when it forks, and has
none, as nothing has learned there.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from support.broker import _die_with_parent

Request = Mapping[str, Any]


class ForkedProcess:
    """A forked process, with the interface of `subprocess.Popen`."""

    def __init__(self, fork_server: "ForkServer", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = fork_server

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.ask({"wait": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process, and return its exit code."""
        deadline = time.monotonic() + (timeout if timeout is not None else 1e9)
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("daemon", timeout or 0.0)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal to a running process."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill a running process."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The process to fork from; all its children die with it."""

    def __init__(self, warm: Sequence[str] = ()) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMRNN_")}
        here = str(Path(__file__).parents[1])
        environment["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [environment.get("PYTHONPATH")])])
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "support.fork_server", *warm],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # it takes no lock: one system call
        )  # fmt: skip

    def __enter__(self) -> "ForkServer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def ask(self, request: Request) -> Any:
        """Send a request, and return the response."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            response = self._process.stdout.readline()
        assert response, "the fork server has ended"
        return json.loads(response)

    def start(self, arguments: Sequence[str], output: Path, before: str = "") -> ForkedProcess:
        """Fork a daemon that runs `streamrnn` with these arguments, after the Python code `before`."""
        request = {"arguments": list(arguments), "output": str(output), "before": before}
        return ForkedProcess(self, self.ask(request))

    def close(self) -> None:
        """End the server and all its children."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _fork(request: Request, main: Any) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        _die_with_parent()
        if os.getppid() != parent:
            return 0
        null = os.open(os.devnull, os.O_RDWR)
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for number, target in ((0, null), (1, null), (2, output)):
            os.dup2(target, number)
        exec(request["before"], {})
        code = main(request["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _ended(pid: int, codes: dict[int, int]) -> int | None:
    """Return the exit code, which the kernel reports only once."""
    if pid not in codes:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            codes[pid] = os.waitstatus_to_exitcode(status)
    return codes.get(pid)


def _serve(warm: Sequence[str]) -> None:
    from streamrnn import app, cli, settings
    from streamrnn.log import kafka, sqlite
    from streamrnn.records import Record, TopicPartition

    assert kafka
    assert sqlite
    for overrides in warm:  # loads the kernels; without learning, which starts threads
        chosen = settings.load(None, ["input.topics=t", *overrides.split()])
        task = app.task(chosen, TopicPartition("t", 0))
        value = b'{"series":"s","time":%d,"load":%d}'
        task.feed([Record("t", 0, n, 0, b"k", value % (1_700_000_000_000 + 60_000 * n, n)) for n in range(40)])
        task.save(40)
    codes: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            response = _ended(request["wait"], codes)
        else:
            response = _fork(request, cli.main)
            codes.pop(response, None)  # a process id can be reused
        sys.stdout.write(json.dumps(response) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1:])
