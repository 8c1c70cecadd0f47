"""Joint anomaly score of the fields of a key that are observed together, and the share of each field in it.

The surprise of a field is -log of the probability of its anomaly score or a higher one. Up to a score of 1, which one
observation in a hundred exceeds, the probability is that of a normal distribution; beyond, it is exponential, because
errors have heavier tails. The surprises are added (Fisher 1925, "Statistical methods for research workers"). For
independent fields the sum has a gamma distribution, whose 99% quantile is the unit of the joint score. Dependent fields
exceed it more often; a factor per key, tracked like the 99% tail of a series (`ensemble.conformal`), calibrates the
score, so that one joint observation in a hundred reaches a joint score of 1.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.core.alerts.changes import CALM_OBSERVATIONS, JOINT
from streamrnn.core.jit import Booleans, Floats, Integers
from streamrnn.core.row_table import RowTable

MIN_FIELDS = 2  # fewest fields of a joint score
TAIL_SHARE, TAIL_RATE = 0.01, 0.05  # the values of ensemble.conformal
ARRAY, LEFT = "joint_tail", "joint_left"
"""Names of the saved arrays, which have the values of a key in the row of each of its series: its factor; the number of
further joint observations without an anomaly after which an anomaly ends, 0 if it has ended."""
NORMAL_EDGE = 2.5758293035489004  # standard normal quantile with TAIL_SHARE outside, on both sides together
GAMMA_EDGE = 2.3263478740408408  # standard normal quantile with TAIL_SHARE above
RISE, FALL = math.exp(TAIL_RATE * (1 - TAIL_SHARE)), math.exp(-TAIL_RATE * TAIL_SHARE)  # updates of the factor
LEAST_TAIL, MAX_TAIL = 1e-3, 1e3  # limits of the factor
DIGITS = 1e4  # scores and shares are rounded to multiples of 1 / DIGITS


class JointScores(NamedTuple):
    """Joint anomaly scores of one wave of B rows, in which a key has a single observation."""

    score: Floats  # (B,) joint score of the key; 0 if fewer than MIN_FIELDS fields are past their warm-up
    share: Floats  # (B,) share of the field in the score; the shares of a key sum to 1
    fields: Integers  # (B,) number of fields in the score

    def take(self, chosen: Integers) -> "JointScores":
        """Return the scores at these indexes of the wave."""
        return JointScores(self.score[chosen], self.share[chosen], self.fields[chosen])

    @property
    def anomalies(self) -> int:
        """Number of keys with a score of 1 or more."""
        return round(float((1 / self.fields[self.score >= 1]).sum()))

    @classmethod
    def empty(cls, count: int) -> "JointScores":
        """Return scores of 0 for `count` rows."""
        return cls(np.zeros(count), np.zeros(count), np.zeros(count, np.int64))


def surprise(score: float) -> float:
    """Return -log of the probability of this anomaly score or a higher one."""
    if score > 1:
        return -math.log(TAIL_SHARE) * score
    return max(0.0, -math.log(math.erfc(NORMAL_EDGE * score / math.sqrt(2))))


def usual_edge(fields: Integers) -> Floats:
    """Return the 99% quantiles of sums of these numbers of independent surprises (Wilson and Hilferty 1931)."""
    ninth = 1 / (9 * fields)
    return np.asarray(fields * (1 - ninth + GAMMA_EDGE * np.sqrt(ninth)) ** 3)


class JointAnomaly:
    """Joint scores of all keys. All series of a key that are observed together must be in the same wave."""

    layout = 1
    """Entry of the layout, which saved state must match."""

    def __init__(self) -> None:
        self._keys: dict[str, int] = {}
        self._key: list[int] = []
        """Number of the key of each row."""
        self._table: RowTable[dict[str, NDArray[Any]]] = RowTable(
            {ARRAY: np.ones(1), LEFT: np.zeros(1, np.int16)}, dict
        )  # fmt: skip

    def step(self, rows: Integers, scores: Floats, warming: Booleans) -> JointScores:
        """Return the joint scores of a wave of rows (B,) with anomaly `scores` (B,), and update the keys' factors.

        Series that are `warming` (B,) do not count. Sums are in the order of rows, not in that of the wave.
        """
        found, order = JointScores.empty(len(rows)), np.argsort(rows)
        order = order[~warming[order]]
        _, keys, counts = np.unique(
            np.array([self._key[row] for row in rows[order].tolist()], np.int64),
            return_inverse=True, return_counts=True,
        )  # fmt: skip
        chosen = counts[keys] >= MIN_FIELDS
        order, keys = order[chosen], keys[chosen]
        if not len(order):
            return found
        own = np.array([surprise(score) for score in scores[order].tolist()])
        total, tail = np.bincount(keys, own), self._table.arrays[ARRAY]
        leaders = np.full(len(counts), -1, np.int64)
        leaders[keys[::-1]] = rows[order][::-1]  # the first row of each key
        ratio = total[keys] / usual_edge(counts[keys])
        edge = tail[leaders[keys]]
        found.score[order] = np.rint(ratio / edge * DIGITS) / DIGITS
        found.share[order] = np.rint(own / np.where(total[keys] > 0, total[keys], 1) * DIGITS) / DIGITS
        found.fields[order] = counts[keys]
        tail[rows[order]] = np.clip(edge * np.where(ratio > edge, RISE, FALL), LEAST_TAIL, MAX_TAIL)
        return found

    def track(self, rows: Integers, scores: JointScores) -> Integers:
        """Return beginnings and ends of joint anomalies in a wave of rows (B,) with these scores, as `Changes.found`.

        A key has a single change, at its series with the largest share. Only the fields in this wave determine whether
        the key has an anomaly, even if the key had other fields before.
        """
        order = np.argsort(rows)
        order = order[scores.fields[order] > 0]
        if not len(order):
            return np.empty((0, 3), np.int64)
        keys = np.unique(np.array([self._key[row] for row in rows[order].tolist()], np.int64), return_inverse=True)[1]
        left, before = self._table.arrays[LEFT], np.zeros(int(keys.max()) + 1, np.int64)
        np.maximum.at(before, keys, left[rows[order]])
        holds = np.zeros(len(before), np.bool_)
        holds[keys] = scores.score[order] >= 1
        after = np.where(holds, CALM_OBSERVATIONS, np.maximum(before - 1, 0))
        left[rows[order]] = after[keys]
        changed = np.flatnonzero((before > 0) != (after > 0))
        ranked = np.lexsort((-scores.share[order], keys))  # equal shares in order of rows
        largest = order[ranked[np.searchsorted(keys[ranked], changed)]]
        return np.column_stack([largest, np.full(len(changed), JOINT), after[changed] > 0]).astype(np.int64)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the saved arrays by name, one row per series."""
        return dict(self._table.arrays)

    def clear(self) -> None:
        """Remove all series."""
        self._table.clear()
        self._key.clear()

    def keep(self, rows: Integers) -> None:
        """Remove all series except those of `rows`, ascending; later rows move up."""
        self._table.keep(rows)
        self._key = [self._key[row] for row in rows.tolist()]

    def extend(self, saved: Mapping[str, Any], names: Sequence[str]) -> None:
        """Add the series `names` with saved arrays, named as by `arrays`; new series if `saved` is empty."""
        if saved:
            self._table.extend({name: saved[name] for name in (ARRAY, LEFT) if name in saved})
        else:
            self._table.append(len(names))
        for name in names:
            self._key.append(self._keys.setdefault(name.rpartition("/")[0], len(self._keys)))
