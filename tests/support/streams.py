"""Small made streams, and the plainest way to run a forecaster over one."""

import hashlib
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support import fakes

from streamrnn.core.alerts.thresholds import ThresholdForecasts
from streamrnn.core.config import ForecastConfig, LearningConfig, ModelConfig
from streamrnn.core.forecaster import CoreForecaster, Forecasts
from streamrnn.core.network.torch_network import initial_weights
from streamrnn.core.variants import shape_of

HORIZONS, QUANTILES = (1, 3, 6), (0.05, 0.1, 0.5, 0.9, 0.95)
START, HOUR = 1_700_000_000_000, 3_600_000


CONFIGS = ForecastConfig, ModelConfig, LearningConfig


def forecaster_of(**changes: Any) -> CoreForecaster:
    """Build a forecaster on the CPU whose configuration differs from the defaults in `changes`, keys of any section."""
    sections = [[field.name for field in fields(kind)] for kind in CONFIGS]
    configs = [
        kind(**{name: changes.pop(name) for name in names if name in changes})
        for kind, names in zip(CONFIGS, sections, strict=True)
    ]
    return CoreForecaster(*configs, **{"device": "cpu", **changes})


def small(*, networks: int = 1, **changes: Any) -> CoreForecaster:
    """A forecaster small enough to learn hundreds of times in a second; three networks: it has a base."""
    settings: dict[str, Any] = {
        "horizons": HORIZONS, "quantiles": QUANTILES, "cell": "gru", "hidden_size": 8, "layers": 1, "window": 12,
        "every": 12, "most": 64, "head_every": 4, "head_most": 32, "batch": 4, "replay": 2,
    }  # fmt: skip
    settings.update(changes)
    if networks == 3:
        names = {field.name for field in fields(ModelConfig)} & settings.keys()
        shape = shape_of(ModelConfig(**{name: settings[name] for name in names}))
        settings["base"] = initial_weights(shape, 9).numpy()
    return forecaster_of(**settings)


def learning_often(**changes: Any) -> CoreForecaster:
    """A forecaster that learns at every second row, and forecasts the horizons and quantiles of `support.fakes`."""
    settings: dict[str, Any] = {
        "horizons": fakes.HORIZONS, "quantiles": fakes.QUANTILES, "hidden_size": 4, "window": 4, "every": 2, "most": 40,
        "head_every": 1, "head_most": 30, "batch": 4, "replay": 4,
    }  # fmt: skip
    return small(**{**settings, **changes})


def seasonal(rows: int, series: int, seed: int = 0) -> NDArray[np.float64]:
    """(rows, series) hourly values with a daily season, noise and a slow walk."""
    rng = np.random.default_rng(seed)
    hours = np.arange(rows)[:, None]
    phase = rng.uniform(0, 2 * np.pi, series)
    walk = np.cumsum(rng.normal(size=(rows, series)), 0) * 0.1
    return 50 + 10 * np.sin(2 * np.pi * hours / 24 + phase) + walk + rng.normal(size=(rows, series))


def run(
    forecaster: CoreForecaster,
    values: NDArray[np.float64],
    *,
    first: int = 0,
    cut: Callable[[int], list[list[int]]] | None = None,
    present: NDArray[np.bool_] | None = None,
) -> list[Forecasts]:
    """Step rows of `values` (T, S), one observation of every series a row; one record is one observation.

    `cut` splits the series of a row into waves, by default into one; learning points fall where the count of
    observations says. Only values that are `present` (T, S) are stepped; nothing is returned for a row without any.
    """
    series = values.shape[1]
    forecaster.add([f"s{number}" for number in range(len(forecaster.names), series)])
    published: list[Forecasts] = []
    for t, row in enumerate(values, start=first):
        waves = [list(range(series))] if cut is None else cut(t)
        if present is not None:
            waves = [part for each in waves if (part := [s for s in each if present[t - first, s]])]
            if not waves:
                continue
        published.append(joined([wave(forecaster, np.array(part), row, START + t * HOUR) for part in waves]))
    return published


def each_alone(series: int) -> Callable[[int], list[list[int]]]:
    """Return the argument `cut` of `run` that makes a wave of every series."""
    return lambda _: [[row] for row in range(series)]


def wave(forecaster: CoreForecaster, rows: NDArray[np.int64], row: NDArray[np.float64], time: int) -> Forecasts:
    """One wave, or several where it would cross a learning point; learning where one is reached."""
    parts, start = [], 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and stop - start < forecaster.until_due:
            stop += 1
        part = rows[start:stop]
        parts.append(forecaster.step(part, row[part], np.full(len(part), time))[0])
        if forecaster.until_due <= 0:
            forecaster.learn()
        start = stop
    return joined(parts)


def joined(parts: list[Forecasts]) -> Forecasts:
    """Forecasts of several waves as if they were one."""
    whole = Forecasts(*(np.concatenate(x) for x in zip(*(p[:6] for p in parts), strict=True)), parts[-1].model)
    found = [part.thresholds for part in parts if part.thresholds is not None]
    if not found:
        return whole
    columns = (np.concatenate(each) for each in zip(*(each[:3] for each in found), strict=True))
    return whole._replace(thresholds=ThresholdForecasts(*columns, thresholds=found[0].thresholds))


def bits(published: list[Forecasts]) -> list[bytes]:
    """Every published number, bit for bit."""
    return [b"".join(a.tobytes() for a in (f.quantiles, f.target_times, f.anomaly, f.skill)) for f in published]


def state(forecaster: CoreForecaster) -> dict[str, bytes]:
    """The whole state, bit for bit: a digest of each array."""
    arrays = {**forecaster.save_shared(), **forecaster.save_rows(0, len(forecaster.names))}
    return {name: hashlib.blake2b(array.tobytes()).digest() for name, array in arrays.items()}
