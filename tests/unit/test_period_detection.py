"""Seasons detected in the values, and configured seasons."""

import numpy as np
import pytest

from streamrnn.core.banks.full import FullBank
from streamrnn.core.series.calendar import DAY, HOUR, MINUTE, SECOND, WEEK
from streamrnn.core.series.period_detection import HISTORY, autocorrelation, detect_period, detrend, fill_grid

EVEN = np.ones(HISTORY, np.int16)
CHANCE = np.random.default_rng(1)


def ring_of(values: np.ndarray) -> np.ndarray:
    """Return the ring of the last values."""
    ring = np.zeros(HISTORY, np.float32)
    for n, value in enumerate(values):
        ring[n % HISTORY] = value
    return ring


def wave(period: float, rows: int = 900, noise: float = 0.3) -> np.ndarray:
    """Return a sawtooth with noise on a trend."""
    n = np.arange(rows)
    return 2 * (n / period % 1) + 0.002 * n + noise * CHANCE.normal(size=rows)


def periods(values: np.ndarray, cadence: float, seasons: list[float] | None = None) -> list[float]:
    """Return the periods (ms) of a bank's short and long season after these values."""
    bank = FullBank(horizons=(1,), quantiles=(0.5,), seasons=seasons)
    row = bank.add(["s"])
    for n, value in enumerate(values):
        bank.observe(row, np.array([value]), np.array([round(1_700_000_000_000 + n * cadence)]))
    return list(bank.series.period[0])


def test_the_autocorrelation_is_that_of_numpy() -> None:
    """Of the detrended last values, clipped at four mean distances."""
    values = wave(30, 700)
    values[500] += 80
    last = values[-HISTORY:].astype(np.float32).astype(float)
    last -= np.polyval(np.polyfit(np.arange(HISTORY), last, 1), np.arange(HISTORY))
    limit = 4 * np.abs(last).mean()
    last = np.clip(last, -limit, limit)
    last -= last.mean()
    expected = [(last[lag:] * last[: HISTORY - lag]).mean() / (last * last).mean() for lag in range(100)]
    values_on_grid, known, found = np.zeros(HISTORY), np.zeros(HISTORY), np.empty(100)
    assert fill_grid(ring_of(values), EVEN, len(values), values_on_grid, known) == 0
    detrend(values_on_grid, known)
    autocorrelation(values_on_grid, known, found)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("period", [4, 7, 12, 30, 61.5, 100, 160])
def test_a_period_is_detected(period: float) -> None:
    """Within a fifth of a row, whole numbers exactly, on top of a trend."""
    found = detect_period(ring_of(wave(period)), EVEN, 900, 0.0, 0.0)
    assert found == period if isinstance(period, int) else abs(found - period) < 0.2


@pytest.mark.parametrize("kind", ["noise", "walk", "memory", "cycle", "constant", "line", "spike"])
def test_series_without_a_period_have_none(kind: str) -> None:
    """In twenty series of each kind: noise, walks, AR(1), a damped cycle, and nearly constant ones."""
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
        found += detect_period(ring_of(values), EVEN, 900, 0.0, 0.0)
    assert found == 0


def test_a_cycle_with_a_drifting_phase_is_no_season() -> None:
    """Of twenty such series, which repeat themselves once and not twice, at most one is called seasonal."""
    chance, detected = np.random.default_rng(1), 0
    for _ in range(20):
        values = chance.normal(size=900)
        for n in range(2, 900):
            values[n] += 1.9 * values[n - 1] - 0.95 * values[n - 2]
        detected += detect_period(ring_of(values), EVEN, 900, 0.0, 0.0) > 0
    assert detected <= 1


@pytest.mark.parametrize("missing", [0.1, 0.35])
def test_missing_observations_shift_no_period(missing: float) -> None:
    """Calendar seasons and detected ones are the same with missing rows."""
    present = np.flatnonzero(CHANCE.random(1200) > missing)
    for period, expected in ((24, [DAY, WEEK]), (17, [17 * HOUR, DAY])):
        bank = FullBank(horizons=(1,), quantiles=(0.5,))
        row, values = bank.add(["s"]), wave(period, 1200)
        for n in present:
            bank.observe(row, values[[n]], np.array([round(1_700_000_000_000 + n * HOUR)]))
        np.testing.assert_allclose(bank.series.period[0], expected, rtol=0.02)


