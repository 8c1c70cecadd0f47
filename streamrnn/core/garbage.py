"""The garbage collector, while libraries are loaded and while a service runs."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (20_000, 50, 1_000)
"""Of the collector: a task has many objects that live long, and few that refer to each other."""


def freeze_collector() -> None:
    """Leave all objects that exist now out of garbage collection, and collect less often, for the rest of the process.

    Python's defaults would look through the libraries and the keys of a task every few waves, which takes longer than
    encoding the forecasts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


@contextmanager
def loading() -> Iterator[None]:
    """Look for no garbage meanwhile.

    The modules of a large library are a hundred thousand objects and more, none of which is garbage. To look through
    them again and again takes a quarter of the time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
