"""Process 1 of a container inherits the processes whose parents have ended, and must wait for them when they end.

Otherwise each leaves an entry in the table of processes, and after enough of them no process can be started.
"""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

SECONDS = 10.0
"""Seconds between two looks at the ended processes; the daemon waits for its own ones sooner."""


def reap_orphans() -> None:
    """Start a thread that waits for inherited processes which have ended, if this process is process 1."""
    if os.getpid() == 1:
        threading.Thread(target=_reap, name="orphans", daemon=True).start()


def _reap() -> None:
    before: set[int] = set()
    while True:
        time.sleep(SECONDS)
        ended = _ended_children()
        for each in ended & before:
            with suppress(OSError):  # waited for meanwhile
                os.waitpid(each, os.WNOHANG)
        before = ended


def _ended_children() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it is gone
            state, parent, *_ = path.read_text(errors="replace").rpartition(")")[2].split()
            if state == "Z" and int(parent) == os.getpid():
                found.add(int(path.parent.name))
    return found
