"""Time limits of operations, after which the process exits so that another one takes over, and of retries."""

import faulthandler
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamrnn.errors import LogError, StreamrnnError

logger = logging.getLogger(__name__)

DUMP_SECONDS = 1.0
"""Time limit of the log line and the stack dump, which block if nobody reads standard error."""


def exit_process(operation: str, seconds: float) -> None:
    """Log the operation that exceeded its time limit, dump all stacks, and exit with code 70. No commit is lost."""
    _timer(DUMP_SECONDS, lambda: os._exit(StreamrnnError.exit_code)).start()
    logger.critical("hung", extra={"in": operation, "seconds": seconds})
    faulthandler.dump_traceback()
    os._exit(StreamrnnError.exit_code)


def deadline(seconds: float, operation: str, end: Callable[[str, float], None] = exit_process) -> threading.Timer:
    """Return a timer, not started yet, that calls `end` with the operation and the time limit."""
    return _timer(seconds, lambda: end(operation, seconds))


@contextmanager
def time_limit(seconds: float, operation: str, end: Callable[[str, float], None] = exit_process) -> Iterator[None]:
    """Call `end` if the block takes longer than `seconds`."""
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


FIRST_RETRY, LAST_RETRY = 0.1, 10.0
"""Seconds to wait after the first failure, and at most; doubled with each successive failure."""


class Backoff:
    """The retries of an operation that has failed since `now`, for up to `limit` seconds; times are of one clock."""

    def __init__(self, now: float, limit: float) -> None:
        self.next_try = now
        self.limit = limit
        self.offset = 0
        """Offset to be passed before the failure counts as resolved."""
        self.committed = -1
        """Offset that was committed at the latest failure."""
        self._give_up = now + limit
        self._delay = FIRST_RETRY

    def failed(self, error: LogError, now: float, *, may_give_up: bool = True) -> None:
        """Postpone the next try; raise `error` once it has failed for `limit` seconds, if it may be given up."""
        if now >= self._give_up and may_give_up:
            raise error
        self.next_try = now + self._delay
        self._delay = min(2 * self._delay, LAST_RETRY)


def continued(before: Backoff | None, now: float, limit: float, offset: int, committed: int) -> Backoff:
    """Return the retries of a partition that failed at `offset`, with the offset `committed` last.

    The retries `before` continue, with their time limit, unless a commit has succeeded since or the limit has changed.
    """
    stuck = before is not None and before.limit == limit and committed <= before.committed
    backoff = before if before is not None and stuck else Backoff(now, limit)
    backoff.offset = max(backoff.offset, offset, before.offset if before is not None else 0)
    backoff.committed = max(backoff.committed, committed)
    return backoff
