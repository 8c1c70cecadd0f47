"""Detection of drift: a detector of river per series, fed with how wrong the forecasts one step ahead are.

What it is fed with is |error| of the published median over the running |error| of persistence. After an alarm the
mixture of that series forgets most of what its members have earned: the best one before may not be the best one after.
"""

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from streamrnn.core.experts.safe_pickle import Bytes, dumped, loaded
from streamrnn.core.jit import Booleans, Floats, Integers
from streamrnn.errors import START_OVER, ConfigError, StateError

FIRST = 100
"""Observations of a series up to which its detector is fed nothing: a young series is wrong for other reasons."""
LARGEST = 10.0
"""A score counts at most as much: detectors compare means."""
KEPT = 0.2
"""Share of the members' regrets that is left after an alarm."""
LASTING = 100
"""Observations after an alarm for which a series counts as drifting."""
SIGNIFICANCE = 0.0005
"""Of KSWIN, which tests at every observation: river's own 0.005 would give alarms all the time."""


class Drift:
    """The detectors of all series. `detector`: `adwin`, `page_hinkley` or `kswin`."""

    def __init__(self, *, detector: str) -> None:
        """Raises ConfigError where river is not installed."""
        self._name = detector
        self._detectors: list[Any] = []
        self._until: list[int] = []
        """By row: the series counts as drifting up to this observation."""
        self.alarms = 0
        try:
            self._new()
        except ImportError:
            raise ConfigError(
                f"learning.drift = {detector}: needs river, which is not installed: pip install 'streamrnn[river]'"
            ) from None

    @property
    def layout(self) -> list[object]:
        """What saved detectors must agree in: the version of river too, for it promises nothing about its pickles."""
        return [version("river"), self._name]

    def add(self) -> None:
        """A detector for a new series."""
        self._detectors.append(self._new())
        self._until.append(0)

    def step(self, rows: Integers, seen: Integers, scores: Floats) -> Integers:
        """Feed a wave: `rows` (B,), `seen` (B,) observations before it, `scores` (B,); the rows with an alarm."""
        found = []
        for row, count, score in zip(rows.tolist(), seen.tolist(), scores.tolist(), strict=True):
            if count < FIRST or not math.isfinite(score):
                continue
            detector = self._detectors[row]
            before = getattr(detector, "estimation", 0.0)
            detector.update(min(score, LARGEST))
            # ADWIN tells a rise from a fall, and to become better is no reason to forget
            if detector.drift_detected and (self._name != "adwin" or detector.estimation > before):
                self._until[row] = count + LASTING
                found.append(row)
        self.alarms += len(found)
        return np.array(found, np.int64)

    def lasting(self, rows: Integers, seen: Integers) -> Booleans:
        """Which of the rows (B,) count as drifting, after `seen` (B,) observations."""
        return np.array([self._until[row] for row in rows.tolist()], np.int64) >= seen

    def save(self, first: int, count: int) -> Bytes:
        """The detectors of rows first ... first + count - 1."""
        chosen = slice(first, first + count)
        # without bound methods, which only a pickle that can call anything would bring back
        kept = [{k: v for k, v in vars(detector).items() if not callable(v)} for detector in self._detectors[chosen]]
        return dumped([self._until[chosen], kept])

    def load(self, pages: Sequence[Bytes]) -> None:
        """Take over the saved detectors of all rows, in order.

        Raises:
            StateError: they cannot be loaded.
        """
        self._detectors, self._until = [], []
        for page in pages:
            match loaded(page):
                case [list(until), list(kept)] if {*map(type, kept)} <= {dict} and len(until) == len(kept):
                    self._until += until
                    self._detectors += [self._restored(state) for state in kept]
                case _:
                    raise StateError(f"the saved drift detectors are damaged; {START_OVER}")

    def _restored(self, state: dict[str, Any]) -> Any:
        detector = self._new()
        vars(detector).update(state)
        return detector

    def _new(self) -> Any:
        from river import drift  # noqa: PLC0415 -- an extra

        if self._name == "adwin":
            return drift.ADWIN()
        if self._name == "page_hinkley":
            return drift.PageHinkley(mode="up")
        return drift.KSWIN(alpha=SIGNIFICANCE, seed=0)
