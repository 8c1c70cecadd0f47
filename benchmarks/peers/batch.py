"""Read contexts and write quantile forecasts, as JSON lines, of a model that is fitted to each context.

    python batch.py METHOD

A line of standard input is {"context": [...], "season": rows, "steps": n, "levels": [.1, .5, .9]}. For each, standard
output has a line with one list of n numbers per level.
"""

import json
import sys
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

Levels = list[float]
Model = Callable[[np.ndarray, int, int, Levels], np.ndarray]


def statsforecast(name: str) -> Model:
    """Return a model of statsforecast, whose quantiles are those of a normal distribution."""
    from statsforecast import models

    def forecast(context: np.ndarray, season: int, steps: int, levels: Levels) -> np.ndarray:
        model = getattr(models, name)(season_length=season)
        found = model.forecast(context, h=steps, level=[80])
        deviation = (found["hi-80"] - found["mean"]) / NormalDist().inv_cdf(0.9)
        return np.stack([found["mean"] + NormalDist().inv_cdf(level) * deviation for level in levels])

    return forecast


def fracast(name: str) -> Model:
    """Return Fracast-0 with the pretrained weights in its wheel; it is not fitted, and ignores the season."""
    from fracast import FracastModel

    model: Any = FracastModel.from_pretrained()

    def forecast(context: np.ndarray, season: int, steps: int, levels: Levels) -> np.ndarray:
        found = model.forecast(context, horizon=steps)
        return np.stack([found[:, model.quantiles.index(level)] for level in levels])

    return forecast


METHODS: dict[str, Callable[[str], Model]] = {
    "AutoARIMA": statsforecast, "AutoETS": statsforecast, "AutoTheta": statsforecast, "Fracast-0": fracast,
}  # fmt: skip


def main(method: str) -> None:
    """Write the quantiles for each line of standard input."""
    model = METHODS[method](method)
    for line in sys.stdin:
        given = json.loads(line)
        context = np.array(given["context"], np.float64)
        found = model(context, given["season"], given["steps"], given["levels"])
        sys.stdout.write(json.dumps(np.asarray(found, np.float64).tolist()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
