"""The clock by which phases of seasons are computed: UTC, or local time with holidays as days of the weekend."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from streamrnn.core.clock.public_holidays import public_holidays
from streamrnn.core.clock.zones import UNDEFINED, StepFunction, offset_at, offsets_at, zone_offsets
from streamrnn.core.config import RecordZones, Zones
from streamrnn.core.jit import compiled
from streamrnn.timestamps import ZONES_VERSION

HOUR, DAY, WEEK = 3_600_000.0, 86_400_000.0, 604_800_000.0  # ms
TIE = 1.0
"""Breaks ties, ms: where the local clock changes by half a slot, 08:30 belongs to the slot of 8, not of 9."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
USUAL = "usual"
"""In place of the weekday that an event is `like`: the day is an ordinary day, although it is a holiday."""


class SeasonClock(NamedTuple):
    """Offsets (ms) from event time to the clock of seasons; undefined offsets: phases are computed from event time.

    `zone` applies to seasons of whole days or of hours that divide a day, `days` in addition to seasons of whole weeks.
    """

    zone: StepFunction  # local time minus UTC
    days: StepFunction  # whole days by which special days are moved


class ZoneClocks(NamedTuple):
    """Clocks of series whose records name their time zone."""

    default: Any  # ClockRules of the series whose records have not named a zone yet
    of: Callable[[str], SeasonClock]  # returns the clock of a zone


ClockRules = SeasonClock | Sequence[tuple[str, SeasonClock]] | ZoneClocks
"""One clock for all series; clocks by key pattern, of which the first match applies and the last matches every key; or
clocks of the zones that records name."""
EVENT_TIME = SeasonClock(UNDEFINED, UNDEFINED)


@compiled
def follows_clock(period: float) -> bool:
    """Return whether a season of `period` ms follows local time: it is whole days, or hours that divide a day."""
    return period % DAY == 0 or (period % HOUR == 0 and DAY % period == 0)


@compiled
def season_time(clock: SeasonClock, time: float, zone_at: float, period: float) -> float:
    """Return the local time (ms) from which the phase of a season of `period` ms is computed at event time `time`.

    It uses the offset of the zone at `zone_at`, which for a forecast is the origin; see `clock_change`.
    """
    if len(clock.zone.offsets) == 0 or not follows_clock(period):
        return time
    shown = time + offset_at(clock.zone, zone_at)
    return shown + offset_at(clock.days, time) if period % WEEK == 0 else shown


@compiled
def season_origin(clock: SeasonClock, first: float, period: float) -> float:
    """Return the local time (ms) at which the phase of a season is 0, from the time `first` of the first observation.

    It does not depend on holidays, so that a new table of holidays does not shift the phases of a series.
    """
    if len(clock.zone.offsets) == 0 or not follows_clock(period):
        return first
    return first + offset_at(clock.zone, first) + TIE


@compiled
def clock_change(clock: SeasonClock, time: float, then: float) -> float:
    """Return the change (ms) of the zone offset between `time` and `then`; 0 without a zone."""
    if len(clock.zone.offsets) == 0:
        return 0.0
    return offset_at(clock.zone, then) - offset_at(clock.zone, time)


def make_clock(
    timezone: str = "UTC", calendar: str | None = None, events: Sequence[Mapping[str, str]] = ()
) -> SeasonClock:
    """Return the clock of a time zone, with the holidays of a calendar and with events.

    Args:
        timezone: A zone of the IANA database.
        calendar: A country or a part of one; see `public_holidays`.
        events: Special days: `date` (ISO 8601), and the weekday that it is `like`, or USUAL.

    Raises:
        ConfigError: The zone or the calendar does not exist, or the library of holidays is not installed.
    """
    days = special_days(calendar, events)
    if timezone == "UTC" and not days:
        return EVENT_TIME
    return _clock(timezone, tuple(days.items()))


@cache
def _clock(timezone: str, days: tuple[tuple[date, int], ...]) -> SeasonClock:
    zone = StepFunction(np.empty(0, np.int64), np.zeros(1, np.int64)) if timezone == "UTC" else zone_offsets(timezone)
    return SeasonClock(zone, _moved_days(zone, dict(days)))


def special_days(calendar: str | None, events: Sequence[Mapping[str, str]]) -> dict[date, int]:
    """Return the weekday (0: Monday) that each holiday or event resembles; an event overrides a holiday."""
    days: dict[date, int] = {}
    if calendar is not None:
        found = public_holidays(calendar)
        days = dict.fromkeys(found.dates, found.like)
    for event in events:
        day = date.fromisoformat(event["date"])
        days[day] = day.weekday() if event["like"] == USUAL else WEEKDAYS.index(event["like"])
    return {day: like for day, like in days.items() if like != day.weekday()}


def make_clocks(
    timezone: Zones | RecordZones = "UTC", calendar: str | None = None, events: Sequence[Mapping[str, str]] = ()
) -> ClockRules:
    """Return the clock of all series, or clocks by key pattern or by the zone that records name; see `make_clock`."""
    if isinstance(timezone, RecordZones):
        default = make_clocks(timezone.default, calendar, events)
        return ZoneClocks(default, partial(make_clock, calendar=calendar, events=events))
    if isinstance(timezone, str):
        return make_clock(timezone, calendar, events)
    return [(pattern, make_clock(zone, calendar, events)) for pattern, zone in timezone]


def describe_clock(timezone: Zones | RecordZones, calendar: str | None) -> dict[str, str]:
    """Return the entry of the numeric fingerprint: names, and a digest of the tables from libraries.

    The digest changes only if one of these zones or this calendar changes, not with every version of the libraries. If
    records name zones, any zone may occur, so that the entry also contains the version of the time zone database.
    """
    version = []
    if isinstance(timezone, RecordZones):
        timezone, version = timezone.default, [f"tzdata-{ZONES_VERSION}"]
    elif timezone == "UTC" and calendar is None:
        return {}
    tables = hashlib.blake2b(digest_size=6)
    zones = [timezone] if isinstance(timezone, str) else sorted({zone for _, zone in timezone})
    for zone in zones:
        for function in make_clock(zone, calendar):
            for array in function:
                tables.update(array.astype("<i8").tobytes())
    return {"clock": " ".join([*zones, *([] if calendar is None else [calendar]), *version, tables.hexdigest()])}


def _moved_days(zone: StepFunction, days: Mapping[date, int]) -> StepFunction:
    """Return the whole days (ms) by which days that resemble another weekday are moved, from local midnight on."""
    moves: dict[int, int] = {}
    for day in sorted(days):
        moves[_midnight(zone, day)] = ((days[day] - day.weekday() + 3) % 7 - 3) * int(DAY)
        following = day + timedelta(days=1)
        if following not in days:
            moves[_midnight(zone, following)] = 0
    return StepFunction(np.array([*moves], np.int64), np.array([0, *moves.values()], np.int64))


def _midnight(zone: StepFunction, day: date) -> int:
    """Return the UTC time (ms) at which a local day begins."""
    local = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
    begins = np.unique(local - offsets_at(zone, np.array([local - int(DAY), local + int(DAY)])))
    return int(begins[begins + offsets_at(zone, begins) >= local][0])
