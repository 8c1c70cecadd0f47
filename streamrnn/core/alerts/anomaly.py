"""Anomaly rules: which deviations of a series count as anomalies."""

from collections.abc import Sequence

import numpy as np

from streamrnn.core.config import AnomalyRule, matches_series
from streamrnn.core.jit import Floats, Integers

SIDES = {"both": 0.0, "up": 1.0, "down": -1.0}  # sign of the deviations that count; 0: both


class AnomalyRules:
    """The anomaly rule of each series; without a rule, every deviation counts."""

    def __init__(self, rules: Sequence[AnomalyRule]) -> None:
        self._rules = [*rules, AnomalyRule()]
        self._side = np.array([SIDES[rule.direction] for rule in self._rules])
        self._least = np.array([rule.min_deviation for rule in self._rules])
        self._rule: list[int] = []
        """Index of the rule, by row."""

    def add(self, names: Sequence[str]) -> None:
        """Add series."""
        for name in names:
            found = (n for n, rule in enumerate(self._rules) if matches_series(rule.field, name))
            self._rule.append(next(found))

    def clear(self) -> None:
        """Remove all series."""
        self._rule.clear()

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        self._rule = [self._rule[row] for row in rows.tolist()]

    def apply(self, rows: Integers, deviations: Floats, scores: Floats) -> Floats:
        """Return the anomaly scores (B,), 0 where the deviation (B,), field's unit, does not count."""
        rules = [self._rule[row] for row in rows.tolist()]
        side = self._side[rules]
        counts = (side * deviations >= 0) & (np.abs(deviations) >= self._least[rules])
        return np.where(counts, scores, 0.0)
