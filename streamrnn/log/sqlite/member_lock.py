"""Which applications have a living member: a lock that ends with its process, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamrnn.errors import LogError


class Presence:
    """One member's share in the lock of its application, a file beside the log's.

    Members hold it together; who can have it alone is alone. It is no file of SQLite's own, since closing any of those
    lets go of all the locks that this process has on it.
    """

    def __init__(self, path: Path, app: str) -> None:
        self._path = Path(f"{path}-{app}.lock")
        self._descriptor = -1
        self._shown = False

    def show(self) -> None:
        """Be a living member from now on."""
        with self._opened() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits at most for another's look, which is over at once
            self._shown = True

    def others(self) -> bool:
        """Whether there is another living member."""
        if not self._path.exists():
            return False
        with self._opened() as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_SH if self._shown else fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Let go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._shown = -1, False

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            yield self._descriptor
        except OSError as error:
            raise LogError(f"{self._path}, which shows who is using the log, cannot be locked: {error}") from error
