"""What forecasts were worth whose truth has just come, beyond what anything here learns from. It changes nothing."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.compiled import Floats, Integers, Shorts, Singles, compiled
from streamrnn.core.ledger import ERROR_CLIP, Ledger
from streamrnn.core.scaling import decoded, distance, exact
from streamrnn.core.series import EXPERTS, POINT_CLIP, Series

PINBALL, WIDTH, SEASONAL, BESIDE = range(4)
"""Rows of the table; the last two are errors of the value one season before, and ours of the same truths."""
MEASURES = 4
NAIVE_SEASONAL = EXPERTS.index("naive_short")


class Pending(NamedTuple):
    """What is read of series and ledger: to hand over all their arrays takes longer than to judge a few forecasts."""

    seen: Integers
    time: Integers
    first: Integers
    cadence: Floats
    period: Floats
    center: Floats
    ring: Singles
    unit: Singles
    points: Shorts
    final: Singles

    @classmethod
    def of(cls, series: Series, ledger: Ledger) -> "Pending":
        """Those arrays, not copied."""
        s = series
        return cls(
            s.seen, s.time, s.first, s.cadence, s.period, s.center, s.ring, s.unit, s.points, ledger.final
        )  # fmt: skip


@compiled
def weigh_up(final: Floats, levels: Floats, truth: float, sums: Floats, k: int) -> None:
    """Add the mean pinball loss of `final` (Q,) and the width of its outermost interval, units, to `sums` (4, K)."""
    loss = 0.0
    for q in range(len(levels)):
        error = truth - final[q]
        loss += max(levels[q] * error, (levels[q] - 1) * error)
    sums[PINBALL, k] += exact(min(loss / len(levels), ERROR_CLIP))
    sums[WIDTH, k] += exact(min(final[len(final) - 1] - final[0], ERROR_CLIP))


@compiled
def assess(
    series: Pending, horizons: Integers, slots: Integers, levels: Floats, middle: int, rows: Integers, values: Floats,
    sums: Floats,
) -> None:  # fmt: skip
    """One wave, before the bank takes it in: `rows` (B,) distinct, `values` (B,); adds to `sums` (4, K).

    `horizons`, `slots`, `levels` and `middle` are the plan's.
    """
    final = np.empty(len(levels))
    for b in range(len(rows)):
        row = rows[b]
        now, value = series.seen[row], distance(values[b], series.center[row])
        known, period = float(series.time[row] - series.first[row]), series.period[row, 0]
        for k in range(len(horizons)):
            horizon = horizons[k]
            if now < horizon:
                continue
            slot = slots[k] + now % horizon
            truth = (value - series.ring[row, (now - horizon) % series.ring.shape[1]]) / series.unit[row, slot]
            final[:] = series.final[row, slot]
            weigh_up(final, levels, truth, sums, k)
            if period > 0 and known >= period + horizon * series.cadence[row]:  # a season had passed at the origin
                said = decoded(series.points[row, slot, NAIVE_SEASONAL], POINT_CLIP)
                sums[SEASONAL, k] += exact(min(abs(truth - said), ERROR_CLIP))
                sums[BESIDE, k] += exact(min(abs(truth - final[middle]), ERROR_CLIP))
