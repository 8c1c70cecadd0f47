"""The latest observation and forecasts of selected series (metrics.series), in Prometheus' text format.

No other metric has the name of a series as a label. The worker's thread writes and the metrics server's thread reads.
Waves are collected and processed together, at the latest at a scrape: only the last one of each series counts.
"""

import logging
import re
import threading
from collections.abc import Collection, Sequence
from fnmatch import translate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.observe.catalogue import BY_SERIES_AND_HORIZON, SELECTED, TASK, task_labels
from streamrnn.records import StepReport, TopicPartition, Wave

UNKNOWN, EXCLUDED, UNMATCHED = -1, -2, -3
"""In place of a slot: the name was not checked yet, no slot was free, no pattern matches."""
MAX_PENDING, WAVE_BYTES = 4 * 2**20, 4096
"""Size in bytes of pending waves above which they are processed, and least size that a wave counts as."""

logger = logging.getLogger(__name__)


class SelectionRule(NamedTuple):
    """Selection of the series to export."""

    patterns: Sequence[str]
    """Patterns of whole names, `key/field`, or of keys."""
    limit: int
    """Largest number of series of this process."""
    hidden: Collection[str] = ()
    """Fields that are never exported."""


def exported_horizons(count: int) -> list[int]:
    """Return the indexes of the first, the middle and the last of `count` horizons; all of up to three."""
    return sorted({0, (count - 1) // 2, count - 1})


def _exported_levels(quantiles: Sequence[float]) -> list[int]:
    """Return the indexes of the lowest quantile, the median and the highest quantile."""
    return [0, list(quantiles).index(0.5), len(quantiles) - 1]


class SelectedSeries:
    """The selected series of all tasks of this process. `horizons` are in steps, `quantiles` levels in rising order."""

    def __init__(self, rule: SelectionRule, *, horizons: Sequence[str], quantiles: Sequence[float]) -> None:
        self._rule = rule
        self._matches = re.compile("|".join(translate(pattern) for pattern in rule.patterns)).match
        self._chosen = exported_horizons(len(horizons))
        self._horizons = [horizons[k] for k in self._chosen]
        self._levels = _exported_levels(quantiles)
        self._lock = threading.Lock()
        """Protects slots from being reassigned while they are read."""
        self._pending: dict[TopicPartition, list[Wave]] = {}
        """Waves that are not processed yet, by task."""
        self._pending_bytes = 0
        self._slots: dict[TopicPartition, NDArray[np.int32]] = {}
        """Slot of each row, or UNKNOWN, EXCLUDED or UNMATCHED, by task."""
        self._labels: list[str | None] = [None] * rule.limit
        """Labels of the series in Prometheus' format, by slot; None for a free slot."""
        self._free = list(reversed(range(rule.limit)))
        self._latest = np.zeros((rule.limit, 3 + 5 * len(self._chosen)))
        """(slots, values) in the order of SELECTED, those by horizon side by side."""
        self._warned = False

    def configure(self, quantiles: Sequence[float]) -> None:
        """Replace the quantiles of the waves from now on."""
        with self._lock:
            self._store()
            self._levels = _exported_levels(quantiles)

    def stepped(self, report: StepReport) -> None:
        """Add the waves of a batch to the pending ones, and process these if they are large."""
        if report.waves:
            with self._lock:
                self._pending.setdefault(report.partition, []).extend(report.waves)
                self._pending_bytes += sum(WAVE_BYTES + wave.quantiles.nbytes for wave in report.waves)
                if self._pending_bytes > MAX_PENDING:
                    self._store()

    def removed(self, partition: TopicPartition, rows: Sequence[int]) -> None:
        """Drop series of a task; their rows may later belong to other series."""
        if not rows:
            return
        with self._lock:
            self._store()
            slots = self._slots.get(partition, np.empty(0, np.int32))
            known = [row for row in rows if row < len(slots)]
            self._release(slots[known])
            slots[known] = UNKNOWN

    def released(self, partition: TopicPartition) -> None:
        """Drop the series of a task."""
        with self._lock:
            self._store()
            self._release(self._slots.pop(partition, np.empty(0, np.int32)))

    def _store(self) -> None:
        """Process the pending waves: store the latest observation of each selected series."""
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        for partition, waves in pending.items():
            slots = self._look_up(partition, np.concatenate([wave.rows for wave in waves]), waves)
            chosen = np.flatnonzero(slots >= 0)
            latest = np.full(self._rule.limit, -1)
            latest[slots[chosen]] = chosen  # of several, the last assignment wins
            found = np.flatnonzero(latest >= 0)
            ends = np.cumsum([len(wave.rows) for wave in waves])
            members = np.searchsorted(ends, latest[found], side="right")
            for number in np.unique(members).tolist():
                own = found[members == number]
                self._latest[own] = self._columns(waves[number], latest[own] - ends[number] + len(waves[number].rows))

    def _columns(self, wave: Wave, indexes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the exported values of some observations of a wave, shape (B, values)."""
        times, quantiles, at = wave.times[indexes], wave.quantiles[indexes], self._chosen
        by_level = [quantiles[:, at, level] for level in self._levels]
        ahead = wave.target_times[indexes][:, at] - times[:, None]
        values, anomaly, skill = wave.values[indexes], wave.anomaly[indexes], wave.skill[indexes]
        return np.column_stack([values, times / 1e3, anomaly, *by_level, ahead / 1e3, skill[:, at]])

    def exposition(self) -> str:
        """Return the metrics of the selected series as text, which is the same in OpenMetrics for gauges."""
        with self._lock:
            self._store()
            latest = self._latest.tolist()
            series = [(slot, known) for slot, known in enumerate(self._labels) if known is not None]
            excluded = {task: int(np.count_nonzero(slots == EXCLUDED)) for task, slots in self._slots.items()}
        lines, column = [], 0
        for metric in SELECTED:
            name, description, _ = metric.declared
            lines += [f"# HELP {name} {description}", f"# TYPE {name} {metric.kind}"]
            if metric.labels == TASK:
                lines += [f"{name}{{{_task_text(task)}}} {count}" for task, count in excluded.items()]
                continue
            by_horizon = [f',horizon="{horizon}"' for horizon in self._horizons]
            for label in by_horizon if metric.labels == BY_SERIES_AND_HORIZON else [""]:
                lines += [f"{name}{{{known}{label}}} {latest[slot][column]!r}" for slot, known in series]
                column += 1
        return "".join(f"{line}\n" for line in lines)

    def _look_up(self, partition: TopicPartition, rows: NDArray[np.int64], waves: Sequence[Wave]) -> NDArray[np.int32]:
        """Return the slot of each row, or why it has none; assign a slot to a new series if it is selected."""
        known = self._slots.get(partition, np.empty(0, np.int32))
        if (last := int(rows.max())) >= len(known):
            more = np.full(max(last + 1, 2 * len(known)) - len(known), UNKNOWN, np.int32)
            known = self._slots[partition] = np.concatenate([known, more])
        slots = known[rows]
        open_rows = slots == UNKNOWN
        if self._free:
            open_rows |= slots == EXCLUDED
        new = np.flatnonzero(open_rows)
        if not len(new):
            return slots
        names = [name for wave in waves for name in wave.series]
        for index in new.tolist():
            if known[rows[index]] < 0:  # else its series came twice
                known[rows[index]] = self._assign(partition, names[index])
        return known[rows]

    def _assign(self, partition: TopicPartition, name: str) -> int:
        key, _, field = name.rpartition("/")
        if field in self._rule.hidden or not (self._matches(name) or self._matches(key)):
            return UNMATCHED
        if not self._free:
            if not self._warned:
                logger.warning("series_not_exported", extra={"limit": self._rule.limit})
            self._warned = True
            return EXCLUDED
        slot = self._free.pop()
        self._labels[slot] = f'{_task_text(partition)},series="{_escaped(name)}"'
        return slot

    def _release(self, slots: NDArray[np.int32]) -> None:
        for slot in slots[slots >= 0].tolist():
            self._labels[slot] = None
            self._free.append(slot)


def _task_text(partition: TopicPartition) -> str:
    """Return the labels of a task in Prometheus' format; a topic has no characters to escape."""
    return ",".join(f'{name}="{value}"' for name, value in zip(TASK, task_labels(partition), strict=True))


def _escaped(value: str) -> str:
    """Return the value of a label with its special characters escaped."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
