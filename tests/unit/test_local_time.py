"""Banks follow the local clock: a profile by local time is found at every phase, across daylight-saving changes."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from support.bank import LEVELS, observe
from support.streams import HOUR, small

from streamrnn import app
from streamrnn.core.banks.full import FullBank
from streamrnn.core.banks.lean.bank import LeanBank
from streamrnn.core.banks.lean.features import fill_profiles, lean_profile_change
from streamrnn.core.clock.season_clock import EVENT_TIME, SeasonClock, make_clock
from streamrnn.core.jit import Floats, Integers
from streamrnn.core.series.features import clock_lag, fill_lags
from streamrnn.core.series.plan import make_plan
from streamrnn.core.series.profile_shift import slot_of
from streamrnn.core.series.seasonal_state import profile_change, read_seasons
from streamrnn.settings import load as load_settings

MINUTE = HOUR // 60
CHANGES = {  # the last weeks before and the first days after a change
    "Europe/Berlin": ("2025-03-05", "2025-10-05"),
    "Australia/Sydney": ("2025-03-14", "2025-09-12"),
    "Australia/Lord_Howe": ("2025-03-14", "2025-09-12"),
    "America/New_York": ("2025-02-14", "2025-10-10"),
}
DAYS = 30
FIRST = 1_741_132_800_000  # 2025-03-05


def hours(zone: ZoneInfo, times: Integers) -> Floats:
    """Return local hours since Monday, an independent reading."""
    shown = [datetime.fromtimestamp(int(time) / 1000, UTC).astimezone(zone) for time in times]
    return np.array([24.0 * each.weekday() + each.hour for each in shown])


def profile(hour: Floats) -> Floats:
    """Return a value for each local hour of the week: steps at 8 and 18, less on Saturdays and Sundays."""
    busy = (hour % 24 >= 8) & (hour % 24 < 18)
    return 20 + 60.0 * busy * (hour < 120) + 5 * np.sin(hour % 24)


def stream(name: str, start: str, cadence: int) -> tuple[ZoneInfo, Integers, Floats]:
    """Return a zone, times from a local midnight on, and values."""
    zone = ZoneInfo(name)
    first = int(datetime.fromisoformat(start).replace(tzinfo=zone).timestamp()) * 1000
    times = np.arange(first, first + DAYS * 24 * HOUR, cadence)
    return zone, times, profile(hours(zone, times))


def change_of(zone: ZoneInfo, times: Integers) -> int:
    """Return the first row after the change of the clock."""
    offsets = [datetime.fromtimestamp(int(time) / 1000, UTC).astimezone(zone).utcoffset() for time in times]
    return next(row for row in range(len(offsets)) if offsets[row] != offsets[0])


@pytest.mark.parametrize(
    "cadence", [15 * MINUTE, *(pytest.param(each * MINUTE, marks=pytest.mark.long) for each in (5, 30))]
)
@pytest.mark.parametrize(("name", "start"), [(name, start) for name, each in CHANGES.items() for start in each])
def test_the_weekly_value_is_that_of_the_same_local_time(name: str, start: str, cadence: int) -> None:
    """From the change on, each value of the season is that of its local time; by a clock without it, it is another."""
    zone, times, values = stream(name, start, cadence)
    change, ahead, read = change_of(zone, times), 6 * HOUR // cadence, np.empty(5)
    begin, step = change + max(10 * MINUTE // cadence, 1), 90 * MINUTE // cadence
    wrong: list[int] = []
    for clock in (make_clock(name), make_clock("Asia/Kathmandu")):
        bank = FullBank(horizons=(1, 12, 24), quantiles=LEVELS, clock=clock)
        bank.add(["load"])
        observe(bank, values[:begin], times[:begin])
        errors = []
        for at in range(begin, begin + 32 * step, step):
            observe(bank, values[at : at + step], times[at : at + step])
            now = at + step - 1
            read_seasons(bank.series, bank.plan, 0, float(times[now]), float(cadence), ahead, read)
            errors.append(abs(read[1] + bank.series.center[0] - values[now + ahead]) > 1)
        wrong.append(sum(errors))
    assert wrong[0] == 0
    assert wrong[1] >= 4


@pytest.mark.parametrize("kind", [FullBank, LeanBank])
@pytest.mark.parametrize("ahead", [1, 3, 12, 24])
def test_a_forecast_across_the_change_is_of_the_local_time(kind: type, ahead: int) -> None:
    """The profile at the horizon and its change add up to the profile at the local time of the target."""
    zone, times, values = stream("Europe/Berlin", "2025-03-05", HOUR)
    change = change_of(zone, times)
    bank = kind(horizons=(1, 3, 12, 24), quantiles=LEVELS, clock=make_clock("Europe/Berlin"))
    bank.add(["load"])
    for at in range(change + 3):
        bank.observe(np.array([0]), values[at : at + 1], times[at : at + 1])
        if at < change - ahead:
            continue
        if kind is FullBank:
            read = np.empty(5)
            read_seasons(bank.series, bank.plan, 0, float(times[at]), float(HOUR), ahead, read)
            found = read[1] + profile_change(bank.series, bank.plan, 0, float(times[at]), float(HOUR), ahead)
        else:
            table = np.empty((5, 2))
            fill_profiles(bank.series, bank.plan, 0, float(HOUR), table)
            moved = lean_profile_change(bank.series, bank.plan, 0, float(times[at]), float(HOUR), ahead)
            found = table[1 + (1, 3, 12, 24).index(ahead), 1] + moved
        slack = 25 if kind is LeanBank else 0.01  # bins of two hours
        assert abs(found + bank.series.center[0] - values[at + ahead]) < slack


@pytest.mark.parametrize("clock", [make_clock("Europe/Berlin"), EVENT_TIME], ids=["zone", "event time"])
def test_the_lean_profile_follows_the_local_clock(clock: SeasonClock) -> None:
    """The binned profile of the week is that of local time after the change; by event time it is not."""
    _, times, values = stream("Europe/Berlin", "2025-03-05", HOUR)
    bank = LeanBank(horizons=(1, 12, 24), quantiles=LEVELS, clock=clock)
    bank.add(["load"])
    change = int(np.searchsorted(times, datetime(2025, 3, 30, 1, tzinfo=UTC).timestamp() * 1000))
    found, wrong = np.empty((4, 2)), []
    for at in range(change + 72):
        bank.observe(np.array([0]), values[at : at + 1], times[at : at + 1])
        if at >= change:
            fill_profiles(bank.series, bank.plan, 0, float(HOUR), found)
            wrong.append(abs(found[1, 1] + bank.series.center[0] - values[at + 1]))
    assert (np.array(wrong) > 25).sum() in ([0] if clock is not EVENT_TIME else range(3, 30))


def test_a_holiday_is_read_and_written_as_a_sunday() -> None:
    """The weekly value of a holiday is the last Sunday's, and that of its weekday stays as it was."""
    zone, times, values = stream("Europe/Berlin", "2025-04-07", HOUR)
    day = np.array([datetime.fromtimestamp(int(t) / 1000, zone).date().isoformat() for t in times])
    values = np.where(day == "2025-05-01", profile(144 + hours(zone, times) % 24), values)  # a Thursday
    bank = FullBank(horizons=(1, 12, 24), quantiles=LEVELS, clock=make_clock("Europe/Berlin", "DE"))
    bank.add(["load"])
    read = np.empty(5)
    for at in range(len(times) - 24):
        observe(bank, values[at : at + 1], times[at : at + 1])
        if day[at] >= "2025-04-29" and day[at] <= "2025-05-08":
            read_seasons(bank.series, bank.plan, 0, float(times[at]), float(HOUR), 24, read)
            assert read[1] + bank.series.center[0] == pytest.approx(values[at + 24], abs=1e-4), day[at]


