"""The clock of seasons: zones, holidays and events as step functions."""

import random
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from support.streams import forecaster_of

from streamrnn.core.clock import season_clock
from streamrnn.core.clock.public_holidays import public_holidays
from streamrnn.core.clock.season_clock import EVENT_TIME, make_clock, season_origin, season_time
from streamrnn.core.clock.zones import zone_offsets
from streamrnn.core.series.calendar import DAY, HOUR, WEEK, YEAR
from streamrnn.errors import ConfigError

ZONES = (
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Australia/Sydney", "Asia/Gaza", "Asia/Kathmandu",
    "Africa/Casablanca", "Pacific/Apia",
)  # fmt: skip
BERLIN = ZoneInfo("Europe/Berlin")
EVENTS = ({"date": "2025-12-24", "like": "saturday"}, {"date": "2025-06-09", "like": "usual"})


def zone_of(name: str) -> ZoneInfo:
    """Return a zone as the package tzdata has it."""
    with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file)


def local(clock: season_clock.SeasonClock, time: datetime, period: float) -> datetime:
    """Return the clock of a season as a time without zone."""
    shown = season_time(clock, time.timestamp() * 1000.0, time.timestamp() * 1000.0, float(period))
    return datetime.fromtimestamp(shown / 1000, UTC).replace(tzinfo=None)


@pytest.mark.parametrize("name", ZONES)
def test_the_offsets_of_a_zone_are_those_of_its_table(name: str) -> None:
    """At random times, and a second before and at each change, the offset is zoneinfo's."""
    zone, found, chance = zone_of(name), zone_offsets(name), random.Random(1)
    seconds = [chance.randrange(4_102_444_800) for _ in range(500)]
    seconds += [int(change) // 1000 - before for change in found.changes[:300] for before in (0, 1)]
    expected = [datetime.fromtimestamp(each, zone).utcoffset() for each in seconds]
    read = found.offsets[np.searchsorted(found.changes, np.array(seconds) * 1000, "right")]
    assert [timedelta(milliseconds=int(each)) for each in read] == expected


def test_only_seasons_of_the_clock_follow_it() -> None:
    """Parts and multiples of a day follow local time, weeks holidays too; other periods follow event time."""
    clock = make_clock("Europe/Berlin", "DE", EVENTS)
    noon = datetime(2025, 10, 3, 10, tzinfo=UTC)  # a Friday and a holiday, summer time
    for period in (HOUR, 12 * HOUR, DAY, 2 * DAY):
        assert local(clock, noon, period) == datetime(2025, 10, 3, 12)
    assert local(clock, noon, WEEK) == datetime(2025, 10, 5, 12)
    for period in (7 * HOUR, 1.5 * HOUR, HOUR / 4, YEAR):
        assert local(clock, noon, period) == datetime(2025, 10, 3, 10)
        assert season_origin(clock, 5.0, period) == 5.0
    assert season_time(EVENT_TIME, 12.5, 12.5, DAY) == 12.5
    assert make_clock() == EVENT_TIME


def test_a_holiday_begins_and_ends_at_local_midnight() -> None:
    """Each day of a year has all its minutes on one weekday: its own, Sunday for a holiday, or as an event says."""
    clock = make_clock("Europe/Berlin", "DE", EVENTS)
    holidays = set(public_holidays("DE").dates)
    assert date(2025, 6, 9) in holidays
    for number in range(365):
        day = date(2025, 1, 1) + timedelta(days=number)
        like = 6 if day in holidays else day.weekday()
        like = {date(2025, 12, 24): 5, date(2025, 6, 9): 0}.get(day, like)
        following = day + timedelta(days=1)
        first = datetime(day.year, day.month, day.day, tzinfo=BERLIN)
        last = datetime(following.year, following.month, following.day, tzinfo=BERLIN) - timedelta(minutes=1)
        assert first.astimezone(UTC) < last.astimezone(UTC)
        for time in (first, last):
            shown = local(clock, time.astimezone(UTC), WEEK)
            assert (shown.weekday(), shown.hour, shown.minute) == (like, time.hour, time.minute), time


def test_the_origin_of_a_season_depends_on_no_holiday() -> None:
    """A holiday that is added later moves no phase of a series that began on it."""
    first = datetime(2025, 12, 24, 12, tzinfo=UTC).timestamp() * 1000
    plain, festive = make_clock("Europe/Berlin"), make_clock("Europe/Berlin", "DE", EVENTS)
    assert season_origin(plain, first, WEEK) == season_origin(festive, first, WEEK)


def test_the_fingerprint_names_zone_and_calendar() -> None:
    """The tables of the libraries are in the numeric fingerprint, if they are used; events are not theirs."""

    def clock_of(**forecast: object) -> str | None:
        return forecaster_of(hidden_size=4, **forecast).numerics.get("clock")

    assert clock_of() is None
    assert clock_of(events=EVENTS) is None
    zone, calendar = clock_of(timezone="Europe/Berlin"), clock_of(timezone="Europe/Berlin", calendar="DE-BY")
    assert zone is not None
    assert zone.startswith("Europe/Berlin ")
    assert calendar is not None
    assert calendar.startswith("Europe/Berlin DE-BY ")
    assert clock_of(timezone="Europe/Berlin", calendar="DE-BY", events=EVENTS) == calendar


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("Europe/Bonn",), "no such zone"), (("UTC", "XX"), "forecast.calendar = XX"), (("UTC", "DE-XX"), "DE-XX")],
)
def test_an_unknown_zone_or_calendar_is_named(arguments: tuple[str, ...], message: str) -> None:
    """The error names the key, the value and what is allowed."""
    with pytest.raises(ConfigError, match=message):
        make_clock(*arguments)


def test_a_missing_library_of_holidays_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "holidays", None)
    with pytest.raises(ConfigError, match=r"forecast.calendar = FR: .*streamrnn\[holidays\]"):
        make_clock("UTC", "FR")
