"""Control of the garbage collector and of freed memory."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (20_000, 50, 1_000)
"""Of the collector: a task has many long-lived objects, few of which refer to each other."""


def freeze_collector() -> None:
    """Exclude all current objects from garbage collection, and collect less often from now on.

    With Python's defaults the collector would traverse the libraries and the keys of a task every few waves, which
    takes longer than encoding the forecasts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def release_memory() -> None:
    """Return freed memory to the system: glibc would store it for later allocations."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Disable the garbage collector while importing.

    A large library creates more than a hundred thousand objects, none of them garbage; traversing them repeatedly takes
    a quarter of the import time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
