"""As core/quality, of the lean variant: of what it follows up. It keeps no value of one season before."""

import numpy as np

from streamrnn.core.compiled import Floats, Integers, compiled
from streamrnn.core.lean.ledger import FINAL_CLIP
from streamrnn.core.lean.series import Following, Series, place_of
from streamrnn.core.quality import weigh_up
from streamrnn.core.scaling import decoded, distance
from streamrnn.core.series import Plan


@compiled
def assess(series: Series, plan: Plan, following: Following, rows: Integers, values: Floats, sums: Floats) -> None:
    """One wave, before the bank takes it in: `rows` (B,) distinct, `values` (B,); adds to `sums` (4, K)."""
    final = np.empty(len(plan.levels))
    for b in range(len(rows)):
        row = rows[b]
        now, value = series.seen[row], distance(values[b], series.center[row])
        for k in range(len(plan.horizons)):
            origin = now - plan.horizons[k]
            slot = place_of(following, k, origin) if origin >= 0 else -1
            if slot < 0:
                continue
            unit = series.unit[row, plan.slots[k] + now % plan.horizons[k]]
            truth = (value - series.ring[row, origin % series.ring.shape[1]]) / unit
            for q in range(len(final)):
                final[q] = decoded(series.finals[row, slot, q], FINAL_CLIP)
            weigh_up(final, plan.levels, truth, sums, k)
