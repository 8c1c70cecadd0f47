"""Reading records in slices, as commands feed them to a task."""

from collections.abc import Iterable, Iterator
from itertools import islice

from streamrnn.records import Record

SLICE = 200
"""Records fed at once, between two updates of the progress bar."""


def in_slices(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield lists of up to SLICE records, in order."""
    remaining = iter(records)
    while batch := list(islice(remaining, SLICE)):
        yield batch
