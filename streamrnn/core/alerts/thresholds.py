"""Threshold forecasts: probabilities that a series lies beyond given levels at each horizon, calibrated online.

The published quantiles imply a probability. Between the quantiles, the distribution is interpolated linearly on the
scale of normal quantiles, and its tails are normal. A logistic regression per series, level and horizon calibrates the
implied probability (Platt 1999). Its inputs are the log odds of the implied probability and of the frequency so far; it
learns from each label once, by an AdaGrad step on the log loss (Duchi et al. 2011).

The forecast is a weighted mean of the calibrated probability, the implied probability and the frequency, because a
regression learns little from rare labels. The weights are exponential in the recent log losses (Vovk 1990), divided by
the square root of the horizon, because labels of overlapping forecasts are not independent.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.config import Threshold, matches_series
from streamrnn.core.jit import Booleans, Floats, Integers, Singles, compiled, compiled_allocating
from streamrnn.core.row_table import RowTable

TERMS = 3  # inputs: log odds of the implied probability and of the frequency, and a constant
LEARNING_RATE = 0.07
FADING = 0.9998  # decay of the sums of squared gradients per label, so that the learning rate stays above zero
FIRST_SQUARES = 0.01  # initial sum of squared gradients
MIN_PROBABILITY = 1e-4  # inputs are the log odds of probabilities from MIN_PROBABILITY to 1 - MIN_PROBABILITY
MEMBERS = 3  # members of the mean: calibrated probability, implied probability, frequency
MIXING_RATE = 0.15  # learning rate of the weights, per unit of log loss at horizon 1
LOSS_DECAY = 0.999  # decay of the log losses per label
FIRST_LOSS = 30.0  # initial log loss of the frequency at horizon 1, because few labels do not determine it
MIN_LIKELIHOOD = 1e-5  # smallest likelihood, which limits the log loss of one label
MAX_NORMAL_QUANTILE = 8.0  # largest |normal quantile|
STEEPEST = 30.0  # largest |log odds|
MAX_LABELS = 1_000_000.0  # labels after which the counts are halved: single precision counts only to 16 million
PREFIX = "threshold_"  # prefix of the names of saved arrays
NO_CROSSING = -1


class ThresholdState(NamedTuple):
    """One row per series. T thresholds, H horizons, L pending slots; horizon h has h slots."""

    odds: Singles  # (S, T, L, 2) inputs of a pending forecast, without the constant; NaN: none is pending
    weights: Singles  # (S, T, H, TERMS)
    squares: Singles  # (S, T, H, TERMS) decayed sums of squared gradients
    counts: Singles  # (S, T, H, 2) number of labels beyond the level, plus 0.5, and of all labels, plus 1
    losses: Singles  # (S, T, H, MEMBERS) decayed sums of log losses


class ThresholdForecasts(NamedTuple):
    """Threshold forecasts of one wave: B rows, T thresholds, H horizons."""

    applies: Booleans  # (B, T) whether the threshold applies to the series
    probabilities: Floats  # (B, T, H) that the value lies beyond the level
    crossings: Integers  # (B, T) index of the first horizon with at least the threshold's probability; NO_CROSSING
    thresholds: tuple[Threshold, ...]  # (T,)

    def take(self, chosen: Integers) -> "ThresholdForecasts":
        """Return the forecasts at these indexes of the wave."""
        parts = self.applies[chosen], self.probabilities[chosen], self.crossings[chosen]
        return ThresholdForecasts(*parts, self.thresholds)


@compiled
def normal_score(value: float, quantiles: Floats, normal: Floats, middle: int) -> float:
    """Return the standard normal quantile with the probability of less than `value`.

    `normal` (Q,) are the standard normal quantiles of the levels of `quantiles` (Q,); `middle` is the median's index.
    """
    last = len(quantiles) - 1
    if quantiles[0] <= value < quantiles[last]:
        q = 0
        while value >= quantiles[q + 1]:
            q += 1
        share = (value - quantiles[q]) / (quantiles[q + 1] - quantiles[q])
        return normal[q] + (normal[q + 1] - normal[q]) * share
    edge = 0 if value < quantiles[0] else last
    outer = edge if normal[edge] != 0 else last - edge  # the other side if this one has only the median
    deviation = (quantiles[outer] - quantiles[middle]) / normal[outer] if normal[outer] != 0 else 0.0
    distance = value - quantiles[edge]
    if deviation <= 0:
        return math.copysign(MAX_NORMAL_QUANTILE, distance) if distance != 0 else normal[edge]
    return min(max(normal[edge] + distance / deviation, -MAX_NORMAL_QUANTILE), MAX_NORMAL_QUANTILE)


@compiled
def log_odds(probability: float) -> float:
    """Return the log odds of a probability, which is limited by MIN_PROBABILITY."""
    limited = min(max(probability, MIN_PROBABILITY), 1.0 - MIN_PROBABILITY)
    return math.log(limited / (1.0 - limited))


@compiled
def probability_beyond(level: float, quantiles: Floats, normal: Floats, middle: int) -> float:
    """Return the probability of a value above `level`; other arguments as for `normal_score`."""
    return 0.5 * math.erfc(normal_score(level, quantiles, normal, middle) / math.sqrt(2.0))


@compiled
def probability_of(logit: float) -> float:
    """Return the probability with these log odds, which are limited by STEEPEST."""
    return 1.0 / (1.0 + math.exp(-min(max(logit, -STEEPEST), STEEPEST)))


@compiled
def member_probability(member: int, weights: Singles, odds: Singles) -> float:
    """Return the probability of a member for inputs `odds` (2,); `weights` (TERMS,) are those of the regression."""
    if member > 0:
        return probability_of(float(odds[member - 1]))
    return probability_of(weights[0] * odds[0] + weights[1] * odds[1] + float(weights[2]))


@compiled
def mixed_probability(weights: Singles, losses: Singles, odds: Singles, horizon: int) -> float:
    """Return the weighted mean of the members' probabilities, weighted by their `losses` (MEMBERS,)."""
    rate, least = MIXING_RATE / math.sqrt(horizon), math.inf
    mean, total = 0.0, 0.0
    for member in range(MEMBERS):
        least = min(least, float(losses[member]))
    for member in range(MEMBERS):
        weight = math.exp(rate * (least - losses[member]))
        mean += weight * member_probability(member, weights, odds)
        total += weight
    return mean / total


