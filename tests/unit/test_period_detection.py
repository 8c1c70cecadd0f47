"""Seasons found in the values, and seasons that the configuration tells."""

import numpy as np
import pytest

from streamrnn.core.banks.full import Bank
from streamrnn.core.series.calendar import DAY, HOUR, MINUTE, SECOND, WEEK
from streamrnn.core.series.period_detection import HISTORY, autocorrelation, lay_out, look, take_off_trend

EVEN = np.ones(HISTORY, np.int16)
CHANCE = np.random.default_rng(1)


def ring_of(values: np.ndarray) -> np.ndarray:
    """The last values where a series keeps them."""
    ring = np.zeros(HISTORY, np.float32)
    for n, value in enumerate(values):
        ring[n % HISTORY] = value
    return ring


def wave(period: float, rows: int = 900, noise: float = 0.3) -> np.ndarray:
    """A sawtooth with noise on a trend."""
    n = np.arange(rows)
    return 2 * (n / period % 1) + 0.002 * n + noise * CHANCE.normal(size=rows)


def periods(values: np.ndarray, cadence: float, seasons: list[float] | None = None) -> list[float]:
    """The short and the long season (ms) that a bank goes by after these values."""
    bank = Bank(horizons=(1,), quantiles=(0.5,), seasons=seasons)
    row = np.array([bank.add("s")])
    for n, value in enumerate(values):
        bank.observe(row, np.array([value]), np.array([round(1_700_000_000_000 + n * cadence)]))
    return list(bank.series.period[0])


def test_the_autocorrelation_is_that_of_numpy() -> None:
    """Of the last values without their trend; those beyond four mean distances count as these."""
    values = wave(30, 700)
    values[500] += 80
    last = values[-HISTORY:].astype(np.float32).astype(float)
    last -= np.polyval(np.polyfit(np.arange(HISTORY), last, 1), np.arange(HISTORY))
    limit = 4 * np.abs(last).mean()
    last = np.clip(last, -limit, limit)
    last -= last.mean()
    expected = [(last[lag:] * last[: HISTORY - lag]).mean() / (last * last).mean() for lag in range(100)]
    laid, known, found = np.zeros(HISTORY), np.zeros(HISTORY), np.empty(100)
    assert lay_out(ring_of(values), EVEN, len(values), laid, known) == 0
    take_off_trend(laid, known)
    autocorrelation(laid, known, found)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("period", [4, 7, 12, 30, 61.5, 100, 160])
def test_a_period_is_found(period: float) -> None:
    """To a fifth of a row, a whole number exactly, whatever lies under it."""
    found = look(ring_of(wave(period)), EVEN, 900, 0.0, 0.0)
    assert found == period if isinstance(period, int) else abs(found - period) < 0.2


@pytest.mark.parametrize("kind", ["noise", "walk", "memory", "cycle", "constant", "line", "spike"])
def test_what_has_no_period_has_none(kind: str) -> None:
    """In twenty series of each kind: noise, walks, AR(1), a cycle that forgets its phase, and what hardly moves."""
    found = 0.0
    for _ in range(20):
        shocks = CHANCE.normal(size=900)
        values = {"noise": shocks, "walk": shocks.cumsum(), "constant": 0 * shocks, "line": np.arange(900.0)}.get(kind)
        if values is None:
            a, b = {"memory": (0.9, 0.0), "cycle": (1.6, -0.8), "spike": (0.0, 0.0)}[kind]
            values = 0.01 * shocks if kind == "spike" else shocks
            for n in range(2, 900):
                values[n] += a * values[n - 1] + b * values[n - 2]
            if kind == "spike":
                values[600] += 100
        found += look(ring_of(values), EVEN, 900, 0.0, 0.0)
    assert found == 0


def test_a_cycle_that_drifts_out_of_step_is_no_season() -> None:
    """Of twenty such series, which repeat themselves once and not twice, hardly one is taken for seasonal."""
    chance, taken = np.random.default_rng(1), 0
    for _ in range(20):
        values = chance.normal(size=900)
        for n in range(2, 900):
            values[n] += 1.9 * values[n - 1] - 0.95 * values[n - 2]
        taken += look(ring_of(values), EVEN, 900, 0.0, 0.0) > 0
    assert taken <= 1


