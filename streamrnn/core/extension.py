"""Forecasts of series that have stopped: the latest forecast, extended to later target times.

Without a new observation, the latest forecast of a series remains valid for its target times. If p steps have passed
since the latest observation, the forecast for h steps from now is the latest forecast at h + p steps. Between horizons
it is interpolated; beyond the furthest horizon, the distances from the median grow with the square root of the steps,
as for a random walk. The intervals therefore widen with the silence, within the bounds of the series.
"""

from typing import Protocol

import numpy as np

from streamrnn.core.forecaster import Forecasts
from streamrnn.core.jit import Floats, Integers


class LatestForecasts(Protocol):
    """The part of a forecaster that `extended_forecasts` reads."""

    def forecast(self, rows: Integers) -> Forecasts:
        """Return the latest forecast of each row (B,)."""

    def latest(self, rows: Integers) -> tuple[Integers, Floats]:
        """Return the times (B,), ms, and values (B,) of the latest observations."""

    def bounds(self, rows: Integers) -> tuple[Floats, Floats]:
        """Return the lower and upper bounds (B,) of quantiles; infinite: none."""


def extended_forecasts(forecaster: LatestForecasts, rows: Integers, now: int, horizons: Integers) -> Forecasts:
    """Return the latest forecast of each row (B,), extended to `horizons` (H,) from the time `now`, ms."""
    made, (times, _) = forecaster.forecast(rows), forecaster.latest(rows)
    low, high = forecaster.bounds(rows)
    step = (made.target_times[:, -1] - times) / horizons[-1]  # ms; 0 after the first observation
    passed = np.maximum(now - times, 0) / np.where(step > 0, step, np.inf)
    steps = horizons + passed[:, None]  # (B, H)
    quantiles = np.empty_like(made.quantiles)
    for b in range(len(rows)):
        for q in range(quantiles.shape[2]):
            quantiles[b, :, q] = np.interp(steps[b], horizons, made.quantiles[b, :, q])
    middle = quantiles.shape[2] // 2
    growth = np.sqrt(np.maximum(steps / horizons[-1], 1.0))[:, :, None]
    median = quantiles[:, :, middle : middle + 1]
    quantiles = np.where(growth > 1.0, median + growth * (quantiles - median), quantiles)
    quantiles = np.clip(quantiles, low[:, None, None], high[:, None, None])
    targets = now + np.rint(step[:, None] * horizons).astype(np.int64)
    return made._replace(target_times=targets, quantiles=quantiles)
