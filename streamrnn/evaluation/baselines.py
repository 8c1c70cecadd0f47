"""Forecasts of one series to compare with: persistence, seasonal naive, Holt-Winters; from its own past alone.

A season is chosen once, from the rows before the first one that is scored. Candidates are the durations that were told
(`forecast.seasons`), else the minute, the hour, the day and the week, where they have 4 to 2,016 rows; the one whose
naive forecasts erred least on those rows is taken. As long as a reference has no season, it does without.
"""

from array import array
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NAMES = ("persistence", "seasonal naive", "Holt-Winters")

MINUTE, HOUR, DAY, WEEK = 60_000, 3_600_000, 86_400_000, 604_800_000
"""ms"""
FEWEST_ROWS, MOST_ROWS = 4, 2016
"""Of a season; the most are a week of rows every five minutes."""
FIRST_LOOK, LAST_LOOK = 50, 4096
"""Rows that a season is chosen from, at least and at most."""

SMOOTHINGS = (0.1, 0.3, 0.7)
"""Of the level: of three side by side, the one with the smallest errors one step ahead so far makes the forecast."""
TREND, SEASON, DAMPING = 0.01, 0.1, 0.98
"""Of the trend and the season, and by how much a trend fades with each step."""


class HoltWinters:
    """Holt-Winters' additive method with a damped trend, one value at a time.

    The equations are those of Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 8.3 and 8.4. The level
    begins as the mean of the first `period` values, the season as their distances from it; until then, and with a
    period of 0, there is no season.
    """

    def __init__(
        self,
        *,
        horizons: Sequence[int],
        period: int,
        smoothings: Sequence[float] = SMOOTHINGS,
        damping: float = DAMPING,
    ) -> None:
        self._period = period
        self._phases = max(period, 1)
        self._opening: list[float] = []
        self._row = 0
        self._damping = damping
        self._reach = [(h, sum(damping**i for i in range(1, h + 1))) for h in horizons]
        self._runs = [_Run(smoothing, array("d", [0.0] * self._phases)) for smoothing in smoothings]

    def step(self, value: float) -> list[float]:
        """Take in the next value; the forecasts (K) made with it."""
        phase = self._row % self._phases
        if self._row == 0:
            for run in self._runs:
                run.level = value
        opening = self._row < self._period
        for run in self._runs:
            run.take_in(value, phase, self._damping, 0.0 if opening or not self._period else SEASON)
        self._row += 1
        if opening:
            self._opening.append(value)
            if self._row == self._period:
                self._open()
        best = min(self._runs, key=lambda run: run.error)
        return [
            best.level + reach * best.trend + best.season[(self._row - 1 + horizon) % self._phases]
            for horizon, reach in self._reach
        ]

    def _open(self) -> None:
        """The first season is complete: begin with it."""
        mean = sum(self._opening) / self._period
        for run in self._runs:
            run.level, run.trend, run.error = mean, 0.0, 0.0
            run.season = array("d", [value - mean for value in self._opening])
        self._opening.clear()


class _Run:
    """The method with one smoothing of the level."""

    def __init__(self, smoothing: float, season: "array[float]") -> None:
        self._smoothing = smoothing
        self.level, self.trend = 0.0, 0.0
        self.season = season
        """By phase."""
        self.error = 0.0
        """Absolute errors one step ahead, added up."""

    def take_in(self, value: float, phase: int, damping: float, rate: float) -> None:
        """Bring level, trend and season up to date; `rate` is that of the season."""
        rise = damping * self.trend
        expected = self.level + rise
        surprise = value - expected - self.season[phase]
        self.error += abs(surprise)
        moved = expected + self._smoothing * surprise
        self.trend = TREND * (moved - self.level) + (1 - TREND) * rise
        self.level = moved
        self.season[phase] += rate * surprise


class References:
    """The three forecasts of one series at K horizons, row after row.

    `horizons` are steps, rising; `seasons` the durations (s) that were told, None where one is to be found.
    """

    def __init__(self, *, horizons: Sequence[int], seasons: Sequence[float] | None) -> None:
        self._horizons = horizons
        self._seasons = seasons
        self.season: int | None = None
        """In rows; 0: there is none; None: not chosen yet."""
        self._times, self._values = array("q"), array("d")
        """The latest ones; times only until a season is chosen."""
        self._smooth = HoltWinters(horizons=horizons, period=0)

    def forecast(self, times: Sequence[int], values: Sequence[float], *, scored: bool) -> Floats:
        """Forecasts (N, 3, K) in the order of `NAMES`, made at N more rows: each from the rows up to its own.

        `times` are ms; `scored` says that the first of the rows is scored, so that a season must be chosen now, from
        the rows before.
        """
        held = len(self._values)
        if self.season is None and held >= FIRST_LOOK and (scored or held >= LAST_LOOK):
            self._choose()
        found = []
        for time, value in zip(times, values, strict=True):
            self._times.append(time)
            self._values.append(value)
            found.append(([value] * len(self._horizons), self._naive(), self._smooth.step(value)))
        self._forget()
        return np.array(found, np.float64)

    def _choose(self) -> None:
        self.season = season(self._times, self._values, self._horizons, self._seasons)
        self._smooth = HoltWinters(horizons=self._horizons, period=self.season)
        for value in self._values:
            self._smooth.step(value)
        del self._times[:]

    def _naive(self) -> list[float]:
        """What was there one season before each target, or more where the target is more than a season ahead."""
        row, forecasts = len(self._values) - 1, []
        for horizon in self._horizons:
            back = row + horizon - lag(self.season, horizon) if self.season else row
            forecasts.append(self._values[back if back >= 0 else row])
        return forecasts

    def _forget(self) -> None:
        """Drop values that nothing will ask for again."""
        if self.season is not None:
            del self._times[:]
            del self._values[: -(self.season + 1)]


def lag(season: int, horizon: int) -> int:
    """The fewest whole seasons that are at least a horizon, in rows."""
    return season * -(-horizon // season)


def season(times: Sequence[int], values: Sequence[float], horizons: Sequence[int], told: Sequence[float] | None) -> int:
    """The season (rows) of which the naive forecasts of these rows erred least; 0: there is none.

    `told`: durations (s) to choose from, None: those of the calendar. Of seasons too long to be tried here the
    shortest is taken where no other is left.
    """
    cadence = median(later - earlier for earlier, later in pairwise(times))
    periods = [MINUTE, HOUR, DAY, WEEK] if told is None else [1000 * duration for duration in told]
    rows = [round(period / cadence) for period in periods] if cadence > 0 else []
    rows = [each for each in rows if FEWEST_ROWS <= each <= MOST_ROWS]
    tried = [each for each in rows if lag(each, horizons[-1]) + FIRST_LOOK <= len(values)]
    if not tried:
        return min(rows, default=0)
    first = max(lag(each, horizons[-1]) for each in tried)
    known = np.array(values)

    def error(period: int) -> float:
        """Of the same rows for every period."""
        lags = [lag(period, horizon) for horizon in horizons]
        return sum(float(np.abs(known[first:] - known[first - back : -back]).mean()) for back in lags)

    return min(tried, key=error)
