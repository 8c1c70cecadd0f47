"""Whether a series will fall, stay or rise over a horizon: a softmax layer for each, learned online.

It reads the probabilities of the three that the published quantiles imply, and how often each has come so far, and
learns from each label once, by the gradient of the log loss in steps after Duchi et al. 2011 (AdaGrad). The quantiles
know where the series is going, the frequencies how far they may be believed.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.jit import Floats, Integers, Singles, compiled, compiled_allocating
from streamrnn.core.series.wave import longer

CLASSES = 3
"""Down, flat, up."""
TERMS = 2 * CLASSES + 1
"""Logs of the probabilities that the quantiles imply, of the frequencies, and a constant."""
FIRST_SHARES = (0.8, 0.2)
"""What the layer believes of either before it has learned."""
LEARNING_RATE = 0.1
FADING = 0.9998
"""Of the sums of squared gradients, per label: the layer never stops learning."""
FIRST_SQUARES = 0.01
LEAST_IMPLIED = 0.001
"""Share given to each class beside what the quantiles imply."""
LEAST = 0.0005
"""Probability below which nothing is said."""
MOST = 1_000_000.0
"""Labels after which the frequencies forget half: single precision counts no further than some millions."""
LOSS_RATE = 1 / 200
"""Of the running losses."""
PREFIX = "direction_"
"""Of the names of what is saved."""


class Kept(NamedTuple):
    """One row a series; H horizons, L pending slots: each horizon has as many as it has steps."""

    terms: Singles  # (S, L, TERMS - 1) at the origin of a pending forecast; the constant is left out
    weights: Singles  # (S, H, CLASSES, TERMS)
    squares: Singles  # (S, H, CLASSES, TERMS) fading sums of squared gradients
    counts: Singles  # (S, H, CLASSES) labels so far, and one of each
    band: Floats  # (S, H) of the latest origin; see Directions
    loss: Singles  # (S, H) recent mean log loss
    base_loss: Singles  # (S, H) the same of the frequencies


class Directions(NamedTuple):
    """Of one wave: B rows, H horizons."""

    probabilities: Floats  # (B, H, CLASSES) of down, flat and up; they add up to 1
    band: Floats  # (B, H) in the field's unit: a change of at most so much is flat
    log_loss: Floats  # (B, H) recent, nats
    base_log_loss: Floats  # (B, H) the same of the frequencies so far


@compiled
def tail(beyond: float, width: float, outer: float, inner: float) -> float:
    """Probability of what lies so far beyond the outermost quantile.

    `width` lies between it, with probability `outer` beyond it, and the next one, with `inner`.
    """
    return outer * math.exp(-beyond * math.log(inner / outer) / max(width, 1e-9))


@compiled
def below(change: float, said: Floats, levels: Floats) -> float:
    """Probability of less than `change`, where `said` (Q,) are quantiles: straight between them, exponential beyond."""
    last = len(said) - 1
    if change < said[0]:
        if last == 0:
            return tail(said[0] - change, 1.0, levels[0], math.e * levels[0])
        return tail(said[0] - change, said[1] - said[0], levels[0], levels[1])
    if change >= said[last]:
        if last == 0:
            return 1.0 - tail(change - said[0], 1.0, 1.0 - levels[0], math.e * (1.0 - levels[0]))
        return 1.0 - tail(change - said[last], said[last] - said[last - 1], 1.0 - levels[last], 1.0 - levels[last - 1])
    q = 0
    while change >= said[q + 1]:
        q += 1
    return levels[q] + (levels[q + 1] - levels[q]) * (change - said[q]) / (said[q + 1] - said[q])


@compiled
def imply(said: Floats, levels: Floats, flat: float, probabilities: Floats) -> None:
    """Fill `probabilities` (CLASSES,) with what the quantiles `said` (Q,) of the change, in units, imply."""
    probabilities[0] = below(-flat, said, levels)
    probabilities[2] = 1.0 - below(flat, said, levels)
    probabilities[1] = max(1.0 - probabilities[0] - probabilities[2], 0.0)
    for c in range(CLASSES):
        probabilities[c] = (probabilities[c] + LEAST_IMPLIED) / (1.0 + CLASSES * LEAST_IMPLIED)


@compiled_allocating
def describe(implied: Floats, counts: Singles, terms: Singles) -> None:
    """Fill `terms` (TERMS - 1,): logs of `implied` (CLASSES,) and of the frequencies, each less their mean."""
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
def respond(weights: Singles, terms: Singles, probabilities: Floats) -> None:
    """Fill `probabilities` (CLASSES,): the softmax of `weights` (CLASSES, TERMS) times `terms` (TERMS - 1,) and 1."""
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
        probabilities[c] = LEAST + (1.0 - CLASSES * LEAST) * probabilities[c] / total


@compiled
def learn(kept: Kept, row: int, h: int, slot: int, came: int, room: Floats) -> None:
    """Learn the class that `came` of the forecast pending in `slot`; `room` (CLASSES,) is written over."""
    terms, weights = kept.terms[row, slot], kept.weights[row, h]
    squares, counts = kept.squares[row, h], kept.counts[row, h]
    respond(weights, terms, room)
    total = 0.0
    for c in range(CLASSES):
        total += counts[c]
    rate = max(LOSS_RATE, 1.0 / (total - CLASSES + 1.0))
    kept.loss[row, h] += rate * (-math.log(room[came]) - kept.loss[row, h])
    kept.base_loss[row, h] += rate * (-math.log(counts[came] / total) - kept.base_loss[row, h])
    for c in range(CLASSES):
        wrong = room[c] - (1.0 if c == came else 0.0)
        for d in range(TERMS):
            slope = wrong * (terms[d] if d < TERMS - 1 else 1.0)
            squares[c, d] = FADING * squares[c, d] + slope * slope
            weights[c, d] -= LEARNING_RATE * slope / math.sqrt(squares[c, d])
    counts[came] += 1.0
    if total >= MOST:
        for c in range(CLASSES):
            counts[c] /= 2


@compiled_allocating
def take(
    kept: Kept, horizons: Integers, levels: Floats, flat: float, rows: Integers, seen: Integers, truths: Singles,
    changes: Floats,
) -> None:  # fmt: skip
    """One wave: learn its labels `truths` (B, H), units, NaN: none, and write down what its quantiles imply.

    `seen` (B,) observations came before, `changes` (B, H, Q) are the quantiles of the change in units.
    """
    room = np.empty(CLASSES)
    for b in range(len(rows)):
        row, first = rows[b], 0
        for h in range(len(horizons)):
            slot = first + seen[b] % horizons[h]
            first += horizons[h]
            truth = float(truths[b, h])
            if not math.isnan(truth):
                learn(kept, row, h, slot, 0 if truth < -flat else 2 if truth > flat else 1, room)
            imply(changes[b, h], levels, flat, room)
            describe(room, kept.counts[row, h], kept.terms[row, slot])


@compiled
def read_back(kept: Kept, horizons: Integers, rows: Integers, seen: Integers, probabilities: Floats) -> None:
    """Fill `probabilities` (B, H, CLASSES) with what the layer says of the origin that `seen` (B,) came before."""
    for b in range(len(rows)):
        row, first = rows[b], 0
        for h in range(len(horizons)):
            respond(kept.weights[row, h], kept.terms[row, first + seen[b] % horizons[h]], probabilities[b, h])
            first += horizons[h]


class DirectionClassifier:
    """The directions of all series. `flat`: a change of at most so many times the usual one over a horizon is flat."""

    def __init__(self, *, flat: float, horizons: Sequence[int], levels: Sequence[float]) -> None:
        self._flat = self.layout = flat
        self._horizons = np.array(horizons, np.int64)
        self._levels = np.array(levels, np.float64)
        self._count = 0
        self._kept = self._room(0)

    def add(self) -> None:
        """One more series."""
        if self._count == len(self._kept.terms):
            self._kept = longer(self._kept, self._room(max(self._count, 1)))
        self._count += 1

    def step(
        self, rows: Integers, seen: Integers, values: Floats, truths: Singles, units: Floats, quantiles: Floats
    ) -> Directions:
        """What is said of a wave, of which `quantiles` (B, H, Q) are published, in the field's unit.

        `seen` (B,) observations came before those of `values` (B,); `truths` (B, H), in units, NaN: no label, are what
        they say of earlier forecasts; `units` (B, H).
        """
        changes = (quantiles - values[:, None, None]) / units[:, :, None]
        take(self._kept, self._horizons, self._levels, self._flat, rows, seen, truths, changes)
        self._kept.band[rows] = self._flat * units
        return self.read(rows, seen)

    def read(self, rows: Integers, seen: Integers) -> Directions:
        """What was said last of each row (B,), when `seen` (B,) observations had come before; changes nothing."""
        probabilities = np.empty((len(rows), len(self._horizons), CLASSES))
        read_back(self._kept, self._horizons, rows, seen, probabilities)
        sides = _rounded(probabilities[..., [0, 2]])
        middle = _rounded(1.0 - sides.sum(2, keepdims=True))
        shown = np.concatenate([sides[..., :1], middle, sides[..., 1:]], 2)
        losses = (_rounded(each[rows].astype(np.float64)) for each in (self._kept.loss, self._kept.base_loss))
        return Directions(shown, self._kept.band[rows], *losses)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What is kept per series, by name."""
        return {f"{PREFIX}{name}": array for name, array in self._kept._asdict().items()}

    def load(self, arrays: dict[str, NDArray[np.generic]], names: list[str]) -> None:
        """Take over what `arrays` gave, of the series `names`; where that is nothing, begin anew."""
        held: dict[str, Any] = {name: arrays[f"{PREFIX}{name}"] for name in Kept._fields if arrays}
        self._kept, self._count = Kept(**held) if held else self._room(len(names)), len(names)

    def _room(self, capacity: int) -> Kept:
        count, f4 = len(self._horizons), np.float32
        room = Kept(
            terms=np.zeros((capacity, int(self._horizons.sum()), TERMS - 1), f4),
            weights=np.zeros((capacity, count, CLASSES, TERMS), f4),
            squares=np.full((capacity, count, CLASSES, TERMS), FIRST_SQUARES, f4),
            counts=np.ones((capacity, count, CLASSES), f4),
            band=np.zeros((capacity, count)),
            loss=np.full((capacity, count), math.log(CLASSES), f4),
            base_loss=np.full((capacity, count), math.log(CLASSES), f4),
        )
        for c in range(CLASSES):
            room.weights[:, :, c, c], room.weights[:, :, c, CLASSES + c] = FIRST_SHARES
        return room


def _rounded(numbers: Floats) -> Floats:
    return np.asarray(np.rint(numbers * 1e4) / 1e4)