@pytest.mark.parametrize("missing", [0.1, 0.35])
def test_missing_observations_shift_no_period(missing: float) -> None:
    """A day stays a day, and a period of its own is found where it lies, with rows missing here and there."""
    kept = np.flatnonzero(CHANCE.random(1200) > missing)
    for period, expected in ((24, [DAY, WEEK]), (17, [17 * HOUR, DAY])):
        bank = Bank(horizons=(1,), quantiles=(0.5,))
        row, values = np.array([bank.add("s")]), wave(period, 1200)
        for n in kept:
            bank.observe(row, values[[n]], np.array([round(1_700_000_000_000 + n * HOUR)]))
        np.testing.assert_allclose(bank.series.period[0], expected, rtol=0.02)


def test_what_is_mostly_missing_has_no_period() -> None:
    """Nor does a long gap bring old values into the present."""
    gaps = np.full(HISTORY, 3, np.int16)
    assert look(ring_of(wave(4)), gaps, 900, 0.0, 0.0) == 0
    gaps = EVEN.copy()
    gaps[899 % HISTORY] = HISTORY
    values, known = np.zeros(HISTORY), np.zeros(HISTORY)
    assert lay_out(ring_of(wave(4)), gaps, 900, values, known) == HISTORY - 1
    assert known.sum() == 1


def test_the_calendar_comes_first() -> None:
    """What is the calendar's season, a multiple of it, or no clearer than it, is not taken for a season of its own."""
    day = wave(24)
    assert look(ring_of(day), EVEN, 900, 24.0, 0.0) == 0
    assert look(ring_of(day), EVEN, 900, 12.0, 0.0) == 0
    both = np.sin(2 * np.pi * np.arange(900) / 24) + 0.8 * np.sin(2 * np.pi * np.arange(900) / 10)
    assert look(ring_of(both), EVEN, 900, 24.0, 0.0) == 0
    assert look(ring_of(wave(12)), EVEN, 900, 24.0, 0.0) == 0
    assert look(ring_of(day), EVEN, 900, 31.0, 0.0) == 24


def test_a_period_that_was_found_is_kept_until_it_is_gone() -> None:
    """It is given up where the values repeat no more."""
    assert look(ring_of(wave(12)), EVEN, 900, 0.0, 12.0) == 12
    assert look(ring_of(CHANCE.normal(size=900)), EVEN, 900, 0.0, 12.0) == 0


def test_a_bank_goes_by_a_period_of_its_own() -> None:
    """Twelve rows of five minutes, and the day beside it; the calendar alone before it can be known, or without it."""
    assert periods(wave(12, 127), 5 * MINUTE) == [DAY, WEEK]
    assert periods(wave(12, 140), 5 * MINUTE) == [12 * 5 * MINUTE, DAY]
    assert periods(CHANCE.normal(size=140), 5 * MINUTE) == [DAY, WEEK]
    assert periods(wave(100, 600), 7 * SECOND) == [700 * SECOND, HOUR]
    assert periods(wave(30, 600), 10.0) == [300, 0]


def test_seasons_may_be_told() -> None:
    """Then nothing is looked for."""
    assert periods(wave(12, 140), 5 * MINUTE, []) == [0, 0]
    assert periods(wave(12, 140), 5 * MINUTE, [3600]) == [HOUR, 0]
    assert periods(wave(12, 140), 5 * MINUTE, [3600, 7200]) == [HOUR, 2 * HOUR]


def test_looking_changes_nothing_but_the_season() -> None:
    """A wild value cannot make it fail, nor a ring that is longer than what is looked at."""
    values = wave(12)
    values[[700, 701]] = 3e37, -3e37
    assert look(ring_of(values), EVEN, 900, 0.0, 0.0) in {0.0, 12.0}
    longer = np.zeros(1001, np.float32)
    longer[:900] = wave(12)
    assert look(longer, np.ones(1001, np.int16), 900, 0.0, 0.0) == 12
