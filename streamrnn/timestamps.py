"""Times as text: ISO 8601 to milliseconds since the epoch."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def parse_iso(text: str) -> int:
    """Return milliseconds since the epoch, rounded down; without an offset the text is UTC.

    Raises:
        ValueError: the text is not ISO 8601.
    """
    moment = datetime.fromisoformat(text)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND


def format_iso(time: int) -> str:
    """Return milliseconds since the epoch as ISO 8601 text in UTC; a time beyond the years 1 to 9999 as a number."""
    try:
        moment = EPOCH + time * MILLISECOND
    except OverflowError:
        return f"{time} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
