"""Forecasts of a model that is fitted at each origin: contexts in, quantiles out, as JSON lines.

    python batch.py METHOD

A line of standard input is {"context": [...], "season": rows, "steps": n, "levels": [.1, .5, .9]}; the answer has one
list per level, with n numbers each.
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
    """Return a model of statsforecast; its intervals are those of a normal distribution."""
    from statsforecast import models

    def forecast(context: np.ndarray, season: int, steps: int, levels: Levels) -> np.ndarray:
        model = getattr(models, name)(season_length=season)
        found = model.forecast(context, h=steps, level=[80])
        deviation = (found["hi-80"] - found["mean"]) / NormalDist().inv_cdf(0.9)
        return np.stack([found["mean"] + NormalDist().inv_cdf(level) * deviation for level in levels])

    return forecast


def fracast(name: str) -> Model:
    """Return Fracast-0 with the weights of its wheel; it is not fitted."""
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
    """Answer every line."""
    model = METHODS[method](method)
    for line in sys.stdin:
        given = json.loads(line)
        context = np.array(given["context"], np.float64)
        found = model(context, given["season"], given["steps"], given["levels"])
        sys.stdout.write(json.dumps(np.asarray(found, np.float64).tolist()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
