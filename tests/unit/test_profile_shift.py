"""A daily profile that is an hour earlier or later is recognised within a day, and nothing else is."""

from itertools import islice

import numpy as np
import orjson
import pytest
from support.bank import bank_of, observe
from support.golden import DATA, STREAMS
from support.streams import HOUR, START

from streamrnn.core.jit import Floats
from streamrnn.log.files import read_csv

MINUTE, DAY = HOUR // 60, 24 * HOUR


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


@pytest.mark.parametrize("cadence", [5 * MINUTE, 15 * MINUTE, HOUR])
@pytest.mark.parametrize("shape", [office, wave, working_week])
@pytest.mark.parametrize("moved", [-1, 1])
def test_a_shift_of_an_hour_is_followed_within_a_day(moved: int, shape: object, cadence: int) -> None:
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