def test_lags_of_a_day_and_half_a_day_are_by_the_clock() -> None:
    """Up to a day after the change, 24 hours ago by the clock is a row less or more; other spans count rows."""
    plan = make_plan((1, 12, 24), LEVELS)._replace(clock=make_clock("Europe/Berlin"))
    spring, autumn = (datetime(2025, month, day, 1, tzinfo=UTC) for month, day in ((3, 30), (10, 26)))
    for change, moved in ((spring, -1), (autumn, 1)):
        at = change.timestamp() * 1000
        for rows, cadence in ((24, HOUR), (12, HOUR), (24, HOUR // 2)):
            found = [clock_lag(plan, at + passed * HOUR, float(cadence), rows) for passed in (-1, 0, 11, 23, 24)]
            inside = moved * (HOUR // cadence)
            assert found == [rows + each for each in (0, inside, inside, inside * (rows * cadence == 24 * HOUR), 0)]
        assert clock_lag(plan, at + HOUR, HOUR / 4, 24) == 24
        assert clock_lag(make_plan((1, 12, 24), LEVELS), at + HOUR, float(HOUR), 24) == 24
    terms, ring = np.zeros(13, np.float32), np.arange(50, dtype=np.float32)
    fill_lags(terms, ring, 49, 11, 23, 49.0, 100.0, 100.0, 100.0)
    assert terms == pytest.approx([-0.01, *(-k / 100 for k in range(2, 12)), -0.11, -0.23])


def test_a_time_between_two_slots_is_of_the_earlier_one() -> None:
    """After a change by half an hour, as on Lord Howe Island, 08:30 is the hour of 8 by a profile of full hours."""
    clock, zone = make_clock("Australia/Lord_Howe"), ZoneInfo("Australia/Lord_Howe")
    first, day = datetime(2025, 3, 14, tzinfo=zone).timestamp() * 1000, 24.0 * HOUR
    for date, minute in (("2025-03-20", 0), ("2025-04-10", 30)):
        for hour in range(24):
            at = datetime.fromisoformat(date).replace(hour=hour, minute=minute, tzinfo=zone).timestamp() * 1000
            assert slot_of(clock, at, at, first, day, 24) == hour


@pytest.mark.parametrize(("name", "start"), [("Europe/Berlin", "2025-02-13"), ("America/New_York", "2025-09-18")])
def test_the_day_after_a_change_is_forecast_like_the_week_before(name: str, start: str) -> None:
    """The mean error over some offices; that of forecasts which know the load is up to 1.05 times the week before's."""
    zone, offices, cut = ZoneInfo(name), 10, 48 * 24
    first = int(datetime.fromisoformat(start).replace(tzinfo=zone).timestamp()) * 1000
    times = first + HOUR * np.arange(cut)
    hour = hours(zone, times) % 24
    load = 20 + 60.0 * ((hour >= 8) & (hour < 18)) + 15 * np.isin(hour, (9, 10, 14, 15))
    values = load[:, None] + np.random.default_rng(1).normal(0, 2, (cut, offices))
    settings = ["input.topics=t", "device=cpu", "learning.enabled=false", f"forecast.timezone={name}"]
    forecaster = app.forecaster(load_settings(None, [*settings, "forecast.horizons=1,12,24"]))
    errors = np.zeros((3, cut))
    rows = forecaster.add([f"office-{n}/load" for n in range(offices)])
    for at in range(cut - 24):
        forecasts, _ = forecaster.step(rows, values[at], np.full(offices, times[at]))
        for k, ahead in enumerate((1, 12, 24)):
            errors[k, at + ahead] = np.abs(forecasts.quantiles[:, k, 2] - values[at + ahead]).mean()
    change = change_of(zone, times)
    assert (errors[:, change : change + 24].mean(1) <= 1.25 * errors[:, change - 168 : change].mean(1)).all()


@pytest.mark.parametrize("variant", ["full", "lean"])
def test_each_key_has_its_zone(variant: str) -> None:
    """Series of several zones are forecast as where all have the zone of their key, whatever waves they share."""
    names = ["berlin/load", "york/load", "north/berlin/load", "berlin/temperature"]
    zones = (("berlin", "Europe/Berlin"), ("y*", "America/New_York"), ("*", "UTC"))
    made = {}
    for zone in (zones, "Europe/Berlin", "America/New_York", "UTC"):
        forecaster = small(timezone=zone, variant=variant, enabled=False, horizons=(1, 6))
        rows, found = forecaster.add(names), []
        for at in range(24 * DAYS):
            hour = (at + np.arange(4)) % 24
            values = 20 + 60.0 * ((hour >= 8) & (hour < 18)) + np.random.default_rng(at).normal(0, 1, 4)
            found.append(forecaster.step(rows, values, np.full(4, FIRST + at * HOUR))[0].quantiles)
        made[zone] = np.array(found)
        assert (forecaster.forecast(rows).quantiles == found[-1]).all()
    for row, zone in enumerate(("Europe/Berlin", "America/New_York", "UTC", "Europe/Berlin")):
        assert (made[zones][:, row] == made[zone][:, row]).all(), names[row]
    assert (made["Europe/Berlin"] != made["UTC"]).any()
    assert (made["Europe/Berlin"] != made["America/New_York"]).any()
