"""Features of one wave of observations, one row per series."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Floats, Integers, Singles, compiled
from streamrnn.core.series.lean_state import AnyState
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


class WaveUpdate(NamedTuple):
    """Result of an update by B observations: inputs of the networks, and labels of earlier forecasts."""

    features: WaveFeatures
    seen: Integers  # (B,) rows of each series before this one, missing ones included
    missing: Integers  # (B,) the last of them that were missing
    truths: Singles  # (B, K) labels, units; NaN: no forecast was due
    anomaly: Floats  # (B,)
    scores: Floats  # (8 + N, K), see forecast_scores
    sums: Floats  # (8 + N,) of the scores, over the horizons


@compiled
def begin_wave(series: AnyState, rows: Integers, wave: WaveUpdate) -> None:
    """Note the number of rows of each series, and begin the scores."""
    for b in range(len(rows)):
        wave.missing[b] = series.seen[rows[b]]
    for i in range(len(wave.scores)):
        for k in range(wave.scores.shape[1]):
            wave.scores[i, k] = 0.0


@compiled
def end_wave(series: AnyState, rows: Integers, wave: WaveUpdate) -> None:
    """Count the rows of each series, of which the last is the wave's, and add up the scores."""
    for b in range(len(rows)):
        wave.seen[b] = series.seen[rows[b]] - 1
        wave.missing[b] = wave.seen[b] - wave.missing[b]
    for i in range(len(wave.scores)):
        wave.sums[i] = 0.0
        for k in range(wave.scores.shape[1]):
            wave.sums[i] += wave.scores[i, k]
