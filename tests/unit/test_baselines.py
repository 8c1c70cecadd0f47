"""Baseline forecasts, against independent ones."""

import numpy as np
import pytest
from numpy.typing import NDArray
from river import time_series

from streamrnn.evaluation.baselines import (
    BASELINES,
    DAY,
    HOUR,
    SEASON,
    TREND,
    Baselines,
    HoltWinters,
    choose_season,
    season_lag,
)

HORIZONS = (1, 3, 30)
PERIOD = 24

Floats = NDArray[np.float64]


def wave(rows: int, period: int = PERIOD, seed: int = 0) -> Floats:
    """Return a noisy seasonal wave with a trend."""
    rows_ = np.arange(rows)
    noise = np.random.default_rng(seed).normal(size=rows)
    return 10 * np.sin(2 * np.pi * rows_ / period) + 0.05 * rows_ + noise


def made(values: Floats, first: int, seasons: tuple[float, ...] | None = None, chunk: int = 20) -> Floats:
    """Return forecasts (N, 3, K) of hourly values, scored from the row `first` on."""
    baselines = Baselines(horizons=HORIZONS, seasons=seasons)
    parts = []
    for start in range(0, len(values), chunk):
        rows = range(start, min(start + chunk, len(values)))
        parts.append(
            baselines.forecast([row * HOUR for row in rows], values[list(rows)].tolist(), scored=start >= first)
        )
    return np.concatenate(parts)


def test_holt_winters_is_rivers() -> None:
    """Started alike and without damping, every forecast at every row equals that of river's implementation."""
    values = wave(200)
    ours = HoltWinters(horizons=(1, 5, 24, 30), period=PERIOD, smoothings=(0.3,), damping=1.0)
    theirs = time_series.HoltWinters(alpha=0.3, beta=TREND, gamma=SEASON, seasonality=PERIOD)
    for row, value in enumerate(values.tolist()):
        found = ours.update(value)
        theirs.learn_one(value)
        if row == PERIOD - 1:  # river starts from another trend and, for an additive season, from ratios
            theirs.trend.append(0.0)
            theirs.season.extend((values[:PERIOD] - values[:PERIOD].mean()).tolist())
        if row >= PERIOD - 1:
            expected = theirs.forecast(30)
            assert found == pytest.approx([expected[horizon - 1] for horizon in (1, 5, 24, 30)])


def test_a_damped_trend_fades() -> None:
    """The forecast h steps ahead adds the trend phi + phi^2 + ... + phi^h times."""
    smooth = HoltWinters(horizons=(1, 2, 3), period=0, smoothings=(0.5,), damping=0.5)
    for value in (0.0, 8.0):
        found = smooth.update(value)
    level, trend = 4.0, TREND * 4.0
    assert found == pytest.approx([level + 0.5 * trend, level + 0.75 * trend, level + 0.875 * trend])


def test_the_smoothing_with_the_smallest_errors_forecasts() -> None:
    """A random walk selects the fastest smoothing, noise around a level the slowest."""
    walk, noise = (np.random.default_rng(1).normal(size=400) for _ in range(2))
    for values, best in ((np.cumsum(walk), 0.9), (noise, 0.1)):
        both = HoltWinters(horizons=(1,), period=0, smoothings=(0.1, 0.9))
        alone = HoltWinters(horizons=(1,), period=0, smoothings=(best,))
        for value in values.tolist():
            found, expected = both.update(value), alone.update(value)
        assert found == expected


def test_persistence_and_seasonal_naive_repeat_values() -> None:
    """Persistence repeats the latest value, seasonal naive the one a season before the target, once it is chosen."""
    values = wave(400)
    found = made(values, first=100)
    assert BASELINES == ("persistence", "seasonal naive", "Holt-Winters")
    assert (found[:, 0] == values[:, None]).all()
    assert (found[:100, 1] == values[:100, None]).all(), "not chosen yet"
    for k, horizon in enumerate(HORIZONS):
        rows = np.arange(100, 400)
        back = PERIOD * -(-horizon // PERIOD)
        assert (found[rows, 1, k] == values[rows + horizon - back]).all()


def test_no_baseline_looks_ahead() -> None:
    """A changed value changes no earlier forecast, to the bit."""
    values = wave(400)
    before = made(values, first=100)
    for row in (60, 99, 100, 250):
        values_ = values.copy()
        values_[row] += 100.0
        after = made(values_, first=100)
        assert (after[:row] == before[:row]).all()
        assert (after[row] != before[row]).any()


@pytest.mark.parametrize(("period", "chosen"), [(24, 24), (168, 168)])
def test_the_season_with_the_smallest_errors_is_chosen(period: int, chosen: int) -> None:
    """Day or week, whichever the values repeat with; for a daily pattern the day, although the week fits as well."""
    values = wave(600, period) - 0.05 * np.arange(600)
    times = [row * HOUR for row in range(600)]
    slow = values + np.cumsum(np.random.default_rng(3).normal(0, 0.2, 600))
    assert choose_season(times, slow.tolist(), HORIZONS, None) == chosen


def test_configured_seasons_are_the_only_candidates() -> None:
    """A configured duration is chosen whatever the calendar offers; with none configured there is no season."""
    values, times = wave(600).tolist(), [row * HOUR for row in range(600)]
    assert choose_season(times, values, HORIZONS, (6 * HOUR / 1000,)) == 6
    assert choose_season(times, values, HORIZONS, ()) == 0
    assert (made(wave(200), first=60, seasons=())[:, 1] == wave(200)[:, None]).all()


def test_without_enough_rows_the_shortest_season_is_chosen() -> None:
    """On 60 rows neither day nor week can be tried, so the day is chosen; rows every ten days have no season."""
    rows = range(60)
    assert choose_season([row * HOUR // 2 for row in rows], wave(60).tolist(), HORIZONS, None) == 48
    assert choose_season([row * 10 * DAY for row in rows], wave(60).tolist(), HORIZONS, None) == 0


def test_a_lag_is_the_fewest_whole_seasons_that_span_a_horizon() -> None:
    """One season up to its own length, two beyond."""
    assert [season_lag(24, horizon) for horizon in (1, 24, 25, 49)] == [24, 24, 48, 72]
