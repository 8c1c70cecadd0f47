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
from support.fork_server import PATH, ForkedProcess, Forks

PATIENCE = 120.0  # seconds


def own_environment() -> dict[str, str]:
    """Return the environment without the variables of streamrnn."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STREAMRNN_")}


def until(satisfied: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Poll until a condition is true."""
    deadline = time.monotonic() + patience
    while not satisfied():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(0.01)


class Daemon:
    """`streamrnn run` with `options`, `--set` of keys, and a file `config`; killed at the end if it still runs.

    `package`: folder of another version of the package.

    With a `fork_server`, or one that the environment names, it is forked from there, after the Python code `before`.
    """

    def __init__(
        self,
        folder: Path,
        overrides: Sequence[str],
        *,
        fork_server: Forks | None = None,
        before: str = "",
        config: Path | None = None,
        package: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self._log = folder / f"daemon-{time.monotonic_ns()}.log"
        given = ["metrics.port=0", *overrides]
        named = [] if config is None else ["-c", str(config)]
        arguments = ["run", *options, *named, *(part for each in given for part in ("--set", each))]
        environment = own_environment() | ({} if package is None else {"PYTHONPATH": str(package)})
        self.process: subprocess.Popen[bytes] | ForkedProcess
        forks = Forks(os.environ[PATH]) if fork_server is None and PATH in os.environ else fork_server
        if forks is not None and package is None:
            self.process = forks.start(arguments, self._log, before, environment=environment)
            return
        assert not before, "only a forked process can run code before"
        with self._log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamrnn.cli", *arguments],
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
