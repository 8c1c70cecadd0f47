"""Locks that show which applications have a live member; the kernel releases them when the process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamrnn.errors import LogError


class MemberLock:
    """One member's shared lock of its application, in a file next to the log.

    Live members share the lock, so a process that obtains it exclusively is alone. It cannot be one of SQLite's own
    files: closing any descriptor of those releases all locks that this process has on the file.
    """

    def __init__(self, path: Path, app: str) -> None:
        self._path = Path(f"{path}-{app}.lock")
        self._descriptor = -1
        self._locked = False

    def acquire(self) -> None:
        """Register this process as a live member."""
        with self._opened() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits at most for another process's `others`, which is brief
            self._locked = True

    def others(self) -> bool:
        """Return whether there is another live member."""
        if not self._path.exists():
            return False
        with self._opened() as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_SH if self._locked else fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Release the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor, self._locked = -1, False

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            yield self._descriptor
        except OSError as error:
            raise LogError(
                f"the lock file {self._path} cannot be locked: {error}; it must be no symbolic link, and the user "
                "needs write permission for it and its folder"
            ) from error
