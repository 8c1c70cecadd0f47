"""All data of the page's process and its queries. A single thread reads and writes, so there are no locks."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from streamrnn.page.data.history import SeriesHistory
from streamrnn.page.data.messages import Message
from streamrnn.page.data.traffic import Traffic

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
    """The section of the configuration."""


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
    """Over all horizons; null until enough forecasts have matured."""


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


class Store:
    """History, scores and traffic of the page."""

    def __init__(self, config: PageConfig) -> None:
        self.config = config
        self.history = SeriesHistory(
            horizons=config.horizons, quantiles=config.quantiles, history=config.history, memory=config.memory
        )
        self.traffic = Traffic()
        self.cache = SecondCache()

    def add(self, message: Message) -> None:
        """Store a message."""
        self.traffic.add(message)
        self.history.add(message)

    def summary(self, slot: int) -> SeriesSummary:
        """Return the summary of the series in a slot."""
        series, present = self.history.slots.series_at(slot), self.history.present(slot)
        skill = finite_or_none(float(self.history.scores.overall(slot)[0]))
        return SeriesSummary(series.name, *series.partition, present.time, present.value, present.anomaly, skill)

    def search(self, text: str, sort: str, limit: int) -> tuple[int, list[int]]:
        """Return the number of series with this text in their name, in any case, and the slots of the first ones.

        `sort`: `name`; `best` and `worst` sort by skill and omit series without one.
        """
        text = text.casefold()
        found = [
            (series.name, slot)
            for slot, series in enumerate(self.history.slots.series)
            if series is not None and text in series.name.casefold()
        ]
        if sort == "name":
            return len(found), [slot for _, slot in sorted(found)[:limit]]
        slots = np.array([slot for _, slot in found], np.int64)
        skill = self.history.scores.overall(slice(len(self.history.slots)))[0][slots]
        slots, skill = slots[~np.isnan(skill)], skill[~np.isnan(skill)]
        order = np.argsort(skill if sort == "worst" else -skill, kind="stable")
        return len(slots), slots[order[:limit]].tolist()

    def median_scores(self) -> tuple[float | None, float | None]:
        """Return the medians over all series of skill and coverage; None without scored series."""
        scores = self.history.scores.overall(slice(len(self.history.slots)))
        known = [shares[~np.isnan(shares)] for shares in scores]
        skill, coverage = (float(np.median(shares)) if len(shares) else None for shares in known)
        return skill, coverage


def finite_or_none(value: float) -> float | None:
    """Return a number as JSON can represent it."""
    return value if math.isfinite(value) else None
