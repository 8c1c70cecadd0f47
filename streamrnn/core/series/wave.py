"""Features of one wave of observations, one row per series."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Floats, Singles
from streamrnn.core.series.state import EXPERTS, INPUTS, LEAD


class WaveFeatures(NamedTuple):
    """Inputs of the networks for B observations at K horizons."""

    inputs: Singles  # (B, F) of the recurrent layers
    points: Singles  # (B, K, E) expert forecasts, (forecast - value) / unit
    trust: Singles  # (B, K, E) log of each expert's running |error| over persistence's
    lead: Singles  # (B, K, 3) description of the horizon, see fill_lead
    units: Floats  # (B, K) scale of the change over each horizon

    @classmethod
    def empty(cls, count: int, horizons: int, inputs: int = INPUTS, experts: int = len(EXPERTS)) -> "WaveFeatures":
        """Allocate features of `count` observations."""
        f4, e = np.float32, experts
        return cls(
            np.empty((count, inputs), f4), np.empty((count, horizons, e), f4), np.empty((count, horizons, e), f4),
            np.empty((count, horizons, LEAD), f4), np.empty((count, horizons)),
        )  # fmt: skip
