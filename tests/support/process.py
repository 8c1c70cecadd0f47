"""The daemon as a process."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from support.broker import _die_with_parent
from support.fork_server import ForkedProcess, ForkServer

PATIENCE = 120.0  # seconds


def until(satisfied: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Poll until a condition is true."""
    deadline = time.monotonic() + patience
    while not satisfied():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(0.01)


class Daemon:
    """`streamrnn run` with `--set` of the given keys; killed at the end if it still runs.

    `program` are the interpreter's arguments that replace the command `streamrnn`. With a `fork_server` it is forked
    from there instead, after the Python code `before`.
    """

    def __init__(
        self,
        folder: Path,
        overrides: Sequence[str],
        *,
        program: Sequence[str] = ("-m", "streamrnn.cli"),
        fork_server: ForkServer | None = None,
        before: str = "",
    ) -> None:
        self._log = folder / f"daemon-{time.monotonic_ns()}.log"
        given = ["metrics.port=0", *overrides]
        arguments = ["run", *(part for each in given for part in ("--set", each))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMRNN_")}
        self.process: subprocess.Popen[bytes] | ForkedProcess
        if fork_server is not None:
            self._log.touch()
            self.process = fork_server.start(arguments, self._log, before)
            return
        with self._log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                stdout=subprocess.DEVNULL, stderr=file, env=environment,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # it takes no lock: one system call
            )  # fmt: skip

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def stderr(self) -> str:
        """Its standard error so far."""
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the logged events with this name."""
        lines = [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line["event"] == name]

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text of a path of its HTTP server."""
        until(lambda: self.alive() and bool(self.events("serving")), "the HTTP server")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.events('serving')[0]['port']}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def alive(self) -> bool:
        """Return True if it runs; fail the test otherwise."""
        assert self.process.poll() is None, f"the daemon has ended with {self.process.returncode}:\n{self.stderr}"
        return True

    def ready(self) -> None:
        """Wait until /readyz answers 200."""
        until(lambda: self.alive() and self.get("/readyz")[0] == 200, "ready")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return the exit code and the seconds until it ended."""
        begun = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        return code, time.monotonic() - begun

    def kill(self) -> None:
        """Kill it if it runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
