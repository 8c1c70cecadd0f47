"""Training examples: the features that the daemon's own bank computes at each row of a series, and the labels."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streamrnn.commands.pretrain.prior import SyntheticSeries
from streamrnn.commands.pretrain.signals import Generator
from streamrnn.core.banks.full import FullBank
from streamrnn.core.banks.protocol import SeriesBank
from streamrnn.core.jit import Floats, Halves, Integers
from streamrnn.core.learning.replay_buffer import LABEL_CLIP
from streamrnn.core.network.shapes import KNOTS
from streamrnn.core.series.plan import REFERENCE_STEPS

HORIZONS = 5  # horizons of a shard of examples: REFERENCE_STEPS, and random ones
MAX_HORIZON = 96  # largest random horizon
UNLABELLED = 10  # first rows of a series without labels: the features are not yet informative


class SeriesExamples(NamedTuple):
    """N series of T rows with K horizons, in half precision."""

    inputs: Halves  # (N, T, F)
    points: Halves  # (N, T, K, E)
    trust: Halves  # (N, T, K, E)
    lead: Halves  # (N, T, K, 3)
    labels: Halves  # (N, T, K) (value h rows later - value) / unit; NaN: none


def draw_horizons(generator: Generator) -> tuple[int, ...]:
    """Draw HORIZONS different horizons: REFERENCE_STEPS, and others that are log-uniform from 2 to MAX_HORIZON."""
    chosen = set(REFERENCE_STEPS)
    while len(chosen) < HORIZONS:
        chosen.add(round(float(np.exp(generator.uniform(np.log(2), np.log(MAX_HORIZON))))))
    return tuple(sorted(chosen))


def build_examples(
    series: SyntheticSeries, horizons: tuple[int, ...], make_bank: Callable[..., SeriesBank] = FullBank
) -> SeriesExamples:
    """Run a bank over the rows that are present; `horizons` include REFERENCE_STEPS.

    A series with missing rows is shorter; its remaining rows are zeros without labels. The bank numbers rows.
    """
    order = np.argsort(~series.present, axis=0, kind="stable")
    values, times = np.take_along_axis(series.values, order, 0), np.take_along_axis(series.times, order, 0)
    lengths = series.present.sum(0)
    bank = make_bank(horizons=horizons, quantiles=KNOTS)
    indexes = bank.add([str(number) for number in range(len(lengths))])
    rows, count = values.shape
    none = np.zeros(0, np.int64)
    blank = bank.observe(none, np.zeros(0), none)
    arrays = [np.zeros((count, rows, *part.shape[1:]), np.float16) for part in blank[:-1]]
    units, numbers = np.ones((rows, count, len(horizons))), np.zeros((rows, count), np.int64)
    for t in range(int(lengths.max())):
        wave = indexes[lengths > t]
        *parts, units[t, wave] = bank.observe(wave, values[t, wave], times[t, wave])
        numbers[t, wave] = bank.observations(wave)
        for array, part in zip(arrays, parts, strict=True):
            array[wave, t] = part
    inputs, points, trust, lead = arrays
    return SeriesExamples(inputs, points, trust, lead, compute_labels(values, units, numbers, lengths, horizons))


def compute_labels(
    values: Floats, units: Floats, numbers: Integers, lengths: Integers, horizons: tuple[int, ...]
) -> Halves:
    """Return the labels (N, T, K) of `values` (T, N) in `units` (T, N, K), between rows `numbers` (T, N) h apart.

    Series n ends after lengths[n] rows.
    """
    rows, count = values.shape
    labels = np.full((rows, count, len(horizons)), np.nan)
    for n, length in enumerate(lengths.tolist()):
        own, value = numbers[:length, n], values[:length, n]
        for k, h in enumerate(horizons):
            then = np.minimum(np.searchsorted(own, own + h), length - 1)
            known = own[then] == own + h
            labels[:length, n, k][known] = (value[then] - value)[known] / units[:length, n, k][known]
    labels[:UNLABELLED] = np.nan
    clipped: Halves = np.clip(labels, -LABEL_CLIP, LABEL_CLIP).transpose(1, 0, 2).astype(np.float16)
    return np.ascontiguousarray(clipped)
