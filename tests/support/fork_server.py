"""Daemons that start in a moment: forked from a process that has imported everything, and loaded the compiled loops.

A daemon's start costs five seconds of processor time here, nearly all of it imports; a fork of one that has done them
costs a tenth of a second. The forked daemon runs the same command in a process of its own. No thread may run in the
process that is forked, and none does: nothing has learned there.
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

Order = Mapping[str, Any]


class Forked:
    """A process of the nursery, with the manners of `subprocess.Popen`."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None: it still runs."""
        if self.returncode is None:
            self.returncode = self._nursery.ask({"wait": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended."""
        deadline = time.monotonic() + (timeout if timeout is not None else 1e9)
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("daemon", timeout or 0.0)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, if it still runs."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process to fork from; everything forked from it dies with it."""

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

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def ask(self, order: Order) -> Any:
        """Send an order, and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            answer = self._process.stdout.readline()
        assert answer, "the nursery has ended"
        return json.loads(answer)

    def start(self, arguments: Sequence[str], output: Path, before: str = "") -> Forked:
        """Fork a daemon that runs `streamrnn` with these arguments, after the Python code `before`."""
        order = {"arguments": list(arguments), "output": str(output), "before": before}
        return Forked(self, self.ask(order))

    def close(self) -> None:
        """End it, and all that it has started."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _fork(order: Order, main: Any) -> int:
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
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for number, target in ((0, null), (1, null), (2, output)):
            os.dup2(target, number)
        exec(order["before"], {})
        code = main(order["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _ended(pid: int, codes: dict[int, int]) -> int | None:
    """The exit code, which the kernel tells once only, and several may ask."""
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
    for overrides in warm:  # what they call is compiled or read from its cache; without learning, which starts threads
        chosen = settings.load(None, ["input.topics=t", *overrides.split()])
        task = app.task(chosen, TopicPartition("t", 0))
        value = b'{"series":"s","time":%d,"load":%d}'
        task.feed([Record("t", 0, n, 0, b"k", value % (1_700_000_000_000 + 60_000 * n, n)) for n in range(40)])
        task.save(40)
    codes: dict[int, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = _ended(order["wait"], codes)
        else:
            answer = _fork(order, cli.main)
            codes.pop(answer, None)  # of one that had the same number, thousands of processes ago
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1:])