@compiled
def learn_threshold(state: ThresholdState, row: int, t: int, h: int, slot: int, beyond: float) -> None:
    """Update regression, frequency and losses by the label of a pending forecast, `beyond` (1) the level or not (0)."""
    odds, counts = state.odds[row, t, slot], state.counts[row, t, h]
    weights, squares, losses = state.weights[row, t, h], state.squares[row, t, h], state.losses[row, t, h]
    for member in range(MEMBERS):
        probability = member_probability(member, weights, odds)
        likelihood = probability if beyond > 0 else 1.0 - probability
        losses[member] = LOSS_DECAY * losses[member] - math.log(max(likelihood, MIN_LIKELIHOOD))
    error = member_probability(0, weights, odds) - beyond
    for d in range(TERMS):
        slope = error * (odds[d] if d < TERMS - 1 else 1.0)
        squares[d] = FADING * squares[d] + slope * slope
        weights[d] -= LEARNING_RATE * slope / math.sqrt(squares[d])
    counts[0] += beyond
    counts[1] += 1.0
    if counts[1] >= MAX_LABELS:
        counts[0] /= 2
        counts[1] /= 2


@compiled_allocating
def update_thresholds(
    state: ThresholdState, horizons: Integers, normal: Floats, middle: int, levels: Floats, sides: Floats,
    applies: Booleans, rows: Integers, seen: Integers, values: Floats, due: Booleans, quantiles: Floats,
) -> None:  # fmt: skip
    """Learn from a wave, and store the inputs of its forecasts.

    Args:
        state: State of all series.
        horizons: Horizons in steps, (H,).
        normal: Standard normal quantiles of the levels of the quantiles, (Q,).
        middle: Index of the median.
        levels: Levels of the thresholds, field's unit, (T,).
        sides: 1 for thresholds with the direction `above`, else -1, (T,).
        applies: Whether a threshold applies to a row, (B, T).
        rows: Rows of the wave, (B,).
        seen: Steps before the wave, (B,).
        values: Values of the wave, field's unit, (B,).
        due: Whether a forecast was due, (B, H).
        quantiles: Published quantiles, field's unit, (B, H, Q).
    """
    last = len(normal) - 1
    mirrored, scratch = -normal[::-1].copy(), np.empty(last + 1)
    for b in range(len(rows)):
        row = rows[b]
        for t in range(len(levels)):
            if not applies[b, t]:
                continue
            level, first = sides[t] * levels[t], 0
            beyond = 1.0 if sides[t] * values[b] > level else 0.0
            for h in range(len(horizons)):
                slot = first + seen[b] % horizons[h]
                first += horizons[h]
                odds = state.odds[row, t, slot]
                if due[b, h] and not math.isnan(odds[0]):
                    learn_threshold(state, row, t, h, slot, beyond)
                for q in range(last + 1):
                    scratch[q] = quantiles[b, h, q] if sides[t] > 0 else -quantiles[b, h, last - q]
                if sides[t] > 0:
                    odds[0] = log_odds(probability_beyond(level, scratch, normal, middle))
                else:
                    odds[0] = log_odds(probability_beyond(level, scratch, mirrored, last - middle))
                odds[1] = log_odds(state.counts[row, t, h, 0] / state.counts[row, t, h, 1])


