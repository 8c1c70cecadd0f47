"""The days of `forecast.events`, which are like another weekday."""

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from streamrnn.settings import validators
from streamrnn.settings.section import Section

MAX_EVENTS = 10_000
_CALENDAR = re.compile(r"[A-Z]{2,3}(-[A-Z0-9]{1,3})?")


class EventSettings(Section):
    """A day that is not like its weekday."""

    date: Annotated[str, AfterValidator(validators.check_day)]
    """The day, by the clock of `forecast.timezone`, such as 2025-12-24."""
    name: str = ""
    """What happens, for readers."""
    like: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "usual"] = "sunday"
    """The weekday that it is like; `usual`: its own, though a holiday of `forecast.calendar`."""


def parse_events(value: object) -> object:
    """Return the rows of a CSV file with the columns date, name and like, of which date is required, or a list."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError('begins with \'[\' but is not a JSON list such as [{"date": "2025-12-24"}]') from None
    try:
        with Path(value).open(newline="", encoding="utf-8-sig") as file:
            rows = [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"is not a list of events, nor a CSV file that can be read: {error}") from None
    if not all("date" in row for row in rows):
        raise ValueError("is a CSV file with rows that have no date; its first line must be: date,name,like")
    return rows


def check_events(value: tuple[EventSettings, ...]) -> tuple[EventSettings, ...]:
    """Check that each day occurs once."""
    if len(value) > MAX_EVENTS:
        raise ValueError(f"must be at most {MAX_EVENTS:,} days")
    times = Counter(event.date for event in value)
    if repeated := sorted(day for day, count in times.items() if count > 1):
        raise ValueError(f"must not name a day twice: {', '.join(repeated[:3])}")
    return value


def check_calendar(value: str) -> str:
    """Check the form of a country's or a region's code."""
    if not _CALENDAR.fullmatch(value):
        raise ValueError("must be an ISO 3166 code of a country such as DE, or of a part of one such as DE-BY")
    return value
