"""The latest skill and anomaly score of every series: their distributions, and the worst series.

The worker's thread writes and the metrics server's thread reads without a lock: a reading may be one step old.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.records import StepReport, TopicPartition

INITIAL_ROWS = 64
"""Capacity of a new table, in series; a full table doubles."""
MEASURES = ("skill", "anomaly", "silence")


class Table(NamedTuple):
    """The S series of one task, with K horizons; NaN in rows not seen since the task was restored."""

    names: NDArray[np.object_]
    """(S,)"""
    skill: NDArray[np.float32]
    """(S, K)"""
    anomaly: NDArray[np.float32]
    """(S,)"""
    times: NDArray[np.float64]
    """(S,) event times of the latest observations, milliseconds since the epoch."""

    @classmethod
    def empty(cls, rows: int, horizons: int) -> "Table":
        """Return a table of unseen series."""
        return cls(
            np.full(rows, None, object),
            np.full((rows, horizons), np.nan, np.float32),
            np.full(rows, np.nan, np.float32),
            np.full(rows, np.nan),
        )

    @property
    def silence(self) -> NDArray[np.float64]:
        """Seconds of event time from each series' latest observation to the latest of all, shape (S,)."""
        seen = ~np.isnan(self.times)
        latest = self.times[seen].max() if seen.any() else 0.0
        return (latest - self.times) / 1000


class SeriesTable:
    """The tables of all tasks of this process. `horizons` are in steps."""

    def __init__(self, *, horizons: Sequence[str]) -> None:
        self._horizons = tuple(horizons)
        self._tables: dict[TopicPartition, Table] = {}
        self._renumbered: set[TopicPartition] = set()
        """Tasks with removed series: after a restart, a row may belong to another series."""

    def stepped(self, report: StepReport) -> int:
        """Store the scores of a batch; return the number of anomalies among its observations."""
        if not report.waves:
            return 0
        rows, times, anomaly, skill = (
            np.concatenate([getattr(wave, name) for wave in report.waves])
            for name in ("rows", "times", "anomaly", "skill")
        )
        table = self._sized(report.partition, int(rows.max()) + 1)
        if np.isnan(table.times[rows]).any():
            for wave in report.waves:
                table.names[wave.rows] = wave.series
        # of duplicate rows, the last assignment wins
        table.skill[rows], table.anomaly[rows], table.times[rows] = skill, anomaly, times
        return int(np.count_nonzero(anomaly >= 1))

    def removed(self, partition: TopicPartition, rows: Sequence[int]) -> None:
        """Drop series of a task; their rows may later belong to other series."""
        table = self._tables.get(partition)
        if rows and table is not None:
            self._renumbered.add(partition)
            known = [row for row in rows if row < len(table.times)]
            table.times[known], table.skill[known], table.anomaly[known], table.names[known] = (*[np.nan] * 3, None)

    def restarted(self, partition: TopicPartition) -> bool:
        """Drop the table of a task if its rows may now belong to other series; return whether that is so."""
        renumbered = partition in self._renumbered
        if renumbered:
            self.released(partition)
        return renumbered

    def released(self, partition: TopicPartition) -> None:
        """Drop the table of a task."""
        self._tables.pop(partition, None)
        self._renumbered.discard(partition)

    def values(self, measure: str) -> Iterator[tuple[tuple[str, ...], NDArray[Any]]]:
        """Yield the labels and values of all seen series: by topic, and for `skill` by topic and horizon."""
        by_topic: dict[str, list[Table]] = {}
        for partition, table in list(self._tables.items()):
            by_topic.setdefault(partition.topic, []).append(table)
        for topic, tables in by_topic.items():
            found = np.concatenate([getattr(table, measure) for table in tables])
            found = found[~np.isnan(np.concatenate([table.times for table in tables]))]
            if measure == "skill":
                yield from (((topic, horizon), found[:, k]) for k, horizon in enumerate(self._horizons))
            else:
                yield (topic,), found

    def worst(self, measure: str, *, horizon: str, count: int, topic: str | None = None) -> list[dict[str, object]]:
        """Return the `count` series of lowest skill at a horizon, or of highest `anomaly` or `silence`, worst first.

        Raises:
            ValueError: unknown measure or horizon; the message lists those allowed.
        """
        if measure not in MEASURES:
            raise ValueError(f"by={measure}: must be one of {', '.join(MEASURES)}")
        if horizon not in self._horizons:
            raise ValueError(f"horizon={horizon}: must be one of {', '.join(self._horizons)}")
        column = self._horizons.index(horizon)
        found: list[tuple[float, dict[str, object]]] = []
        for partition, table in list(self._tables.items()):
            if topic in (None, partition.topic):
                rank = table.skill[:, column] if measure == "skill" else -getattr(table, measure)
                seen = np.flatnonzero(~np.isnan(table.times))
                rows = seen[np.argsort(rank[seen], kind="stable")[:count]].tolist()
                found += [(float(rank[row]), self._summary(partition, table, row)) for row in rows]
        found.sort(key=lambda pair: pair[0])
        return [summary for _, summary in found[:count]]

    def _sized(self, partition: TopicPartition, rows: int) -> Table:
        """Return the table of a task with at least `rows` rows."""
        table = self._tables.get(partition) or Table.empty(INITIAL_ROWS, len(self._horizons))
        while len(table.times) < rows:
            more = Table.empty(len(table.times), len(self._horizons))
            pairs: Any = zip(table, more, strict=True)
            table = Table(*(np.concatenate(pair) for pair in pairs))
        self._tables[partition] = table
        return table

    def _summary(self, partition: TopicPartition, table: Table, row: int) -> dict[str, object]:
        return {
            "series": table.names[row],
            "topic": partition.topic,
            "partition": partition.partition,
            "skill": {h: round(float(s), 4) for h, s in zip(self._horizons, table.skill[row], strict=True)},
            "anomaly_score": round(float(table.anomaly[row]), 4),
            "time": int(table.times[row]),
        }
