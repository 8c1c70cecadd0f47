"""Control of the garbage collector, and return of freed memory to the system."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (20_000, 50, 1_000)
"""Collection thresholds per generation; high, as a task has many long-lived objects and few reference cycles."""


def freeze_collector() -> None:
    """Exclude all current objects from garbage collection, and collect less often from now on.

    With Python's defaults, the collector traverses the objects of all libraries and the keys of a task every few waves,
    which takes longer than encoding the forecasts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def release_memory() -> None:
    """Return freed memory to the system, which glibc would retain for later allocations."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Disable the garbage collector, for the import of a large library.

    Such an import creates more than a hundred thousand objects, none of them garbage; traversing them repeatedly takes
    a quarter of its time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
