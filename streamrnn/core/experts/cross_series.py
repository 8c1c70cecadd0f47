"""Fields of one key that see each other: a regression of each series on its own terms and on the others' last values.

The terms of a series are those of its own regressions and, for each of the first OTHERS other fields of its key, how
far its last values lie from its latest one, and that from its mean. The regression is that of rls, one gain for all
horizons; what it says is one more expert in the mixture.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.experts.classical import TRUTH_CLIP
from streamrnn.core.experts.rls import FIRST_ROW, FORECAST_CLIP, absorb, restart, teach
from streamrnn.core.jit import Floats, Integers, Shorts, Singles, compiled, compiled_allocating
from streamrnn.core.series.features import LAST_MEAN, TERM_CLIP, reference_scales
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import clip, code, decoded
from streamrnn.core.series.state import TERMS, Series
from streamrnn.core.series.wave import longer

OTHERS = 6
"""Fields that a series sees beside itself."""
LAGS = (1, 2, 3, 4, 5, 6, 8, 12)
EACH = len(LAGS) + 1
WIDTH = TERMS + OTHERS * EACH
"""Terms, D."""
FORGET, PRIOR, ERROR_CLIP = 0.9998, 0.05, 1.5
"""As in rls."""
FIRST_RESIDUAL = 1.0
NONE = -1


class Regressions(NamedTuple):
    """One row a series; R rows are kept, K horizons."""

    terms: Shorts  # (S, R, D) coded
    gain: Shorts  # (S, R, D) coded
    gain_unit: Singles  # (S, R) 0: nothing is learned of that row
    covariance: Singles  # (S, D (D + 1) / 2) packed
    weights: Singles  # (S, K, D)
    residual: Singles  # (S, K) running |error|, units


@compiled
def read_others(series: Series, plan: Plan, others: Integers, terms: Singles) -> None:
    """Fill `terms` (D,) from TERMS on with what the `others` (OTHERS,) say; 0 where one is not there."""
    terms[TERMS:] = 0.0
    for m in range(len(others)):
        row, at = others[m], TERMS + m * EACH
        if row < 0 or series.seen[row] == 0:
            continue
        last, ring, value = series.seen[row] - 1, series.ring[row], series.value[row] - series.center[row]
        s1, s12, s24 = reference_scales(series, plan, row)
        unit = math.sqrt(s1 * s12)
        for i in range(len(LAGS)):
            if LAGS[i] <= last:
                terms[at + i] = clip((ring[(last - LAGS[i]) % len(ring)] - value) / unit, TERM_CLIP)
        terms[at + len(LAGS)] = clip((value - series.means[row, LAST_MEAN]) / s24, TERM_CLIP)


@compiled
def learn(held: Regressions, row: int, count: int, horizons: Integers, truths: Singles) -> None:
    """Learn the labels `truths` (K,) of a series that has `count` observations, NaN: none has come."""
    size = held.terms.shape[1]
    for k in range(len(horizons)):
        before = (count - 1 - horizons[k]) % size
        unit = float(held.gain_unit[row, before]) if count > horizons[k] else 0.0
        if unit > 0 and not math.isnan(truths[k]):
            truth = min(max(float(truths[k]), -TRUTH_CLIP), TRUTH_CLIP)
            held.residual[row, k] = teach(
                held.weights[row, k], float(held.residual[row, k]), held.terms[row, before], held.gain[row, before],
                unit, truth, ERROR_CLIP,
            )  # fmt: skip


@compiled_allocating
def regress(
    series: Series, plan: Plan, held: Regressions, others: Integers, rows: Integers, truths: Singles, points: Floats
) -> None:
    """One wave that the bank has taken in: learn its labels `truths` (B, K), and fill `points` (B, K), in units."""
    terms, product = np.zeros(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    for b in range(len(rows)):
        row, count = rows[b], series.seen[rows[b]]
        place = (count - 1) % held.terms.shape[1]
        learn(held, row, count, plan.horizons, truths[b])
        held.gain_unit[row, place], points[b] = 0.0, 0.0
        if count <= FIRST_ROW:
            continue
        for d in range(TERMS):
            terms[d] = decoded(series.terms[row, (count - 1) % series.terms.shape[1], d], TERM_CLIP)
        read_others(series, plan, others[row], terms)
        for k in range(len(plan.horizons)):
            total = 0.0
            for d in range(WIDTH):
                total += held.weights[row, k, d] * terms[d]
            points[b, k] = clip(total, FORECAST_CLIP)
        largest = absorb(held.covariance[row], terms, product, PRIOR, FORGET)
        held.gain_unit[row, place] = largest
        for d in range(WIDTH):
            held.terms[row, place, d] = code(terms[d], TERM_CLIP)
            held.gain[row, place, d] = code(product[d], largest) if largest > 0 else 0


class CrossSeriesExpert:
    """The regressions of all series, and who sees whom."""

    layout = True
    """What of it saved state must agree in: that it is there."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._held = self._room(0)
        self._others = np.zeros((0, OTHERS), np.int64)
        self._rows: dict[str, list[int]] = {}
        """By key, in first-seen order."""

    def add(self, name: str) -> None:
        """One more series; `name` is that of its key, a slash and that of its field."""
        row = sum(map(len, self._rows.values()))
        if row >= len(self._others):
            self.grow(max(row, 1))
        mates = self._rows.setdefault(name.rpartition("/")[0], [])
        self._others[row, : len(mates[:OTHERS])] = mates[:OTHERS]
        for mate in mates:
            free = np.flatnonzero(self._others[mate] == NONE)[:1]
            self._others[mate, free] = row
        mates.append(row)

    def grow(self, capacity: int) -> None:
        """Room for `capacity` more series."""
        self._held = longer(self._held, self._room(capacity))
        self._others = np.concatenate([self._others, np.full((capacity, OTHERS), NONE, np.int64)])

    def step(self, series: Series, rows: Integers, truths: Singles) -> Floats:
        """Points (B, K, 1) in units, of a wave that the bank has taken in; `truths` (B, K) in units, NaN: no label."""
        points = np.empty(truths.shape)
        regress(series, self._plan, self._held, self._others, rows, truths, points)
        return points[:, :, None]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What is kept per series, by name."""
        return {f"neighbours_{name}": array for name, array in self._held._asdict().items()}

    def load(self, arrays: dict[str, NDArray[np.generic]], names: list[str]) -> None:
        """Take over what `arrays` gave, of the series `names`."""
        self.__init__(self._plan)  # type: ignore[misc]
        for name in names:
            self.add(name)
        spare = self._room(len(self._others) - len(names))
        held: dict[str, Any] = {name: arrays[f"neighbours_{name}"] for name in Regressions._fields}
        self._held = longer(Regressions(**held), spare)

    def _room(self, capacity: int) -> Regressions:
        size, horizons = int(self._plan.horizons[-1]) + 1, len(self._plan.horizons)
        room = Regressions(
            terms=np.zeros((capacity, size, WIDTH), np.int16),
            gain=np.zeros((capacity, size, WIDTH), np.int16),
            gain_unit=np.zeros((capacity, size), np.float32),
            covariance=np.zeros((capacity, WIDTH * (WIDTH + 1) // 2), np.float32),
            weights=np.zeros((capacity, horizons, WIDTH), np.float32),
            residual=np.full((capacity, horizons), FIRST_RESIDUAL, np.float32),
        )
        for covariance in room.covariance:
            restart(covariance, PRIOR, WIDTH)
        return room
