"""Cadence and calendar seasons of a series, derived from event times alone."""

import math

from streamrnn.core.jit import compiled

SECOND = 1_000.0
MINUTE, HOUR, DAY, WEEK = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND, 604_800 * SECOND
YEAR = 365.2425 * DAY
PERIODS = (MINUTE, HOUR, DAY, WEEK, YEAR)  # ms
ROUND_CADENCES = (
    *(SECOND * n for n in (1, 2, 5, 10, 15, 20, 30)), *(MINUTE * n for n in (1, 2, 3, 5, 10, 15, 20, 30)),
    *(HOUR * n for n in (1, 2, 3, 4, 6, 8, 12)), DAY, WEEK,
)  # fmt: skip
TOLERANCE = 0.015
"""Largest relative distance at which a cadence is rounded, so that jitter does not shift seasons by several steps."""
MIN_STEPS, MAX_STEPS = 4, 2016  # length of a short season, steps; the largest is a week of five-minute steps
MAX_VOTES = 255
JITTER = 0.45
"""Largest relative distance of an interval from the cadence that counts as jitter, not as another cadence or a gap."""
REGULAR = 16  # votes that make a series regular, so that a long interval is a gap
LEAST_GAP = 1.6  # shortest gap, steps: with a jitter of 0.2 steps each, two observations can be 1.4 steps apart


@compiled
def vote_cadence(cadence: float, votes: int, passed: float) -> tuple[float, int]:
    """Return the cadence (ms) and its votes after an interval of `passed` ms: a running majority vote, with a mean."""
    if votes <= 0:
        return passed, 1
    if abs(passed - cadence) <= JITTER * cadence:
        votes = min(votes + 1, MAX_VOTES)
        return cadence + (passed - cadence) / votes, votes
    return cadence, votes - 1


@compiled
def steps_passed(cadence: float, votes: int, passed: float) -> int:
    """Return the number of steps in `passed` ms between two observations; 1 if the series is not regular."""
    if votes < REGULAR or cadence <= 0:
        return 1
    steps = passed / round_cadence(cadence)
    return 1 if steps < LEAST_GAP else int(min(steps, 1e9) + 0.5)


@compiled
def round_cadence(cadence: float) -> float:
    """Return the nearest round cadence (ms) if it is within TOLERANCE, else the cadence itself."""
    for known in ROUND_CADENCES:
        if abs(cadence - known) <= TOLERANCE * known:
            return known
    return cadence


@compiled
def calendar_seasons(cadence: float) -> tuple[float, float]:
    """Return the periods (ms) of the short and the long season at this cadence; 0: none.

    They are day and week if a day has MIN_STEPS to MAX_STEPS steps. The short season is an hour or a minute for
    faster series, and a week or a year for slower ones.
    """
    if cadence <= 0:
        return 0.0, 0.0
    for i in (2, 1, 0, 3, 4):
        if MIN_STEPS <= PERIODS[i] / cadence <= MAX_STEPS:
            return PERIODS[i], PERIODS[i + 1] if i < 4 else 0.0
    return 0.0, 0.0


@compiled
def slot_count(period: float, cadence: float, most: int) -> int:
    """Return the number of slots of a season: one per step, at most `most`."""
    return min(max(int(period / cadence + 0.5), 1), most)


@compiled
def phase(time: float, first: float, period: float) -> float:
    """Return the phase of `time` in a season, 0 to 1; the first observation of a series has phase 0."""
    turns = (time - first) / period  # a floating-point remainder would take ten times as long
    return turns - math.floor(turns)
