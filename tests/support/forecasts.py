"""Synthetic forecast records."""

from collections.abc import Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

MINUTE = 60_000  # ms


def forecast_record(
    series: str,
    offset: int,
    value: float,
    quantiles: NDArray[np.float64],
    *,
    horizons: Sequence[int],
    levels: Sequence[float],
    cadence: int = MINUTE,
    anomaly: float = 0.0,
    status: str = "ok",
) -> bytes:
    """Return one record with `quantiles` (K, Q), whose time is `offset` steps of the cadence (ms)."""
    document = {
        "series": series,
        "time": offset * cadence,
        "value": float(value),
        "horizon": list(horizons),
        "target_time": [(offset + horizon) * cadence for horizon in horizons],
        "quantiles": {repr(level): quantiles[:, q].tolist() for q, level in enumerate(levels)},
        "anomaly_score": anomaly,
        "skill": [0.0] * len(horizons),
        "status": status,
        "model": "m",
        "source": {"topic": "t", "partition": 0, "offset": offset},
    }
    return orjson.dumps(document)
