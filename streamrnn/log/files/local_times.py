"""Resolution of local times that occur twice, at the end of daylight saving time, to the earlier or later hour."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from streamrnn.mapping.times import TimeReader, TimeRule
from streamrnn.timestamps import EPOCH, MILLISECOND

_DAY = 86_400_000
_ELSEWHERE = "Etc/GMT+12"
"""A zone with an offset that no inhabited place has, by which text without an offset is recognised."""


class Occurrences(NamedTuple):
    """The two possible times of a repeated local time, in milliseconds since the epoch."""

    first: int
    second: int


class RepeatedHours:
    """Finds local times that occur twice in a zone.

    The very end of the repeated hour counts, too: data that name an hour by its end have it twice.
    """

    def __init__(self, rule: TimeRule) -> None:
        self._zone = ZoneInfo(rule.zone)
        self._elsewhere = TimeReader(rule._replace(zone=_ELSEWHERE))
        self._days: dict[int, bool] = {}

    def occurrences(self, time: int, written: object) -> Occurrences | None:
        """Return both times of the text `written`, which is read as `time`; None if there is only one."""
        day = time // _DAY
        if day not in self._days:
            self._days[day] = self._offset((day - 1) * _DAY) > self._offset((day + 2) * _DAY)
        if not self._days[day] or self._elsewhere.read(written) == time:  # it has an offset of its own
            return None
        local = (EPOCH + time * MILLISECOND).astimezone(self._zone).replace(tzinfo=None)
        first, second = self._instant(local, 0), self._instant(local, 1)
        if first < second:
            return Occurrences(first, second)
        before = local - timedelta(milliseconds=1)
        repeated = self._instant(before, 1) - self._instant(before, 0)
        return Occurrences(time - repeated, time) if repeated > 0 else None

    def _offset(self, time: int) -> timedelta:
        return (EPOCH + time * MILLISECOND).astimezone(self._zone).utcoffset() or timedelta()

    def _instant(self, local: datetime, fold: int) -> int:
        return (local.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) - EPOCH) // MILLISECOND


class Repeated(NamedTuple):
    """A row whose local time occurs twice."""

    row: int
    owner: str
    """Name of the series of the row."""
    times: Occurrences


def resolve(rows: Iterable[Repeated], *, descending: bool) -> dict[int, int]:
    """Return times by row: of several equal local times of an owner, the first half is in the earlier hour.

    In a file with the latest row first it is the second half. A time that occurs once is not in the result.
    """
    groups: dict[tuple[str, Occurrences], list[int]] = {}
    for row, owner, times in rows:
        groups.setdefault((owner, times), []).append(row)
    found: dict[int, int] = {}
    for (_, times), same in groups.items():
        if len(same) > 1:
            half = (len(same) + 1) // 2
            order = same[::-1] if descending else same
            found |= dict.fromkeys(order[:half], times.first) | dict.fromkeys(order[half:], times.second)
    return found