def test_sparse_series_have_no_period() -> None:
    """A long gap removes the values before it from the grid."""
    gaps = np.full(HISTORY, 3, np.int16)
    assert detect_period(ring_of(wave(4)), gaps, 900, 0.0, 0.0) == 0
    gaps = EVEN.copy()
    gaps[899 % HISTORY] = HISTORY
    values, known = np.zeros(HISTORY), np.zeros(HISTORY)
    assert fill_grid(ring_of(wave(4)), gaps, 900, values, known) == HISTORY - 1
    assert known.sum() == 1


def test_the_calendar_takes_precedence() -> None:
    """No period is detected that is the calendar's, a multiple of it, or no stronger than it."""
    day = wave(24)
    assert detect_period(ring_of(day), EVEN, 900, 24.0, 0.0) == 0
    assert detect_period(ring_of(day), EVEN, 900, 12.0, 0.0) == 0
    both = np.sin(2 * np.pi * np.arange(900) / 24) + 0.8 * np.sin(2 * np.pi * np.arange(900) / 10)
    assert detect_period(ring_of(both), EVEN, 900, 24.0, 0.0) == 0
    assert detect_period(ring_of(wave(12)), EVEN, 900, 24.0, 0.0) == 0
    assert detect_period(ring_of(day), EVEN, 900, 31.0, 0.0) == 24


def test_a_detected_period_is_retained_while_it_recurs() -> None:
    """It is dropped when the values no longer repeat."""
    assert detect_period(ring_of(wave(12)), EVEN, 900, 0.0, 12.0) == 12
    assert detect_period(ring_of(CHANCE.normal(size=900)), EVEN, 900, 0.0, 12.0) == 0


def test_a_bank_uses_a_detected_period() -> None:
    """Beside the calendar's day; before detection, or without a period, the calendar's seasons alone."""
    assert periods(wave(12, 127), 5 * MINUTE) == [DAY, WEEK]
    assert periods(wave(12, 140), 5 * MINUTE) == [12 * 5 * MINUTE, DAY]
    assert periods(CHANCE.normal(size=140), 5 * MINUTE) == [DAY, WEEK]
    assert periods(wave(100, 600), 7 * SECOND) == [700 * SECOND, HOUR]
    assert periods(wave(30, 600), 10.0) == [300, 0]


def test_configured_seasons_disable_detection() -> None:
    """None, one or two periods may be configured."""
    assert periods(wave(12, 140), 5 * MINUTE, []) == [0, 0]
    assert periods(wave(12, 140), 5 * MINUTE, [3600]) == [HOUR, 0]
    assert periods(wave(12, 140), 5 * MINUTE, [3600, 7200]) == [HOUR, 2 * HOUR]


def test_detection_tolerates_extreme_values() -> None:
    """Huge values do not break it, nor does a ring longer than HISTORY."""
    values = wave(12)
    values[[700, 701]] = 3e37, -3e37
    assert detect_period(ring_of(values), EVEN, 900, 0.0, 0.0) in {0.0, 12.0}
    longer = np.zeros(1001, np.float32)
    longer[:900] = wave(12)
    assert detect_period(longer, np.ones(1001, np.int16), 900, 0.0, 0.0) == 12


@pytest.mark.parametrize("known_share", [1.0, 0.7])
def test_the_autocorrelation_is_summed_in_the_order_of_the_values(known_share: float) -> None:
    """Its bits are those of one sum after another, for any number of values, so that forecasts do not change."""
    for size in (2, 3, 5, 127, 128, 254, 511, 512):
        known = (CHANCE.random(size) < known_share).astype(np.float64)
        known[0] = 1.0
        values = CHANCE.normal(size=size) * known
        found = np.empty(2 * size // 3)
        autocorrelation(values, known, found)
        for lag, share in enumerate(found.tolist()):
            total, pairs = 0.0, 0.0
            for i in range(lag, size):
                total += float(values[i]) * float(values[i - lag])
                pairs += float(known[i]) * float(known[i - lag])
            power = float(np.cumsum(values * values)[-1]) / known.sum()
            assert share == (total / pairs / power if pairs > 0 else 0.0)
