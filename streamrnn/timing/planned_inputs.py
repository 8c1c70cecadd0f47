"""Planned values of a task: removed from decoded records, and added to observations as covariates."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from streamrnn.errors import join_errors
from streamrnn.records import Decoded, Observation
from streamrnn.timing.plans import ENDED, PLANNED, PlannedValues

if TYPE_CHECKING:
    from numpy.typing import NDArray

Sources = int | dict[str, int]
"""Index of the record of an observation, or of the record of each of its fields."""


class TargetTimes(Protocol):
    """Forecasts of which only the target times are needed."""

    @property
    def target_times(self) -> "NDArray[np.int64]":
        """Event times that the forecasts are for, ms, shape (1, K)."""


class SeriesForecasts(Protocol):
    """The part of a forecaster that `PlannedInputs` uses."""

    @property
    def names(self) -> list[str]:
        """Names of the series by row, in first-seen order."""

    def forecast(self, rows: "NDArray[np.int64]", /) -> TargetTimes:
        """Return the latest forecast of each row."""

    def last_time(self, row: int, /) -> int:
        """Return the time of the latest observation of a series, ms."""


class PlannedInputs:
    """The planned values of a task, and those in records of the current feed that are not read yet."""

    def __init__(self, fields: Sequence[str], horizons: Sequence[int], *, max_held: int) -> None:
        self.values = PlannedValues(fields, horizons, max_held=max_held)
        self._unknown = [0] * len(horizons)
        self._feed: Mapping[int, Sequence[Observation]] = {}
        self._open: set[str] = set()
        """Keys in the open wave."""
        self._rows: dict[str, int] = {}

    def take(self, decoded: Mapping[int, Decoded]) -> dict[int, Decoded]:
        """Return the decoded records of a feed, by index, without their planned values, which are stored for `read`."""
        taken = {index: self.values.take(each) for index, each in decoded.items()}
        self._feed = {index: planned for index, (_, planned) in taken.items() if planned}
        return {index: each for index, (each, _) in taken.items()}

    def is_due(self, index: int) -> bool:
        """Return whether plans may have ended before a record of the feed: the open wave must end before `read`."""
        return index in self._feed and self.values.is_due

    def read(self, index: int, decoded: Decoded, forecaster: SeriesForecasts) -> Decoded:
        """Add the planned values of a record of the feed; return the record with their errors and drops, if any.

        Before that, the plans that have ended are removed; their values are drops.
        """
        planned, drops = self._feed.get(index, ()), dict(decoded.drops)
        if planned and self.values.is_due and (ended := self.values.end(_keys_of(forecaster.names))):
            drops[ENDED] = drops.get(ENDED, 0) + ended
        refused, wrong = self.values.add(planned)
        if wrong is not None:
            others = {(each.key, each.time) for each in decoded.observations}
            alone = sum((each.key, each.time) not in others for each in refused)
            drops = {name: left for name, count in drops.items() if (left := count - alone * (name == PLANNED))}
            wrong = wrong if decoded.error is None else join_errors([decoded.error, wrong])
        return Decoded(decoded.observations, wrong or decoded.error, drops)

    def ends_wave(self, key: str) -> bool:
        """Return whether the open wave has a key: it must end before the key's next observation."""
        return key in self._open

    def admitted(self, observation: Observation, *, refused: bool) -> None:
        """Count the key of an observation as one of the open wave, and its time unless a part of it was refused."""
        self._open.add(observation.key)
        if not refused:
            self.values.pass_time(observation.time)

    def end_wave(self) -> None:
        """Begin another wave."""
        self._open.clear()

    def join(
        self, observation: Observation, record: Sources, forecaster: SeriesForecasts
    ) -> tuple[Observation, Sources]:
        """Return an observation with the values planned for the times of its forecasts, and the records of all.

        Where a key has several observations of one time, the first one gets them, as they would be late in the others.
        """
        key, time, fields, _ = observation
        if not self.values.has(key):
            return observation, record
        joined, own = self.values.join(observation, self._ahead(observation, forecaster)), len(fields)
        late = [self._is_late(f"{key}/{field}", time, forecaster) for field, _ in joined.fields]
        if not all(late):
            chosen = [is_late == all(late[-own:]) for is_late in late[:-own]]
            joined = observation._replace(fields=(*compress(joined.fields, chosen), *fields))
        if not isinstance(record, int):
            first = next(iter(record.values()))
            record = {field: record.get(field, first) for field, _ in joined.fields}
        return joined, record

    def _ahead(self, observation: Observation, forecaster: SeriesForecasts) -> Sequence[int]:
        """Return the milliseconds from an observation to its forecasts, by horizon; 0 before a key's second one."""
        names = forecaster.names
        for row in range(len(self._rows), len(names)):
            self._rows[names[row]] = row
        for field, _ in observation.fields:
            row = self._rows.get(f"{observation.key}/{field}", -1)
            if row >= 0:
                times: list[int] = forecaster.forecast(np.array([row])).target_times[0].tolist()
                return [time - forecaster.last_time(row) for time in times]
        return self._unknown

    def _is_late(self, name: str, time: int, forecaster: SeriesForecasts) -> bool:
        """Return whether a series has an observation of a time, ms, or a later one."""
        row = self._rows.get(name, -1)
        return row >= 0 and time <= forecaster.last_time(row)

    def follow(self, removed: Iterable[str], names: Sequence[str]) -> None:
        """Update the rows after a forecaster has `removed` series; `names` are left. Drop plans of removed keys."""
        self._rows = {name: row for row, name in enumerate(names)}
        self.values.forget(_keys_of(removed) - _keys_of(names))

    def save(self) -> "dict[str, NDArray[Any]]":
        """Return the state as arrays; none if there are no planned values."""
        return self.values.save()

    def restore(self, arrays: "Mapping[str, NDArray[Any]]") -> None:
        """Continue from a saved state; raises ValueError if the arrays are not one."""
        self._rows = {}
        self.values.restore(arrays)


def _keys_of(names: Iterable[str]) -> set[str]:
    return {name.rpartition("/")[0] for name in names}
