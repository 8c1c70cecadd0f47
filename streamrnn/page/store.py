"""All that the page's process knows, and how it is asked: one thread takes in and answers, so nothing is locked."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamrnn.page.history import History
from streamrnn.page.messages import Message
from streamrnn.page.traffic import Traffic

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Told:
    """What the daemon says of itself when it starts the page's process."""

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
class Line:
    """A series in a list."""

    series: str
    topic: str
    partition: int
    time: int
    """Event time of its last observation, milliseconds since the epoch."""
    value: float
    anomaly_score: float
    skill: float | None
    """Over all horizons; null until enough has matured since the page is there."""


class Lately:
    """Remembers answers for a second: many browsers ask for the same at about the same time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = -1
        self._answers: dict[object, Any] = {}

    def ask(self, question: object, find: Callable[[], Answer]) -> Answer:
        """What `find` finds for a question, or has found in this second."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._answers.clear()
        if question not in self._answers:
            self._answers[question] = find()
        answer: Answer = self._answers[question]
        return answer


class Store:
    """History, scores and traffic under one roof."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.history = History(
            horizons=told.horizons, quantiles=told.quantiles, history=told.history, memory=told.memory
        )
        self.traffic = Traffic()
        self.lately = Lately()
        """For the views of the page."""

    def take(self, message: Message) -> None:
        """Take in a message."""
        self.traffic.take(message)
        self.history.take(message)

    def line(self, place: int) -> Line:
        """The series at a place."""
        series = self.history.places.at(place)
        present = self.history.present(place)
        skill = number(float(self.history.scores.overall(place)))
        return Line(series.name, *series.partition, present.time, present.value, present.anomaly, skill)

    def listed(self, search: str, sort: str, limit: int) -> tuple[int, list[int]]:
        """How many series there are whose names hold `search`, in any case, and the places of the first.

        `sort`: `name`; `best` and `worst` go by skill, and leave out those that have none yet.
        """
        wanted = search.casefold()
        found = [
            (series.name, place)
            for place, series in enumerate(self.history.places.series)
            if series is not None and wanted in series.name.casefold()
        ]
        if sort == "name":
            return len(found), [place for _, place in sorted(found)[:limit]]
        places = np.array([place for _, place in found], np.int64)
        skill = self.skills()[places] if len(places) else np.zeros(0)
        places, skill = places[~np.isnan(skill)], skill[~np.isnan(skill)]
        order = np.argsort(skill if sort == "worst" else -skill, kind="stable")
        return len(places), places[order[:limit]].tolist()

    def skills(self) -> NDArray[np.float64]:
        """Skill over all horizons by place; NaN: none yet."""
        return self.history.scores.overall(slice(len(self.history.places)))

    def middle(self) -> tuple[float | None, float | None]:
        """Skill and coverage over all horizons of the middle series, by either; None: none is scored yet."""
        coverages = self.history.scores.covered(slice(len(self.history.places)))
        known = [shares[~np.isnan(shares)] for shares in (self.skills(), coverages)]
        skill, coverage = (float(np.median(shares)) if len(shares) else None for shares in known)
        return skill, coverage


def number(value: float) -> float | None:
    """A number for JSON."""
    return value if math.isfinite(value) else None
