"""A daily profile that is an hour earlier or later is recognised within a day, and nothing else is."""

from itertools import islice

import numpy as np
import orjson
import pytest
from support.bank import bank_of, observe
from support.golden import DATA, STREAMS
from support.streams import HOUR, START

from streamrnn.core.jit import Floats, Integers
from streamrnn.core.series.seasonal_state import read_seasons
from streamrnn.log.files import read_csv

MINUTE, DAY = HOUR // 60, 24 * HOUR
SPRING, AUTUMN = 1_743_296_400_000, 1_761_440_400_000  # 2025-03-30 and 2025-10-26, 01:00 UTC


def office(hour: Floats) -> Floats:
    """Return load by hour of the day."""
    clock = np.floor(hour % 24)
    return 20 + 60.0 * ((clock >= 8) & (clock < 18)) + 15 * np.isin(clock, (9, 10, 14, 15))


def wave(hour: Floats) -> Floats:
    """Return a smooth profile by hour of the day."""
    return 50 + 40 * np.sin(2 * np.pi * hour / 24) + 8 * np.sin(6 * np.pi * hour / 24 + 1)


def working_week(hour: Floats) -> Floats:
    """Return load that is flat on Saturdays and Sundays."""
    return np.where(hour % 168 < 120, office(hour), 20.0)


