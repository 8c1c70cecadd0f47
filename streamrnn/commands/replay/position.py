"""A place in a partition, as it is said on the command line."""

from datetime import UTC, datetime
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """An offset, or the first record whose timestamp in the log is not before a time."""

    offset: int | None
    time: int = 0
    """Milliseconds since the epoch, where there is no offset."""


def place(text: str) -> Place:
    """An offset, written as a whole number, or a time in ISO-8601 (UTC where it does not say).

    Raises:
        ValueError: it is neither.
    """
    if text.isdecimal():
        return Place(int(text))
    time = datetime.fromisoformat(text)
    return Place(None, round(((time if time.tzinfo else time.replace(tzinfo=UTC)) - EPOCH).total_seconds() * 1000))
