"""Retries with exponential backoff and a time limit."""

from streamrnn.errors import LogError

FIRST_RETRY, LAST_RETRY = 0.1, 10.0
"""Seconds to wait after the first failure, and at most; doubled with each failure in a row."""


class Backoff:
    """The retries of an operation that fails since `now`. Times are seconds of one clock."""

    def __init__(self, now: float, limit: float) -> None:
        self.next_try = now
        self._give_up = now + limit
        self._delay = FIRST_RETRY

    def failed(self, error: LogError, now: float) -> None:
        """Postpone the next try; raise `error` once it has failed for `limit` seconds."""
        if now >= self._give_up:
            raise error
        self.next_try = now + self._delay
        self._delay = min(2 * self._delay, LAST_RETRY)
