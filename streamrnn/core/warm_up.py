"""Loading of the compiled loops before the first record."""

import numpy as np

from streamrnn.core.forecaster import CoreForecaster

OBSERVATIONS = 8  # two learning points of the head, by default
INTERVAL = 60_000  # milliseconds


def load_kernels(forecaster: CoreForecaster) -> None:
    """Load all kernels, but not torch, by forecasting a short series with a forecaster to be discarded."""
    rows = np.array([forecaster.add("warm/up")])
    for number in range(OBSERVATIONS):
        forecaster.step(rows, np.array([float(number)]), np.array([number * INTERVAL]))
        forecaster.learn()