@compiled
def read_thresholds(
    state: ThresholdState, horizons: Integers, applies: Booleans, rows: Integers, seen: Integers, probabilities: Floats
) -> None:
    """Fill the `probabilities` (B, T, H) of forecasts whose origins have `seen` (B,) steps before; 0 without one."""
    for b in range(len(rows)):
        for t in range(applies.shape[1]):
            first = 0
            for h in range(len(horizons)):
                odds = state.odds[rows[b], t, first + seen[b] % horizons[h]]
                first += horizons[h]
                known = applies[b, t] and not math.isnan(odds[0])
                if not known:
                    probabilities[b, t, h] = 0.0
                    continue
                weights, losses = state.weights[rows[b], t, h], state.losses[rows[b], t, h]
                probabilities[b, t, h] = mixed_probability(weights, losses, odds, horizons[h])


class Thresholds:
    """Threshold forecasts of all series."""

    def __init__(self, *, thresholds: Sequence[Threshold], horizons: Sequence[int], levels: Sequence[float]) -> None:
        self._thresholds = tuple(thresholds)
        self._levels = np.array([each.level for each in thresholds])
        self._sides = np.array([1.0 if each.direction == "above" else -1.0 for each in thresholds])
        self._least = np.array([each.probability for each in thresholds])[:, None]
        self._horizons = np.array(horizons, np.int64)
        self._normal = np.array([NormalDist().inv_cdf(level) for level in levels])
        self._middle = list(levels).index(0.5)
        self._sets: dict[tuple[bool, ...], int] = {}
        """Number of each combination of thresholds that apply to a series."""
        self._set: list[int] = []
        """Number of the combination of each row."""
        self._table = RowTable(self._blank()._asdict(), ThresholdState)

    @property
    def layout(self) -> list[list[object]]:
        """Entry of the layout, which saved state must match."""
        return [[each.field, each.direction, each.level] for each in self._thresholds]

    def step(
        self, rows: Integers, seen: Integers, values: Floats, due: Booleans, quantiles: Floats
    ) -> ThresholdForecasts:
        """Learn from a wave, with `seen` (B,) steps before it, and return its threshold forecasts.

        `values` (B,) and published `quantiles` (B, H, Q) are in the field's unit; `due` (B, H): a forecast was due.
        """
        applies = self._applies(rows)
        update_thresholds(
            self._table.rows, self._horizons, self._normal, self._middle, self._levels, self._sides, applies, rows,
            seen, values, due, quantiles,
        )  # fmt: skip
        return self.latest(rows, seen)

    def latest(self, rows: Integers, seen: Integers) -> ThresholdForecasts:
        """Return the latest forecast of each row (B,), whose origin has `seen` (B,) steps before it."""
        applies = self._applies(rows)
        probabilities = np.empty((*applies.shape, len(self._horizons)))
        read_thresholds(self._table.rows, self._horizons, applies, rows, seen, probabilities)
        shown = np.rint(probabilities * 1e4) / 1e4
        probable = (shown >= self._least) & applies[..., None]
        crossings = np.where(probable.any(2), probable.argmax(2), NO_CROSSING)
        return ThresholdForecasts(applies, shown, crossings, self._thresholds)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved arrays by name, one row per series."""
        return {f"{PREFIX}{name}": array for name, array in self._table.rows._asdict().items()}

    def clear(self) -> None:
        """Remove all series."""
        self._table.clear()
        self._set.clear()

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        self._table.keep(rows)
        self._set = [self._set[row] for row in rows.tolist()]

    def extend(self, saved: Mapping[str, Any], names: Sequence[str]) -> None:
        """Add the series `names` with saved arrays, named as by `arrays`; new series if `saved` is empty."""
        if saved:
            found = {name: saved.get(f"{PREFIX}{name}") for name in ThresholdState._fields}
            self._table.extend({name: array for name, array in found.items() if array is not None})
        else:
            self._table.append(len(names))
        for name in names:
            applies = tuple(matches_series(each.field, name) for each in self._thresholds)
            self._set.append(self._sets.setdefault(applies, len(self._sets)))

    def _applies(self, rows: Integers) -> Booleans:
        """Return whether each threshold applies to the rows (B,), (B, T)."""
        return np.array(list(self._sets), np.bool_)[[self._set[row] for row in rows.tolist()]]

    def _blank(self) -> ThresholdState:
        """Return the initial state of one series."""
        count, horizons, f4 = len(self._thresholds), len(self._horizons), np.float32
        new = ThresholdState(
            odds=np.full((1, count, int(self._horizons.sum()), TERMS - 1), np.nan, f4),
            weights=np.zeros((1, count, horizons, TERMS), f4),
            squares=np.full((1, count, horizons, TERMS), FIRST_SQUARES, f4),
            counts=np.full((1, count, horizons, 2), 1.0, f4),
            losses=np.zeros((1, count, horizons, MEMBERS), f4),
        )
        new.weights[..., 0], new.counts[..., 0] = 1.0, 0.5
        new.losses[..., MEMBERS - 1] = FIRST_LOSS * np.sqrt(self._horizons)
        return new