@pytest.mark.parametrize(
    ("cadence", "moved"),
    [
        (5 * MINUTE, -1),
        pytest.param(5 * MINUTE, 1, marks=pytest.mark.long),
        pytest.param(15 * MINUTE, -1, marks=pytest.mark.long),
        (15 * MINUTE, 2),
        (HOUR, 1),
        (HOUR, -2),
        (HOUR, 3),
    ],
)
@pytest.mark.parametrize("shape", [office, wave, working_week])
def test_a_shift_of_some_hours_is_followed_within_a_day(moved: int, shape: object, cadence: int) -> None:
    """From a day after the change on, the value and the profile of the season are right again, and only then moved."""
    rng, rows = np.random.default_rng(3), 36 * DAY // cadence
    hours = np.arange(rows) * cadence / HOUR
    change = 30 * DAY // cadence  # a Wednesday
    values = np.where(np.arange(rows) < change, shape(hours), shape(hours - moved)) + rng.normal(0, 2, rows)
    bank, first = bank_of(), []
    for at in range(0, rows, HOUR // cadence):
        observe(bank, values[at : at + HOUR // cadence], START + cadence * np.arange(at, at + HOUR // cadence))
        first.append(int(bank.series.first[0]) - START)
    steps = np.array(first) / HOUR
    assert (steps[: 30 * 24] == 0).all()
    assert (steps[31 * 24 :] == moved).all()


@pytest.mark.parametrize("cadence", [15 * MINUTE, HOUR])
@pytest.mark.parametrize("moved", [-1, 1])
def test_a_profile_with_closed_hours_is_followed(moved: int, cadence: int) -> None:
    """Where a series has rows from 7 to 23 o'clock only, the hours without any are no reason to wait."""
    rng, rows = np.random.default_rng(3), 36 * DAY // cadence
    hours = np.arange(rows) * cadence / HOUR
    local = np.where(hours < 30 * 24, hours, hours - moved)
    values, open_ = office(local) + rng.normal(0, 2, rows), (local % 24 >= 7) & (local % 24 < 23)
    bank = bank_of()
    observe(bank, values[open_ & (hours < 30 * 24)], (START + HOUR * hours[open_ & (hours < 30 * 24)]).astype(np.int64))
    begin = int(bank.series.first[0])
    after = open_ & (hours >= 30 * 24) & (hours < 32 * 24)
    observe(bank, values[after], (START + HOUR * hours[after]).astype(np.int64))
    assert bank.series.first[0] - begin == moved * HOUR


def changed(shape: object, change: int, moved: int) -> tuple[Integers, Floats]:
    """Return times and values from a Monday on, of which the 42nd day, a Sunday, has a change (ms)."""
    times = np.arange(change - 41 * DAY - 2 * HOUR, change + 7 * DAY, HOUR)
    hours = (times - times[0]) / HOUR
    rng = np.random.default_rng(3)
    values = shape(np.where(times < change, hours, hours - moved)) + rng.normal(0, 2, len(times))
    return times, values


def first_move(times: Integers, values: Floats) -> tuple[float, float]:
    """Return when the phases of a series have moved, hours since its first observation, and by how many hours."""
    bank = bank_of()
    for at in range(len(times)):
        observe(bank, values[at : at + 1], times[at : at + 1])
        if bank.series.first[0] != times[0]:
            return (times[at] - times[0]) / HOUR, (bank.series.first[0] - times[0]) / HOUR
    return np.inf, 0.0


@pytest.mark.parametrize(("change", "moved"), [(SPRING, -1), (AUTUMN, 1)])
@pytest.mark.parametrize(("shape", "within"), [(office, 7), (wave, 12), (working_week, 32)])
def test_a_usual_change_of_clocks_is_followed_by_the_first_edge(
    change: int, moved: int, shape: object, within: int
) -> None:
    """On the day of a usual change the first values that show it suffice; a Sunday may have none."""
    times, values = changed(shape, change, moved)
    hours, found = first_move(times, values)
    assert found == moved
    assert 0 <= hours - (change - times[0]) / HOUR <= within


def test_on_other_days_a_shift_takes_a_day_to_be_recognised() -> None:
    """The first edge alone is no evidence."""
    change = SPRING - 14 * DAY
    times, values = changed(office, change, -1)
    hours, found = first_move(times, values)
    assert found == -1
    assert 12 < hours - (change - times[0]) / HOUR <= 24


def test_after_a_usual_change_the_tables_are_those_of_the_new_phases() -> None:
    """The latest value at every phase, and the one a season before, are those of the same local time."""
    bank, (times, values) = bank_of(), changed(office, SPRING, -1)
    rows = int(np.searchsorted(times, SPRING)) + 6
    observe(bank, values[:rows], times[:rows])
    assert bank.series.first[0] == times[0] - HOUR
    read, local = np.empty(5), (times - times[0]) / HOUR + (times >= SPRING)
    for ahead in range(24):
        read_seasons(bank.series, bank.plan, 0, float(times[rows - 1]), float(HOUR), ahead, read)
        expected = office(local[rows - 1 + ahead : rows + ahead])
        assert abs(read[:2] + bank.series.center[0] - expected).max() < 9, ahead


@pytest.mark.parametrize("shape", [office, wave, working_week])
def test_series_that_follow_no_change_are_left_alone_at_one(shape: object) -> None:
    """A profile that does not move, one that moves otherwise, and an early peak leave the phases where they are."""
    times, values = changed(shape, SPRING, 0)
    edge = int(np.searchsorted(times, SPRING)) + 6
    peak = values.copy()
    peak[edge] += 200
    for each in (values, peak, np.where(times < SPRING, values, values * 1.4 + 10)):
        assert first_move(times, each) == (np.inf, 0.0)


@pytest.mark.parametrize("stream", STREAMS)
def test_ordinary_series_are_left_alone(stream: str) -> None:
    """Real series without a change of clock keep their phases."""
    records = list(islice(read_csv(DATA / f"{stream}.csv", 0), 4000))
    times = np.array([record.timestamp for record in records])
    columns = [orjson.loads(record.value) for record in records]
    for name in columns[0]:
        if isinstance(columns[0][name], float | int) and name not in ("time", "timestamp"):
            bank = bank_of()
            observe(bank, [column[name] for column in columns], times)
            assert bank.series.first[0] == times[0]


def test_a_change_of_shape_is_no_shift() -> None:
    """A new profile, noise, a level that moves, and half an hour at an hourly cadence leave the phases alone."""
    rng, hours = np.random.default_rng(4), np.arange(40.0 * 24)
    late = hours >= 30 * 24
    for values in (
        np.where(late, wave(hours + 6), office(hours)),
        np.where(late, office(hours) * 1.5 + 10, office(hours)),
        rng.normal(0, 2, len(hours)),
        np.cumsum(rng.normal(0, 1, len(hours))),
        wave(hours) + rng.normal(0, 25, len(hours)),
    ):
        bank = bank_of()
        observe(bank, values, START + HOUR * hours)
        assert bank.series.first[0] == START
