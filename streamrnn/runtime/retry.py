"""How long a failure is borne."""

from streamrnn.errors import LogError

FIRST_RETRY, LAST_RETRY = 0.1, 10.0  # seconds to wait after a failure; doubled with each that follows


class Backoff:
    """How often something that fails is tried again, and for how long. All times are readings of one clock, seconds."""

    def __init__(self, now: float, limit: float) -> None:
        self._give_up = now + limit
        self._delay = FIRST_RETRY
        self.next_try = now

    def failed(self, error: LogError, now: float) -> None:
        """Put off the next try. Raises the error when it has failed for too long."""
        if now >= self._give_up:
            raise error
        self.next_try = now + self._delay
        self._delay = min(2 * self._delay, LAST_RETRY)
