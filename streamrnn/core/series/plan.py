"""Constants of all series of a task, derived from the configuration."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from streamrnn.core.clock.season_clock import EVENT_TIME, SeasonClock
from streamrnn.core.clock.usual_changes import usual_changes
from streamrnn.core.clock.zones import UNDEFINED, StepFunction
from streamrnn.core.jit import Floats, Integers

USUAL_CHANGES = usual_changes()
REFERENCE_STEPS = (1, 12, 24)  # horizons that are always forecast: the inputs of the networks are in their units


class Plan(NamedTuple):
    """Constants of all series. K horizons: the configured ones and REFERENCE_STEPS."""

    horizons: Integers  # (K,) steps ahead, ascending; the first is 1
    references: Integers  # (3,) indexes into `horizons` of REFERENCE_STEPS
    published: Integers  # (H,) indexes into `horizons` of the configured ones
    slots: Integers  # (K,) first slot of each horizon among the pending forecasts; horizon h has h slots
    levels: Floats  # (Q,) quantile levels, ascending, 0.5 among them
    middle: int  # index of 0.5 in `levels`
    normal: Floats  # (Q,) quantiles of a normal error of mean absolute value 1
    seasons: Floats  # (2,) periods of the short and the long season, ms; 0: none; below 0: to be detected
    tail: float  # initial ratio of the 99% interval to the outermost published interval
    clock: SeasonClock  # the clock by which the phases of seasons are computed
    usual: StepFunction  # when profiles may shift, see usual_changes; undefined with a zone, whose changes are known


def make_plan(
    horizons: Sequence[int], quantiles: Sequence[float], seasons: Sequence[float] | None = None,
    clock: SeasonClock = EVENT_TIME,
) -> Plan:  # fmt: skip
    """Return the plan; `seasons` are up to two periods in seconds, ascending, or None to detect them."""
    steps, normal = sorted({*REFERENCE_STEPS, *horizons}), NormalDist()
    periods = [-1.0, -1.0] if seasons is None else [*(1000.0 * period for period in seasons), 0.0, 0.0][:2]
    return Plan(
        horizons=np.array(steps, np.int64),
        references=np.array([steps.index(h) for h in REFERENCE_STEPS], np.int64),
        published=np.array([steps.index(h) for h in horizons], np.int64),
        slots=np.concatenate([[0], np.cumsum(steps)[:-1]]).astype(np.int64),
        levels=np.array(quantiles, np.float64),
        middle=list(quantiles).index(0.5),
        normal=np.array([normal.inv_cdf(q) * math.sqrt(math.pi / 2) for q in quantiles]),
        seasons=np.array(periods),
        tail=normal.inv_cdf(0.995) / max(normal.inv_cdf(quantiles[-1]), 0.5),
        clock=clock,
        usual=UNDEFINED if len(clock.zone.changes) > 0 else USUAL_CHANGES,
    )
