"""Cadence, calendar seasons and tables by phase."""

import math

import numpy as np
import pytest
from support.bank import bank_of, observe
from support.streams import HOUR, START

from streamrnn.core.banks.full import FullBank
from streamrnn.core.jit import Floats
from streamrnn.core.series import calendar
from streamrnn.core.series.scaling import decode16, encode16
from streamrnn.core.series.seasonal_state import DAMPING, LEVEL, SEASON, TREND, read_seasons
from streamrnn.core.series.state import LONG_SLOTS, SHORT_SLOTS

DAY_ROWS = 24


def found(bank: FullBank, ahead: int, cadence: float = HOUR) -> Floats:
    """Return latest short, latest long, profile short and profile long, `ahead` rows after the latest, as values."""
    read = np.empty(5)
    read_seasons(bank.series, bank.plan, 0, float(bank.series.time[0]), float(cadence), ahead, read)
    return read[:4] + bank.series.center[0]


@pytest.mark.parametrize(
    ("cadence", "short", "long"),
    [
        (1_000, calendar.MINUTE, calendar.HOUR),
        (5_000, calendar.HOUR, calendar.DAY),
        (10_000, calendar.HOUR, calendar.DAY),
        (30_000, calendar.HOUR, calendar.DAY),
        (60_000, calendar.DAY, calendar.WEEK),
        (300_000, calendar.DAY, calendar.WEEK),
        (1_800_000, calendar.DAY, calendar.WEEK),
        (HOUR, calendar.DAY, calendar.WEEK),
        (6 * HOUR, calendar.DAY, calendar.WEEK),
        (8 * HOUR, calendar.WEEK, calendar.YEAR),
        (24 * HOUR, calendar.WEEK, calendar.YEAR),
        (7 * 24 * HOUR, calendar.YEAR, 0.0),
        (400 * 24 * HOUR, 0.0, 0.0),
        (5, 0.0, 0.0),
        (0, 0.0, 0.0),
    ],
)
def test_seasons_follow_from_the_cadence(cadence: float, short: float, long: float) -> None:
    """The calendar rule: a day and its week where they fit, else the hour or minute below, or week and year above."""
    assert calendar.calendar_seasons(float(cadence)) == (short, long)


@pytest.mark.parametrize("cadence", calendar.ROUND_CADENCES)
def test_every_round_cadence_has_a_season(cadence: float) -> None:
    """The short season is one of the calendar's with 4 to 2016 rows, the long one the next longer."""
    short, long = calendar.calendar_seasons(cadence)
    periods = [*calendar.PERIODS, 0.0]
    assert long == periods[periods.index(short) + 1]
    assert calendar.MIN_STEPS <= short / cadence <= calendar.MAX_STEPS
    for near in (0.99, 1.01):
        assert calendar.round_cadence(cadence * near) == cadence
    assert calendar.round_cadence(cadence * 1.03) == pytest.approx(cadence * 1.03)
    assert 1 <= calendar.slot_count(short, cadence, SHORT_SLOTS) <= SHORT_SLOTS
    assert calendar.slot_count(long, cadence, LONG_SLOTS) <= LONG_SLOTS


def test_the_cadence_survives_jitter_and_gaps() -> None:
    """With 1% jitter and 10% missing messages the cadence is the round one; it follows a change."""
    rng = np.random.default_rng(0)
    cadence, votes = 0.0, 0
    for _ in range(500):
        passed = (2 if rng.random() < 0.1 else 1) * 300_000 * (1 + rng.normal() * 0.01)
        cadence, votes = calendar.vote_cadence(cadence, votes, passed)
    assert calendar.round_cadence(cadence) == 300_000
    for _ in range(600):
        cadence, votes = calendar.vote_cadence(cadence, votes, 60_000.0)
    assert calendar.round_cadence(cadence) == 60_000


def daily(hours: Floats) -> Floats:
    """Return a different value for each hour of the day."""
    return 50 + 10 * np.sin(2 * np.pi * np.floor(hours) / DAY_ROWS) + 0.3 * (np.floor(hours) % DAY_ROWS)


def smoothed(hour: float) -> float:
    """Return the weekly profile: the mean over five neighbouring hours."""
    return float(daily(hour + np.arange(-2.0, 3.0)).mean())


def test_a_gap_shifts_no_season() -> None:
    """With single rows and two whole days missing, all reads equal those of the series without gaps."""
    rng, hours = np.random.default_rng(1), np.arange(24.0 * 28)
    present = rng.random(len(hours)) > 0.1
    present[:4] = True
    present[500:548] = False
    whole, gappy = bank_of(), bank_of()
    compared = 0
    for hour, here in zip(hours, present, strict=True):
        value, time = daily(np.array([hour])), [START + HOUR * hour]
        observe(whole, value, time)
        if not here:
            continue
        observe(gappy, value, time)
        if hour >= 24 * 21:  # every phase of the week was seen at least once
            for ahead in (0, 1, 5, 12, 24):
                expected = [*daily(np.full(3, hour + ahead)), smoothed(hour + ahead)]
                reads = found(gappy, ahead)
                known = ~np.isnan(reads)
                np.testing.assert_allclose(reads[:3][known[:3]], expected[:3][0], atol=1e-4)
                assert known[[0, 2, 3]].all()
                assert abs(reads[3] - expected[3]) < 4  # the mean over those of the five that are known
                np.testing.assert_allclose(found(whole, ahead), expected, atol=1e-4)
                compared += 1
    assert compared > 300


