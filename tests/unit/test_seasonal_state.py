"""Cadence, calendar and tables by phase."""

import math

import numpy as np
import pytest
from support.bank import bank_of, observe
from support.streams import HOUR, START

from streamrnn.core.banks.full import Bank
from streamrnn.core.jit import Floats
from streamrnn.core.series import calendar
from streamrnn.core.series.scaling import code, decoded
from streamrnn.core.series.seasonal_state import DAMPING, LEVEL, SEASON, TREND, read_seasons
from streamrnn.core.series.state import LONG_SLOTS, SHORT_SLOTS

DAY_ROWS = 24


def found(bank: Bank, ahead: int, cadence: float = HOUR) -> Floats:
    """What the seasons say of `ahead` rows after the latest one, as values: latest short, long, profile short, long."""
    read = np.empty(5)
    read_seasons(bank.series, 0, float(bank.series.time[0]), float(cadence), ahead, read)
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
    assert calendar.seasons(float(cadence)) == (short, long)


@pytest.mark.parametrize("cadence", calendar.ROUND_CADENCES)
def test_every_round_cadence_has_a_season(cadence: float) -> None:
    """Its short season is one of the calendar's with 4 to 2016 rows, the long one the next above it."""
    short, long = calendar.seasons(cadence)
    periods = [*calendar.PERIODS, 0.0]
    assert long == periods[periods.index(short) + 1]
    assert calendar.FEWEST_ROWS <= short / cadence <= calendar.MOST_ROWS
    for near in (0.99, 1.01):
        assert calendar.rounded(cadence * near) == cadence
    assert calendar.rounded(cadence * 1.03) == pytest.approx(cadence * 1.03)
    assert 1 <= calendar.slots_of(short, cadence, SHORT_SLOTS) <= SHORT_SLOTS
    assert calendar.slots_of(long, cadence, LONG_SLOTS) <= LONG_SLOTS


def test_the_cadence_survives_jitter_and_gaps() -> None:
    """With 1% jitter and every tenth message missing the cadence is the round one; after a change it follows."""
    rng = np.random.default_rng(0)
    cadence, votes = 0.0, 0
    for _ in range(500):
        passed = (2 if rng.random() < 0.1 else 1) * 300_000 * (1 + rng.normal() * 0.01)
        cadence, votes = calendar.vote(cadence, votes, passed)
    assert calendar.rounded(cadence) == 300_000
    for _ in range(600):
        cadence, votes = calendar.vote(cadence, votes, 60_000.0)
    assert calendar.rounded(cadence) == 60_000


def daily(hours: Floats) -> Floats:
    """A value for each hour of the day; no two alike."""
    return 50 + 10 * np.sin(2 * np.pi * np.floor(hours) / DAY_ROWS) + 0.3 * (np.floor(hours) % DAY_ROWS)


def smoothed(hour: float) -> float:
    """The profile of the week is read as the mean over five neighbouring hours."""
    return float(daily(hour + np.arange(-2.0, 3.0)).mean())


def test_a_gap_shifts_no_season() -> None:
    """With rows missing here and there, and two days at a stretch, all reads are those of the series without gaps."""
    rng, hours = np.random.default_rng(1), np.arange(24.0 * 28)
    kept = rng.random(len(hours)) > 0.1
    kept[:4] = True
    kept[500:548] = False
    whole, gappy = bank_of(), bank_of()
    compared = 0
    for hour, here in zip(hours, kept, strict=True):
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
    """Messages that come up to 30% of a cadence early or late, for days, are read at the phase they belong to."""
    rng, hours = np.random.default_rng(2), np.arange(24 * 14)
    bank = bank_of()
    observe(bank, daily(hours[: 24 * 10]))
    for hour in hours[24 * 10 :]:
        time = START + HOUR * (hour + rng.uniform(-0.3, 0.3))
        observe(bank, daily(np.array([float(hour)])), [time])
        assert calendar.rounded(bank.series.cadence[0]) == HOUR
        for ahead in (0, 1, 7, 24):
            expected = [*daily(np.full(3, float(hour + ahead))), smoothed(hour + ahead)]
            np.testing.assert_allclose(found(bank, ahead), expected, atol=1e-4)


def test_a_season_of_many_rows_is_kept_in_bins() -> None:
    """A day of 1,440 minutes is kept in 288 phases of five: what is read is at most a phase's width away."""
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
    assert calendar.slots_of(calendar.DAY, float(cadence), SHORT_SLOTS) == SHORT_SLOTS


def test_what_was_a_season_ago_is_not_what_has_just_come() -> None:
    """At no rows ahead the latest value of the phase is the one of a season ago, not the present one."""
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


def test_a_season_that_has_not_been_seen_says_nothing() -> None:
    """Before a whole season has passed it is not known, and what is made of it is 0."""
    bank = bank_of()
    described = observe(bank, np.random.default_rng(0).normal(size=23))
    assert np.isnan(found(bank, 1)).all()
    assert (described.points[:, :, :8] == 0).all()


def test_holt_winters_is_the_textbooks() -> None:
    """Damped additive Holt-Winters, written out: level, trend, season and forecasts agree row by row."""
    rng, days = np.random.default_rng(4), 12
    hours = np.arange(DAY_ROWS * days)
    values = 0.05 * hours + 8 * np.sin(2 * np.pi * hours / DAY_ROWS) + rng.normal(size=len(hours))
    bank = bank_of()
    level, trend, seasons, origin = 0.0, 0.0, np.zeros(DAY_ROWS), values[0]
    for t, value in enumerate(values - origin):
        described = observe(bank, [values[t]])
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
                expected = (level + rise + seasons[(t + h) % DAY_ROWS] - value) / described.units[0, k]
                assert described.points[0, k, 11] == pytest.approx(np.clip(expected, -10, 10), abs=1e-3)
    np.testing.assert_allclose(bank.series.short[0, 2, :DAY_ROWS], seasons, atol=1e-4)


def test_another_cadence_begins_the_seasons_anew() -> None:
    """A series that changes from hours to seconds forgets its day, and reads minute and hour."""
    bank = bank_of()
    observe(bank, np.arange(400.0))
    last = int(bank.series.time[0])
    observe(bank, np.zeros(600), last + 1_000 * np.arange(1, 601))
    assert bank.series.period[0].tolist() == [calendar.MINUTE, calendar.HOUR]
    assert found(bank, 1, 1_000)[0] == 0


def test_a_coded_number_comes_back() -> None:
    """Sixteen bits hold a number to 1 / 65,534 of the unit, the ends and 0 exactly; beyond it, the nearer end."""
    for value in np.linspace(-10, 10, 4001):
        assert abs(decoded(code(float(value), 10.0), 10.0) - value) <= 10 / 65_534 * (1 + 1e-9)
    assert [decoded(code(value, 10.0), 10.0) for value in (0.0, 10.0, -10.0, 1e30, -math.inf)] == [0, 10, -10, 10, -10]
    assert -32767 <= code(-1e300, 1e-300) < code(1e300, 1e-300) <= 32767
