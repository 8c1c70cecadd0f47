"""Cadence and calendar, found from event time alone."""

from streamrnn.core.compiled import compiled
from streamrnn.core.series import RING

SECOND = 1_000.0
MINUTE, HOUR, DAY, WEEK = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND, 604_800 * SECOND
YEAR = 365.2425 * DAY
PERIODS = (MINUTE, HOUR, DAY, WEEK, YEAR)
"""ms; a season is the longest of the first three that the ring can hold, or the week or year for slower series."""
ROUND_CADENCES = (
    *(SECOND * n for n in (1, 2, 5, 10, 15, 20, 30)),
    *(MINUTE * n for n in (1, 2, 3, 5, 10, 15, 20, 30)),
    *(HOUR * n for n in (1, 2, 3, 4, 6, 8, 12)),
    DAY,
    WEEK,
)
TOLERANCE = 0.015
"""A cadence that close to a round one is taken for it: jitter must not move a season by rows."""
FEWEST_ROWS = 4
"""Of a season."""
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

    A day, and the week above it, wherever the day has rows enough and fits into the ring; the hour or the minute for
    faster series; the week and the year for daily ones.
    """
    if cadence <= 0:
        return 0.0, 0.0
    chosen = -1
    for i in (2, 1, 0, 3, 4):
        if FEWEST_ROWS <= PERIODS[i] / cadence < RING - 1:
            chosen = i
            break
    if chosen < 0:
        return 0.0, 0.0
    longer = 0.0
    if chosen < 4 and PERIODS[chosen + 1] / cadence < RING - 1:
        longer = PERIODS[chosen + 1]
    return PERIODS[chosen], longer