def test_jitter_shifts_no_season() -> None:
    """Messages up to 30% of a cadence early or late are assigned to their phase."""
    rng, hours = np.random.default_rng(2), np.arange(24 * 14)
    bank = bank_of()
    observe(bank, daily(hours[: 24 * 10]))
    for hour in hours[24 * 10 :]:
        time = START + HOUR * (hour + rng.uniform(-0.3, 0.3))
        observe(bank, daily(np.array([float(hour)])), [time])
        assert calendar.round_cadence(bank.series.cadence[0]) == HOUR
        for ahead in (0, 1, 7, 24):
            expected = [*daily(np.full(3, float(hour + ahead))), smoothed(hour + ahead)]
            np.testing.assert_allclose(found(bank, ahead), expected, atol=1e-4)


def test_a_season_of_many_rows_is_binned() -> None:
    """A day of 1,440 minutes has 288 phases of five; reads are at most the width of a phase off."""
    minutes, cadence = np.arange(1440 * 3), 60_000
    values = 100 * np.sin(2 * np.pi * minutes / 1440)
    bank = bank_of()
    steepest = 100 * 2 * np.pi / 1440
    for part in np.split(np.arange(len(minutes)), range(0, len(minutes), 97)):
        if len(part):
            observe(bank, values[part], START + cadence * minutes[part])
        if len(part) and part[-1] > 1440 * 2:
            now = minutes[part[-1]]
            for ahead in (0, 1, 12, 60, 600):
                expected = 100 * np.sin(2 * np.pi * (now + ahead) / 1440)
                short, _, profile, _ = found(bank, ahead, cadence)
                assert abs(short - expected) <= 5.5 * steepest
                assert abs(profile - expected) <= 5.5 * steepest
    assert calendar.slot_count(calendar.DAY, float(cadence), SHORT_SLOTS) == SHORT_SLOTS


def test_the_value_a_season_ago_is_not_the_present_one() -> None:
    """At zero rows ahead the latest value of the phase is the one a season ago."""
    rng, bank = np.random.default_rng(3), bank_of()
    values = rng.normal(size=24 * 9)
    for t, value in enumerate(values):
        observe(bank, [value])
        if t > 24:  # the very first value came before there was a cadence
            assert found(bank, 0)[0] == pytest.approx(values[t - 24], abs=1e-6)
            assert found(bank, 5)[0] == pytest.approx(values[t - 19], abs=1e-6)
            assert found(bank, 24)[0] == pytest.approx(value, abs=1e-6)
        if t > 168:
            assert found(bank, 1)[1] == pytest.approx(values[t - 167], abs=1e-6)


def test_an_unseen_season_is_unknown() -> None:
    """Before a whole season has passed, reads are NaN and seasonal experts forecast 0."""
    bank = bank_of()
    features = observe(bank, np.random.default_rng(0).normal(size=23))
    assert np.isnan(found(bank, 1)).all()
    assert (features.points[:, :, :8] == 0).all()


def test_holt_winters_matches_the_textbook() -> None:
    """Damped additive Holt-Winters, written out: level, trend, season and forecasts agree row by row."""
    rng, days = np.random.default_rng(4), 12
    hours = np.arange(DAY_ROWS * days)
    values = 0.05 * hours + 8 * np.sin(2 * np.pi * hours / DAY_ROWS) + rng.normal(size=len(hours))
    bank = bank_of()
    level, trend, seasons, origin = 0.0, 0.0, np.zeros(DAY_ROWS), values[0]
    for t, value in enumerate(values - origin):
        features = observe(bank, [values[t]])
        slot, before = t % DAY_ROWS, level
        if t < DAY_ROWS:
            level += min(0.02 + 1 / (t + 1), 1.0) * (value - level)
            trend, seasons[slot] = 0.0, value - level
        else:
            level = LEVEL * (value - seasons[slot]) + (1 - LEVEL) * (level + DAMPING * trend)
            trend = TREND * (level - before) + (1 - TREND) * DAMPING * trend
            seasons[slot] += SEASON * (value - level - seasons[slot])
        assert bank.series.level[0] == pytest.approx(level, abs=1e-4)
        assert bank.series.trend[0] == pytest.approx(trend, abs=1e-4)
        if t >= 2 * DAY_ROWS:
            for k, h in enumerate((1, 12, 24)):
                rise = sum(DAMPING**i for i in range(1, h + 1)) * trend
                expected = (level + rise + seasons[(t + h) % DAY_ROWS] - value) / features.units[0, k]
                assert features.points[0, k, 11] == pytest.approx(np.clip(expected, -10, 10), abs=1e-3)
    np.testing.assert_allclose(bank.series.short[0, 2, :DAY_ROWS], seasons, atol=1e-4)


def test_another_cadence_resets_the_seasons() -> None:
    """A series that changes from hours to seconds gets the seasons minute and hour."""
    bank = bank_of()
    observe(bank, np.arange(400.0))
    last = int(bank.series.time[0])
    observe(bank, np.zeros(600), last + 1_000 * np.arange(1, 601))
    assert bank.series.period[0].tolist() == [calendar.MINUTE, calendar.HOUR]
    assert found(bank, 1, 1_000)[0] == 0


def test_16_bit_codes_round_trip() -> None:
    """Codes are exact to 1 / 65,534 of the unit, and exact at 0 and the ends, at which they clip."""
    for value in np.linspace(-10, 10, 4001):
        assert abs(decode16(encode16(float(value), 10.0), 10.0) - value) <= 10 / 65_534 * (1 + 1e-9)
    assert [decode16(encode16(value, 10.0), 10.0) for value in (0.0, 10.0, -10.0, 1e30, -math.inf)] == [
        0,
        10,
        -10,
        10,
        -10,
    ]
    assert -32767 <= encode16(-1e300, 1e-300) < encode16(1e300, 1e-300) <= 32767
