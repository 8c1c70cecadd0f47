"""Features of one wave of observations, one row per series."""

from typing import Any, NamedTuple, TypeVar

import numpy as np

from streamrnn.core.jit import Floats, Singles
from streamrnn.core.series.state import EXPERTS, INPUTS, LEAD

Arrays = TypeVar("Arrays", bound=NamedTuple)


class Described(NamedTuple):
    """What a wave of B observations looks like to the network, each at its K horizons."""

    inputs: Singles  # (B, F) of the recurrent layers
    points: Singles  # (B, K, E) the experts' forecasts, (forecast - value) / unit
    trust: Singles  # (B, K, E) log of the running |error| of each over persistence's
    lead: Singles  # (B, K, 3) which horizon it is
    units: Floats  # (B, K) scale of the change over each horizon

    @classmethod
    def empty(cls, count: int, horizons: int, inputs: int = INPUTS, experts: int = len(EXPERTS)) -> "Described":
        """Room for `count` observations."""
        f4, e = np.float32, experts
        return cls(
            np.empty((count, inputs), f4),
            np.empty((count, horizons, e), f4),
            np.empty((count, horizons, e), f4),
            np.empty((count, horizons, LEAD), f4),
            np.empty((count, horizons)),
        )


def longer(held: Arrays, more: Arrays) -> Arrays:
    """The rows of `held`, then those of `more`."""
    pairs: Any = zip(held, more, strict=True)
    return type(held)._make(np.concatenate(pair) for pair in pairs)
