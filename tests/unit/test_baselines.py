"""The forecasts that a report compares with, against independent ones."""

import numpy as np
import pytest
from numpy.typing import NDArray
from river import time_series

from streamrnn.evaluation.baselines import DAY, HOUR, NAMES, SEASON, TREND, HoltWinters, References, lag, season

HORIZONS = (1, 3, 30)
PERIOD = 24

Floats = NDArray[np.float64]


def wave(rows: int, period: int = PERIOD, seed: int = 0) -> Floats:
    """A noisy season upon a slope."""
    rows_ = np.arange(rows)
    noise = np.random.default_rng(seed).normal(size=rows)
    return 10 * np.sin(2 * np.pi * rows_ / period) + 0.05 * rows_ + noise


def made(values: Floats, first: int, seasons: tuple[float, ...] | None = None, chunk: int = 20) -> Floats:
    """Forecasts (N, 3, K) of hourly values, scored from the row `first` on."""
    references = References(horizons=HORIZONS, seasons=seasons)
    parts = []
    for start in range(0, len(values), chunk):
        rows = range(start, min(start + chunk, len(values)))
        parts.append(
            references.forecast([row * HOUR for row in rows], values[list(rows)].tolist(), scored=start >= first)
        )
    return np.concatenate(parts)


def test_holt_winters_is_rivers() -> None:
    """From the same opening, without damping, every forecast at every row is the one of river's implementation."""
    values = wave(200)
    ours = HoltWinters(horizons=(1, 5, 24, 30), period=PERIOD, smoothings=(0.3,), damping=1.0)
    theirs = time_series.HoltWinters(alpha=0.3, beta=TREND, gamma=SEASON, seasonality=PERIOD)
    for row, value in enumerate(values.tolist()):
        said = ours.step(value)
        theirs.learn_one(value)
        if row == PERIOD - 1:  # river begins with another slope and, for an additive season, with quotients
            theirs.trend.append(0.0)
            theirs.season.extend((values[:PERIOD] - values[:PERIOD].mean()).tolist())
        if row >= PERIOD - 1:
            expected = theirs.forecast(30)
            assert said == pytest.approx([expected[horizon - 1] for horizon in (1, 5, 24, 30)])


def test_a_damped_trend_fades() -> None:
    """The forecast h steps ahead adds the trend phi + phi^2 + ... + phi^h times."""
    smooth = HoltWinters(horizons=(1, 2, 3), period=0, smoothings=(0.5,), damping=0.5)
    for value in (0.0, 8.0):
        said = smooth.step(value)
    level, trend = 4.0, TREND * 4.0
    assert said == pytest.approx([level + 0.5 * trend, level + 0.75 * trend, level + 0.875 * trend])


def test_the_smoothing_that_was_best_so_far_is_gone_by() -> None:
    """A level that jumps is followed by the quickest smoothing, noise around one by the slowest."""
    walk, noise = (np.random.default_rng(1).normal(size=400) for _ in range(2))
    for values, best in ((np.cumsum(walk), 0.9), (noise, 0.1)):
        both = HoltWinters(horizons=(1,), period=0, smoothings=(0.1, 0.9))
        alone = HoltWinters(horizons=(1,), period=0, smoothings=(best,))
        for value in values.tolist():
            said, expected = both.step(value), alone.step(value)
        assert said == expected


def test_references_are_what_their_names_say() -> None:
    """Persistence repeats the value, seasonal naive that of one season before the target, as soon as it is known."""
    values = wave(400)
    found = made(values, first=100)
    assert NAMES == ("persistence", "seasonal naive", "Holt-Winters")
    assert (found[:, 0] == values[:, None]).all()
    assert (found[:100, 1] == values[:100, None]).all(), "not chosen yet"
    for k, horizon in enumerate(HORIZONS):
        rows = np.arange(100, 400)
        back = PERIOD * -(-horizon // PERIOD)
        assert (found[rows, 1, k] == values[rows + horizon - back]).all()


def test_no_reference_looks_ahead() -> None:
    """A changed value changes no forecast that was made before it, to the bit."""
    values = wave(400)
    before = made(values, first=100)
    for row in (60, 99, 100, 250):
        values_ = values.copy()
        values_[row] += 100.0
        after = made(values_, first=100)
        assert (after[:row] == before[:row]).all()
        assert (after[row] != before[row]).any()


@pytest.mark.parametrize(("period", "chosen"), [(24, 24), (168, 168)])
def test_the_season_is_the_one_that_errs_least(period: int, chosen: int) -> None:
    """Of the day and the week the one that the values repeat themselves with; a day is also a week, but sooner."""
    values = wave(600, period) - 0.05 * np.arange(600)
    times = [row * HOUR for row in range(600)]
    slow = values + np.cumsum(np.random.default_rng(3).normal(0, 0.2, 600))
    assert season(times, slow.tolist(), HORIZONS, None) == chosen


def test_what_is_told_is_gone_by() -> None:
    """Durations of the configuration are the only candidates, and none is none."""
    values, times = wave(600).tolist(), [row * HOUR for row in range(600)]
    assert season(times, values, HORIZONS, (6 * HOUR / 1000,)) == 6
    assert season(times, values, HORIZONS, ()) == 0
    assert (made(wave(200), first=60, seasons=())[:, 1] == wave(200)[:, None]).all()


def test_a_season_too_long_to_be_tried_is_the_shortest() -> None:
    """Of 60 rows neither day nor week can be judged: the day it is; too slow rows have none."""
    rows = range(60)
    assert season([row * HOUR // 2 for row in rows], wave(60).tolist(), HORIZONS, None) == 48
    assert season([row * 10 * DAY for row in rows], wave(60).tolist(), HORIZONS, None) == 0


def test_whole_seasons_reach_over_a_horizon() -> None:
    """As many as are needed, and no more."""
    assert [lag(24, horizon) for horizon in (1, 24, 25, 49)] == [24, 24, 48, 72]
