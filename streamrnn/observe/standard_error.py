"""The log's way to standard error, which never blocks for long: a pipe may be full that nobody reads."""

import logging
import os
import select
import sys

PATIENCE = 1.0
"""Seconds to wait for a full pipe; afterwards lines are left out until it takes some again."""
PART_BYTES = select.PIPE_BUF  # what a pipe takes without blocking, once it is writable

logger = logging.getLogger(__name__)
logger.setLevel(logging.WARNING)  # whatever the level of the others: lines of theirs are missing


class StandardErrorHandler(logging.Handler):
    """Writes lines to a file descriptor; counts those that are not taken, and logs their number afterwards."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._dropped = 0
        """Lines left out since the last report on them."""
        self._cut = False
        """Whether the last line was left out after its beginning."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record, or count it."""
        reports = record.name == logger.name
        if self._dropped and not reports:
            logger.warning("log_lines_dropped", extra={"count": self._dropped})  # comes back here first
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
            if not self._poll.poll(0 if self._dropped else 1000 * PATIENCE):
                return False
            data = data[os.write(self._descriptor, data[:PART_BYTES]) :]
            self._cut = bool(data)
        return True


def make_handler() -> logging.Handler:
    """Return a handler for standard error; a stream that a program has put in its place is written to as it is."""
    own = sys.__stderr__
    return StandardErrorHandler(own.fileno()) if own is not None and own is sys.stderr else logging.StreamHandler()
