"""The assignment of series to the slots of the page's bounded memory, by task and row, and by name."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.records import TopicPartition

UNKNOWN, EXCLUDED = -1, -2
"""Instead of a slot: a row without a known name, and a series without a slot."""
MIN_OTHERS = 3
"""Number of observations that all others must have on average before a silent series may be evicted."""


class SeriesId(NamedTuple):
    """The identity of a series; two partitions may each have one of the same name."""

    name: str
    partition: TopicPartition


class Slots:
    """Up to `capacity` series. A further one evicts the series that was silent for longest.

    A series that was not silent long enough is not evicted; the newcomer is then excluded, and tries again with every
    observation.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.series: list[SeriesId | None] = []
        """Series by slot; None for a slot that was freed."""
        self.occupied = 0
        """Series with a slot."""
        self.evicted = 0
        """Evictions so far."""
        self._rows: dict[TopicPartition, NDArray[np.int64]] = {}
        """Slot of each row, by task."""
        self._excluded: dict[tuple[TopicPartition, int], str] = {}
        """Names of series without a slot, by task and row."""
        self._tasks: dict[TopicPartition, int] = {}
        """A number for each task."""
        self._task = np.full(capacity, UNKNOWN)
        """Number of the task, by slot."""
        self._row: list[int] = []
        """Row in the task, by slot."""
        self._by_name: dict[str, list[int]] = {}
        self.version = 0
        """Changes whenever a slot gets another series."""
        self._latest = np.zeros(capacity, np.int64)
        """Value of `_count` at the latest observation, by slot."""
        self._count = 0
        """Observations of all series so far."""

    def __len__(self) -> int:
        return len(self.series)

    @property
    def excluded(self) -> int:
        """Series without a slot."""
        return len(self._excluded)

    def series_at(self, slot: int) -> SeriesId:
        """Return the series of an occupied slot.

        Raises:
            LookupError: the slot is free.
        """
        series = self.series[slot]
        if series is None:
            raise LookupError(f"slot {slot} is free")
        return series

    def find(self, name: str, topic: str | None = None, partition: int | None = None) -> int | None:
        """Return the slot of the first series with this name, and this topic and partition if given."""
        for slot in self._by_name.get(name, ()):
            series = self.series_at(slot)
            if topic in (None, series.partition.topic) and partition in (None, series.partition.partition):
                return slot
        return None

    def task_numbers(self) -> NDArray[np.int64]:
        """Return a number for the task of each slot, (S,); negative for a free slot."""
        return self._task[: len(self.series)]

    def of_task(self, task: TopicPartition) -> NDArray[np.int64]:
        """Return the slots of all series of a task."""
        return np.flatnonzero(self._task == self._tasks.get(task, EXCLUDED))

    def add_names(self, task: TopicPartition, names: Sequence[tuple[int, str]]) -> None:
        """Register the series names of rows of a task."""
        if not names:
            return
        rows = self._rows.get(task, np.zeros(0, np.int64))
        last = max(row for row, _ in names)
        if last >= len(rows):
            rows = self._rows[task] = np.concatenate([rows, np.full(last + 1, UNKNOWN)])
        for row, name in names:
            if rows[row] >= 0:
                if self.series[rows[row]] == SeriesId(name, task):
                    continue
                self._free(int(rows[row]))
            slot = self.find(name, *task)
            if slot is not None:  # the task was reset, and its series has a new row
                rows[self._row[slot]] = UNKNOWN
                self._row[slot] = row
            self._excluded.pop((task, row), None)
            rows[row] = EXCLUDED if slot is None else slot
            if slot is None:
                self._excluded[task, row] = name

    def assign(self, task: TopicPartition, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
        """Return the slot of each row, negative for none, and the slots that now have a new series."""
        self._count += len(rows)
        slots = self._look_up(task, rows)
        self._latest[slots[slots >= 0]] = self._count
        new: list[int] = []
        for row in dict.fromkeys(rows[slots == EXCLUDED].tolist()):
            slot = self._allocate(SeriesId(self._excluded[task, row], task), row)
            if slot is None:
                break
            new.append(slot)
        return (self._look_up(task, rows) if new else slots), new

    def _look_up(self, task: TopicPartition, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        known = self._rows.get(task)
        if known is None:
            return np.full(len(rows), UNKNOWN)
        return np.where(rows < len(known), known[np.minimum(rows, len(known) - 1)], UNKNOWN)

    def _allocate(self, series: SeriesId, row: int) -> int | None:
        if len(self.series) < self.capacity:
            slot = len(self.series)
            self.series.append(series)
            self._row.append(row)
        else:
            slot = int(np.argmin(self._latest))
            silent = self._count - int(self._latest[slot])
            if self.series[slot] is not None and silent <= MIN_OTHERS * (self.capacity + self.excluded):
                return None
            self._free(slot)
            self.evicted += 1
            self.series[slot], self._row[slot] = series, row
        self.occupied += 1
        self.version += 1
        self._by_name.setdefault(series.name, []).append(slot)
        self._task[slot] = self._tasks.setdefault(series.partition, len(self._tasks))
        self._rows[series.partition][row] = slot
        del self._excluded[series.partition, row]
        self._latest[slot] = self._count
        return slot

    def _free(self, slot: int) -> None:
        series = self.series[slot]
        if series is None:
            return
        self.occupied -= 1
        self.version += 1
        same = self._by_name[series.name]
        same.remove(slot)
        if not same:
            del self._by_name[series.name]
        row = self._row[slot]
        self._rows[series.partition][row] = EXCLUDED
        self._excluded[series.partition, row] = series.name
        self.series[slot], self._task[slot] = None, UNKNOWN
        self._latest[slot] = 0
