"""What was said last of every series, as arrays: how skill and anomaly are spread over them, and which are the worst.

The worker writes, the server of the metrics reads, each in a thread of its own: what is read may be a step old.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streamrnn.records import StepReport, TopicPartition, Wave

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_ROOM = 64
"""Series; doubled whenever they are full."""
WANTED = ("rows", "times", "anomaly", "skill")
"""Of a wave."""
MEASURES = ("skill", "anomaly", "silence")


class Table(NamedTuple):
    """The series of one task, one row each; K horizons. NaN: not seen since the task was restored."""

    names: "NDArray[np.object_]"  # (S,)
    skill: "NDArray[np.float32]"  # (S, K)
    anomaly: "NDArray[np.float32]"  # (S,)
    times: "NDArray[np.float64]"  # (S,) event time of the latest observation, milliseconds since the epoch

    @classmethod
    def empty(cls, rows: int, horizons: int) -> "Table":
        """Room for so many series."""
        return cls(
            np.full(rows, None, object),
            np.full((rows, horizons), np.nan, np.float32),
            np.full(rows, np.nan, np.float32),
            np.full(rows, np.nan),
        )

    @property
    def silence(self) -> "NDArray[np.float64]":
        """(S,) seconds of event time between each series' latest observation and the latest of all."""
        seen = ~np.isnan(self.times)
        latest = self.times[seen].max() if seen.any() else 0.0
        return (latest - self.times) / 1000


class SeriesTable:
    """The tables of all tasks of this process. `horizons` are those of the forecasts, in steps."""

    def __init__(self, *, horizons: Sequence[int]) -> None:
        self._horizons = tuple(horizons)
        self._tables: dict[TopicPartition, Table] = {}

    def stepped(self, report: StepReport) -> int:
        """Take in what was said of the records just fed; return how many of them were anomalies."""
        if not report.waves:
            return 0
        rows, times, anomaly, skill = _joined(report.waves)
        table = self._room(report.partition, int(rows.max()) + 1)
        if np.isnan(table.times[rows]).any():
            for wave in report.waves:
                table.names[wave.rows] = wave.series
        # of a row that occurs more than once, the last one stays
        table.skill[rows], table.anomaly[rows], table.times[rows] = skill, anomaly, times
        return int(np.count_nonzero(anomaly >= 1))

    def released(self, partition: TopicPartition) -> None:
        """Forget a task."""
        self._tables.pop(partition, None)

    def values(self, measure: str) -> Iterator[tuple[tuple[str, ...], "NDArray[Any]"]]:
        """Values of the series that were seen, by topic, and for `skill` by topic and horizon."""
        by_topic: dict[str, list[Table]] = {}
        for partition, table in list(self._tables.items()):
            by_topic.setdefault(partition.topic, []).append(table)
        for topic, tables in by_topic.items():
            found = np.concatenate([getattr(table, measure) for table in tables])
            found = found[~np.isnan(np.concatenate([table.times for table in tables]))]
            if measure == "skill":
                yield from (((topic, str(h)), found[:, k]) for k, h in enumerate(self._horizons))
            else:
                yield (topic,), found

    def worst(self, measure: str, *, horizon: int, count: int, topic: str | None = None) -> list[dict[str, object]]:
        """The `count` series of least skill at a horizon, or of most `anomaly` or `silence`, the worst first.

        Raises:
            ValueError: there is no such measure or horizon; says what there is.
        """
        if measure not in MEASURES:
            raise ValueError(f"by={measure}: must be one of {', '.join(MEASURES)}")
        if horizon not in self._horizons:
            raise ValueError(f"horizon={horizon}: must be one of {', '.join(map(str, self._horizons))}")
        column = self._horizons.index(horizon)
        found = []
        for partition, table in list(self._tables.items()):
            if topic not in (None, partition.topic):
                continue
            rank = table.skill[:, column] if measure == "skill" else -getattr(table, measure)
            seen = np.flatnonzero(~np.isnan(table.times))
            for row in seen[np.argsort(rank[seen], kind="stable")[:count]].tolist():
                found.append((float(rank[row]), self._described(partition, table, row)))  # noqa: PERF401
        found.sort(key=lambda pair: pair[0])
        return [described for _, described in found[:count]]

    def _room(self, partition: TopicPartition, rows: int) -> Table:
        table = self._tables.get(partition) or Table.empty(FIRST_ROOM, len(self._horizons))
        while len(table.times) < rows:
            more = Table.empty(len(table.times), len(self._horizons))
            pairs: Any = zip(table, more, strict=True)
            table = Table(*(np.concatenate(pair) for pair in pairs))
        self._tables[partition] = table
        return table

    def _described(self, partition: TopicPartition, table: Table, row: int) -> dict[str, object]:
        return {
            "series": table.names[row],
            "topic": partition.topic,
            "partition": partition.partition,
            "skill": {str(h): round(float(s), 4) for h, s in zip(self._horizons, table.skill[row], strict=True)},
            "anomaly_score": round(float(table.anomaly[row]), 4),
            "time": int(table.times[row]),
        }


def _joined(waves: Sequence[Wave]) -> tuple[Any, ...]:
    if len(waves) == 1:
        (wave,) = waves
        return wave.rows, wave.times, wave.anomaly, wave.skill
    by_field = dict(zip(Wave._fields, zip(*waves, strict=True), strict=True))
    return tuple(np.concatenate(by_field[name]) for name in WANTED)
