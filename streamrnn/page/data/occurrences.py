"""The latest anomalies, silences and events of all series, in bounded memory."""

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamrnn.page.data.slots import SeriesId
from streamrnn.records import TopicPartition

if TYPE_CHECKING:
    from streamrnn.page.data.history import Anomalies, SeriesHistory

MAX_OCCURRENCES = 500
"""Largest number of stored occurrences."""
CALM_OBSERVATIONS = 10
"""Number of successive observations without an anomaly after which the next anomaly is another occurrence."""
AT_ONCE = 20
"""Number of series falling silent at the same time above which they are one occurrence."""
ANOMALY, SILENCE = "anomaly", "silence"
SILENCE_BEGINS = "silence_begins"
"""Event of a silence, with `series.stale`: it replaces the occurrence that the page finds itself, or precedes it."""
OWN_EVENTS = frozenset({"anomaly_begins", "anomaly_ends"})
"""Events that are not shown, as the page finds anomalies itself, even without a topic of events."""


@dataclass(frozen=True)
class Occurrence:
    """Something that happened to a series."""

    kind: str
    """anomaly, silence, or a kind of event as in the topic of events, such as drift_begins."""
    series: str
    """Empty: several series, see `count`."""
    topic: str
    partition: int
    time: int
    """Event time, milliseconds since the epoch; of a silence, that of the last observation before it."""
    value: float | None = None
    anomaly_score: float | None = None
    crossing: dict[str, Any] | None = None
    """Details of an expected crossing, as in the event."""
    count: int = 1
    """Number of series."""
    joint_anomaly: dict[str, Any] | None = None
    """Details of a joint anomaly, as in the event; `series` is the one with the largest share."""


class OccurrenceLog:
    """The latest MAX_OCCURRENCES occurrences. `capacity`: slots of series."""

    def __init__(self, capacity: int) -> None:
        self._latest: deque[Occurrence] = deque(maxlen=MAX_OCCURRENCES)
        self._last_anomaly = np.full(capacity, -CALM_OBSERVATIONS - 1, np.int64)
        """(S,) number of the observation that was the last anomaly."""
        self._silent = np.zeros(capacity, np.bool_)
        """(S,) whether a silence was reported."""
        self.version = 0
        """Changes with every occurrence."""

    def clear(self, slot: int) -> None:
        """Reset a slot for another series."""
        self._last_anomaly[slot], self._silent[slot] = -CALM_OBSERVATIONS - 1, False

    def latest(self, limit: int, series: SeriesId | None = None) -> list[Occurrence]:
        """Return the latest occurrences of all series or of one, the last one first."""
        found = (each for each in reversed(self._latest) if series is None or _belongs(each, series))
        return list(islice(found, limit))

    def add_anomalies(self, history: "SeriesHistory", found: "Anomalies") -> None:
        """Add anomalies, in order of their number within each series."""
        for slot, number, time, value, score in zip(*(column.tolist() for column in found), strict=True):
            begins = number - int(self._last_anomaly[slot]) > CALM_OBSERVATIONS
            self._last_anomaly[slot] = number
            if begins:
                name, task = history.slots.series_at(slot)
                self._add(Occurrence(ANOMALY, name, *task, time, value, score))

    def add_event(self, task: TopicPartition, document: dict[str, Any]) -> None:
        """Add an event as it was written to the topic of events."""
        kind = str(document.get("event", ""))
        if kind in OWN_EVENTS:
            return
        name, value, crossing = str(document.get("series", "")), document.get("value"), document.get("crossing")
        if kind == SILENCE_BEGINS:
            last = next(iter(self.latest(1, SeriesId(name, task))), None)
            if last is not None and last.kind == SILENCE:
                self._latest.remove(last)
        joint = document.get("joint_anomaly")
        self._add(Occurrence(kind, name, *task, int(document["time"]), value, None, crossing, joint_anomaly=joint))

    def add_silences(self, history: "SeriesHistory") -> None:
        """Add a silence for every series gone stale since the last call, and forget those that have ended."""
        stale = history.stale()
        new = np.flatnonzero(stale & ~self._silent[: len(stale)])
        self._silent[: len(stale)] = stale
        if len(new):
            kinds = {(each.series, each.topic, each.partition): each.kind for each in self._latest}
            names = (history.slots.series_at(slot) for slot in new.tolist())
            new = new[[kinds.get((name, *task)) != SILENCE_BEGINS for name, task in names]]
        if len(new) > AT_ONCE:
            self._add_joint_silence(history, new)
            return
        for slot in new.tolist():
            name, task = history.slots.series_at(slot)
            self._add(Occurrence(SILENCE, name, *task, history.present(slot).time))

    def _add_joint_silence(self, history: "SeriesHistory", slots: NDArray[np.int64]) -> None:
        by_task: dict[TopicPartition, list[int]] = {}
        for slot in slots.tolist():
            by_task.setdefault(history.slots.series_at(slot).partition, []).append(slot)
        for task, members in by_task.items():
            time = int(history.latest_times(np.array(members)).max())
            self._add(Occurrence(SILENCE, "", *task, time, count=len(members)))

    def _add(self, occurrence: Occurrence) -> None:
        self._latest.append(occurrence)
        self.version += 1


def _belongs(occurrence: Occurrence, series: SeriesId) -> bool:
    return (occurrence.series, occurrence.topic, occurrence.partition) == (series.name, *series.partition)
