"""Usual dates of daylight-saving changes, when the profile of a series without a configured zone is likely to shift.

They are computed from rules instead of a time zone database, so that forecasts without a zone do not depend on the
version of a library.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from streamrnn.core.clock.zones import FIRST_YEAR, LAST_YEAR, StepFunction

HOUR = 3_600_000  # ms
DAYS = 3
"""Days after a change in which a shift is likely: on a Sunday or a holiday, the values may not reveal it."""


class Rule(NamedTuple):
    """A yearly clock change around a Sunday."""

    month: int
    sunday: int  # 0: the first of the month; -1: the last
    hour: int  # hours after the midnight, UTC, that begins this Sunday
    move: int  # hours by which profiles are later in UTC after the change


RULES = (
    Rule(3, 1, 10, -1), Rule(11, 0, 9, 1),  # North America; the hour is that of the west coast, which changes last
    Rule(3, -1, 1, -1), Rule(10, -1, 1, 1),  # Europe
    Rule(4, 0, -8, 1), Rule(10, 0, -8, -1),  # south-eastern Australia, and New Zealand in April
    Rule(9, -1, -10, -1),  # New Zealand
)  # fmt: skip


def usual_changes() -> StepFunction:
    """Return by how much (ms) profiles are likely to be later, for DAYS days after each change; 0 at other times."""
    found = {_sunday(year, rule) + rule.hour * HOUR: rule.move * HOUR
             for year in range(FIRST_YEAR + 1, LAST_YEAR) for rule in RULES}  # fmt: skip
    changes = [each for begin in sorted(found) for each in (begin, begin + DAYS * 24 * HOUR)]
    moves = [each for begin in sorted(found) for each in (found[begin], 0)]
    return StepFunction(np.array(changes, np.int64), np.array([0, *moves], np.int64))


def _sunday(year: int, rule: Rule) -> int:
    """Return the midnight (ms, UTC) that begins the Sunday of a rule in a year."""
    first = datetime(year, rule.month, 1, tzinfo=UTC) if rule.sunday >= 0 else datetime(
        year + rule.month // 12, rule.month % 12 + 1, 1, tzinfo=UTC)  # fmt: skip
    day = first + timedelta(days=(6 - first.weekday()) % 7, weeks=rule.sunday)
    return int(day.timestamp()) * 1000
