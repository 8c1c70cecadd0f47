"""Time limits after which the process exits: its transactions then time out, and another process takes over."""

import faulthandler
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamrnn.errors import StreamrnnError

logger = logging.getLogger(__name__)

DUMP_SECONDS = 1.0
"""Time limit of the log line and the stack dump, which block where standard error is not read."""


def exit_process(operation: str, seconds: float) -> None:
    """Log what exceeded its time limit, dump the stacks of all threads, and exit with code 70. No commit is lost."""
    _timer(DUMP_SECONDS, lambda: os._exit(StreamrnnError.exit_code)).start()
    logger.critical("hung", extra={"in": operation, "seconds": seconds})
    faulthandler.dump_traceback()
    os._exit(StreamrnnError.exit_code)


def deadline(seconds: float, operation: str, end: Callable[[str, float], None] = exit_process) -> threading.Timer:
    """Return a timer, not started yet, that calls `end` with the operation and the time limit."""
    return _timer(seconds, lambda: end(operation, seconds))


@contextmanager
def time_limit(seconds: float, operation: str, end: Callable[[str, float], None] = exit_process) -> Iterator[None]:
    """Call `end` if the block takes longer than this."""
    timer = deadline(seconds, operation, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _timer(seconds: float, call: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    return timer
