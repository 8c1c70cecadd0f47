"""Daemons and commands that start quickly: forked from a server process that has imported everything.

Starting a daemon takes five seconds of CPU time, nearly all of it imports and the loading of kernels; forking one takes
a tenth of a second. The forked process runs the same command. The server must have no other thread when it forks, and
has none, as nothing has learned there.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from support.broker import _die_with_parent

Request = Mapping[str, Any]
CLIENT = Path(__file__).with_name("fork_client.py")
PATH = "FORK_SERVER"
"""Environment variable with the path of a fork server's socket, for benchmarks under test."""
LARGEST = 1 << 20  # bytes of a request


class ForkedProcess:
    """A forked process, with the interface of `subprocess.Popen`."""

    def __init__(self, forks: "Forks", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._forks = forks

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._forks.ask({"wait": self.pid})
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


class Forks:
    """Starts processes that a fork server forks, from any process that knows the path of its socket."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.command = [sys.executable, "-I", "-S", str(CLIENT), path]
        """Command that runs `streamrnn` with the arguments added to it, in place of `python -m streamrnn.cli`."""

    def ask(self, request: Request) -> Any:
        """Send a request, and return the response."""
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(self.path)
            server.sendall(json.dumps(request).encode())
            server.shutdown(socket.SHUT_WR)
            response = server.makefile().readline()  # no more follows; a forked daemon has the connection open, too
        assert response, "the fork server has ended"
        return json.loads(response)

    def start(
        self,
        arguments: Sequence[str],
        output: Path,
        before: str = "",
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ForkedProcess:
        """Fork a daemon that runs `streamrnn` with these arguments, after the Python code `before`.

        Its standard error is appended to `output`. Environment and working directory default to those of the server.
        """
        output.touch()
        request = {
            "arguments": list(arguments), "output": str(output), "before": before, "folder": str(folder or ""),
            "environment": dict(environment or {}),
        }  # fmt: skip
        return ForkedProcess(self, self.ask(request))


class ForkServer(Forks):
    """The process to fork from; all its children die with it."""

    def __init__(self, warm: Sequence[str] = ()) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMRNN_")}
        folders = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2]), environment.get("PYTHONPATH")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
        self._folder = tempfile.TemporaryDirectory(prefix="streamrnn-fork-")
        super().__init__(str(Path(self._folder.name) / "socket"))
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "support.fork_server", self.path, *warm],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # it takes no lock: one system call
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the fork server has ended"

    def __enter__(self) -> "ForkServer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the server and all its children."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._folder.cleanup()


def _fork(run: Callable[[], int]) -> int:
    """Run a function in a forked process that ends with its exit code, and return the process id."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        _die_with_parent()
        if os.getppid() == parent:
            code = run()
    finally:
        os._exit(code)


def _run(request: Request, streams: Sequence[int], main: Callable[[Sequence[str]], int]) -> int:
    """Run what a request is for with these standard streams, and return the exit code."""
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
    if request["folder"]:
        os.chdir(request["folder"])
    if request["environment"]:
        own = os.environ["PYTHONPATH"]
        os.environ.clear()
        os.environ.update(request["environment"], PYTHONPATH=own)
    code = 1
    try:
        exec(request.get("before", ""), {})
        if request["arguments"][0] == "-c":
            _, program, *rest = request["arguments"]
            sys.argv = ["-c", *rest]
            exec(program, {"__name__": "__main__"})
            code = 0
        else:
            code = main(request["arguments"])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def _start_daemon(request: Request, codes: dict[int, int], main: Callable[[Sequence[str]], int]) -> int:
    """Fork a daemon and return its process id."""

    def run() -> int:
        null = os.open(os.devnull, os.O_RDWR)
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        return _run(request, (null, null, output), main)

    pid = _fork(run)
    codes.pop(pid, None)  # a process id can be reused
    return pid


def _serve_client(client: socket.socket, codes: dict[int, int], main: Callable[[Sequence[str]], int]) -> None:
    """Fork the command of a client, which is sent the exit code, or answer it at once where it gave no streams."""
    data, streams, _, _ = socket.recv_fds(client, LARGEST, 3)
    while more := client.recv(LARGEST):
        data += more
    request = json.loads(data)
    if not streams:
        response = _ended(request["wait"], codes) if "wait" in request else _start_daemon(request, codes, main)
        client.sendall(f"{json.dumps(response)}\n".encode())
        return

    def run() -> int:
        code = _run(request, streams, main)
        client.sendall(str(code).encode())
        return code

    _fork(run)
    for stream in streams:
        os.close(stream)


def _ended(pid: int, codes: dict[int, int]) -> int | None:
    """Return the exit code, which the kernel reports only once."""
    while pid not in codes:
        try:
            done, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if not done:
            break
        codes[done] = os.waitstatus_to_exitcode(status)
    return codes.get(pid)


def _warm_up(warm: Sequence[str]) -> None:
    """Import everything, and load the kernels of these configurations; without learning, which starts threads."""
    from streamrnn import app, settings
    from streamrnn.commands.replay import audit, compare
    from streamrnn.commands.state import show, transfer
    from streamrnn.core.jit import log_compiled
    from streamrnn.log import kafka, sqlite
    from streamrnn.observe import composite, health, metrics
    from streamrnn.records import Record, TopicPartition
    from streamrnn.runtime import worker

    assert all((audit, compare, show, transfer, kafka, sqlite, composite, health, metrics, worker))
    for overrides in warm:
        chosen = settings.load(None, ["input.topics=t", *overrides.split()])
        task = app.task(chosen, TopicPartition("t", 0))
        value = b'{"series":"s","time":%d,"load":%d}'
        task.feed([Record("t", 0, n, 0, b"k", value % (1_700_000_000_000 + 60_000 * n, n)) for n in range(40)])
        task.save(40)
    log_compiled()  # else each process that is forked would take itself for one that is compiling


def _serve(path: str, warm: Sequence[str]) -> None:
    from streamrnn import cli

    _warm_up(warm)
    codes: dict[int, int] = {}
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(path)
        listener.listen()
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while all(key.fileobj is listener for key, _ in selector.select()):  # the other one ends with this one's parent
            client, _ = listener.accept()
            with client:
                _serve_client(client, codes, cli.main)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2:])
