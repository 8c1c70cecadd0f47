"""As core/quality, of the lean variant: of what it follows up. It keeps no value of one season before."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.compiled import Floats, Integers, Shorts, Singles, compiled
from streamrnn.core.lean.ledger import FINAL_CLIP
from streamrnn.core.lean.series import Following, Series, place_of
from streamrnn.core.quality import weigh_up
from streamrnn.core.scaling import decoded, distance


class Pending(NamedTuple):
    """What is read of a series, as core/quality has it."""

    seen: Integers
    center: Floats
    ring: Singles
    unit: Singles
    finals: Shorts

    @classmethod
    def of(cls, series: Series) -> "Pending":
        """Those arrays, not copied."""
        return cls(series.seen, series.center, series.ring, series.unit, series.finals)


@compiled
def assess(
    series: Pending, following: Following, horizons: Integers, slots: Integers, levels: Floats, rows: Integers,
    values: Floats, sums: Floats,
) -> None:  # fmt: skip
    """One wave, before the bank takes it in: `rows` (B,) distinct, `values` (B,); adds to `sums` (4, K).

    `horizons`, `slots` and `levels` are the plan's.
    """
    final = np.empty(len(levels))
    for b in range(len(rows)):
        row = rows[b]
        now, value = series.seen[row], distance(values[b], series.center[row])
        for k in range(len(horizons)):
            origin = now - horizons[k]
            slot = place_of(following, k, origin) if origin >= 0 else -1
            if slot < 0:
                continue
            unit = series.unit[row, slots[k] + now % horizons[k]]
            truth = (value - series.ring[row, origin % series.ring.shape[1]]) / unit
            for q in range(len(final)):
                final[q] = decoded(series.finals[row, slot, q], FINAL_CLIP)
            weigh_up(final, levels, truth, sums, k)
