"""Public holidays of a country or one of its parts, from the optional library `holidays`."""

from datetime import date
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

from streamrnn.core.clock.zones import FIRST_YEAR, LAST_YEAR
from streamrnn.errors import ConfigError, missing_extra

SUNDAY = 6


class PublicHolidays(NamedTuple):
    """Public holidays, and the weekday that they resemble: the last day of the country's weekend."""

    dates: tuple[date, ...]  # ascending
    like: int  # 0: Monday


@cache
def public_holidays(calendar: str) -> PublicHolidays:
    """Return the holidays of a calendar such as `DE` or `DE-BY`.

    Raises:
        ConfigError: The library is not installed, or does not know the calendar.
    """
    try:
        import holidays  # noqa: PLC0415 -- an extra
    except ImportError:
        raise missing_extra(f"forecast.calendar = {calendar}", "holidays", "holidays") from None

    country, _, part = calendar.partition("-")
    try:
        found = holidays.country_holidays(country, subdiv=part or None, years=range(FIRST_YEAR, LAST_YEAR + 1))
    except NotImplementedError as error:
        raise ConfigError(
            f"forecast.calendar = {calendar}: {error} (holidays {version('holidays')}); use an ISO 3166 code such as "
            "DE, or with a part of the country DE-BY"
        ) from None
    return PublicHolidays(tuple(sorted(found)), max(found.weekend, default=SUNDAY))
