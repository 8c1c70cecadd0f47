"""A position in a partition, as given on the command line."""

from typing import NamedTuple

from streamrnn.timestamps import parse_iso


class Position(NamedTuple):
    """An offset, or the first record whose timestamp is not before a time."""

    offset: int | None
    time: int = 0
    """Milliseconds since the epoch, if `offset` is None."""


def parse_position(text: str) -> Position:
    """Return the position for an offset or an ISO 8601 time; without an offset from UTC the time is in UTC.

    Raises:
        ValueError: the text is neither.
    """
    return Position(int(text)) if text.isdecimal() else Position(None, parse_iso(text))
