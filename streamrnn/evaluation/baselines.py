"""Baseline forecasts of one series, each from its own past: persistence, seasonal naive, Holt-Winters.

The season is chosen once, from the rows before the first scored one. Candidates are the configured durations
(`forecast.seasons`), else minute, hour, day and week, where they span MIN_SEASON to MAX_SEASON rows; the one whose
naive forecasts had the smallest errors on those rows wins. Until then there is no season: seasonal naive equals
persistence, and Holt-Winters has no seasonal component.
"""

from array import array
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BASELINES = ("persistence", "seasonal naive", "Holt-Winters")

MINUTE, HOUR, DAY, WEEK = 60_000, 3_600_000, 86_400_000, 604_800_000
"""ms"""
MIN_SEASON, MAX_SEASON = 4, 2016
"""Rows of a season; the maximum is a week of rows every five minutes."""
MIN_HISTORY, MAX_HISTORY = 50, 4096
"""Rows from which a season is chosen."""

SMOOTHINGS = (0.1, 0.3, 0.7)
"""Smoothing of the level: three filters run side by side, and the one with the smallest one-step errors forecasts."""
TREND, SEASON, DAMPING = 0.01, 0.1, 0.98
"""Smoothing of trend and season, and the factor by which the trend fades with each step."""


class HoltWinters:
    """Additive Holt-Winters with a damped trend, updated one value at a time.

    Equations: Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 8.3 and 8.4. The level starts as the
    mean of the first `period` values and the season as their distances from it; before that, and with a period of 0,
    there is no seasonal component.

    Args:
        horizons: Steps (K).
        period: Rows of a season; 0: none.
        smoothings: Smoothing of the level of each filter; the one with the smallest one-step errors forecasts.
        damping: Factor by which the trend fades with each step.
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
        self._first_season: list[float] = []
        self._row = 0
        self._damping = damping
        self._trend_factors = [(h, sum(damping**i for i in range(1, h + 1))) for h in horizons]
        self._filters = [_Filter(smoothing, array("d", [0.0] * self._phases)) for smoothing in smoothings]

    def update(self, value: float) -> list[float]:
        """Add the next value and return the forecasts (K) from it."""
        phase = self._row % self._phases
        if self._row == 0:
            for each in self._filters:
                each.level = value
        starting = self._row < self._period
        for each in self._filters:
            each.update(value, phase, self._damping, 0.0 if starting or not self._period else SEASON)
        self._row += 1
        if starting:
            self._first_season.append(value)
            if self._row == self._period:
                self._initialise()
        best = min(self._filters, key=lambda each: each.error)
        return [
            best.level + factor * best.trend + best.season[(self._row - 1 + horizon) % self._phases]
            for horizon, factor in self._trend_factors
        ]

    def _initialise(self) -> None:
        """Start from the first complete season."""
        mean = sum(self._first_season) / self._period
        for each in self._filters:
            each.level, each.trend, each.error = mean, 0.0, 0.0
            each.season = array("d", [value - mean for value in self._first_season])
        self._first_season.clear()


class _Filter:
    """Holt-Winters with one smoothing of the level."""

    def __init__(self, smoothing: float, season: "array[float]") -> None:
        self._smoothing = smoothing
        self.level, self.trend = 0.0, 0.0
        self.season = season
        """Seasonal component of each phase."""
        self.error = 0.0
        """Sum of absolute one-step errors."""

    def update(self, value: float, phase: int, damping: float, rate: float) -> None:
        """Update level, trend and season; `rate` is the smoothing of the season."""
        slope = damping * self.trend
        expected = self.level + slope
        residual = value - expected - self.season[phase]
        self.error += abs(residual)
        level = expected + self._smoothing * residual
        self.trend = TREND * (level - self.level) + (1 - TREND) * slope
        self.level = level
        self.season[phase] += rate * residual


class Baselines:
    """The three baselines of one series at K horizons.

    `horizons` are steps, ascending; `seasons` the configured durations in seconds, None to choose from the calendar.
    """

    def __init__(self, *, horizons: Sequence[int], seasons: Sequence[float] | None) -> None:
        self._horizons = horizons
        self._seasons = seasons
        self.season: int | None = None
        """Season in rows; 0 if there is none, None before it is chosen."""
        self._times, self._values = array("q"), array("d")
        """The latest rows; times only until the season is chosen."""
        self._holt_winters = HoltWinters(horizons=horizons, period=0)

    def forecast(self, times: Sequence[int], values: Sequence[float], *, scored: bool) -> Floats:
        """Add N rows and return the forecasts from each, shape (N, 3, K), in the order of `BASELINES`.

        `times` are in ms; `scored`: the first of the N rows is scored, so that the season must be chosen from the rows
        before it.
        """
        known = len(self._values)
        if self.season is None and known >= MIN_HISTORY and (scored or known >= MAX_HISTORY):
            self._choose_season()
        forecasts = []
        for time, value in zip(times, values, strict=True):
            self._times.append(time)
            self._values.append(value)
            forecasts.append(([value] * len(self._horizons), self._seasonal_naive(), self._holt_winters.update(value)))
        if self.season is not None:  # drop what no forecast needs any more
            del self._times[:]
            del self._values[: -(self.season + 1)]
        return np.array(forecasts, np.float64)

    def _choose_season(self) -> None:
        self.season = choose_season(self._times, self._values, self._horizons, self._seasons)
        self._holt_winters = HoltWinters(horizons=self._horizons, period=self.season)
        for value in self._values:
            self._holt_winters.update(value)

    def _seasonal_naive(self) -> list[float]:
        """Return the value a whole number of seasons before each target, or the latest value where there is none."""
        row, forecasts = len(self._values) - 1, []
        for horizon in self._horizons:
            earlier = row + horizon - season_lag(self.season, horizon) if self.season else row
            forecasts.append(self._values[earlier if earlier >= 0 else row])
        return forecasts


def season_lag(season: int, horizon: int) -> int:
    """Return the length, in rows, of the fewest whole seasons that span a horizon."""
    return season * -(-horizon // season)


def choose_season(
    times: Sequence[int], values: Sequence[float], horizons: Sequence[int], configured: Sequence[float] | None
) -> int:
    """Return the season, in rows, whose naive forecasts have the smallest errors on `values`; 0 if there is none.

    If all candidates are too long to be tried on `values`, the shortest is returned.

    Args:
        times: Event times of the rows, ms.
        values: Values of the rows.
        horizons: Steps ahead of the forecasts.
        configured: Durations of the candidates in seconds; None: minute, hour, day and week.
    """
    cadence = median(later - earlier for earlier, later in pairwise(times))
    periods = [MINUTE, HOUR, DAY, WEEK] if configured is None else [1000 * duration for duration in configured]
    candidates = [round(period / cadence) for period in periods] if cadence > 0 else []
    candidates = [season for season in candidates if MIN_SEASON <= season <= MAX_SEASON]
    tried = [season for season in candidates if season_lag(season, horizons[-1]) + MIN_HISTORY <= len(values)]
    if not tried:
        return min(candidates, default=0)
    first = max(season_lag(season, horizons[-1]) for season in tried)  # the same rows for every candidate
    known = np.array(values)

    def error(season: int) -> float:
        lags = [season_lag(season, horizon) for horizon in horizons]
        return sum(float(np.abs(known[first:] - known[first - lag : -lag]).mean()) for lag in lags)

    return min(tried, key=error)
