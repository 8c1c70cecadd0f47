"""Times as text: ISO 8601 to milliseconds since the epoch; and time zones of the IANA database by name."""

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from zlib import crc32
from zoneinfo import ZoneInfo

import tzdata

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
ZONES_VERSION, ZONES_PACKAGE = tzdata.IANA_VERSION, tzdata.__version__
"""Versions of the database of time zones and of the package that has it: no files of the machine are read."""


def parse_iso(text: str) -> int:
    """Return milliseconds since the epoch, rounded down; without an offset the text is UTC.

    Raises:
        ValueError: the text is not ISO 8601.
    """
    moment = datetime.fromisoformat(text)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MILLISECOND


def format_iso(time: int, timespec: str = "milliseconds") -> str:
    """Return milliseconds since the epoch as ISO 8601 text in UTC; a time beyond the years 1 to 9999 as a number.

    `timespec` is the last part of the time that is written, as of `datetime.isoformat`.
    """
    try:
        moment = EPOCH + time * MILLISECOND
    except OverflowError:
        return f"{time} ms"
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def read_zone(name: str) -> ZoneInfo:
    """Return a zone. Raises OSError or ValueError if the package has no such zone."""
    with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, name)


def zone_code(name: str) -> int:
    """Return the number that stands for a zone in saved state, the same in every version; 0: there is no such zone."""
    return _codes().get(name, 0)


def zone_name(code: int) -> str | None:
    """Return the zone of a number; None for one that this version of the package does not have."""
    return _names().get(code)


@cache
def _codes() -> dict[str, int]:
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return {name: crc32(name.encode()) for name in names}


@cache
def _names() -> dict[int, str]:
    return {code: name for name, code in _codes().items()}
