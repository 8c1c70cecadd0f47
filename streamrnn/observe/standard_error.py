"""Output of the log to standard error that never blocks for long, even on a full pipe that nobody reads."""

import logging
import os
import select
import sys

WAIT_SECONDS = 1.0
"""Seconds to wait for a full pipe; afterwards lines are dropped until it is writable again."""
PART_BYTES = select.PIPE_BUF  # a writable pipe accepts this without blocking

logger = logging.getLogger(__name__)
logger.setLevel(logging.WARNING)  # independent of the configured level, as lines of that level are missing


class StandardErrorHandler(logging.Handler):
    """Writes lines to a file descriptor; counts lines that cannot be written, and logs their number afterwards."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._dropped = 0
        """Number of lines dropped since the last report on them."""
        self._cut = False
        """Whether the last line was written only in part."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record, or count it."""
        reports = record.name == logger.name
        if self._dropped and not reports:
            logger.warning("log_lines_dropped", extra={"count": self._dropped})  # is emitted here first
        try:
            line = "\n" * self._cut + self.format(record) + "\n"
            written = self._written(line.encode(errors="backslashreplace"))
        except Exception:  # noqa: BLE001 -- as logging's own handlers do
            self.handleError(record)
            return
        if reports and written:
            self._dropped = 0
        elif not reports and not written:
            self._dropped += 1

    def _written(self, data: bytes) -> bool:
        while data:
            if not self._poll.poll(0 if self._dropped else 1000 * WAIT_SECONDS):
                return False
            data = data[os.write(self._descriptor, data[:PART_BYTES]) :]
            self._cut = bool(data)
        return True


def make_handler() -> logging.Handler:
    """Return a handler for standard error; a plain stream handler if a program has replaced `sys.stderr`."""
    own = sys.__stderr__
    return StandardErrorHandler(own.fileno()) if own is not None and own is sys.stderr else logging.StreamHandler()
