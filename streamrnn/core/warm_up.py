"""What is loaded by being used: compiled loops."""

import numpy as np

from streamrnn.core.forecaster import Forecaster

OBSERVATIONS = 8  # two learning points of the head, by default
MINUTE = 60_000  # milliseconds


def used(forecaster: Forecaster) -> None:
    """Use a forecaster, which is not needed afterwards, so that all it forecasts with is loaded, but for torch."""
    rows = np.array([forecaster.add("warm/up")])
    for number in range(OBSERVATIONS):
        forecaster.step(rows, np.array([float(number)]), np.array([number * MINUTE]))
        forecaster.learn()
