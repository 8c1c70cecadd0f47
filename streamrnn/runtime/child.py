"""A process that this one starts, and starts again where it ends by itself."""

import subprocess
from collections.abc import Sequence
from contextlib import suppress

FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0
"""Seconds before a crashed process is started again; doubled with each crash, ..."""
STABLE = 60.0
"""... and the first again after one that ran for so many seconds."""


class Child:
    """A process of ours, and when the next one may be started.

    Its standard input begins with `told`, and ends when this process does. It inherits the file descriptors `inherits`.
    """

    def __init__(self, command: Sequence[str], *, inherits: Sequence[int] = (), told: bytes = b"") -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.pause = FIRST_PAUSE
        self.next_start = 0.0
        self._command = command
        self._inherits = inherits
        self._told = told
        self._started = 0.0

    def start(self, now: float) -> None:
        """Start it; `now` counts seconds."""
        # a Ctrl+C is for this process alone
        self.process = subprocess.Popen(  # noqa: S603 -- ours
            self._command, stdin=subprocess.PIPE, pass_fds=self._inherits, start_new_session=True
        )
        self._started = now
        if self._told and self.process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended already: whoever looks will see
                self.process.stdin.write(self._told)
                self.process.stdin.flush()

    def ended(self, code: int, now: float) -> None:
        """Say when to start anew after an exit."""
        self.close_input()
        self.process = None
        self.pause = FIRST_PAUSE if now - self._started > STABLE else self.pause
        self.next_start = now + (self.pause if code else 0.0)
        self.pause = min(2 * self.pause, LAST_PAUSE) if code else self.pause

    def close_input(self) -> None:
        """End its standard input."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
