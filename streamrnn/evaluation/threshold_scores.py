"""Scores of threshold forecasts, from forecast records alone: Brier scores, and how reliable the probabilities are.

The label of a forecast is whether the `value` of the record that many steps later lies beyond the level. Persistence
forecasts that what is beyond a level stays there; the base rate is the share of the labels of the series at the horizon
that are beyond it, known in hindsight.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 10
"""Bins of equal width between the probabilities 0 and 1."""


class ThresholdSums(NamedTuple):
    """Sums over the scored forecasts of one threshold of one series. K horizons."""

    level: float
    direction: str
    labels: Floats
    """Number of forecasts whose label arrived, shape (K,)."""
    beyond: Floats
    """Labels beyond the level, shape (K,)."""
    brier: Floats
    """Squared differences of probabilities and labels, shape (K,)."""
    persistence: Floats
    """Squared differences of persistence's forecasts and labels, shape (K,)."""
    bins: Floats
    """Forecasts, probabilities and labels beyond the level, by bin of the probability, shape (BINS, 3)."""


class ThresholdTally:
    """Scores the threshold forecasts of one series, whose records are added in order."""

    def __init__(self, horizons: Sequence[int]) -> None:
        self._horizons = list(horizons)
        self._pending: deque[tuple[bool, list[dict[str, Any]], float]] = deque(maxlen=self._horizons[-1])
        """(scored, thresholds, value) of the latest records."""
        self._sums: dict[tuple[float, str], ThresholdSums] = {}

    def add(self, record: Mapping[str, Any], *, scored: bool) -> None:
        """Add a record; with `scored` its own forecasts count."""
        value, pending = record["value"], self._pending
        for k, horizon in enumerate(self._horizons):
            if len(pending) >= horizon and pending[-horizon][0]:
                _, thresholds, before = pending[-horizon]
                for each in thresholds:
                    self._score(each, k, before, value)
        pending.append((scored, record.get("thresholds", []), value))

    def _score(self, threshold: Mapping[str, Any], k: int, before: float, value: float) -> None:
        level, direction, probability = threshold["level"], threshold["direction"], threshold["probability"][k]
        sums = self._sums.get((level, direction))
        if sums is None:
            labels, beyond, brier, persistence = np.zeros((4, len(self._horizons)))
            sums = ThresholdSums(level, direction, labels, beyond, brier, persistence, np.zeros((BINS, 3)))
            self._sums[level, direction] = sums
        label, unchanged = (float(each > level if direction == "above" else each < level) for each in (value, before))
        sums.labels[k] += 1
        sums.beyond[k] += label
        sums.brier[k] += (probability - label) ** 2
        sums.persistence[k] += (unchanged - label) ** 2
        sums.bins[min(int(probability * BINS), BINS - 1)] += 1, probability, label

    def sums(self) -> list[ThresholdSums]:
        """Return the sums of each threshold, in the order in which they were first seen."""
        return list(self._sums.values())


class ThresholdLine(NamedTuple):
    """The scores of one threshold over all series of a field."""

    field: str
    direction: str
    level: float
    series: int
    beyond: float
    """Share of labels beyond the level."""
    brier: float
    """Mean squared difference of probability and label."""
    base_rate: float
    """`brier` if each forecast were the share of labels beyond the level, of its series and horizon."""
    persistence: float
    """`brier` of persistence."""
    calibration_error: float
    """Mean distance between the mean probability and the share of labels beyond the level, over the bins."""
    reliability: list[tuple[int, float, float]]
    """(forecasts, mean probability, share of labels beyond the level) of each bin; NaN without forecasts."""


def summarize_thresholds(series: Iterable[tuple[str, ThresholdSums]]) -> list[ThresholdLine]:
    """Return the scores of each field's thresholds, in first-seen order, from (name of the series, sums)."""
    found: dict[tuple[str, str, float], list[ThresholdSums]] = {}
    for name, sums in series:
        found.setdefault((name.rpartition("/")[2], sums.direction, sums.level), []).append(sums)
    return [_line(*key, members) for key, members in found.items()]


def _line(field: str, direction: str, level: float, members: Sequence[ThresholdSums]) -> ThresholdLine:
    labels, beyond = np.array([sums.labels for sums in members]), np.array([sums.beyond for sums in members])
    total = labels.sum()
    brier = float(np.sum([sums.brier for sums in members]) / total)
    persistence = float(np.sum([sums.persistence for sums in members]) / total)
    base = float((beyond * (1 - beyond / np.maximum(labels, 1))).sum() / total)
    count, probability, share = np.sum([sums.bins for sums in members], axis=0).T
    error = float(np.abs(probability - share).sum() / total)
    with np.errstate(invalid="ignore"):
        rows = list(
            zip(count.astype(int).tolist(), (probability / count).tolist(), (share / count).tolist(), strict=True)
        )
    scores = float(beyond.sum() / total), brier, base, persistence, error
    return ThresholdLine(field, direction, level, len(members), *scores, rows)
