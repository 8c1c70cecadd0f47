"""Direction classifier: the probabilities that a series falls, stays or rises over each horizon.

It is one softmax layer per series and horizon, whose inputs are the class probabilities implied by the published
quantiles and the class frequencies so far. It learns from each label once, by an AdaGrad step on the log loss (Duchi et
al. 2011).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Floats, Integers, Singles, compiled, compiled_allocating
from streamrnn.core.row_table import RowTable

CLASSES = 3  # number of classes: down, flat, up
TERMS = 2 * CLASSES + 1  # inputs: logs of the implied probabilities and of the frequencies, and a constant
FIRST_SHARES = (0.8, 0.2)  # initial weights of the implied probabilities and of the frequencies
LEARNING_RATE = 0.1
FADING = 0.9998  # decay of the sums of squared gradients per label, so that the learning rate stays above zero
FIRST_SQUARES = 0.01  # initial sum of squared gradients
LEAST_IMPLIED = 0.001  # added to each implied probability before normalization
MIN_PROBABILITY = 0.0005  # smallest probability of a class
MAX_LABELS = 1_000_000.0  # labels after which the counts are halved: single precision counts only to 16 million
LOSS_RATE = 1 / 200  # rate of the running losses, per label
PREFIX = "direction_"  # prefix of the names of saved arrays


class DirectionState(NamedTuple):
    """One row per series. H horizons, L pending slots; horizon h has h slots."""

    terms: Singles  # (S, L, TERMS - 1) inputs at the origin of a pending forecast, without the constant
    weights: Singles  # (S, H, CLASSES, TERMS)
    squares: Singles  # (S, H, CLASSES, TERMS) decayed sums of squared gradients
    counts: Singles  # (S, H, CLASSES) labels so far, plus one
    band: Floats  # (S, H) largest change that counts as flat at the latest origin, field's unit
    loss: Singles  # (S, H) recent mean log loss
    base_loss: Singles  # (S, H) recent mean log loss of the frequencies


class Directions(NamedTuple):
    """Direction forecasts of one wave: B rows, H horizons."""

    probabilities: Floats  # (B, H, CLASSES) of down, flat and up; they sum to 1
    band: Floats  # (B, H) largest change that counts as flat, in the field's unit
    log_loss: Floats  # (B, H) recent mean log loss, nats
    base_log_loss: Floats  # (B, H) recent mean log loss of the class frequencies, nats


@compiled
def tail_probability(beyond: float, width: float, outer: float, inner: float) -> float:
    """Return the probability of a value at least `beyond` outside the outermost quantile, by an exponential tail.

    `outer` is the probability outside the outermost quantile, `inner` that outside the next one, and `width` the
    distance between the two.
    """
    return outer * math.exp(-beyond * math.log(inner / outer) / max(width, 1e-9))


@compiled
def probability_below(change: float, quantiles: Floats, levels: Floats) -> float:
    """Return the probability of a value below `change`: linear between the quantiles (Q,), exponential outside."""
    last = len(quantiles) - 1
    if change < quantiles[0]:
        if last == 0:
            return tail_probability(quantiles[0] - change, 1.0, levels[0], math.e * levels[0])
        return tail_probability(quantiles[0] - change, quantiles[1] - quantiles[0], levels[0], levels[1])
    if change >= quantiles[last]:
        if last == 0:
            return 1.0 - tail_probability(change - quantiles[0], 1.0, 1.0 - levels[0], math.e * (1.0 - levels[0]))
        width = quantiles[last] - quantiles[last - 1]
        return 1.0 - tail_probability(change - quantiles[last], width, 1.0 - levels[last], 1.0 - levels[last - 1])
    q = 0
    while change >= quantiles[q + 1]:
        q += 1
    return levels[q] + (levels[q + 1] - levels[q]) * (change - quantiles[q]) / (quantiles[q + 1] - quantiles[q])


@compiled
def fill_implied(quantiles: Floats, levels: Floats, flat: float, probabilities: Floats) -> None:
    """Fill the `probabilities` (CLASSES,) that the quantiles (Q,) of the change imply; units."""
    probabilities[0] = probability_below(-flat, quantiles, levels)
    probabilities[2] = 1.0 - probability_below(flat, quantiles, levels)
    probabilities[1] = max(1.0 - probabilities[0] - probabilities[2], 0.0)
    for c in range(CLASSES):
        probabilities[c] = (probabilities[c] + LEAST_IMPLIED) / (1.0 + CLASSES * LEAST_IMPLIED)


@compiled_allocating
def fill_direction_terms(implied: Floats, counts: Singles, terms: Singles) -> None:
    """Fill `terms` (TERMS - 1,): centered logs of the `implied` probabilities (CLASSES,) and of the frequencies."""
    total, means = 0.0, np.zeros(2)
    for c in range(CLASSES):
        total += counts[c]
    for c in range(CLASSES):
        means[0] += math.log(implied[c]) / CLASSES
        means[1] += math.log(counts[c] / total) / CLASSES
    for c in range(CLASSES):
        terms[c] = math.log(implied[c]) - means[0]
        terms[CLASSES + c] = math.log(counts[c] / total) - means[1]


@compiled
def fill_probabilities(weights: Singles, terms: Singles, probabilities: Floats) -> None:
    """Fill `probabilities` (CLASSES,): softmax of `weights` (CLASSES, TERMS) times `terms` (TERMS - 1,) and 1."""
    highest, total = -np.inf, 0.0
    for c in range(CLASSES):
        logit = float(weights[c, TERMS - 1])
        for d in range(TERMS - 1):
            logit += weights[c, d] * terms[d]
        probabilities[c] = logit
        highest = max(highest, logit)
    for c in range(CLASSES):
        probabilities[c] = math.exp(probabilities[c] - highest)
        total += probabilities[c]
    for c in range(CLASSES):
        probabilities[c] = MIN_PROBABILITY + (1.0 - CLASSES * MIN_PROBABILITY) * probabilities[c] / total


@compiled
def learn_direction(state: DirectionState, row: int, h: int, slot: int, label: int, scratch: Floats) -> None:
    """Update weights, counts and losses by the class `label` of a pending forecast; `scratch` (CLASSES,)."""
    terms, weights = state.terms[row, slot], state.weights[row, h]
    squares, counts = state.squares[row, h], state.counts[row, h]
    fill_probabilities(weights, terms, scratch)
    total = 0.0
    for c in range(CLASSES):
        total += counts[c]
    rate = max(LOSS_RATE, 1.0 / (total - CLASSES + 1.0))
    state.loss[row, h] += rate * (-math.log(scratch[label]) - state.loss[row, h])
    state.base_loss[row, h] += rate * (-math.log(counts[label] / total) - state.base_loss[row, h])
    for c in range(CLASSES):
        error = scratch[c] - (1.0 if c == label else 0.0)
        for d in range(TERMS):
            slope = error * (terms[d] if d < TERMS - 1 else 1.0)
            squares[c, d] = FADING * squares[c, d] + slope * slope
            weights[c, d] -= LEARNING_RATE * slope / math.sqrt(squares[c, d])
    counts[label] += 1.0
    if total >= MAX_LABELS:
        for c in range(CLASSES):
            counts[c] /= 2


@compiled_allocating
def update_directions(
    state: DirectionState, horizons: Integers, levels: Floats, flat: float, rows: Integers, seen: Integers,
    truths: Singles, changes: Floats,
) -> None:  # fmt: skip
    """Learn from `truths` (B, H), NaN: none, and store the inputs for the wave from the quantiles `changes` (B, H, Q).

    Both are changes in units; `seen` (B,) are the steps before the wave.
    """
    scratch = np.empty(CLASSES)
    for b in range(len(rows)):
        row, first = rows[b], 0
        for h in range(len(horizons)):
            slot = first + seen[b] % horizons[h]
            first += horizons[h]
            truth = float(truths[b, h])
            if not math.isnan(truth):
                learn_direction(state, row, h, slot, 0 if truth < -flat else 2 if truth > flat else 1, scratch)
            fill_implied(changes[b, h], levels, flat, scratch)
            fill_direction_terms(scratch, state.counts[row, h], state.terms[row, slot])


@compiled
def read_directions(
    state: DirectionState, horizons: Integers, rows: Integers, seen: Integers, probabilities: Floats
) -> None:
    """Fill the `probabilities` (B, H, CLASSES) of the forecasts whose origins have `seen` (B,) steps before them."""
    for b in range(len(rows)):
        row, first = rows[b], 0
        for h in range(len(horizons)):
            slot = first + seen[b] % horizons[h]
            fill_probabilities(state.weights[row, h], state.terms[row, slot], probabilities[b, h])
            first += horizons[h]


class DirectionClassifier:
    """Direction classifiers of all series; `flat` is the largest change that counts as flat, units."""

    def __init__(self, *, flat: float, horizons: Sequence[int], levels: Sequence[float]) -> None:
        self._flat = self.layout = flat
        self._horizons = np.array(horizons, np.int64)
        self._levels = np.array(levels, np.float64)
        self._table = RowTable(self._blank()._asdict(), DirectionState)

    @property
    def _state(self) -> DirectionState:
        return self._table.rows

    def add(self, count: int) -> None:
        """Add `count` new series."""
        self._table.append(count)

    def step(
        self, rows: Integers, seen: Integers, values: Floats, truths: Singles, units: Floats, quantiles: Floats
    ) -> Directions:
        """Learn from a wave with `seen` (B,) steps before it, and return its direction forecasts.

        In the field's unit: `values` (B,), published `quantiles` (B, H, Q), and the scales of changes, `units` (B, H).
        In units: `truths` (B, H), the labels of earlier forecasts, NaN: none.
        """
        changes = (quantiles - values[:, None, None]) / units[:, :, None]
        update_directions(self._state, self._horizons, self._levels, self._flat, rows, seen, truths, changes)
        self._state.band[rows] = self._flat * units
        return self.latest(rows, seen)

    def latest(self, rows: Integers, seen: Integers) -> Directions:
        """Return the latest forecast of each row (B,), whose origin has `seen` (B,) steps before it."""
        probabilities = np.empty((len(rows), len(self._horizons), CLASSES))
        read_directions(self._state, self._horizons, rows, seen, probabilities)
        sides = _rounded(probabilities[..., [0, 2]])
        middle = _rounded(1.0 - sides.sum(2, keepdims=True))
        shown = np.concatenate([sides[..., :1], middle, sides[..., 1:]], 2)
        losses = (_rounded(each[rows].astype(np.float64)) for each in (self._state.loss, self._state.base_loss))
        return Directions(shown, self._state.band[rows], *losses)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved arrays by name, one row per series."""
        return {f"{PREFIX}{name}": array for name, array in self._state._asdict().items()}

    def clear(self) -> None:
        """Remove all series."""
        self._table.clear()

    def extend(self, saved: Mapping[str, Any]) -> None:
        """Add series with saved arrays, named as by `arrays`."""
        self._table.extend({name: saved[f"{PREFIX}{name}"] for name in DirectionState._fields})

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        self._table.keep(rows)

    def _blank(self) -> DirectionState:
        """Return the initial state of one series."""
        capacity, count, f4 = 1, len(self._horizons), np.float32
        new = DirectionState(
            terms=np.zeros((capacity, int(self._horizons.sum()), TERMS - 1), f4),
            weights=np.zeros((capacity, count, CLASSES, TERMS), f4),
            squares=np.full((capacity, count, CLASSES, TERMS), FIRST_SQUARES, f4),
            counts=np.ones((capacity, count, CLASSES), f4), band=np.zeros((capacity, count)),
            loss=np.full((capacity, count), math.log(CLASSES), f4),
            base_loss=np.full((capacity, count), math.log(CLASSES), f4),
        )  # fmt: skip
        for c in range(CLASSES):
            new.weights[:, :, c, c], new.weights[:, :, c, CLASSES + c] = FIRST_SHARES
        return new


def _rounded(numbers: Floats) -> Floats:
    return np.asarray(np.rint(numbers * 1e4) / 1e4)
