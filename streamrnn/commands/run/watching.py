"""Watching the configuration file: a settled change reloads the configuration, as SIGHUP does."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CHECK_SECONDS = 1.0
"""Seconds between two checks of the file; a change has settled if two successive checks agree."""
CLOSE_SECONDS = 1.0
"""Longest wait at close for a check of a file system that does not respond, in seconds."""


class FileWatch:
    """Calls a function after each change of a file, once the file has stayed the same for one interval.

    The file is polled: unlike notifications of the system this also detects a link to another file, as Kubernetes
    updates a ConfigMap, a file that an editor has replaced, and a change on a network file system. A missing file is a
    change, too.

    Args:
        path: The file; construct this before the file is first read, so that no change is missed.
        changed: Called in the watching thread.
    """

    def __init__(self, path: Path, changed: Callable[[], object]) -> None:
        self._path, self._changed = path, changed
        self._seen = self._reported = _file_version(path)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="configuration", daemon=True)

    def start(self) -> None:
        """Start the watching thread; changes since construction count."""
        self._thread.start()

    def check(self) -> None:
        """Check the file once, and call the function if a change has settled."""
        found = _file_version(self._path)
        if found == self._seen != self._reported:
            self._reported = found
            self._changed()
        self._seen = found

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_SECONDS)

    def _watch(self) -> None:
        while not self._closing.wait(CHECK_SECONDS):
            self.check()


def _file_version(path: Path) -> tuple[int, ...]:
    """Return numbers that differ after any change of the file at `path`, links followed; empty if there is no file."""
    with suppress(OSError):
        found = os.stat(path)  # noqa: PTH116 -- follows links
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return ()
