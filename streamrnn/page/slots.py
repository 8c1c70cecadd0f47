"""Which series has which place in the page's bounded memory: known by task and row, or by name."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.records import TopicPartition

UNKNOWN, LEFT_OUT = -1, -2
PATIENCE = 3
"""A series may be displaced after it was silent while each other one had so many observations, on average."""


class Series(NamedTuple):
    """What names a series: two partitions may each have one of the same name."""

    name: str
    partition: TopicPartition


class Places:
    """Up to `most` series at a time. Where more come, each displaces the one that was silent for longest.

    One that is not silent is not displaced: then the newcomer is left out, and tries again with every observation.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.series: list[Series | None] = []
        """By place; None: it was given up."""
        self.held = 0
        """Series that have a place now."""
        self.displaced = 0
        """Series that had to go so far."""
        self._rows: dict[TopicPartition, NDArray[np.int64]] = {}
        """By task: the place of each row."""
        self._names: dict[tuple[TopicPartition, int], str] = {}
        """Of rows that are left out."""
        self._tasks: dict[TopicPartition, int] = {}
        """A number for each task that has been seen."""
        self._task = np.full(most, UNKNOWN)
        """By place: the number of its task."""
        self._row: list[int] = []
        """By place: the row of its series in its task."""
        self._by_name: dict[str, list[int]] = {}
        self._latest = np.zeros(most, np.int64)
        """By place: when its series was last seen, as a count of observations of all series."""
        self._count = 0

    def __len__(self) -> int:
        return len(self.series)

    @property
    def left_out(self) -> int:
        """Series that have no place now."""
        return len(self._names)

    def at(self, place: int) -> Series:
        """The series at a place that is taken.

        Raises:
            LookupError: it is free.
        """
        series = self.series[place]
        if series is None:
            raise LookupError(f"no series has the place {place}")
        return series

    def find(self, name: str, topic: str | None = None, partition: int | None = None) -> int | None:
        """The place of a series; of several with this name, that of the topic and partition, or the first."""
        for place in self._by_name.get(name, ()):
            series = self.at(place)
            if topic in (None, series.partition.topic) and partition in (None, series.partition.partition):
                return place
        return None

    def of_task(self, task: TopicPartition) -> NDArray[np.int64]:
        """The places of all series of a task."""
        return np.flatnonzero(self._task == self._tasks.get(task, LEFT_OUT))

    def name(self, task: TopicPartition, named: Sequence[tuple[int, str]]) -> None:
        """Rows of a task have these names."""
        if not named:
            return
        rows = self._rows.get(task, np.zeros(0, np.int64))
        most = max(row for row, _ in named)
        if most >= len(rows):
            rows = np.concatenate([rows, np.full(most + 1, UNKNOWN)])
            self._rows[task] = rows
        for row, name in named:
            if rows[row] >= 0:
                if self.series[rows[row]] == Series(name, task):
                    continue
                self._leave(int(rows[row]))
            held = self.find(name, *task)
            if held is not None:  # its row is another one, in a task that was reset
                rows[self._row[held]] = UNKNOWN
                self._row[held] = row
            self._names.pop((task, row), None)
            rows[row] = LEFT_OUT if held is None else held
            if held is None:
                self._names[task, row] = name

    def of(self, task: TopicPartition, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
        """The places of a task's rows, negative where they have none; and those places that have changed hands."""
        self._count += len(rows)
        places = self._look_up(task, rows)
        self._latest[places[places >= 0]] = self._count
        taken: list[int] = []
        for row in dict.fromkeys(rows[places == LEFT_OUT].tolist()):
            place = self._place_for(Series(self._names[task, row], task), row)
            if place is None:
                break
            taken.append(place)
        return (self._look_up(task, rows) if taken else places), taken

    def _look_up(self, task: TopicPartition, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        known = self._rows.get(task)
        if known is None:
            return np.full(len(rows), UNKNOWN)
        return np.where(rows < len(known), known[np.minimum(rows, len(known) - 1)], UNKNOWN)

    def _place_for(self, series: Series, row: int) -> int | None:
        if len(self.series) < self.most:
            place = len(self.series)
            self.series.append(series)
            self._row.append(row)
        else:
            place = int(np.argmin(self._latest))
            silent = self._count - int(self._latest[place])
            if self.series[place] is not None and silent <= PATIENCE * (self.most + self.left_out):
                return None
            self._leave(place)
            self.displaced += 1
            self.series[place], self._row[place] = series, row
        self.held += 1
        self._by_name.setdefault(series.name, []).append(place)
        self._task[place] = self._tasks.setdefault(series.partition, len(self._tasks))
        self._rows[series.partition][row] = place
        del self._names[series.partition, row]
        self._latest[place] = self._count
        return place

    def _leave(self, place: int) -> None:
        """Take its place from a series."""
        series = self.series[place]
        if series is None:
            return
        self.held -= 1
        same = self._by_name[series.name]
        same.remove(place)
        if not same:
            del self._by_name[series.name]
        row = self._row[place]
        self._rows[series.partition][row] = LEFT_OUT
        self._names[series.partition, row] = series.name
        self.series[place], self._task[place] = None, UNKNOWN
        self._latest[place] = 0
