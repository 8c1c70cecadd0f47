"""The end of a process that hangs in a commit: the transaction then times out, and the next process takes over."""

import faulthandler
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamrnn.errors import StreamrnnError

logger = logging.getLogger(__name__)


def end_process() -> None:
    """End at once, with what every thread is doing on standard error; nothing that is not committed is lost by it."""
    faulthandler.dump_traceback()
    os._exit(StreamrnnError.exit_code)


@contextmanager
def ending_after(seconds: float, what: str, end: Callable[[], None] = end_process) -> Iterator[None]:
    """Within: something that must be done in so many seconds, or else the process is ended."""

    def hung() -> None:
        logger.critical("hung", extra={"in": what, "seconds": seconds})
        end()

    timer = threading.Timer(seconds, hung)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
