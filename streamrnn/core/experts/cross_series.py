"""Cross-series expert: a regression of each series on its own regressors and on the other fields of its key.

Its own regressors are those of the classical regressions. Each of the first OTHERS other fields of the key adds the
differences of lagged values from its latest value, and of its latest value from its mean. The regression is recursive
least squares, see `rls`; its forecast is one more expert in the mixture.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.experts.classical import TRUTH_CLIP
from streamrnn.core.experts.rls import FIRST_STEP, FORECAST_CLIP, reset_covariance, update_covariance, update_weights
from streamrnn.core.jit import Floats, Integers, Shorts, Singles, compiled, compiled_allocating
from streamrnn.core.row_table import RowTable
from streamrnn.core.series.features import LAST_MEAN, TERM_CLIP, reference_scales
from streamrnn.core.series.plan import Plan
from streamrnn.core.series.scaling import clip, decode16, encode16
from streamrnn.core.series.state import TERMS, FullState

OTHERS = 6  # most other fields of a key that a regression reads
LAGS = (1, 2, 3, 4, 5, 6, 8, 12)  # steps
EACH = len(LAGS) + 1  # regressors per other field
WIDTH = TERMS + OTHERS * EACH  # number of regressors, D
FORGET, PRIOR, ERROR_CLIP = 0.9998, 0.05, 1.5
"""Forgetting factor, prior variance of the weights, and clipping of errors, as in rls."""
FIRST_RESIDUAL = 1.0  # initial running |error|, units
NO_ROW = -1  # in place of the row of another field, if there are fewer than OTHERS


class Regressions(NamedTuple):
    """One row per series. R = longest horizon + 1 latest steps, K horizons, D regressors."""

    terms: Shorts  # (S, R, D) 16-bit codes
    gain: Shorts  # (S, R, D) 16-bit codes in `gain_unit`
    gain_unit: Singles  # (S, R) largest |gain|; 0: the step is not learned from
    covariance: Singles  # (S, D (D + 1) / 2) packed lower triangle
    weights: Singles  # (S, K, D)
    residual: Singles  # (S, K) running |error|, units


@compiled
def fill_other_fields(series: FullState, plan: Plan, others: Integers, terms: Singles) -> None:
    """Fill `terms` (D,), from index TERMS on, from the series in the rows `others` (OTHERS,); 0 for a missing field."""
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
def learn_cross_series(state: Regressions, row: int, count: int, horizons: Integers, truths: Singles) -> None:
    """Update the weights by the labels `truths` (K,), units, NaN: none, of a series with `count` steps."""
    size = state.terms.shape[1]
    for k in range(len(horizons)):
        before = (count - 1 - horizons[k]) % size
        unit = float(state.gain_unit[row, before]) if count > horizons[k] else 0.0
        if unit > 0 and not math.isnan(truths[k]):
            truth = min(max(float(truths[k]), -TRUTH_CLIP), TRUTH_CLIP)
            state.residual[row, k] = update_weights(
                state.weights[row, k], float(state.residual[row, k]), state.terms[row, before],
                state.gain[row, before], unit, truth, ERROR_CLIP,
            )  # fmt: skip


@compiled_allocating
def step_cross_series(
    series: FullState, plan: Plan, state: Regressions, others: Integers, rows: Integers, truths: Singles, points: Floats
) -> None:
    """Learn from the labels `truths` (B, K) of a wave that is already in `series`, and fill `points` (B, K); units."""
    terms, product = np.zeros(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    for b in range(len(rows)):
        row, count = rows[b], series.seen[rows[b]]
        at = (count - 1) % state.terms.shape[1]
        learn_cross_series(state, row, count, plan.horizons, truths[b])
        state.gain_unit[row, at], points[b] = 0.0, 0.0
        if count <= FIRST_STEP:
            continue
        for d in range(TERMS):
            terms[d] = decode16(series.terms[row, (count - 1) % series.terms.shape[1], d], TERM_CLIP)
        fill_other_fields(series, plan, others[row], terms)
        for k in range(len(plan.horizons)):
            total = 0.0
            for d in range(WIDTH):
                total += state.weights[row, k, d] * terms[d]
            points[b, k] = clip(total, FORECAST_CLIP)
        largest = update_covariance(state.covariance[row], terms, product, PRIOR, FORGET)
        state.gain_unit[row, at] = largest
        for d in range(WIDTH):
            state.terms[row, at, d] = encode16(terms[d], TERM_CLIP)
            state.gain[row, at, d] = encode16(product[d], largest) if largest > 0 else 0


class CrossSeriesExpert:
    """The regressions of all series, and the other fields that each of them reads."""

    layout = True
    """Entry of the layout, which saved state must match."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._table = RowTable(self._blank()._asdict(), Regressions)
        self._fields: RowTable[dict[str, Any]] = RowTable({"others": np.full((1, OTHERS), NO_ROW, np.int64)}, dict)
        self._rows: dict[str, list[int]] = {}  # rows of the fields of each key, in first-seen order

    def add(self, names: Sequence[str]) -> None:
        """Add series, named `<key>/<field>`."""
        self._table.append(len(names))
        self._add_fields(names)

    def _add_fields(self, names: Sequence[str]) -> None:
        first = self._fields.count
        self._fields.append(len(names))
        others = self._fields.arrays["others"]
        for row, name in enumerate(names, first):
            siblings = self._rows.setdefault(name.rpartition("/")[0], [])
            others[row, : len(siblings[:OTHERS])] = siblings[:OTHERS]
            for sibling in siblings:
                free = np.flatnonzero(others[sibling] == NO_ROW)[:1]
                others[sibling, free] = row
            siblings.append(row)

    def step(self, series: FullState, rows: Integers, truths: Singles) -> Floats:
        """Learn from labels `truths` (B, K), NaN: none, of a wave already in `series`; return points (B, K, 1)."""
        points = np.empty(truths.shape)
        step_cross_series(series, self._plan, self._table.rows, self._fields.arrays["others"], rows, truths, points)
        return points[:, :, None]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved arrays by name, one row per series."""
        return {f"neighbours_{name}": array for name, array in self._table.arrays.items()}

    def clear(self) -> None:
        """Remove all series."""
        self._table.clear()
        self._fields.clear()
        self._rows.clear()

    def extend(self, saved: Mapping[str, Any], names: Sequence[str]) -> None:
        """Add the series `names` with saved arrays, named as by `arrays`."""
        self._table.extend({name: saved[f"neighbours_{name}"] for name in Regressions._fields})
        self._add_fields(names)

    def keep(self, rows: Integers, names: Sequence[str]) -> None:
        """Remove all series except those of `rows`, ascending, with these `names`; later rows move up.

        The regression of a series that reads other fields than before is reset, because the meaning of its terms has
        changed.
        """
        before = self._fields.arrays["others"][rows]
        moved = np.full(self._fields.count + 1, NO_ROW, np.int64)  # the last entry is for a missing field, index NO_ROW
        moved[rows] = np.arange(len(rows))
        self._table.keep(rows)
        self._fields.clear()
        self._rows.clear()
        self._add_fields(names)
        changed = (moved[before] != self._fields.arrays["others"][: len(rows)]).any(1)
        self._table.reset(np.flatnonzero(changed))

    def _blank(self) -> Regressions:
        """Return the initial state of one series."""
        capacity, size, horizons = 1, int(self._plan.horizons[-1]) + 1, len(self._plan.horizons)
        new = Regressions(
            terms=np.zeros((capacity, size, WIDTH), np.int16), gain=np.zeros((capacity, size, WIDTH), np.int16),
            gain_unit=np.zeros((capacity, size), np.float32),
            covariance=np.zeros((capacity, WIDTH * (WIDTH + 1) // 2), np.float32),
            weights=np.zeros((capacity, horizons, WIDTH), np.float32),
            residual=np.full((capacity, horizons), FIRST_RESIDUAL, np.float32),
        )  # fmt: skip
        for covariance in new.covariance:
            reset_covariance(covariance, PRIOR, WIDTH)
        return new
