"""Series as the network reads them: what the daemon's own bank makes of each row, and what came after it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streamrnn.commands.pretrain.prior import Stories
from streamrnn.commands.pretrain.signals import Generator
from streamrnn.core.banks.full import Bank
from streamrnn.core.jit import Floats, Halves, Integers
from streamrnn.core.learning.replay_buffer import LABEL_CLIP
from streamrnn.core.network.shapes import KNOTS
from streamrnn.core.series.plan import REFERENCE_STEPS
from streamrnn.core.variants import AnyBank

HORIZONS = 5
"""Of each lot of examples: REFERENCE_STEPS, and random ones."""
FARTHEST = 96
"""Rows ahead that a random horizon may be."""
UNWEIGHTED = 10
"""First rows of a series that have no labels: nothing is known yet that could be learned from."""


class Examples(NamedTuple):
    """N series of T rows with K horizons, in half precision; each series' rows lie side by side."""

    inputs: Halves  # (N, T, F)
    points: Halves  # (N, T, K, E)
    trust: Halves  # (N, T, K, E)
    lead: Halves  # (N, T, K, 3)
    labels: Halves  # (N, T, K) (value h rows later - value) / unit; NaN: there is none


def some_horizons(generator: Generator) -> tuple[int, ...]:
    """HORIZONS different horizons: REFERENCE_STEPS, and others that are log-uniform from 2 to FARTHEST."""
    chosen = set(REFERENCE_STEPS)
    while len(chosen) < HORIZONS:
        chosen.add(round(float(np.exp(generator.uniform(np.log(2), np.log(FARTHEST))))))
    return tuple(sorted(chosen))


def describe(stories: Stories, horizons: tuple[int, ...], kind: Callable[..., AnyBank] = Bank) -> Examples:
    """Run a bank over the rows that are present; `horizons` hold REFERENCE_STEPS.

    A series with missing rows has fewer, and ends before the others: the rest of its rows are zeros without labels.
    """
    order = np.argsort(~stories.present, axis=0, kind="stable")
    values, times = np.take_along_axis(stories.values, order, 0), np.take_along_axis(stories.times, order, 0)
    lengths = stories.present.sum(0)
    bank = kind(horizons=horizons, quantiles=KNOTS)
    series = np.array([bank.add(str(number)) for number in range(len(lengths))])
    rows, count = values.shape
    none = np.zeros(0, np.int64)
    blank = bank.observe(none, np.zeros(0), none)
    held = [np.zeros((count, rows, *part.shape[1:]), np.float16) for part in blank[:-1]]
    units = np.ones((rows, count, len(horizons)))
    for t in range(int(lengths.max())):
        wave = series[lengths > t]
        *parts, units[t, wave] = bank.observe(wave, values[t, wave], times[t, wave])
        for array, part in zip(held, parts, strict=True):
            array[wave, t] = part
    inputs, points, trust, lead = held
    return Examples(inputs, points, trust, lead, labels_of(values, units, lengths, horizons))


def labels_of(values: Floats, units: Floats, lengths: Integers, horizons: tuple[int, ...]) -> Halves:
    """Labels (N, T, K) of `values` (T, N) in their `units` (T, N, K); series n ends after lengths[n] rows."""
    rows, count = values.shape
    labels = np.full((rows, count, len(horizons)), np.nan)
    for k, h in enumerate(horizons):
        labels[: rows - h, :, k] = (values[h:] - values[: rows - h]) / units[: rows - h, :, k]
        labels[np.arange(rows)[:, None] >= lengths - h, k] = np.nan
    labels[:UNWEIGHTED] = np.nan
    clipped: Halves = np.clip(labels, -LABEL_CLIP, LABEL_CLIP).transpose(1, 0, 2).astype(np.float16)
    return np.ascontiguousarray(clipped)
