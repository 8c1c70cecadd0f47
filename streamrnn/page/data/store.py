"""All data of the page's process and its queries. A single thread reads and writes, so there are no locks."""

import math
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamrnn.page.data.answers import Explanations, Paths
from streamrnn.page.data.history import SeriesHistory
from streamrnn.page.data.messages import Message
from streamrnn.page.data.occurrences import OccurrenceLog
from streamrnn.page.data.slots import SeriesId
from streamrnn.page.data.traffic import Traffic
from streamrnn.page.data.workers import Workers

Sort = Literal["name", "worst", "best", "anomaly", "silence", "width"]
SILENCE_SECONDS = 2.0
"""Seconds between two searches for series that have become stale."""
EXPLANATION_SECONDS, PATH_SECONDS = 5.0, 1.0
"""Seconds for which an explanation, and a path, answers further requests."""
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class PageConfig:
    """The configuration that the daemon passes to the page's process."""

    app: str
    topics: list[str]
    horizons: list[int]
    quantiles: list[float]
    token: str | None
    history: int
    memory: int
    host: str
    port: int
    logging: dict[str, Any] = field(default_factory=dict)
    """Section `logging` of the configuration."""


@dataclass(frozen=True)
class SeriesSummary:
    """A series in a list."""

    series: str
    topic: str
    partition: int
    time: int
    """Event time of the last observation, milliseconds since the epoch."""
    value: float
    anomaly_score: float
    skill: float | None
    """Skill over all horizons; null until enough forecasts have matured."""


class SecondCache:
    """Caches answers within each second: many browsers ask for the same at about the same time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = -1
        self._answers: dict[object, Any] = {}

    def get(self, key: object, compute: Callable[[], Answer]) -> Answer:
        """Return the answer of this second, computed if it is the first request."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._answers.clear()
        if key not in self._answers:
            self._answers[key] = compute()
        answer: Answer = self._answers[key]
        return answer


class FoundSeries(NamedTuple):
    """A part of a sorted list of series."""

    total: int
    """Number of all matching series."""
    slots: list[int]


class Store:
    """History, scores and traffic of the page. `channels` lead to the workers."""

    def __init__(self, config: PageConfig, channels: Sequence[socket.socket] = ()) -> None:
        self.config = config
        self.history = SeriesHistory(
            horizons=config.horizons, quantiles=config.quantiles, history=config.history, memory=config.memory
        )
        self.traffic = Traffic()
        self.workers = Workers(max(1, len(channels)))
        self.occurrences = OccurrenceLog(self.history.slots.capacity)
        self.explanations = Explanations(channels, fresh_seconds=EXPLANATION_SECONDS)
        self.paths = Paths(channels, fresh_seconds=PATH_SECONDS)
        self.cache = SecondCache()
        self._next_silences = 0.0
        self._sorted = -1, list[str](), np.zeros(0, np.int64)
        """Version of the slots, and names in any case and slots of the series, sorted by name."""

    def add(self, message: Message, worker: int = 0) -> None:
        """Store a message of a worker, by its number."""
        self.workers.add(message, worker)
        if message.explanation is not None:
            series = SeriesId(str(message.explanation.get("series")), message.partition)
            self.explanations.receive(series, message.explanation)
        elif message.path is not None:
            self.paths.receive(message.path)
        elif message.worker is None:
            self._add_observations(message)
        if (now := time.monotonic()) >= self._next_silences:  # workers report even without records
            self._next_silences = now + SILENCE_SECONDS
            self.occurrences.add_silences(self.history)

    def _add_observations(self, message: Message) -> None:
        self.traffic.add(message)
        new, anomalies = self.history.add(message)
        for slot in new:
            self.occurrences.clear(slot)
        for found in anomalies:
            self.occurrences.add_anomalies(self.history, found)
        for event in message.events:
            self.occurrences.add_event(message.partition, event)

    def summary(self, slot: int) -> SeriesSummary:
        """Return the summary of the series in a slot."""
        series, present = self.history.slots.series_at(slot), self.history.present(slot)
        skill = finite_or_none(float(self.history.scores.overall(slot)[0]))
        return SeriesSummary(series.name, *series.partition, present.time, present.value, present.anomaly, skill)

    def search(self, text: str, sort: Sort, limit: int, offset: int = 0) -> FoundSeries:
        """Return the series with this text in their name, in any case, from number `offset` on.

        `sort`: `name`; by skill `best` first or `worst` first; `anomaly`, `silence` and `width`: highest first. Series
        without the value to sort by are omitted.
        """
        names, slots = self._by_name()
        if text:
            wanted = text.casefold()
            slots = slots[[number for number, name in enumerate(names) if wanted in name]]
        if sort != "name":
            ranks = self.cache.get(("ranks", sort), lambda: self._ranks(sort))[slots]
            slots, ranks = slots[~np.isnan(ranks)], ranks[~np.isnan(ranks)]
            slots = slots[np.argsort(ranks, kind="stable")]
        return FoundSeries(len(slots), slots[offset : offset + limit].tolist())

    def measure(self, sort: Sort) -> NDArray[np.float64]:
        """Return the sort value by slot, (S,): anomaly score, silence in ms, relative width, or else skill.

        It is computed once a second.
        """
        history = self.history
        computed: dict[str, Callable[[], NDArray[Any]]] = {
            "anomaly": history.recent_anomaly, "silence": history.silence, "width": history.relative_width,
        }  # fmt: skip
        skill: Callable[[], NDArray[Any]] = lambda: history.scores.overall(slice(len(history.slots)))[0]  # noqa: E731
        kind = sort if sort in computed else "skill"
        found: NDArray[np.float64] = self.cache.get(("measure", kind), computed.get(kind, skill))
        return found

    def _ranks(self, sort: Sort) -> NDArray[np.float64]:
        """Return the rank by slot, lowest first, (S,)."""
        measure = self.measure(sort).astype(np.float64)
        return measure if sort == "worst" else -measure

    def _by_name(self) -> tuple[list[str], NDArray[np.int64]]:
        version, names, slots = self._sorted
        if version != self.history.slots.version:
            found = [(each.name, slot) for slot, each in enumerate(self.history.slots.series) if each is not None]
            found.sort()
            names = [name.casefold() for name, _ in found]
            slots = np.array([slot for _, slot in found], np.int64)
            self._sorted = self.history.slots.version, names, slots
        return names, slots

    def median_scores(self) -> tuple[float | None, float | None]:
        """Return the medians over all series of skill and coverage; None without scored series."""
        scores = self.history.scores.overall(slice(len(self.history.slots)))
        known = [shares[~np.isnan(shares)] for shares in scores]
        skill, coverage = (float(np.median(shares)) if len(shares) else None for shares in known)
        return skill, coverage


def finite_or_none(value: float) -> float | None:
    """Return a finite number, or None for NaN and infinity, which JSON cannot represent."""
    return value if math.isfinite(value) else None
