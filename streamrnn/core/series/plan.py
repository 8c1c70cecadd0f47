"""What the configuration fixes for all series of a task."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from streamrnn.core.jit import Floats, Integers

REFERENCE_STEPS = (1, 12, 24)
"""Steps that are always followed, whatever the horizons: the inputs are measured in their scales."""


class Plan(NamedTuple):
    """What the configuration fixes for all series. K horizons: the configured ones and REFERENCE_STEPS."""

    horizons: Integers
    """(K,) rows ahead, ascending; the first is 1."""
    references: Integers
    """(3,) index into `horizons` of REFERENCE_STEPS."""
    published: Integers
    """(H,) index into `horizons` of those that are configured."""
    slots: Integers
    """(K,) first slot of each horizon among the pending forecasts; horizon h has h slots."""
    levels: Floats
    """(Q,) quantile levels, ascending, 0.5 among them."""
    middle: int
    """Index of 0.5 in `levels`."""
    normal: Floats
    """(Q,) quantiles of a normal error of mean absolute value 1."""
    seasons: Floats
    """(2,) ms, of the short and the long season, 0: none; below 0: they are found."""
    tail: float
    """First guess of the ratio of the 99% interval to the outermost one that is forecast."""


def plan(horizons: tuple[int, ...], quantiles: tuple[float, ...], seasons: Floats, normal: Floats, tail: float) -> Plan:
    """Derive the fixed numbers; `normal` (Q,) are the quantiles of a normal error of mean absolute value 1."""
    steps = sorted({*REFERENCE_STEPS, *horizons})
    return Plan(
        horizons=np.array(steps, np.int64),
        references=np.array([steps.index(h) for h in REFERENCE_STEPS], np.int64),
        published=np.array([steps.index(h) for h in horizons], np.int64),
        slots=np.concatenate([[0], np.cumsum(steps)[:-1]]).astype(np.int64),
        levels=np.array(quantiles, np.float64),
        middle=quantiles.index(0.5),
        normal=normal,
        seasons=seasons,
        tail=tail,
    )


def planned(horizons: Sequence[int], quantiles: Sequence[float], seasons: Sequence[float] | None = None) -> Plan:
    """What all series of a task share; `seasons` as for the bank."""
    periods = np.array([-1.0, -1.0] if seasons is None else [*(1000.0 * period for period in seasons), 0.0, 0.0][:2])
    outer = max(NormalDist().inv_cdf(quantiles[-1]), 0.5)
    normal = np.array([NormalDist().inv_cdf(q) * math.sqrt(math.pi / 2) for q in quantiles])
    return plan(tuple(horizons), tuple(quantiles), periods, normal, NormalDist().inv_cdf(0.995) / outer)
