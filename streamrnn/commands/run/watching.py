"""Watching the configuration file: a change that has settled is a reload, as SIGHUP is."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CHECK_SECONDS = 1.0
"""Seconds between two looks at the file; it has settled if two in a row find the same."""
CLOSE_SECONDS = 1.0
"""Longest wait for a look at a file system that does not answer."""


class FileWatch:
    """Calls a function after each change of a file, once the file has stayed the same for one interval.

    The file is looked at, not subscribed to: this also finds a link that leads elsewhere, as Kubernetes changes the
    files of a ConfigMap, a file that an editor puts in the place of the old one, and a change on a network file system.
    A file that is gone is a change, too.

    Args:
        path: The file, as it is before it is first read: a change while it is read is not missed.
        changed: Called in the thread that watches.
    """

    def __init__(self, path: Path, changed: Callable[[], object]) -> None:
        self._path, self._changed = path, changed
        self._seen = self._reported = _look(path)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="configuration", daemon=True)

    def start(self) -> None:
        """Watch from now on, in a thread, for what has changed since construction."""
        self._thread.start()

    def check(self) -> None:
        """Look once, and call the function if a change has settled."""
        found = _look(self._path)
        if found == self._seen != self._reported:
            self._reported = found
            self._changed()
        self._seen = found

    def close(self) -> None:
        """Watch no longer."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_SECONDS)

    def _watch(self) -> None:
        while not self._closing.wait(CHECK_SECONDS):
            self.check()


def _look(path: Path) -> tuple[int, ...]:
    """Return what differs after any change of the file behind `path`; empty if there is none."""
    with suppress(OSError):
        found = os.stat(path)  # noqa: PTH116 -- follows links
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return ()
