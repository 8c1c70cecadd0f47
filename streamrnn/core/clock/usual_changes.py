"""When clocks usually change, of series whose time zone is not configured: where a shifted profile is likely.

These are rules in place of the tables of zones, so that forecasts without a zone do not depend on a library's version.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from streamrnn.core.clock.zones import FIRST_YEAR, LAST_YEAR, StepFunction

HOUR = 3_600_000  # ms
DAYS = 3
"""Days from a change on in which a shift is likely: a Sunday and a holiday may have no profile that shows it."""


class Rule(NamedTuple):
    """A change of clocks in every year, around a Sunday."""

    month: int
    sunday: int  # 0: the first of the month; -1: the last
    hour: int  # from the midnight, UTC, that begins that Sunday
    move: int  # hours by which a profile is later from then on, in UTC


RULES = (
    Rule(3, 1, 10, -1), Rule(11, 0, 9, 1),  # North America, as on its west coast, the last to change
    Rule(3, -1, 1, -1), Rule(10, -1, 1, 1),  # Europe
    Rule(4, 0, -8, 1), Rule(10, 0, -8, -1),  # the south-east of Australia, and New Zealand in April
    Rule(9, -1, -10, -1),  # New Zealand
)  # fmt: skip


def usual_changes() -> StepFunction:
    """Return by how much (ms) a profile may be later, in the DAYS from a change on; 0 otherwise."""
    found = {_sunday(year, rule) + rule.hour * HOUR: rule.move * HOUR
             for year in range(FIRST_YEAR + 1, LAST_YEAR) for rule in RULES}  # fmt: skip
    changes = [each for begin in sorted(found) for each in (begin, begin + DAYS * 24 * HOUR)]
    moves = [each for begin in sorted(found) for each in (found[begin], 0)]
    return StepFunction(np.array(changes, np.int64), np.array([0, *moves], np.int64))


def _sunday(year: int, rule: Rule) -> int:
    """Return the midnight (ms, UTC) that begins the rule's Sunday."""
    first = datetime(year, rule.month, 1, tzinfo=UTC) if rule.sunday >= 0 else datetime(
        year + rule.month // 12, rule.month % 12 + 1, 1, tzinfo=UTC)  # fmt: skip
    day = first + timedelta(days=(6 - first.weekday()) % 7, weeks=rule.sunday)
    return int(day.timestamp()) * 1000
