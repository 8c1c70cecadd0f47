"""Drift detection: one river detector per series observes the relative errors of its one-step forecasts.

A relative error is |error| of the published median over the recent mean |error| of persistence. After an alarm the
regrets of the members are discounted, because the best member may be another one after the drift.
"""

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from streamrnn.core.experts.safe_pickle import Bytes, dumped, loaded
from streamrnn.core.jit import Booleans, Floats, Integers
from streamrnn.errors import START_OVER, StateError, missing_extra

FIRST = 100  # steps of a series before its detector is used: early errors have other causes
MAX_ERROR = 10.0  # largest relative error; larger ones are clipped, because detectors compare means
DISCOUNT = 0.2  # factor of the regrets of the members after an alarm
LASTING = 100  # steps after an alarm during which a series counts as drifting
SIGNIFICANCE = 0.0005
"""Significance level of the KSWIN test, which runs at every observation; river's default, 0.005, alarms too often."""


class Drift:
    """Drift detectors of all series; `detector` is `adwin`, `page_hinkley` or `kswin`."""

    def __init__(self, *, detector: str) -> None:
        """Check that river is installed; raise ConfigError if not."""
        self._name = detector
        self._detectors: list[Any] = []
        self._until: list[int] = []  # by row: step up to which the series counts as drifting
        self.alarms = 0
        try:
            self._new()
        except ImportError:
            raise missing_extra(f"learning.drift = {detector}", "river", "river") from None

    @property
    def layout(self) -> list[object]:
        """Entry of the layout that saved detectors must match; with river's version, as their state may change."""
        return [version("river"), self._name]

    def add(self, count: int) -> None:
        """Add detectors for `count` new series."""
        self._detectors += [self._new() for _ in range(count)]
        self._until += [0] * count

    def step(self, rows: Integers, seen: Integers, errors: Floats) -> Integers:
        """Update the detectors by relative `errors` (B,) after `seen` (B,) steps; return the rows with an alarm."""
        found = []
        for row, count, error in zip(rows.tolist(), seen.tolist(), errors.tolist(), strict=True):
            if count < FIRST or not math.isfinite(error):
                continue
            detector = self._detectors[row]
            before = getattr(detector, "estimation", 0.0)
            detector.update(min(error, MAX_ERROR))
            # ADWIN also alarms on falling errors, after which no discount is needed
            if detector.drift_detected and (self._name != "adwin" or detector.estimation > before):
                self._until[row] = count + LASTING
                found.append(row)
        self.alarms += len(found)
        return np.array(found, np.int64)

    def is_drifting(self, rows: Integers, seen: Integers) -> Booleans:
        """Return which of the rows (B,) are drifting after `seen` (B,) steps."""
        return np.array([self._until[row] for row in rows.tolist()], np.int64) >= seen

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        self._detectors = [self._detectors[row] for row in rows.tolist()]
        self._until = [self._until[row] for row in rows.tolist()]

    def save(self, first: int, count: int) -> Bytes:
        """Return the detectors of rows first to first + count - 1, pickled."""
        chosen = slice(first, first + count)
        # bound methods are left out, because safe_pickle does not load them
        states = [{k: v for k, v in vars(detector).items() if not callable(v)} for detector in self._detectors[chosen]]
        return dumped([self._until[chosen], states])

    def load(self, pages: Sequence[Bytes]) -> None:
        """Load the saved detectors of all rows, in order; raise StateError if they are damaged."""
        self._detectors, self._until = [], []
        for page in pages:
            match loaded(page):
                case [list(until), list(states)] if {*map(type, states)} <= {dict} and len(until) == len(states):
                    self._until += until
                    self._detectors += [self._restored(state) for state in states]
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
