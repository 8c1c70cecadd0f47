"""Results of an update by a wave of observations: inputs of the networks, labels and scores."""

from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Floats, Integers, Singles, compiled
from streamrnn.core.series.lean_state import AnyState
from streamrnn.core.series.state import EXPERTS, INPUTS, LEAD


class WaveFeatures(NamedTuple):
    """Inputs of the networks for B observations and K horizons."""

    inputs: Singles  # (B, F) inputs of the recurrent layers
    points: Singles  # (B, K, E) expert forecasts, (forecast - value) / unit
    trust: Singles  # (B, K, E) log of the ratio of each expert's running |error| to that of persistence
    lead: Singles  # (B, K, 3) description of the horizon, see fill_lead
    units: Floats  # (B, K) scale of the change over each horizon, field's unit

    @classmethod
    def empty(cls, count: int, horizons: int, inputs: int = INPUTS, experts: int = len(EXPERTS)) -> "WaveFeatures":
        """Allocate features of `count` observations."""
        f4, e = np.float32, experts
        return cls(
            np.empty((count, inputs), f4), np.empty((count, horizons, e), f4), np.empty((count, horizons, e), f4),
            np.empty((count, horizons, LEAD), f4), np.empty((count, horizons)),
        )  # fmt: skip


class WaveUpdate(NamedTuple):
    """Result of an update by B observations."""

    features: WaveFeatures
    seen: Integers  # (B,) steps of each series before its observation, missing ones included
    missing: Integers  # (B,) how many steps directly before the observation were missing
    truths: Singles  # (B, K) labels of earlier forecasts, units; NaN: no forecast was due
    anomaly: Floats  # (B,) anomaly scores
    scores: Floats  # (8 + N, K) sums over the wave, see forecast_scores
    sums: Floats  # (8 + N,) the scores summed over the horizons


@compiled
def begin_wave(series: AnyState, rows: Integers, wave: WaveUpdate) -> None:
    """Store the number of steps of each series in `missing`, and reset the scores."""
    for b in range(len(rows)):
        wave.missing[b] = series.seen[rows[b]]
    for i in range(len(wave.scores)):
        for k in range(wave.scores.shape[1]):
            wave.scores[i, k] = 0.0


@compiled
def end_wave(series: AnyState, rows: Integers, wave: WaveUpdate) -> None:
    """Fill `seen` and `missing`, and sum the scores over the horizons."""
    for b in range(len(rows)):
        wave.seen[b] = series.seen[rows[b]] - 1
        wave.missing[b] = wave.seen[b] - wave.missing[b]
    for i in range(len(wave.scores)):
        wave.sums[i] = 0.0
        for k in range(wave.scores.shape[1]):
            wave.sums[i] += wave.scores[i, k]
