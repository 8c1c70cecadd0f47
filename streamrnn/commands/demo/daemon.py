"""The daemon as a separate process, started by `streamrnn run`."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from streamrnn.errors import OutputError, StreamrnnError
from streamrnn.observe.logging import sentence

STOP_TIMEOUT = 15.0  # seconds until a stopping daemon is killed; it should take less than ten


class Daemon:
    """A running daemon whose output goes to the file `log`."""

    def __init__(self, config: Path, log: Path) -> None:
        self._log, self._read = log, 0
        # only the demo's configuration counts, not this machine's environment
        environment = {name: text for name, text in os.environ.items() if not name.startswith("STREAMRNN_")}
        environment["STREAMRNN_SECRETS_DIR"] = str(config.parent)
        with log.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603 -- this program with the demo's own file
                [sys.executable, "-m", "streamrnn.cli", "run", "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches only the demo, which then stops the daemon
            )

    def news(self) -> list[str]:
        """Return the log lines since the last call, as a terminal would show them."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            lines = file.read().splitlines(keepends=True)
        lines = lines[: len(lines) - (bool(lines) and not lines[-1].endswith(b"\n"))]
        self._read += sum(map(len, lines))
        events = [orjson.loads(line) for line in lines if line.startswith(b"{")]
        return [text for event in events if (text := sentence(event)[0]) != event["event"]]

    def check(self) -> None:
        """Raise StreamrnnError if the daemon has ended."""
        code = self._process.poll()
        if code is not None:
            raise self._ended(code)

    def stop(self) -> None:
        """Stop the daemon by SIGTERM and wait for it.

        Raises:
            StreamrnnError: it did not end cleanly.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise StreamrnnError(
                f"the daemon did not end within {STOP_TIMEOUT:g} s of SIGTERM (see {self._log})"
            ) from None
        if code != 0:
            raise self._ended(code)

    def kill(self) -> None:
        """End the daemon at once if it is still running."""
        self._process.kill()
        self._process.wait()

    def _ended(self, code: int) -> StreamrnnError:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        if not lines and not shutil.disk_usage(self._log.parent).free:
            return OutputError(
                f"--output: {self._log.parent} is on a full disk; free some space, or choose another folder"
            )
        last = lines[-1] if lines else "it printed nothing"
        return StreamrnnError(f"the daemon has ended with exit code {code}: {last} (see {self._log})")


@contextmanager
def running(config: Path, log: Path) -> Iterator[Daemon]:
    """Run the daemon while the block runs, and stop it afterwards; kill it if an error occurs."""
    daemon = Daemon(config, log)
    try:
        yield daemon
        daemon.stop()
    finally:
        daemon.kill()
