"""Cadence and calendar, found from event time alone."""

import math

from streamrnn.core.jit import compiled

SECOND = 1_000.0
MINUTE, HOUR, DAY, WEEK = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND, 604_800 * SECOND
YEAR = 365.2425 * DAY
PERIODS = (MINUTE, HOUR, DAY, WEEK, YEAR)
"""ms."""
ROUND_CADENCES = (
    *(SECOND * n for n in (1, 2, 5, 10, 15, 20, 30)),
    *(MINUTE * n for n in (1, 2, 3, 5, 10, 15, 20, 30)),
    *(HOUR * n for n in (1, 2, 3, 4, 6, 8, 12)),
    DAY,
    WEEK,
)
TOLERANCE = 0.015
"""A cadence that close to a round one is taken for it: jitter must not move a season by rows."""
FEWEST_ROWS, MOST_ROWS = 4, 2016
"""Of a short season: what a long one has at a cadence of five minutes is as much as can be told apart."""
MOST_VOTES = 255


@compiled
def vote(cadence: float, votes: int, passed: float) -> tuple[float, int]:
    """Cadence (ms) and its votes after `passed` ms between two observations: a running majority, averaged."""
    if votes <= 0:
        return passed, 1
    if abs(passed - cadence) <= cadence / 16:
        votes = min(votes + 1, MOST_VOTES)
        return cadence + (passed - cadence) / votes, votes
    return cadence, votes - 1


@compiled
def rounded(cadence: float) -> float:
    """The round cadence nearby, or the cadence itself (ms)."""
    for known in ROUND_CADENCES:
        if abs(cadence - known) <= TOLERANCE * known:
            return known
    return cadence


@compiled
def seasons(cadence: float) -> tuple[float, float]:
    """Periods (ms) of the short and of the long season at this cadence; 0: none.

    The day, and the week above it, wherever the day has rows enough and not too many; the hour or the minute for
    faster series; the week and the year for daily ones.
    """
    if cadence <= 0:
        return 0.0, 0.0
    for i in (2, 1, 0, 3, 4):
        if FEWEST_ROWS <= PERIODS[i] / cadence <= MOST_ROWS:
            return PERIODS[i], PERIODS[i + 1] if i < 4 else 0.0
    return 0.0, 0.0


@compiled
def slots_of(period: float, cadence: float, most: int) -> int:
    """Phases that a season is divided into: one a row, or fewer that several rows share."""
    return min(max(int(period / cadence + 0.5), 1), most)


@compiled
def phase(time: float, first: float, period: float) -> float:
    """Share of the season that has passed at `time`, 0 to 1; a series' first observation has phase 0."""
    turns = (time - first) / period  # no remainder of floats: it takes ten times as long
    return turns - math.floor(turns)
