"""The daemon as a process of its own, as `streamrnn run` starts it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamrnn.errors import StreamrnnError

ENDING = 15.0
"""Seconds that the daemon has to end; it promises to take less than ten."""


class Daemon:
    """A running daemon; what it says goes to the file `log`."""

    def __init__(self, config: Path, log: Path) -> None:
        self._log = log
        # the demo's configuration alone is to count, not what this machine's environment says
        environment = {name: text for name, text in os.environ.items() if not name.startswith("STREAMRNN_")}
        environment["STREAMRNN_SECRETS_DIR"] = str(config.parent)
        with log.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603 -- this program itself, with the demo's own file
                [sys.executable, "-m", "streamrnn.cli", "run", "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which then ends the daemon
            )

    def check(self) -> None:
        """See that it still runs.

        Raises:
            StreamrnnError: it has ended.
        """
        code = self._process.poll()
        if code is not None:
            raise StreamrnnError(f"the daemon has ended with exit code {code}: {self._last_words()} (see {self._log})")

    def stop(self) -> None:
        """End it as an operator does, by SIGTERM, and wait for it.

        Raises:
            StreamrnnError: it did not end cleanly.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self.kill()
            raise StreamrnnError(f"the daemon did not end within {ENDING:g} s of SIGTERM (see {self._log})") from None
        if code != 0:
            raise StreamrnnError(f"the daemon has ended with exit code {code}: {self._last_words()} (see {self._log})")

    def kill(self) -> None:
        """End it at once, if it still runs."""
        self._process.kill()
        self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"


@contextmanager
def running(config: Path, log: Path) -> Iterator[Daemon]:
    """Run the daemon meanwhile; afterwards it has ended, cleanly unless something else had gone wrong."""
    daemon = Daemon(config, log)
    try:
        yield daemon
        daemon.stop()
    finally:
        daemon.kill()
